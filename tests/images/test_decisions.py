"""What is decided without asking anybody: what a manifest names, what is needed, what a look means, which settings make sense."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from dr.errors import Transient, UsageError
from dr.lab.extras.bcrypt import hashed
from dr.lab.layout import deployments
from dr.lab.platform import images as lab_images
from dr.lab.platform.images import image, images_of
from dr.model.identity import DeploymentIdentity, IdentitySnapshot, ImageUse, compare
from dr.model.runbook import Region
from dr.model.words import Intent, Severity
from dr.ports import Site
from dr.providers import registry
from dr.providers.selfhosted.oci import OciRegistry
from dr.providers.selfhosted.oci.access import Login, NotInTime
from dr.providers.selfhosted.oci.config import OciConfig
from dr.providers.selfhosted.oci.images import Image, created, digest_of, parse, short
from dr.providers.selfhosted.oci.inventory import Entry, Inventory
from dr.providers.selfhosted.oci.judge import Shelf, findings, lacking
from dr.providers.selfhosted.oci.wanted import Pull, Wanted, pulls, wanted
from tests.postgres.rig import FixedSecrets, RealClock

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
REGIONS = {"east": {"url": "https://east.example:5000"}, "west": {"url": "https://west.example:5000"}}


def config(**changes: object) -> OciConfig:
    return OciConfig.model_validate({"regions": REGIONS, "deployments": "deployments", "repository": "airflow", **changes})


def use(number: int, *digests: str, secrets: tuple[str, ...] = ()) -> ImageUse:
    first, *earlier = digests
    return ImageUse(
        deployment=f"d-{number:03d}", namespace=f"comet-{number}", workspace="w", image_digest=first, image_rollback=tuple(earlier),
        pull_secrets=secrets,
    )  # fmt: skip


class Still(RealClock):
    """A clock that stands until it is moved."""

    moment = NOW

    def now(self) -> datetime:
        return self.moment


# --- manifests ---


def test_a_manifest_names_config_and_layers_an_index_its_platforms() -> None:
    """And its digest is that of its bytes; foreign layers are known as such."""
    one, index = image(1).manifests[-1], image(5).manifests[-1]
    read = parse(one.data, one.media_type)
    assert (read.digest, read.blobs[0].digest) == (one.digest, image(1).blobs[2].digest)
    assert [child.digest for child in parse(index.data, "").children] == [content.digest for content in image(5).manifests[:2]]
    foreign = json.loads(one.data)
    foreign["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    assert [blob.foreign for blob in parse(json.dumps(foreign).encode(), "").blobs] == [False, True, False]


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"{}", b'{"mediaType": "application/vnd.oci.image.manifest.v1+json"}', b'{"schemaVersion": 1}']
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    """With a reason, not with a traceback."""
    with pytest.raises(ValueError, match=r"^(it is no|its media type)"):
        parse(data, "")


def test_an_images_own_date() -> None:
    """With a zone, else it is not known: two dates without zones cannot be compared."""
    assert created(image(3).blobs[2].data) == datetime(2026, 1, 1, 3, tzinfo=UTC)
    assert [created(data) for data in (b"{}", b"[]", b"x", b'{"created": "2026-01-01T00:00:00"}')] == [None] * 4


def test_how_people_read_images() -> None:
    """Short for people, in full as a key."""
    digest = "sha256:" + "ab" * 32
    named = Image("team/airflow", digest)
    assert (str(named), named.key, named.by_digest) == ("team/airflow@sha256:abababababab", f"team/airflow@{digest}", True)
    assert (str(Image("airflow", "12")), short("12")) == ("airflow:12", "12")


# --- what is needed ---


def test_what_runs_comes_first_and_the_window_has_its_size() -> None:
    """Each image once, with everybody who needs it."""
    found = wanted([use(1, "sha256:a", "sha256:b", "sha256:c"), use(2, "sha256:b", "sha256:a")], config(rollback=1))
    assert [(item.image.reference, item.running, item.earlier) for item in found] == [
        ("sha256:a", ("d-001",), ("d-002",)), ("sha256:b", ("d-002",), ("d-001",)),
    ]  # fmt: skip
    assert [item.needed_now for item in wanted([use(1, "sha256:a", "sha256:b")], config())] == [True, False]


def test_a_repository_for_each_namespace() -> None:
    """The words in braces are filled in; others are refused when the runbook is read."""
    [item] = wanted([use(7, "sha256:a")], config(repository="{namespace}/{deployment}"))
    assert item.image == Image("comet-7/d-007", "sha256:a")
    with pytest.raises(ValidationError, match="in braces"):
        config(repository="{id}/airflow")


def test_each_deployment_pulls_with_each_of_its_secrets() -> None:
    """What two regions list alike is one pull."""
    found = pulls([use(1, "sha256:a", secrets=("pull/d-001", "pull/shared"))] * 2, config())
    assert [pull.secret for pull in found] == ["pull/d-001", "pull/shared"]


# --- judgement ---

RUNNING, ROLLBACK = Wanted(Image("airflow", "sha256:a"), running=("d-001",)), Wanted(Image("airflow", "sha256:b"), earlier=("d-001",))
PULL = Pull("d-001", "pull/d-001", RUNNING.image)
GOOD = Entry(at=NOW, digest="sha256:a")


def shelf(region: str, entries: Mapping[str, Entry], **more: object) -> Shelf:
    return Shelf(region, entries, **more)  # type: ignore[arg-type]


def everything(**changes: Entry) -> dict[str, Entry]:
    """Good entries of all that is needed, but for those that are given: running, rollback, pull."""
    keys = {"running": RUNNING.image.key, "rollback": ROLLBACK.image.key, "pull": PULL.key}
    return {key: changes.get(name, GOOD) for name, key in keys.items()}


@pytest.mark.parametrize(
    ("entries", "severity", "said"),
    [
        ({"running": Entry(at=NOW)}, Severity.ERROR, "(used by d-001) is not in west"),
        ({"running": Entry(at=NOW, digest="sha256:a", lacks=("sha256:cc",))}, Severity.ERROR, "not whole in west: it lacks sha256:cc"),
        ({"running": Entry(at=NOW, digest="sha256:a", problem="rotten")}, Severity.ERROR, "of no use in west: rotten"),
        ({"rollback": Entry(at=NOW)}, Severity.WARNING, "(rollback of d-001) is not in west"),
        ({"pull": Entry(at=NOW, digest="sha256:a", problem="HTTP 401")}, Severity.ERROR, "1 of 1 Deployments cannot pull in west"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_region_matters_for_moves_to_it(entries: dict[str, Entry], severity: Severity, said: str) -> None:
    """The same picture for each sort of fault; the good side says nothing."""
    east, west = shelf("east", everything()), shelf("west", everything(**entries))
    [finding] = findings("images", [RUNNING, ROLLBACK], [PULL], [east, west])
    assert (finding.severity, finding.region) == (severity, "west")
    assert said in finding.fact
    assert finding.fix


def test_what_was_not_looked_at_is_neither_there_nor_missing() -> None:
    """It is said, as a fact for the reader; nobody is refused for it, and it does not count as held."""
    east, west = shelf("east", everything()), shelf("west", {})
    [finding] = findings("images", [RUNNING, ROLLBACK], [PULL], [east, west])
    assert (finding.severity, "3 of 3" in finding.fact) == (Severity.INFO, True)
    assert lacking([RUNNING, ROLLBACK], west) == (RUNNING, ROLLBACK)


def test_a_silent_registry_says_nothing_about_its_contents() -> None:
    """One finding for the silence, none for what it held when it was last seen."""
    gone = shelf("west", everything(running=Entry(at=NOW)), silent=Transient("connection refused"))
    [finding] = findings("images", [RUNNING], [], [shelf("east", everything()), gone])
    assert "cannot be asked: connection refused" in finding.fact


def test_our_own_slowness_refuses_nobody() -> None:
    """A registry that we did not get to ask is a warning: a run asks it before it starts anything."""
    late = shelf("west", {}, silent=NotInTime("not asked in time"))
    [finding] = findings("images", [RUNNING], [PULL], [shelf("east", everything()), late])
    assert (finding.severity, finding.region) == (Severity.WARNING, "west")


def test_tags_that_differ() -> None:
    """Warnings only, for Deployments name digests. Wrong is the region where the tag names what nobody uses; a missing tag is said, too."""
    other = Entry(at=NOW, digest="sha256:z")
    east = shelf("east", everything(), tags={"airflow:1": GOOD, "airflow:n": other, "airflow:2": GOOD}, all_tags=True)
    west = shelf("west", everything(), tags={"airflow:1": other, "airflow:n": Entry(at=NOW, digest="sha256:y")}, all_tags=True)
    found = [(item.severity, item.region) for item in findings("images", [RUNNING, ROLLBACK], [PULL], [east, west])]
    assert found == [(Severity.WARNING, "west"), (Severity.WARNING, None), (Severity.WARNING, "west")]


def test_a_tag_between_two_images_in_use_is_a_warning() -> None:
    """Nobody can say which region is wrong, and both images are needed: Deployments name digests."""
    other = Wanted(Image("airflow", "sha256:z"), running=("d-002",))
    entry = Entry(at=NOW, digest="sha256:z")
    held = {RUNNING.image.key: GOOD, other.image.key: entry}
    east, west = shelf("east", held, tags={"airflow:1": GOOD}), shelf("west", held, tags={"airflow:1": entry})
    [finding] = findings("images", [RUNNING, other], [], [east, west])
    assert (finding.severity, finding.region) == (Severity.WARNING, None)


# --- what is remembered ---


def test_an_inventory_is_kept_for_the_next_process_and_grows_old(tmp_path: Path) -> None:
    """0600 in a 0700 folder; an entry counts as long as its reader says, one from the future not at all."""
    clock, path = Still(), tmp_path / "kept" / "images-seen.json"
    first = Inventory(path, clock)
    first.put("west", "airflow:1", GOOD)
    first.put("west", "airflow@sha256:a", GOOD.model_copy(update={"at": NOW - timedelta(days=2)}))
    first.save()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    second = Inventory(path, clock)
    assert second.tags("west", "airflow", timedelta(0)) == {"airflow:1": GOOD}
    assert second.get("west", "airflow@sha256:a") is None
    clock.moment = NOW + timedelta(minutes=2)
    assert second.fresh("west", "airflow:1", timedelta(minutes=2)) == GOOD
    assert second.fresh("west", "airflow:1", timedelta(minutes=1)) is None
    clock.moment = NOW - timedelta(seconds=1)
    assert second.fresh("west", "airflow:1", timedelta(minutes=1)) is None


def test_an_inventory_that_cannot_be_read_is_empty(tmp_path: Path) -> None:
    """It saves work, it proves nothing: no error."""
    path = tmp_path / "images-seen.json"
    path.write_text('{"regions": {"west"')
    assert Inventory(path, Still()).get("west", "airflow:1") is None


# --- settings ---


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"repository": None}, "together"),
        ({"deployments": None, "repository": None}, "or repositories"),
        ({"pull_secrets": {}}, "exactly one of folder"),
        ({"regions": {"east": {"url": "ftp://x"}, "west": {"url": "https://y"}}}, "without path and without credentials"),
        ({"regions": {"east": {"url": "https://me:pw@x"}, "west": {"url": "https://y"}}}, "without path and without credentials"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object], expected: str) -> None:
    """One sentence that says what was expected."""
    with pytest.raises(ValidationError, match=expected):
        config(**changes)


def site(tmp_path: Path) -> Site:
    return Site(
        runbook="test", regions={"east": Region(), "west": Region()}, hosts={}, clock=RealClock(), secrets=FixedSecrets({}),
        samples=None, artefacts=tmp_path, base=tmp_path, peers={},  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_kind_is_found_and_checks_its_regions(tmp_path: Path) -> None:
    """By its name in a runbook; regions of the runbook and of the component are the same, each with its own registry."""
    assert registry.find("oci-registry") is OciRegistry
    with pytest.raises(UsageError, match=r"images: regions\.north: unknown region"):
        OciRegistry("images", config(regions={"east": REGIONS["east"], "north": REGIONS["west"]}), (), site(tmp_path))
    with pytest.raises(UsageError, match="the same url"):
        OciRegistry("images", config(regions={"east": REGIONS["east"], "west": REGIONS["east"]}), (), site(tmp_path))


@pytest.mark.parametrize("intent", Intent)
def test_every_step_says_what_it_touches_and_how_it_is_done_by_hand(intent: Intent, tmp_path: Path) -> None:
    """The same arguments give the same steps; the registry that is judged is the target's, or the old primary's."""
    made = OciRegistry("images", config(), (), site(tmp_path)).steps(intent, "east", "west")
    again = OciRegistry("images", config(), (), site(tmp_path)).steps(intent, "east", "west")
    assert [step.spec for step in made] == [step.spec for step in again]
    for step in made:
        assert step.spec.region == ("east" if intent is Intent.REPROTECT else "west")
        assert step.spec.touches and step.spec.permissions and step.spec.by_hand and step.spec.check_by_hand


def test_a_password_is_in_no_repr() -> None:
    """I15."""
    assert "hunter2" not in repr(Login("dr", "hunter2"))


# --- the lab's images ---


def test_all_images_of_the_lab_are_dealt_out_and_are_what_they_say() -> None:
    """Each of 200 is needed by one of 80 Deployments; digests are those of the bytes; the same every time."""
    dealt = [number for item in deployments(80) for number in images_of(item.number, 80, 200)]
    assert sorted(dealt) == list(range(1, 201))
    assert [images_of(number, 4, 3) for number in (1, 4)] == [(1,), (1,)]
    for made in (image(1), image(5)):
        assert all(content.digest == digest_of(content.data) for content in (*made.manifests, *made.blobs))
    lab_images.image.cache_clear()
    assert image(5).digest == image(5).digest == lab_images.image.__wrapped__(5).digest


def test_a_hash_for_the_registry_is_bcrypt_of_that_password() -> None:
    """Hashing again with the hash as salt gives the hash; another password does not, and each has its own salt."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    made = hashed("correct horse")
    assert made.startswith("$2b$04$")
    assert library.crypt(b"correct horse", made.encode()) == made.encode()
    assert library.crypt(b"battery staple", made.encode()) != made.encode()
    assert hashed("correct horse") != made


def test_a_rollback_window_that_changed_is_a_changed_identity() -> None:
    """I7: digests of the rollback window are compared, too."""
    before = DeploymentIdentity(
        id="d-001", name="one", namespace="n", workspace="w", hostnames={}, image_digest="sha256:a", image_rollback=("sha256:b",),
        environment={},
    )  # fmt: skip
    after = before.model_copy(update={"image_rollback": ()})
    east, west = (IdentitySnapshot(taken_at=NOW, region="east", deployments=(item,)) for item in (before, after))
    difference = compare(east, west)
    assert difference.changed == ("d-001.image_rollback",)
