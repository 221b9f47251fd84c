"""At 3 a.m. a database may be in any state: what serves is moved, what passes is waited for, what needs a person says so."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dr.errors import Transient
from dr.model.evidence import Note
from dr.model.words import Intent, Severity, Verb
from dr.ports import Look
from dr.providers.aws.aurora import AuroraGlobalDatabase
from dr.providers.aws.rds_replica import RdsReadReplica
from dr.providers.aws.rds_status import PASSING, SERVING
from tests.aws.emulator import Emulator
from tests.aws.rig import CODES, Rig
from tests.aws.test_aurora import Pair as Clusters
from tests.aws.test_rds_replica import Pair as Instances

LOOKS = [("available", Look.DONE), ("storage-optimization", Look.DONE), ("modifying", Look.NEEDED), ("storage-full", Look.BLOCKED)]
"""Of one word each what it means."""


def set_status(emulator: Emulator, name: str, status: str) -> None:
    emulator.control("set_status", region=CODES["west"], name=name, status=status)


def test_no_status_is_both() -> None:
    """What serves does not have to be waited for."""
    assert not SERVING & PASSING


@pytest.mark.parametrize(("status", "look"), LOOKS)
def test_a_cluster_that_is_busy_is_not_refused(rig: Rig, emulator: Emulator, status: str, look: Look) -> None:
    """Only what needs a person blocks; and an instance that is busy does not make its cluster headless."""
    clusters = Clusters(emulator)
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", clusters.settings())
    set_status(emulator, clusters.clusters["west"], status)
    set_status(emulator, f"{clusters.clusters['west']}-1", status)
    assert (
        rig.step(aurora, Intent.FAILOVER, Verb.PREPARE)
        .operation.observe(rig.context(rig.step(aurora, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER))
        .look
        is look
    )
    errors = [item.fact for item in aurora.view().findings if item.severity is Severity.ERROR]
    assert any("headless" in fact for fact in errors) is (look is Look.BLOCKED)


@pytest.mark.parametrize("intent", [Intent.FAILOVER, Intent.SWITCHOVER])
def test_a_cluster_that_rds_refuses_while_it_is_busy_is_asked_again(rig: Rig, emulator: Emulator, intent: Intent) -> None:
    """The refusal names a state that passes: worth retrying; one without such a state is final."""
    clusters = Clusters(emulator)
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", clusters.settings())
    promote = rig.step(aurora, intent, Verb.PROMOTE)
    set_status(emulator, clusters.clusters["west"], "backing-up")
    with pytest.raises(Transient, match="backing-up, which passes"):
        rig.perform(promote, intent)
    assert clusters.writer() == "east"
    set_status(emulator, clusters.clusters["west"], "available")
    assert rig.perform(promote, intent).look is Look.DONE
    assert clusters.writer() == "west"


def test_what_is_backed_up_right_after_its_promotion_serves(rig: Rig, emulator: Emulator) -> None:
    """The first backup of a new writer may take long; people need not wait for it."""
    clusters = Clusters(emulator)
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", clusters.settings())
    promote = rig.step(aurora, Intent.FAILOVER, Verb.PROMOTE)
    assert rig.perform(promote, Intent.FAILOVER).look is Look.DONE
    set_status(emulator, clusters.clusters["west"], "backing-up")
    assert promote.operation.verify(rig.context(promote, Intent.FAILOVER)).look is Look.DONE


@pytest.mark.parametrize(("status", "look"), LOOKS)
def test_a_replica_that_is_busy_is_not_refused(rig: Rig, emulator: Emulator, status: str, look: Look) -> None:
    """As for clusters."""
    instances = Instances(emulator)
    kind = rig.make(RdsReadReplica, "metadata-db", instances.settings())
    set_status(emulator, instances.names["west"], status)
    prepare = rig.step(kind, Intent.FAILOVER, Verb.PREPARE)
    assert prepare.operation.observe(rig.context(prepare, Intent.FAILOVER)).look is look


def test_a_replica_that_rds_refuses_while_it_is_backed_up_is_asked_again(rig: Rig, emulator: Emulator) -> None:
    """The refusal names a state that passes: worth retrying, for as long as the step's budget."""
    instances = Instances(emulator)
    kind = rig.make(RdsReadReplica, "metadata-db", instances.settings())
    promote = rig.step(kind, Intent.FAILOVER, Verb.PROMOTE)
    assert promote.spec.max_attempts > 100, "the budget ends it"
    set_status(emulator, instances.names["west"], "backing-up")
    with pytest.raises(Transient, match="backing-up, which passes"):
        rig.perform(promote, Intent.FAILOVER)
    set_status(emulator, instances.names["west"], "available")
    assert rig.perform(promote, Intent.FAILOVER).look is Look.DONE
    assert not instances.described("west").get("ReadReplicaSourceDBInstanceIdentifier")


def test_what_was_under_way_and_no_promotion_is_seen_to_be_over(rig: Rig, emulator: Emulator) -> None:
    """Nothing is sent while the replica is modified, for that may be the promotion; once it is ready and a replica still, it was not."""
    instances = Instances(emulator)
    kind = rig.make(RdsReadReplica, "metadata-db", instances.settings())
    promote = rig.step(kind, Intent.FAILOVER, Verb.PROMOTE)
    context = rig.context(promote, Intent.FAILOVER)
    set_status(emulator, instances.names["west"], "modifying")
    emulator.clear_calls()
    promote.operation.act(context)
    assert promote.operation.verify(context).look is Look.NEEDED
    set_status(emulator, instances.names["west"], "available")
    with pytest.raises(Transient, match="ready now, and a replica still"):
        promote.operation.verify(context)
    assert not emulator.calls("rds", "PromoteReadReplica")
    assert rig.perform(promote, Intent.FAILOVER).look is Look.DONE


def test_a_replica_is_promoted_though_cloudwatch_is_ill(rig: Rig, emulator: Emulator) -> None:
    """What it holds is unknown then, for the guard to refuse and a person to accept; the steps do not fail for it."""
    instances = Instances(emulator)
    kind = rig.make(RdsReadReplica, "metadata-db", instances.settings())
    emulator.fault(CODES["west"], "throttle", "cloudwatch:*")
    try:
        assert rig.perform(rig.step(kind, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER).look is Look.DONE
        assert rig.perform(rig.step(kind, Intent.FAILOVER, Verb.PROMOTE), Intent.FAILOVER).look is Look.DONE
    finally:
        emulator.clear_faults()


# --- is the writer's word enough? -------------------------------------------------------------------------------------

WORDS = [
    ("available", Look.DONE, ""), ("backing-up", Look.DONE, ""), ("failing-over", Look.NEEDED, "failing-over"),
    ("promoting", Look.NEEDED, "promoting"), ("inaccessible-encryption-credentials", Look.BLOCKED, "aws kms enable-key"),
    ("stopped", Look.BLOCKED, "aws rds start-db-"), ("incompatible-parameters", Look.BLOCKED, "aws rds describe-events"),
]  # fmt: skip


@pytest.mark.parametrize("which", ["cluster", "instance"])
@pytest.mark.parametrize(("status", "look", "told"), WORDS)
def test_a_writer_without_sql_is_believed_only_where_it_serves(
    rig: Rig, emulator: Emulator, which: str, status: str, look: Look, told: str
) -> None:
    """It is the writer in any case. What passes is waited for, what does not is told with the next step; nothing is written."""
    clusters = Clusters(emulator)
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", clusters.settings())
    assert rig.perform(rig.step(aurora, Intent.FAILOVER, Verb.PROMOTE), Intent.FAILOVER).look is Look.DONE
    name = clusters.clusters["west"]
    set_status(emulator, name if which == "cluster" else f"{name}-1", status)
    verify = rig.step(aurora, Intent.FAILOVER, Verb.VERIFY_INSIDE)
    context = rig.context(verify, Intent.FAILOVER)
    emulator.clear_calls()
    seen = verify.operation.observe(context)
    assert (seen.look, [type(item) for item in seen.evidence]) == (look, [Note] if look is Look.DONE else [])
    assert told in seen.reason and (look is not Look.BLOCKED or f"--region {CODES['west']}" in seen.reason)
    assert not rig.undeclared([verify], emulator.calls())
    if look is Look.NEEDED:
        assert verify.operation.act(context) == () and verify.operation.verify(context).look is Look.NEEDED
        set_status(emulator, name if which == "cluster" else f"{name}-1", "available")
        assert verify.operation.verify(context).look is Look.DONE


# --- what a person checks ---------------------------------------------------------------------------------------------

FAKE = """#!/bin/sh
case "$*" in
*describe-global-clusters*) echo "$WRITER" ;;
*ReadReplicaSource*) echo "$SOURCE" ;;
*) printf "$STATUS\\n" ;;
esac
"""
"""An ``aws`` that says what its environment has."""


def typed(folder: Path, command: str, **said: str) -> bool:
    """Whether a check of a person ends well where AWS says this."""
    (folder / "aws").write_text(FAKE)
    (folder / "aws").chmod(0o755)
    return subprocess.run(["bash", "-c", command], env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", **said}).returncode == 0


@pytest.mark.parametrize("status", [*sorted(SERVING), *sorted(PASSING), "stopped", "not-available", "storage-full"])
def test_a_person_takes_for_ready_what_the_step_takes_for_ready(rig: Rig, emulator: Emulator, tmp_path: Path, status: str) -> None:
    """The checks of people, on clusters and on instances, hold in the very statuses in which the steps are done."""
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", {
        "global_cluster": "g", "regions": {name: {"cluster": name, "instance_class": "db.r6g.large", "instances": 2} for name in CODES},
    })  # fmt: skip
    replica = rig.make(RdsReadReplica, "other-db", {"regions": {name: {"instance": name} for name in CODES}})
    serves = status in SERVING
    for kind, name, intent, said in (
        (aurora, "prepare", Intent.FAILOVER, {}), (aurora, "promote", Intent.FAILOVER, {"WRITER": "True"}),
        (aurora, "verify-inside", Intent.FAILOVER, {"WRITER": "True"}), (aurora, "follow", Intent.REPROTECT, {"WRITER": "False"}),
        (replica, "prepare", Intent.FAILOVER, {}), (replica, "promote", Intent.FAILOVER, {"SOURCE": "None"}),
        (replica, "follow", Intent.REPROTECT, {"SOURCE": "arn:aws:rds:us-west-2:1:db:west"}),
    ):  # fmt: skip
        check = rig.step(kind, intent, name).spec.check_by_hand
        assert typed(tmp_path, check, STATUS=status, **said) is serves, (kind.name, name)
        if said:
            assert not typed(tmp_path, check, STATUS="available", **dict.fromkeys(said, "?")), (kind.name, name)
    both = rig.step(aurora, Intent.FAILOVER, "add-instances").spec.check_by_hand
    assert typed(tmp_path, both, STATUS=f"{status}\\navailable") is serves and not typed(tmp_path, both, STATUS="available")
