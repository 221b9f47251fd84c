"""A run whose process is gone, or cannot be looked up, or is silent: nobody is kept waiting for it, and nothing forgotten is obeyed."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from dr.cli.main import run
from dr.errors import ExitCode
from dr.model.events import Accepted, Approved, CancelRequested, Event
from dr.model.plan import Acceptance
from dr.model.report import RunReport
from dr.model.words import Guard, Role, RunStatus
from dr.store.inbox import SqliteInbox
from dr.store.processes import this_process
from tests.cli import toy
from tests.cli.conftest import T0
from tests.cli.test_answering_runs import Output, Typed, failover, free, printed, runbook, typed, waiting
from tests.cli.test_whole_commands import answered, in_flight, until

__all__ = ["free", "runbook", "typed"]

REBOOTED, ELSEWHERE = {"boot": "an-earlier-boot"}, {"host": "another"}


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory of the commands."""
    return tmp_path / "state"


def moved(state: Path, elsewhere: Mapping[str, str], lasts_ms: int = 400) -> None:
    """What the holder wrote about itself becomes that of another host, or of another boot; its lease is a short one."""
    host, boot, namespace = this_process().place.split(" ")
    place = " ".join(({"host": host, "boot": boot, "namespace": namespace} | dict(elsewhere)).values())
    connection = sqlite3.connect(state / "lease.db", timeout=20)
    connection.execute("UPDATE lease SET place = ?, lasts_ms = ?", (place, lasts_ms))
    connection.commit()
    connection.close()


def stopped(pid: int, state: Path) -> None:
    """SIGSTOP, at a moment at which the process holds no lock of a file: one that stood still in a transaction would keep everybody out."""
    for _ in range(200):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.02)  # the signal arrives
        try:
            for path in state.glob("*.db"):
                connection = sqlite3.connect(path, timeout=0.2, isolation_level=None)
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("ROLLBACK")
                finally:
                    connection.close()
        except sqlite3.OperationalError:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.05)
        else:
            return
    raise AssertionError("it always holds a lock")


def asked(state: Path, run_id: str, *events: Event) -> None:
    """Requests that lie in the inbox."""
    inbox = SqliteInbox(state)
    for event in events:
        inbox.put(run_id, event)
    inbox.close()


def left(state: Path) -> int:
    """How many requests lie in the inbox."""
    connection = sqlite3.connect(state / "inbox.db", timeout=20)
    (count,) = connection.execute("SELECT COUNT(*) FROM request").fetchone()
    connection.close()
    return int(count)


@pytest.mark.parametrize("place", [REBOOTED, ELSEWHERE], ids=["reboot", "elsewhere"])
def test_a_run_left_behind_is_held_by_nobody(
    place: dict[str, str], runbook: str, state: Path, typed: Typed, capsys: Output
) -> None:  # fmt: skip
    """After a reboot, or from another container: an answer is noted here, and the same command goes on with the run to its end."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    process.kill()
    process.wait()
    moved(state, place)
    assert run(["pause", run_id]) == ExitCode.REFUSED
    assert f"Try: dr resume {run_id}" in capsys.readouterr().err
    code, report = answered(capsys, "approve", run_id, "approvals/1", "--actor", "bob")
    assert (code, report["schema"]) == (0, "dr.run/1"), "noted here, not handed to nobody"
    _, report = answered(capsys, "failover", runbook, "--to", "west", "--yes", "--reason", "x", "--actor", "ann")
    assert (report["run_id"], report["outcome"]) == (run_id, "completed")


@pytest.mark.parametrize("place", [REBOOTED, ELSEWHERE], ids=["reboot", "elsewhere"])
def test_a_cancel_ends_what_nobody_holds(place: dict[str, str], runbook: str, state: Path, typed: Typed, capsys: Output) -> None:
    """The command takes the run over and ends it itself."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    process.kill()
    process.wait()
    moved(state, place)
    code, report = answered(capsys, "cancel", run_id, "--actor", "lead")
    assert (code, report["outcome"]) == (ExitCode.FAILED, "rolled_back")


def test_status_names_resume_where_the_holder_cannot_be_looked_up(runbook: str, state: Path, typed: Typed, capsys: Output) -> None:
    """After a reboot, and of another host, nobody can tell at once: both ways on are named, and nothing is waited for."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    process.kill()
    process.wait()
    for place in (REBOOTED, ELSEWHERE):
        moved(state, place, lasts_ms=3_600_000)
        flight = in_flight(capsys)
        assert flight.holder_alive is None
        assert flight.commands == (f"dr resume {run_id}", f"dr pause {run_id}", f"dr cancel {run_id}")
    assert run(["status"]) == 0
    assert "cannot be looked up from here" in capsys.readouterr().out


def test_a_holder_elsewhere_that_renews_is_asked(runbook: str, state: Path, typed: Typed, capsys: Output) -> None:
    """It cannot be looked up, and it gives signs of life: the answer is handed over, and another run is refused."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    moved(state, ELSEWHERE, lasts_ms=20_000)
    assert run(["failback", runbook, "--yes", "--actor", "bob"]) == ExitCode.REFUSED
    said = capsys.readouterr().err
    assert f"process {process.pid} since" in said and f"dr pause {run_id}" in said
    code, note = answered(capsys, "approve", run_id, "approvals/1", "--actor", "bob")
    assert (code, note["schema"]) == (0, "dr.request/1")
    assert printed(process)[1]["outcome"] == "completed"


def test_a_switchover_that_nobody_holds_is_turned_here(free: str, state: Path, tmp_path: Path, typed: Typed, capsys: Output) -> None:
    """``dr failover --to SAME``: the holder, which cannot be looked up, is silent for its lease time; then the same run goes on as a
    failover."""
    hold = tmp_path / "db/hold"
    hold.touch()
    first = typed("switchover", free, "--to", "west", "--yes", "--actor", "ann", "--json")
    until(lambda: (tmp_path / "db/east").read_text() == Role.STOPPED)
    run_id = in_flight(capsys).run_id
    first.kill()
    first.wait()
    moved(state, ELSEWHERE)
    hold.unlink()
    accept = ("--accept-data-loss", "15m", "--accept-split", "--reason", "x")
    _, report = answered(capsys, "failover", free, "--to", "west", "--yes", "--actor", "bob", *accept)
    assert (report["run_id"], report["intent"], report["outcome"]) == (run_id, "failover", "completed")


@pytest.mark.parametrize("interrupted", [False, True], ids=["silent", "ctrl-c"])
def test_who_gives_up_waiting_withdraws_what_was_asked(
    interrupted: bool, free: str, state: Path, tmp_path: Path, typed: Typed, capsys: Output
) -> None:  # fmt: skip
    """The process that holds the switchover is stopped. The failover ends, by itself after a lease time or with Ctrl-C, and leaves no
    request behind that would turn the run later."""
    (tmp_path / "db/hold").touch()
    first = typed("switchover", free, "--to", "west", "--yes", "--actor", "ann", "--json")
    until(lambda: (tmp_path / "db/east").read_text() == Role.STOPPED)
    run_id = in_flight(capsys).run_id
    stopped(first.pid, state)
    moved(state, {}, lasts_ms=3_600_000 if interrupted else 400)
    second = failover(typed, free, "--accept-data-loss", "15m", "--accept-split")
    if interrupted:
        until(lambda: (state / "inbox.db").exists() and left(state) == 3)
        second.send_signal(signal.SIGINT)
    out, err = second.communicate(timeout=30)
    assert second.returncode == (ExitCode.INTERRUPTED if interrupted else ExitCode.PAUSED), (out, err)
    assert interrupted or ("nobody answers" in err and f"dr resume {run_id}" in err and f"process {first.pid}" in err)
    assert left(state) == 0
    assert in_flight(capsys).intent == "switchover"


def test_what_was_asked_of_a_process_that_is_gone_is_not_obeyed_later(runbook: str, state: Path, typed: Typed, capsys: Output) -> None:
    """A cancel, and what would turn the run, were asked for before the take-over: dropped and named, in the report and for good; an
    approval counts. What is asked after the take-over is obeyed as ever."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    process.kill()
    process.wait()
    accept = Acceptance(guard=Guard.EXPOSURE, actor="eve", reason="x", at=T0, unbounded=True)
    forgotten = CancelRequested(actor="lead", reason="false alarm")
    asked(state, run_id, forgotten, Accepted(acceptance=accept), Approved(step="approvals/1", actor="bob"))
    _, body = answered(capsys, "resume", run_id, "--actor", "carol")
    report = RunReport.model_validate(body)
    assert report.outcome == "completed"
    (said,) = [text for text in report.deviations if "not obeyed" in text]
    assert "resumed by carol" in said and "cancel by lead: false alarm" in said and "guard exposure accepted by eve" in said
    assert report.acceptances == () and "bob" in report.actors and left(state) == 0


def test_a_forgotten_cancel_is_said_as_the_run_goes_on(runbook: str, state: Path, typed: Typed, capsys: Output) -> None:
    """On stderr, at once, for who looks on; and a cancel that is asked of the new holder ends the run."""
    process = failover(typed, runbook)
    run_id = waiting(capsys)
    process.kill()
    process.wait()
    asked(state, run_id, CancelRequested(actor="lead"))
    second = typed("resume", run_id, "--actor", "carol")
    until(lambda: in_flight(capsys).status is RunStatus.RUNNING and bool(in_flight(capsys).holder_alive))
    waiting(capsys)
    assert run(["cancel", run_id, "--actor", "dave"]) == 0
    out, err = second.communicate(timeout=30)
    assert "asked for before and not obeyed, ask again if it is still wanted: cancel by lead" in err
    assert "cancelled by dave" in out
