"""The kind against two real registries: what is missing comes over byte for byte, and nothing is overwritten."""

from __future__ import annotations

import pytest

from dr.lab.platform.images import REPOSITORY, image
from dr.model.evidence import Following
from dr.model.words import Intent
from dr.ports import Look
from tests.images.rig import Pair, use

pytestmark = pytest.mark.lab

PLAIN, INDEX, OLDER, NEWER = image(1), image(5), image(6), image(7)


def need(pair: Pair, *uses: object) -> None:
    """Both databases list the same Deployments."""
    pair.deployments.uses = {"east": uses, "west": uses}  # type: ignore[dict-item]


def test_what_is_missing_is_copied_with_all_its_parts(pair: Pair) -> None:
    """An image, an index with both platforms, an earlier image of the rollback window: manifests, configs and layers equal to the byte."""
    pair.push("east", PLAIN, INDEX, OLDER)
    need(pair, use(1, PLAIN, OLDER), use(2, INDEX))
    seen = pair.step("prepare", Intent.SWITCHOVER)
    assert seen.look is Look.DONE, seen.reason
    assert all(pair.holds("west", item) for item in (PLAIN, INDEX, OLDER))
    account = pair.account_of
    assert (account.checked, account.equal, account.missing_total, account.complete) == (3, 3, 0, True)
    assert account.repaired == 5 + 3  # two single manifests and an index with two, and three tags


def test_a_second_time_nothing_is_done(pair: Pair) -> None:
    """What is there is found there: the step does not act, and the store holds what it held."""
    pair.push("east", PLAIN, INDEX)
    need(pair, use(1, PLAIN), use(2, INDEX))
    assert pair.step("prepare", Intent.SWITCHOVER).look is Look.DONE
    before = sorted(pair.base.glob("west/store/**/*"))
    seen = pair.step("prepare", Intent.SWITCHOVER)
    assert (seen.look, pair.acted) == (Look.DONE, False)
    assert sorted(pair.base.glob("west/store/**/*")) == before


def test_a_layer_that_was_lost_is_found_and_comes_back(pair: Pair) -> None:
    """The manifest alone proves nothing: its parts are asked for, those of an index's children too."""
    pair.push("east", INDEX)
    pair.push("west", INDEX)
    need(pair, use(1, INDEX))
    lost = INDEX.blobs[-1]
    pair.stored("west", lost.digest).unlink()
    [fact] = [item.fact for item in pair.kind().view().findings if item.severity == "error"]
    assert "not whole in west" in fact
    assert lost.digest[:19] in fact
    seen = pair.step("prepare", Intent.SWITCHOVER)
    assert (seen.look, pair.acted) == (Look.DONE, True), seen.reason
    assert pair.holds("west", INDEX)


def test_bytes_that_are_not_their_digest_are_not_copied(pair: Pair) -> None:
    """A layer and a manifest that rotted in the source: refused with their names, and the other images come over all the same."""
    pair.push("east", PLAIN, INDEX, OLDER)
    need(pair, use(1, PLAIN), use(2, OLDER), use(3, INDEX))
    layer, whole = PLAIN.blobs[1], OLDER.manifests[-1]
    pair.stored("east", layer.digest).write_bytes(b"x" * len(layer.data))
    pair.stored("east", whole.digest).write_bytes(whole.data + b" ")
    seen = pair.step("prepare", Intent.SWITCHOVER)
    assert seen.look is Look.BLOCKED
    assert "d-001" in seen.reason
    assert "d-002" in seen.reason
    assert "d-003" not in seen.reason
    told = " ".join(getattr(item, "text", "") for item in pair.evidence)
    assert f"the blob {layer.digest[:19]} is not what its digest says" in told
    assert f"the manifest {REPOSITORY} {whole.digest[:19]} is not what its digest says" in told
    assert (pair.holds("west", INDEX), pair.account_of.missing_total) == (True, 2)


def test_a_tag_is_changed_only_where_the_sources_image_is_newer(pair: Pair) -> None:
    """Missing: set. Older in the target: moved. Newer in the target: left alone and told; the digest comes over anyway."""
    pair.push("east", PLAIN, OLDER, NEWER, tag=None)
    pair.push("east", NEWER, tag="moved-on")
    pair.push("west", OLDER, tag="moved-on")
    pair.push("east", OLDER, tag="pushed-later")
    pair.push("west", image(10_001), tag="pushed-later")
    need(pair, use(1, PLAIN), use(2, OLDER), use(3, NEWER))
    seen = pair.step("prepare", Intent.SWITCHOVER)
    assert seen.look is Look.DONE, seen.reason
    west = pair.registry("west")
    assert west.head(REPOSITORY, PLAIN.tag) == PLAIN.digest
    assert west.head(REPOSITORY, "moved-on") == NEWER.digest
    assert west.head(REPOSITORY, "pushed-later") == image(10_001).digest
    assert pair.account_of.conflicts == (f"{REPOSITORY}:pushed-later",)


def test_blobs_are_taken_over_from_another_repository_of_the_target(pair: Pair) -> None:
    """With a repository for each Deployment the base layer goes over the link once."""
    for number, made in ((1, PLAIN), (2, OLDER)):
        pair.push("east", made, repository=f"comet-{number}/airflow")
    need(pair, use(1, PLAIN), use(2, OLDER))
    seen = pair.step("prepare", Intent.SWITCHOVER, repository="{namespace}/airflow", threads=1)
    assert seen.look is Look.DONE, seen.reason
    assert pair.holds("west", OLDER, "comet-2/airflow")
    assert any(", 1 mounted)" in getattr(item, "text", "") for item in pair.evidence)


def test_whole_repositories_need_no_deployments(pair: Pair) -> None:
    """``repositories``: whatever a tag of the source names is brought over."""
    pair.push("east", PLAIN, INDEX, repository="base")
    seen = pair.step("prepare", Intent.SWITCHOVER, deployments=None, repository=None, repositories=["base"], pull_secrets=None)
    assert seen.look is Look.DONE, seen.reason
    assert pair.holds("west", INDEX, "base")
    assert pair.registry("west").tags("base") == ("1", "5")


def test_reprotect_fills_the_other_side_up_and_never_from_an_old_primary(pair: Pair) -> None:
    """West is primary now. East gets what came meanwhile; the other way round it is refused (I17). What only east has stays."""
    pair.push("east", OLDER)
    pair.push("west", PLAIN)
    need(pair, use(1, PLAIN))
    pair.deployments.primary = "west"
    seen = pair.step("follow", Intent.REPROTECT)
    assert seen.look is Look.DONE, seen.reason
    assert pair.holds("east", PLAIN)
    assert pair.holds("east", OLDER)
    assert [item.region for item in pair.evidence if isinstance(item, Following)] == ["east"]
    pair.deployments.primary = "east"
    seen = pair.step("follow", Intent.REPROTECT)
    assert seen.look is Look.BLOCKED
    assert "newest-copy" in seen.reason


def test_the_fingerprint_counts_what_was_named_before_and_what_is_named_now(pair: Pair) -> None:
    """An image that came with the last writes is brought over after the move, too, while the source is there."""
    pair.push("east", PLAIN, NEWER)
    pair.push("west", PLAIN)
    need(pair, use(1, NEWER, PLAIN))
    pair.deployments.primary = "west"
    seen = pair.step("fingerprint")
    assert (seen.look, pair.acted) == (Look.DONE, True), seen.reason
    assert pair.holds("west", NEWER)
    assert (pair.account_of.checked, pair.account_of.equal) == (2, 2)
