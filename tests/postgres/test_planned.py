"""Switchover and failback of real servers: nothing is lost, and the old primary follows."""

from __future__ import annotations

import threading

import psycopg
import pytest

from dr.errors import Permanent, Transient
from dr.model.evidence import Fenced, Following, Promoted, RecoveryPoint
from dr.model.words import Intent, Verb
from dr.ports import Look
from dr.providers.selfhosted.postgres import Postgres
from tests.postgres.rig import Pair, poll
from tests.postgres.test_failover import step

pytestmark = pytest.mark.lab


class Writer:
    """Writes one row after the other until the server is gone; remembers what was acknowledged."""

    def __init__(self, pair: Pair, region: str) -> None:
        self.acknowledged: list[int] = []
        self._pair, self._region = pair, region
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        try:
            with self._pair.admin(self._region) as connection:
                for number in range(1000, 1_000_000):
                    connection.execute("INSERT INTO item VALUES (%s, 'w')", (number,))
                    self.acknowledged.append(number)
        except psycopg.Error:
            return

    def end(self) -> None:
        self._thread.join(30)


def test_there_and_back_without_loss(pair: Pair, kind: Postgres) -> None:
    """Switchover and failback: each timeline is new, the old primary streams from the new one, every row is there."""
    rows = []
    for number, (source, target) in enumerate([("east", "west"), ("west", "east")], start=1):
        pair.write(source, number)
        rows.append(number)
        pair.perform_all(kind, Intent.SWITCHOVER if target == "west" else Intent.FAILBACK, source, target)
        assert pair.ids(target) == rows
        fence = next(item for item in pair.evidence if isinstance(item, Fenced))
        assert fence.final_position
        assert next(item for item in pair.evidence if isinstance(item, RecoveryPoint)).complete
        assert next(item for item in pair.evidence if isinstance(item, Promoted)).epoch == number + 1
        assert next(item for item in pair.evidence if isinstance(item, Following)).how == "restarted"
        view = kind.view()
        assert (view.primary, view.regions[source].role.value) == (target, "secondary")
    assert pair.one("west", "SELECT count(*) FROM pg_replication_slots") == 0, "a secondary keeps no slot that would hold the log"


def test_writers_that_nobody_froze_lose_nothing_either(pair: Pair, kind: Postgres) -> None:
    """The orderly stop sends everything: each write acknowledged by the old primary is in the new one."""
    writer = Writer(pair, "east")
    poll(lambda: bool(writer.acknowledged), "the first write")
    for verb in (Verb.PREPARE, Verb.DRAIN, Verb.FENCE, Verb.PROMOTE):
        seen = pair.perform(step(kind, verb, Intent.SWITCHOVER), Intent.SWITCHOVER, "east", "west")
        assert seen.look is Look.DONE, seen.reason
    writer.end()
    assert writer.acknowledged
    assert set(writer.acknowledged) <= set(pair.ids("west"))


def test_promote_is_blocked_while_something_is_missing(pair: Pair, kind: Postgres) -> None:
    """The fence says that the source wrote further than the target has replayed: blocked, with both positions."""
    promote = step(kind, Verb.PROMOTE, Intent.SWITCHOVER)
    fenced = Fenced.model_validate(
        {"component": "metadata-db", "region": "east", "state": "fenced", "proof": "test", "final_position": "7/0"}
    )
    pair.evidence = [fenced]
    context = pair.context(promote, Intent.SWITCHOVER, "east", "west")
    seen = promote.operation.observe(context.__class__(**{**vars(context), "deadline": pair.clock.monotonic() + 0.05}))
    assert seen.look is Look.BLOCKED
    assert "7/0" in seen.reason
    assert kind.view().primary == "east"


def test_promote_is_blocked_without_a_final_position(pair: Pair, kind: Postgres) -> None:
    """No evidence of an orderly stop: nobody can say that nothing is lost, and the failover is named as the way out."""
    promote = step(kind, Verb.PROMOTE, Intent.SWITCHOVER)
    seen = promote.operation.observe(pair.context(promote, Intent.SWITCHOVER, "east", "west"))
    assert seen.look is Look.BLOCKED
    assert "dr failover --to west" in seen.reason


def test_the_fence_is_undone_before_the_promotion_and_never_after(pair: Pair, kind: Postgres) -> None:
    """Undo starts the old primary again; after the promotion it would make two primaries and is refused by name."""
    fence = step(kind, Verb.FENCE, Intent.SWITCHOVER)
    assert fence.spec.undoable
    pair.perform(fence, Intent.SWITCHOVER, "east", "west")
    assert not pair.listening("east")
    context = pair.context(fence, Intent.SWITCHOVER, "east", "west")
    fence.operation.undo(context)
    fence.operation.undo(context)
    assert kind.view().primary == "east"
    pair.write("east", 1)
    pair.perform(fence, Intent.SWITCHOVER, "east", "west")
    pair.perform(step(kind, Verb.PROMOTE, Intent.SWITCHOVER), Intent.SWITCHOVER, "east", "west")
    with pytest.raises(Permanent, match="newest-copy"):
        fence.operation.undo(context)
    assert not pair.listening("east")


def test_a_crash_of_the_source_is_no_orderly_stop(pair: Pair, kind: Postgres) -> None:
    """It died during the switchover: its last position is unknown, so the planned fence is blocked and names the failover."""
    pair.stop("east", "immediate")
    fence = step(kind, Verb.FENCE, Intent.SWITCHOVER)
    seen = fence.operation.observe(pair.context(fence, Intent.SWITCHOVER, "east", "west"))
    assert seen.look is Look.BLOCKED
    assert "failover" in seen.reason


def test_a_source_that_dies_amid_the_fence_is_not_waited_for(pair: Pair, kind: Postgres) -> None:
    """Stopped or dead, nobody can tell when its host is gone: said at once with the way out, not after the step's budget of minutes."""
    fence = step(kind, Verb.FENCE, Intent.SWITCHOVER)
    context = pair.context(fence, Intent.SWITCHOVER, "east", "west")
    pair.kill("east")
    with pytest.raises(Transient) as caught:
        fence.operation.verify(context)
    assert "dr failover --to west" in caught.value.hint


def test_prepare_wants_a_fence_that_will_work(pair: Pair, kind: Postgres) -> None:
    """Before anything is frozen: a host that does not answer stops a planned move."""
    pair.folder("east").joinpath("reachable").unlink()
    prepare = step(kind, Verb.PREPARE, Intent.SWITCHOVER)
    with pytest.raises(Permanent, match="fence"):
        prepare.operation.act(pair.context(prepare, Intent.SWITCHOVER, "east", "west"))
