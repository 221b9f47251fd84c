"""What the Deployments' own databases hold, before and after a move: variables, pools, DAGs equal, history not less (I7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dr.model.evidence import Evidence, Identities, RecoveryPoint, TaskCount
from dr.model.identity import Contents, DeploymentIdentity, IdentitySnapshot, compare
from dr.model.plan import Acceptance, StepSpec
from dr.model.words import Guard, Intent, Verb
from dr.ports import AttemptContext, Look
from dr.providers.airflow.compare import Fingerprint
from dr.providers.system import SystemClock
from dr.store.samples import SqliteSamples

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
FULL = Contents(
    variables={"token": "k1", "tier": "k2"}, pools={"batch": 8}, dags={"billing": "active", "old": "paused"},
    rows={"dag_run": 10, "task_instance": 30, "xcom": 7},
)  # fmt: skip


def snapshot(contents: Contents | None = FULL, region: str = "east", seconds: float = 0, **more: Any) -> IdentitySnapshot:
    one = DeploymentIdentity(
        id="d-001", name="one", namespace="n", workspace="w", hostnames={}, image_digest="sha256:a", environment={}, contents=contents,
    )  # fmt: skip
    return IdentitySnapshot(taken_at=NOON + timedelta(seconds=seconds), region=region, deployments=(one,), **more)


def changed(**fields: object) -> Contents:
    return FULL.model_copy(update=fields)


@pytest.mark.parametrize(
    ("after", "named"),
    [
        (FULL, ()),
        (changed(variables={"token": "k9", "new": "k3"}), ("d-001.variable.new", "d-001.variable.tier", "d-001.variable.token")),
        (changed(pools={"batch": 9}), ("d-001.pool.batch",)),
        (changed(dags={"billing": "paused", "old": "paused"}), ("d-001.dag.billing",)),
        (changed(dags={"billing": "active"}), ("d-001.dag.old",)),
        (changed(rows={"dag_run": 11, "task_instance": 40, "xcom": 8}), ()),
    ],
)
def test_each_difference_of_the_contents_is_named(after: Contents, named: tuple[str, ...]) -> None:
    """Another value, there in one only; history that grows is no difference."""
    found = compare(snapshot(), snapshot(after, "west"))
    assert (found.contents, found.fewer, found.changed, found.equal) == (named, {}, (), not named)


def test_history_that_is_missing_is_counted() -> None:
    """By table; a table that is not counted any more is missing as a whole."""
    found = compare(snapshot(), snapshot(changed(rows={"dag_run": 8, "task_instance": 30}), "west"))
    assert found.fewer == {"d-001.dag_run": 2, "d-001.xcom": 7}
    assert not found.equal


def test_a_snapshot_of_an_earlier_version_is_readable_and_compared_as_far_as_it_goes(tmp_path: Path) -> None:
    """No contents in it: nothing is said of them; its digest is what it was."""
    old = snapshot(None).model_dump(mode="json", exclude={"read_until": True, "deployments": {0: {"contents"}}})
    read = IdentitySnapshot.model_validate(old)
    assert read.deployments[0].contents is None
    assert compare(read, snapshot(FULL, "west")).equal
    assert read.sha256 == "09eb49d955007f6837a9fbd2dd4541e8b390ba20c8c0293b14cede21d08d54ec"
    samples = SqliteSamples(tmp_path / "samples.db")
    samples.keep_identities("mine", "deployments", read)
    assert samples.identities("mine", "deployments") == read
    samples.close()


def test_only_counts_leave_the_digest_as_it_is(tmp_path: Path) -> None:
    """So that a platform at work does not fill the samples with snapshots; the newest counts are kept all the same."""
    grown = snapshot(changed(rows={"dag_run": 99}), seconds=5)
    assert snapshot().sha256 == grown.sha256
    assert snapshot().sha256 != snapshot(changed(pools={})).sha256
    samples = SqliteSamples(tmp_path / "samples.db")
    samples.keep_identities("mine", "deployments", snapshot())
    samples.keep_identities("mine", "deployments", grown)
    kept = samples.identities("mine", "deployments")
    assert kept is not None and kept.deployments[0].contents is not None
    assert kept.deployments[0].contents.rows == {"dag_run": 99}
    samples.close()


def fingerprint(
    after: Contents, *, intent: Intent, point: RecoveryPoint | None = None, accepted: bool = False, drained: int = 0
) -> tuple[Identities, Look, str]:
    """The step on a fleet that has ``after`` now, and what it says of it; the snapshot was read until a second after noon."""
    before = snapshot(read_until=NOON + timedelta(seconds=1))
    samples = SimpleNamespace(identities=lambda *_args, **_more: before, keep_identities=lambda *_args: None)
    fleet = SimpleNamespace(
        name="deployments", site=SimpleNamespace(samples=samples, runbook="mine"), config=SimpleNamespace(database="metadata-db"),
        identities=lambda _region: snapshot(after, "west", 60),
    )  # fmt: skip
    step = Fingerprint(cast("Any", fleet), "west")
    spec = StepSpec(
        id="deployments/fingerprint", component="deployments", kind="airflow-deployments", verb=Verb.FINGERPRINT, region="west", title="t",
        estimate=timedelta(seconds=1), budget=timedelta(seconds=9),
    )  # fmt: skip
    yes = Acceptance(guard=Guard.IDENTITIES, actor="lead", reason="known", at=NOON)

    def context(evidence: tuple[Evidence, ...]) -> AttemptContext:
        return AttemptContext(
            run_id="run-1", step=spec, intent=intent, source="east", target="west", number=1, key="run-1/x", epoch=1, actor="on-call",
            clock=SystemClock(), deadline=0.0, evidence=evidence, acceptances=(yes,) if accepted else (),
        )  # fmt: skip

    given: tuple[Evidence, ...] = (point,) if point else ()
    [fact] = step.act(context(given))
    assert isinstance(fact, Identities)
    seen = step.verify(context((*given, fact, TaskCount(component="deployments", in_flight=drained, fates={}))))
    return fact, seen.look, seen.reason


def at(seconds: float, *, complete: bool = False) -> RecoveryPoint:
    moment = NOON + timedelta(seconds=seconds)
    return RecoveryPoint(component="metadata-db", region="west", read_at=moment, recovery_point=moment, complete=complete)


LESS = changed(rows={"dag_run": 8, "task_instance": 30, "xcom": 7})


def test_a_planned_move_may_change_and_lose_nothing() -> None:
    """Refused until a named person accepts it: contents and history alike."""
    for after, named in ((changed(variables={"token": "k1"}), "d-001.variable.tier"), (LESS, "2 fewer rows in d-001.dag_run")):
        fact, look, reason = fingerprint(after, intent=Intent.SWITCHOVER, point=at(2, complete=True))
        assert look is Look.BLOCKED
        assert named in reason and "--accept identities" in reason
        assert not fact.fewer_explained
        assert fingerprint(after, intent=Intent.SWITCHOVER, point=at(2, complete=True), accepted=True)[1] is Look.DONE
    assert fingerprint(FULL, intent=Intent.SWITCHOVER)[1:] == (Look.DONE, "1 Deployments compared, 0 differences")


def test_a_task_that_was_drained_may_have_set_a_variable() -> None:
    """Then another value is said and not refused; a pool is nothing that tasks change."""
    after = changed(variables={"token": "k9", "tier": "k2"})
    fact, look, _ = fingerprint(after, intent=Intent.SWITCHOVER, drained=3)
    assert (fact.contents, look) == (("d-001.variable.token",), Look.DONE)
    assert fingerprint(after, intent=Intent.SWITCHOVER)[1] is Look.BLOCKED
    assert fingerprint(changed(pools={}), intent=Intent.SWITCHOVER, drained=3)[1] is Look.BLOCKED


@pytest.mark.parametrize(
    ("point", "explained"), [(at(0.9), True), (at(1), False), (at(30), False), (at(0.9, complete=True), False), (None, False)]
)
def test_what_a_failover_lost_of_the_history_is_a_number(point: RecoveryPoint | None, explained: bool) -> None:
    """Explained where the snapshot may have seen what is newer than the recovery point; service is back, so nothing is held up for it."""
    fact, look, _ = fingerprint(LESS, intent=Intent.FAILOVER, point=point)
    assert (fact.fewer, fact.fewer_explained, look) == ({"d-001.dag_run": 2}, explained, Look.DONE)
    assert fact.rows == {"dag_run": 10, "task_instance": 30, "xcom": 7}


def test_contents_that_differ_after_a_failover_are_said_and_hold_nothing_up() -> None:
    """A task may have set the variable after the snapshot was taken: named, counted, not refused."""
    fact, look, reason = fingerprint(changed(variables={"token": "k9", "tier": "k2"}), intent=Intent.FAILOVER, point=at(30))
    assert (fact.contents, look, reason) == (("d-001.variable.token",), Look.DONE, "1 Deployments compared, 1 differences")
