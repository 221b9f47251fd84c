"""The truth on ledgers written by hand: what was lost, for how long a name was away, and what cannot be said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dr.errors import StateUnreadable
from dr.lab.platform.config import ClientConfig, Endpoint, Served
from dr.lab.platform.ledger import settled
from dr.lab.platform.reckon import reckon
from dr.lab.platform.record import Attempt, Poll, attempts, polls
from dr.model.truth import Truth

BEGIN = datetime(2026, 3, 29, 1, 59, 50, tzinfo=UTC)
ONE = Served(id="d-001", database="airflow_001", hostnames=("a.ui.dr.test", "a.api.dr.test"))
TWO = Served(id="d-002", database="airflow_002", hostnames=("b.ui.dr.test",))
ALL: frozenset[str] = frozenset()


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def ok(identity: str, seconds: float, name: str = "a.ui.dr.test", region: str = "east") -> Attempt:
    """Acknowledged 10 ms after it was sent."""
    return Attempt(identity, name, at(seconds), at(seconds + 0.01), region)


def failed(identity: str, seconds: float, name: str = "a.ui.dr.test", error: str = "connection lost") -> Attempt:
    return Attempt(identity, name, at(seconds), None, None, error)


def truth(
    written: list[Attempt], lost: set[str] | frozenset[str] = ALL, *, silent: tuple[str, ...] = (), polled: tuple[Poll, ...] = ()
) -> Truth:
    """The truth where everything acknowledged is there except ``lost``, and the Deployments in ``silent`` do not answer."""
    present = {
        served.id: None if served.id in silent else frozenset(item.id for item in written if item.acknowledged_at) - lost
        for served in (ONE, TWO)
    }
    return reckon(written, polled, (ONE, TWO), present, ledger_path="ledger.jsonl", ledger_sha256="0" * 64)


def test_nothing_failed() -> None:
    """Where no attempt failed there was no outage, whatever the client's rhythm; every name says when it last worked."""
    found = truth([ok("1", 0), ok("2", 5), ok("3", 2, "a.api.dr.test"), ok("4", 3, "b.ui.dr.test")])
    assert (found.outage, found.outage_at_least) == (timedelta(0), timedelta(0))
    assert (found.acknowledged_writes, found.lost_writes, found.unconfirmed_writes, found.loss_window) == (4, 0, 0, timedelta(0))
    [name] = [item for item in found.hostnames if item.hostname == "a.ui.dr.test"]
    assert (name.last_ok, name.first_fail, name.first_ok_after, name.outage_seconds) == (at(5.01), None, None, None)


def test_outage_without_loss() -> None:
    """The outage runs from the last to the first acknowledged write, and was at least as long as from the first failure on."""
    found = truth([ok("1", 0), failed("2", 0.1), failed("3", 0.4), ok("4", 0.7, region="west")])
    assert (found.outage, found.outage_at_least) == (timedelta(seconds=0.7), timedelta(seconds=0.61))
    assert (found.acknowledged_writes, found.lost_writes) == (2, 0)
    assert found.served_by == {"a.ui.dr.test": "west"}


def test_longest_outage_counts() -> None:
    """Of several outages of several names the longest is the platform's, and each name shows its own longest."""
    found = truth([
        ok("1", 0), failed("2", 1), ok("3", 2), ok("4", 10), failed("5", 11), ok("6", 14),
        ok("7", 0, "b.ui.dr.test"), failed("8", 1, "b.ui.dr.test"), ok("9", 6, "b.ui.dr.test"),
    ])  # fmt: skip
    assert found.outage == timedelta(seconds=6)
    assert {item.hostname: item.outage_seconds for item in found.hostnames} == {
        "a.ui.dr.test": 4.0, "a.api.dr.test": None, "b.ui.dr.test": 6.0,
    }  # fmt: skip


def test_order_of_lines_does_not_matter() -> None:
    """A write that timed out is written to the ledger after later ones that were answered; its place in time is when it was sent."""
    lines = [ok("1", 0), failed("2", 0.1), failed("3", 0.4), ok("4", 0.7)]
    assert truth([lines[0], lines[3], lines[2], lines[1]]).outage == truth(lines).outage == timedelta(seconds=0.7)


def test_never_came_back() -> None:
    """A name whose newest attempts failed has not come back: the outage has no end and is not known, even where another one ended."""
    found = truth([ok("1", 0), failed("2", 1), ok("3", 2), failed("4", 3), ok("5", 0, "b.ui.dr.test")], polled=(Poll(at(9), None),))
    assert (found.outage, found.outage_at_least, found.agent_polls_after) == (None, None, 0)
    [name] = [item for item in found.hostnames if item.hostname == "a.ui.dr.test"]
    assert (name.last_ok, name.first_fail, name.first_ok_after) == (at(2.01), at(3), None)


def test_never_up() -> None:
    """A name that nothing was ever acknowledged through is away from its first failure on."""
    found = truth([failed("1", 0), failed("2", 1)])
    assert found.outage is None
    assert found.hostnames[0].last_ok is None and found.hostnames[0].first_fail == at(0)


def test_start_is_no_outage() -> None:
    """What failed before a name's first acknowledged write is the platform coming up."""
    assert truth([failed("1", 0), ok("2", 5), ok("3", 6)]).outage == timedelta(0)


def test_planned_gap() -> None:
    """In a planned move writes are refused while frozen: that is an outage like any other, and nothing is lost."""
    frozen = [failed(f"f{number}", 1 + number / 10, error="503 frozen") for number in range(3)]
    found = truth([ok("1", 0.9), *frozen, ok("2", 1.4, region="west")])
    assert (found.outage, found.lost_writes, found.loss_window) == (timedelta(seconds=0.5), 0, timedelta(0))


def test_lost_writes() -> None:
    """Lost is what was acknowledged and is not there; the window runs from the last that is there to the last that is not."""
    written = [ok(str(number), number) for number in range(6)]
    found = truth([*written, failed("x", 6), ok("new", 8, region="west")], {"3", "4", "5"})
    assert (found.acknowledged_writes, found.lost_writes, found.loss_window) == (7, 3, timedelta(seconds=3))


def test_what_was_preserved_is_counted_write_for_write() -> None:
    """Of what was lost, what stands in a preserved copy; what is not lost, and what the ledger does not know, does not count."""
    written = [ok(str(number), number) for number in range(6)]
    present = {"d-001": frozenset("012"), "d-002": frozenset[str]()}

    def found(preserved: dict[str, frozenset[str]] | None) -> tuple[int, int | None]:
        seen = reckon(written, (), (ONE, TWO), present, preserved=preserved, ledger_path="ledger.jsonl", ledger_sha256="0" * 64)
        return seen.lost_writes, seen.preserved_writes

    assert found(None) == (3, None)
    assert found({"d-001": frozenset({"1", "3", "4", "not acknowledged"})}) == (3, 2)
    assert found({"d-001": frozenset("012345")}) == (3, 3)
    assert found({"d-002": frozenset("345")}) == (3, 0)  # another database's writes


def test_window_of_a_database_is_over_all_its_names() -> None:
    """Names of one Deployment share a database: a write through one of them that is there shortens the window of the other."""
    written = [ok("1", 0), ok("2", 2, "a.api.dr.test"), ok("3", 3)]
    assert truth(written, {"3"}).loss_window == timedelta(seconds=1)


def test_worst_database_counts() -> None:
    """The windows of two databases are not added: the worse one is the platform's."""
    written = [ok("1", 0), ok("2", 3), ok("3", 0, "b.ui.dr.test"), ok("4", 5, "b.ui.dr.test")]
    found = truth(written, {"2", "4"})
    assert (found.lost_writes, found.loss_window) == (2, timedelta(seconds=5))


def test_two_disasters() -> None:
    """What survived between two losses parts their windows."""
    written = [ok(str(number), number) for number in range(10)]
    assert truth(written, {"2", "3", "9"}).loss_window == timedelta(seconds=2)


def test_split_brain() -> None:
    """Writes that both regions acknowledged at the same time: those of the losing one are a window of their own."""
    east = [ok(f"e{number}", number) for number in range(5)]
    west = [ok(f"w{number}", number + 0.5, "a.api.dr.test", "west") for number in range(1, 5)]
    found = truth([*east, *west], {"e2", "e3", "e4"})
    assert (found.lost_writes, found.loss_window) == (3, timedelta(seconds=3))


def test_everything_lost() -> None:
    """Where nothing that is there came before, the window begins when the first lost write was sent."""
    assert truth([ok("1", 0), ok("2", 4)], {"1", "2"}).loss_window == timedelta(seconds=4.01)


def test_silent_deployment() -> None:
    """Writes of a Deployment that does not answer are neither there nor lost."""
    found = truth([ok("1", 0), ok("2", 0, "b.ui.dr.test"), ok("3", 1, "b.ui.dr.test")], {"1"}, silent=("d-002",))
    assert (found.lost_writes, found.unconfirmed_writes) == (1, 2)


def test_agent() -> None:
    """Polls after the last name was back are counted, and the longest time between two polls is told."""
    written = [ok("1", 0), failed("2", 1), ok("3", 2)]
    found = truth(written, polled=(Poll(at(0), None), Poll(at(0.5), None), Poll(at(2.6), "west"), Poll(at(3), None)))
    assert (found.agent_polls_after, found.agent_gap) == (2, timedelta(seconds=2.1))
    assert truth([ok("1", 0)], polled=(Poll(at(0), None),)).agent_polls_after == 1


def line(attempt: Attempt) -> bytes:
    moments = {"sent_at": attempt.sent_at.isoformat(), "acknowledged_at": attempt.acknowledged_at and attempt.acknowledged_at.isoformat()}
    fields = {"id": attempt.id, "hostname": attempt.hostname, "region": attempt.region, "error": attempt.error} | moments
    return json.dumps(fields).encode() + b"\n"


def test_torn_line_is_left_out() -> None:
    """A client that was killed may leave half a line: it is not read; a whole line that is none of ours is refused."""
    assert [item.id for item in attempts(line(ok("1", 0)) + line(ok("2", 1))[:-20])] == ["1"]
    assert [item.id for item in attempts(line(ok("1", 0)) + line(ok("2", 1)), newest_first=True)] == ["2", "1"]
    with pytest.raises(StateUnreadable, match="line 2"):
        list(attempts(line(ok("1", 0)) + b"{}\n"))
    with pytest.raises(StateUnreadable, match="line 1"):
        list(polls(b"not json\n"))


def test_settled(tmp_path: Path) -> None:
    """Settled: after a moment, every name's newest write was acknowledged, and the agent has polled."""
    endpoint = Endpoint(address="127.0.0.1", port=1)
    ledger, agent = tmp_path / "ledger.jsonl", tmp_path / "agent.jsonl"
    config = ClientConfig(ledger=ledger, authority=tmp_path / "ca.pem", dns=(endpoint,), port=1, deployments=(ONE, TWO))
    assert not settled(config, agent, at(0))
    ledger.write_bytes(b"".join(line(item) for item in (ok("1", 1), ok("2", 2, "a.api.dr.test"), ok("3", 3, "b.ui.dr.test"))))
    assert settled(config, None, at(0.5)) and not settled(config, None, at(1.5))
    assert not settled(config, agent, at(0.5))
    agent.write_text(json.dumps({"at": at(3).isoformat(), "region": None}) + "\n")
    assert settled(config, agent, at(0.5))
    with ledger.open("ab") as handle:
        handle.write(line(failed("4", 4)))
    assert not settled(config, agent, at(0.5))
    with ledger.open("ab") as handle:
        handle.write(line(ok("5", 5)) + line(failed("6", 0.1, "b.ui.dr.test")))
    assert settled(config, agent, at(0.5))
