"""The kind against two real registries: what is seen, what a Deployment's own pull secret gets, and what a dead region costs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from dr.errors import Transient
from dr.lab.platform.images import REPOSITORY, image
from dr.model.identity import DeploymentIdentity, IdentitySnapshot
from dr.model.words import Intent, Known, Role
from dr.ports import Look
from dr.providers.selfhosted.oci.images import Image
from dr.providers.selfhosted.oci.inventory import Inventory
from tests.images.rig import PASSWORD, PULL, Pair, facts, pull_secret, use
from tests.postgres.rig import poll

pytestmark = pytest.mark.lab

FIRST, SECOND, EARLIER = image(1), image(2), image(3)


@pytest.fixture
def equal(pair: Pair) -> Pair:
    """Both registries hold the image of d-001, and the one that it may go back to."""
    for region in ("east", "west"):
        pair.push(region, FIRST, EARLIER)
        pair.deployments.uses[region] = (use(1, FIRST, EARLIER),)
    return pair


def test_equal_registries_have_no_findings(equal: Pair) -> None:
    """Roles are those of the Deployments' database; the sample says 0 because both were seen whole, and counts against nothing."""
    kind = equal.kind()
    view = kind.view()
    assert view.findings == ()
    assert {region: item.role for region, item in view.regions.items()} == {"east": Role.PRIMARY, "west": Role.SECONDARY}
    assert view.lag is None
    assert (kind.sample("east").state, kind.beat("east")) == (Known.KNOWN, None)


def test_a_missing_image_is_an_error_for_moves_to_that_region_only(equal: Pair) -> None:
    """With who uses it and what to do; an image of a rollback window is a warning; the sample does not know."""
    equal.push("east", SECOND)
    equal.deployments.uses["east"] = (use(1, FIRST, EARLIER), use(2, SECOND), use(3, FIRST, SECOND))
    kind = equal.kind()
    [finding] = [item for item in kind.view().findings if item.severity == "error"]
    assert finding.region == "west"
    assert "(used by d-002) is not in west" in finding.fact
    assert finding.fix == "dr reprotect copies what is missing from east"
    assert kind.sample("east").state is Known.UNKNOWN
    equal.deployments.uses["east"] = (use(1, FIRST, SECOND),)
    findings = equal.kind().view().findings
    assert facts(findings, "error") == []
    assert any("(rollback of d-001) is not in west" in fact for fact in facts(findings, "warning"))


def test_a_tag_in_use_that_names_another_image_keeps_nobody_back(equal: Pair) -> None:
    """The region where it names what nobody uses is the wrong one, and is named; the image itself is there, so a move may go there."""
    equal.push("west", SECOND, tag=FIRST.tag)
    findings = equal.kind().view().findings
    assert facts(findings, "error") == []
    [finding] = [item for item in findings if f"tag {REPOSITORY}:1 names" in item.fact]
    assert (finding.region, finding.severity) == ("west", "warning")
    equal.push("west", FIRST)
    equal.push("east", SECOND, tag="nightly")
    equal.push("west", EARLIER, tag="nightly")
    findings = equal.kind().view().findings
    assert facts(findings, "error") == []
    assert any("nightly" in fact for fact in facts(findings, "warning"))


def test_a_pull_secret_that_is_refused_keeps_the_move_back(equal: Pair) -> None:
    """Finding and step name the Deployment and its secret, never the password; an acceptance goes on; the right one works at once."""
    equal.secrets.values = {**equal.secrets.values, **pull_secret("d-001", "of-yesterday")}
    kind = equal.kind()
    errors = facts(kind.view().findings, "error")
    assert len(errors) == 2
    assert all("d-001 with pull/d-001" in fact for fact in errors)
    seen = equal.step("prepare")
    assert (seen.look, "pull/d-001" in seen.reason) == (Look.BLOCKED, True)
    kept = "".join(path.read_text() for path in (equal.base / "artefacts").iterdir())
    assert all(word not in kept + seen.reason + "".join(errors) for word in ("of-yesterday", PASSWORD, PULL))
    equal.accept()
    assert equal.step("prepare").look is Look.DONE
    equal.acceptances = ()
    equal.secrets.values = {**equal.secrets.values, **pull_secret("d-001", PULL)}
    assert equal.step("prepare").look is Look.DONE
    assert facts(equal.kind().view().findings, "error") == []


def test_our_own_credentials_refused_is_said_and_nothing_else(equal: Pair) -> None:
    """Nothing is called missing that could not be looked at."""
    credentials = {"username": "dr", "password": {"env": "WRONG"}}
    regions = {
        "east": {"url": equal.url("east"), "credentials": {"username": "dr", "password": {"env": "REGISTRY"}}},
        "west": {"url": equal.url("west"), "credentials": credentials},
    }
    [fact] = facts(equal.kind(regions=regions).view().findings, "error")
    assert "the registry of west cannot be asked" in fact
    assert "401" in fact


def test_secrets_of_another_component_are_read_in_the_region_that_uses_them(equal: Pair) -> None:
    """Each region's own store is asked; one that is silent is no fault of the registry, whose contents are judged all the same."""
    asked: list[tuple[str, str]] = []

    class Store:
        def secret(self, region: str, name: str) -> Mapping[str, str]:
            asked.append((region, name))
            if region == "west":
                raise Transient("the store of west is gone")
            return {"username": "d-001", "password": PULL}

    kind = equal.kind(pull_secrets={"component": "secrets"}, peers={"secrets": Store()})
    [fact] = facts(kind.view().findings, "error")
    assert sorted(asked) == [("east", "pull/d-001"), ("west", "pull/d-001")]
    assert fact.endswith("pull/d-001 cannot be read: the store of west is gone")


@pytest.mark.parametrize("how", ["kill", "hold"])
def test_a_dead_source_is_not_waited_for(equal: Pair, how: str, patience: pytest.MonkeyPatch) -> None:
    """Refused or silent: west is looked at all the same, the account says that it is one-sided, and the view says what is known."""
    if how == "hold":
        patience.undo()  # what a silent registry may cost is the product's to say
    getattr(equal, how)("east")
    equal.deployments.gone = {"east"}
    view = equal.kind(source_timeout="500ms").view()
    assert [item.region for item in view.findings if item.severity == "error"] == ["east"]
    assert view.regions["east"].role is Role.UNREACHABLE
    assert view.regions["west"].role is Role.SECONDARY
    seen = equal.step("prepare", source_timeout="500ms")
    assert seen.look is Look.DONE, seen.reason
    assert (equal.account_of.equal, equal.account_of.complete) == (1, False)


def test_a_database_that_does_not_answer_holds_nobody_up(equal: Pair) -> None:
    """The view comes without a role for that region: the component that has the database knows. Images are judged all the same."""
    equal.deployments.slow = {"east"}
    equal.deployments.uses["west"] = (use(1, SECOND),)
    view = equal.kind().view()
    assert {region: item.role for region, item in view.regions.items()} == {"west": Role.SECONDARY}
    assert {item.region for item in view.findings if item.severity == "error"} == {"east", "west"}


def test_what_is_missing_and_cannot_be_copied_needs_an_acceptance(equal: Pair) -> None:
    """The source is dead: blocked with the command that goes on; accepted, the account names what is missing."""
    for region in ("east", "west"):
        equal.deployments.uses[region] = (use(1, FIRST), use(2, SECOND))
    equal.kill("east")
    seen = equal.step("prepare")
    assert seen.look is Look.BLOCKED
    assert "(used by d-002)" in seen.reason
    assert "--accept prerequisites" in seen.reason
    equal.accept()
    seen = equal.step("prepare")
    assert seen.look is Look.DONE
    assert (equal.account_of.missing_total, len(equal.account_of.missing)) == (1, 1)
    assert equal.account_of.items_path is not None


def test_without_any_database_the_kept_identities_say_what_is_needed(equal: Pair) -> None:
    """Both databases are silent: the newest snapshot outside both regions counts."""
    equal.deployments.gone = {"east", "west"}
    identity = DeploymentIdentity(
        id="d-009", name="nine", namespace="comet-9", workspace="w", hostnames={}, image_digest=SECOND.digest, environment={}
    )
    equal.samples.kept = IdentitySnapshot(taken_at=equal.clock.now(), region="east", deployments=(identity,))
    assert any("used by d-009" in fact for fact in facts(equal.kind().view().findings, "error"))


def test_the_next_process_knows_what_was_seen(equal: Pair) -> None:
    """Parts that were seen a moment ago are not asked for again, an image in use is: its disappearance is seen at once."""
    equal.kind().view()
    equal.stored("west", FIRST.blobs[0].digest).unlink()
    assert facts(equal.kind().view().findings, "error") == []
    assert len(facts(equal.kind(check_every="0s").view().findings, "error")) == 1
    link = equal.base / f"west/store/docker/registry/v2/repositories/{REPOSITORY}/_manifests/revisions/sha256"
    (link / FIRST.digest.removeprefix("sha256:") / "link").unlink()
    assert any("is not in west" in fact for fact in facts(equal.kind().view().findings, "error"))


def test_a_monitor_asks_twice_a_minute_and_a_failover_at_once(equal: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that looks every few seconds believes itself for half a minute. The guard of the next one believes nobody."""
    monitor = equal.kind()
    monitor.view()
    link = equal.base / f"west/store/docker/registry/v2/repositories/{REPOSITORY}/_manifests/revisions/sha256"
    (link / FIRST.digest.removeprefix("sha256:") / "link").unlink()
    assert facts(monitor.view().findings, "error") == []
    assert any("is not in west" in fact for fact in facts(equal.kind().view().findings, "error"))
    monkeypatch.setattr("dr.providers.selfhosted.oci.view._MOMENT", timedelta(0))
    assert any("is not in west" in fact for fact in facts(monitor.view().findings, "error"))


def test_a_failover_looks_at_what_must_start_first_and_at_everything_after_service(equal: Pair) -> None:
    """An image of a rollback window that is gone keeps nothing from starting; the fingerprint finds and tells it."""
    equal.kind().view()
    link = equal.base / f"west/store/docker/registry/v2/repositories/{REPOSITORY}/_manifests/revisions/sha256"
    (link / EARLIER.digest.removeprefix("sha256:") / "link").unlink()
    equal.kill("east")
    assert equal.step("prepare", Intent.FAILOVER).look is Look.DONE
    assert (equal.account_of.checked, equal.account_of.missing_total) == (1, 0)
    seen = equal.step("fingerprint", Intent.FAILOVER)
    assert seen.look is Look.DONE, "an image to go back to does not keep a Deployment from starting"
    assert (equal.account_of.checked, equal.account_of.missing_total) == (2, 1)


def test_an_image_in_use_that_went_a_minute_ago_is_found_by_the_failover(equal: Pair) -> None:
    """The inventory said that it was there; the step asks again."""
    kind = equal.kind()
    kind.view()
    link = equal.base / f"west/store/docker/registry/v2/repositories/{REPOSITORY}/_manifests/revisions/sha256"
    (link / FIRST.digest.removeprefix("sha256:") / "link").unlink()
    equal.kill("east")
    seen = equal.step("prepare", Intent.FAILOVER, check_every="0s")
    assert seen.look is Look.BLOCKED
    assert "(used by d-001)" in seen.reason


def test_what_does_not_fit_into_a_view_is_looked_at_afterwards(equal: Pair, patience: pytest.MonkeyPatch) -> None:
    """A view that has no time says so and refuses nobody; what it did not see is in the inventory soon after."""
    for name in ("_LOOK_SECONDS", "_MORE_SECONDS"):  # both: the rest never has longer than what is in use
        patience.setattr(f"dr.providers.selfhosted.oci.view.{name}", 0.0)
    findings = equal.kind().view().findings
    assert facts(findings, "error") == []
    # of each side: how much of it, or, where not even the first answer came in no time, that there was none
    assert sorted(region for region in ("east", "west") for item in findings if "not looked at" in item.fact and region in item.fact) == [
        "east", "west",
    ]  # fmt: skip

    def known() -> bool:
        kept = Inventory(equal.base / "artefacts" / "images-seen.json", equal.clock)
        entries = [kept.get("west", Image(REPOSITORY, item.digest).key) for item in (FIRST, EARLIER)]
        return all(entry is not None and entry.good for entry in entries)

    poll(known, "what did not fit")
