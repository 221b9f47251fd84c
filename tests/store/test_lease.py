"""The lease: one holder per epoch, and a dead one does not keep the next one waiting."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dr.errors import LeaseLost, RunInFlight, StateUnreadable
from dr.model.lease import Life
from dr.store.lease import Mark, SqliteLease
from dr.store.processes import ProcessIdentity, this_process
from tests.store.build import HandClock

PROJECT = Path(__file__).parents[2]
LASTS = timedelta(seconds=10)

HOLD = """
import sys
from pathlib import Path
from dr.errors import RunInFlight
from dr.store.lease import SqliteLease
from tests.store.build import HandClock
print("ready", flush=True)
for line in sys.stdin:
    lease = SqliteLease(Path(sys.argv[1]), HandClock())
    try:
        print("won", lease.acquire("airflow", "run", sys.argv[2]), flush=True)
    except RunInFlight as error:
        print("lost to", error.holder, flush=True)
    sys.stdin.readline()
    lease.release()
    print("released", flush=True)
"""


class Holder:
    """Another process that takes the lease when it is told to."""

    def __init__(self, directory: Path, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(directory), name], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.hear() == "ready"

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    def reap(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    made = Holder(tmp_path, "bob@host pid 7")
    yield made
    made.reap()


def elsewhere(directory: Path) -> None:
    """Makes the holder one of another machine."""
    connection = sqlite3.connect(directory / "lease.db")
    connection.execute("UPDATE lease SET place = 'other-host boot pid:[1]'")
    connection.commit()
    connection.close()


def test_epochs_only_grow(tmp_path: Path) -> None:
    """Also across releases, objects and runbooks; each runbook has its own."""
    clock = HandClock()
    epochs = []
    for number in range(4):
        lease = SqliteLease(tmp_path, clock)
        epochs.append(lease.acquire("airflow", f"run-{number}", "ann"))
        lease.release()
        lease.release()
    assert epochs == [1, 2, 3, 4]
    other = SqliteLease(tmp_path, clock)
    assert other.acquire("other", "run", "ann") == 1
    other.release()
    assert stat.S_IMODE((tmp_path / "lease.db").stat().st_mode) == 0o600


def test_a_live_holder_on_this_host_is_not_waited_for(tmp_path: Path) -> None:
    """Refused at once, naming run, holder and since when, and the commands that lead on."""
    clock = HandClock()
    first = SqliteLease(tmp_path, clock)
    first.acquire("airflow", "run-1", "ann@host pid 1")
    with pytest.raises(RunInFlight, match="run run-1 of airflow is in flight, held by ann@host pid 1 since 2025-11-21T03:00:00") as caught:
        SqliteLease(tmp_path, clock).acquire("airflow", "run-2", "bob")
    assert clock.seconds == 1000
    assert "dr pause run-1" in caught.value.hint
    first.release()


def test_validity_runs_out_without_renewals(tmp_path: Path) -> None:
    """valid is counted from before the renewal and ends a fifth before somebody could take over; renew brings it back."""
    clock = HandClock()
    lease = SqliteLease(tmp_path, clock, lasts=LASTS)
    assert not lease.valid()
    lease.acquire("airflow", "run", "ann")
    clock.seconds += 7.9
    assert lease.valid()
    clock.seconds += 0.2
    assert not lease.valid()
    lease.renew()
    assert lease.valid()
    lease.release()
    assert not lease.valid()
    with pytest.raises(LeaseLost):
        lease.renew()


def test_a_dead_holder_is_taken_over_at_once(tmp_path: Path, holder: Holder) -> None:
    """A holder that was killed is known by its pid and start time, even while nobody has reaped it; the next epoch is ours."""
    holder.tell()
    assert holder.hear() == "won 1"
    clock = HandClock()
    mine = SqliteLease(tmp_path, clock)
    with pytest.raises(RunInFlight, match="bob@host pid 7"):
        mine.acquire("airflow", "run-2", "ann")
    seen = mine.look("airflow")
    assert seen is not None
    assert (seen.alive, seen.life, seen.epoch) == (True, Life.ALIVE, 1)
    holder.kill()
    os.waitid(os.P_PID, holder.process.pid, os.WEXITED | os.WNOWAIT)
    dead = mine.look("airflow")
    assert dead is not None
    assert (dead.alive, dead.life, dead.run_id) == (False, Life.GONE, "run")
    assert mine.acquire("airflow", "run-2", "ann") == 2
    assert clock.seconds == 1000
    mine.release()


def test_a_pid_that_was_given_to_somebody_else_is_not_the_holder(tmp_path: Path) -> None:
    """The start time tells a new process of the same number from the old one."""
    clock = HandClock()
    SqliteLease(tmp_path, clock).acquire("airflow", "run", "ann")
    connection = sqlite3.connect(tmp_path / "lease.db")
    connection.execute("UPDATE lease SET started = started - 1")
    connection.commit()
    connection.close()
    assert SqliteLease(tmp_path, clock).acquire("airflow", "run-2", "bob") == 2


def test_a_silent_holder_elsewhere_is_taken_over_after_its_whole_lease_time(tmp_path: Path) -> None:
    """Where a process cannot be looked up, only silence counts: its own lease time, on our clock, from our first look."""
    silent = SqliteLease(tmp_path, HandClock(), lasts=timedelta(seconds=25))
    silent.acquire("airflow", "run-1", "ann@far pid 1")
    elsewhere(tmp_path)
    clock = HandClock()
    mine = SqliteLease(tmp_path, clock, lasts=LASTS)
    assert mine.acquire("airflow", "run-2", "bob") == 2
    assert 1025 <= clock.seconds < 1026
    with pytest.raises(LeaseLost, match="was taken by another process"):
        silent.renew()
    assert not silent.valid()
    mine.renew()
    silent.release()
    assert mine.look("airflow") is not None
    mine.renew()
    mine.release()


def test_a_holder_elsewhere_that_renews_is_not_taken_over(tmp_path: Path) -> None:
    """A renewal while we wait is a sign of life: RunInFlight."""
    far = SqliteLease(tmp_path, HandClock(), lasts=LASTS)
    far.acquire("airflow", "run-1", "ann@far pid 1")
    elsewhere(tmp_path)

    class Renewing(HandClock):
        """While we sleep, the other side renews once."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if 1004 < self.seconds < 1004.3:
                far.renew()

    clock = Renewing()
    with pytest.raises(RunInFlight, match="ann@far pid 1"):
        SqliteLease(tmp_path, clock, lasts=LASTS).acquire("airflow", "run-2", "bob")
    assert clock.seconds < 1010
    far.renew()
    far.release()


def test_a_stopped_holder_can_be_waited_for(tmp_path: Path) -> None:
    """patient: a process that is there but silent (SIGSTOP) loses its lease after its time; its valid has ended before."""
    ours, theirs = HandClock(), HandClock()
    stopped = SqliteLease(tmp_path, theirs, lasts=LASTS)
    stopped.acquire("airflow", "run-1", "ann")
    assert SqliteLease(tmp_path, ours, lasts=LASTS, patient=True).acquire("airflow", "run-2", "bob") == 2
    theirs.seconds += ours.seconds - 1000
    assert not stopped.valid()


def test_a_late_renewal_that_nobody_used_is_good(tmp_path: Path) -> None:
    """A holder that slept too long keeps the lease where nobody took it: no run pauses for nothing."""
    clock = HandClock()
    lease = SqliteLease(tmp_path, clock, lasts=LASTS)
    lease.acquire("airflow", "run", "ann")
    clock.seconds += 3600
    assert not lease.valid()
    lease.renew()
    assert lease.valid()
    lease.release()


def test_of_racing_processes_exactly_one_wins_each_epoch(tmp_path: Path) -> None:
    """Three processes ask at the same moment, again and again: one wins, the others are told who, and epochs never repeat."""
    holders = [Holder(tmp_path, f"holder-{number}") for number in range(3)]
    try:
        for epoch in range(1, 9):
            for holder in holders:
                holder.tell()
            answers = [holder.hear() for holder in holders]
            winners = [answer for answer in answers if answer.startswith("won")]
            assert winners == [f"won {epoch}"], f"round {epoch}: {answers}"
            name = f"holder-{answers.index(winners[0])}"
            assert [answer for answer in answers if answer.startswith("lost")] == [f"lost to {name}"] * 2
            for holder in holders:
                holder.tell()
            assert [holder.hear() for holder in holders] == ["released"] * 3
    finally:
        for holder in holders:
            holder.reap()


def test_an_unreadable_lease_is_refused(tmp_path: Path) -> None:
    """Nobody acts on a lease that cannot be read."""
    (tmp_path / "lease.db").write_bytes(b"nonsense" * 100)
    with pytest.raises(StateUnreadable) as caught:
        SqliteLease(tmp_path, HandClock()).acquire("airflow", "run", "ann")
    assert caught.value.hint


def test_a_process_is_judged_only_from_its_own_place() -> None:
    """This process is seen to be alive, while one of another place is not judged."""
    me = this_process()
    assert me.life() is Life.ALIVE
    assert ProcessIdentity("elsewhere", me.pid, me.started).life() is Life.UNKNOWN
    host, boot, namespace = me.place.split(" ")
    assert ProcessIdentity(f"{host} {boot} pid:[1]", me.pid, me.started).life() is Life.UNKNOWN
    assert ProcessIdentity(f"{host} another {namespace}", me.pid, me.started).life() is Life.UNKNOWN, "containers share names"
    assert ProcessIdentity(f"{host} - {namespace}", me.pid, me.started).life() is Life.UNKNOWN, "it could not tell its boot"
    assert ProcessIdentity(f"other another {namespace}", me.pid, me.started).life() is Life.UNKNOWN


def rebooted(directory: Path) -> None:
    """Makes the holder one of an earlier boot of this machine."""
    host, _, namespace = this_process().place.split(" ")
    connection = sqlite3.connect(directory / "lease.db")
    connection.execute("UPDATE lease SET place = ?", (f"{host} 0000-an-earlier-boot {namespace}",))
    connection.commit()
    connection.close()


def test_after_a_reboot_the_holder_is_waited_for_once(tmp_path: Path) -> None:
    """Its host has another boot: it gives no sign of life for its lease time, and then it is taken over."""
    SqliteLease(tmp_path, HandClock()).acquire("airflow", "run-1", "ann@here pid 1531")
    rebooted(tmp_path)
    clock = HandClock()
    mine = SqliteLease(tmp_path, clock)
    seen = mine.watch("airflow")
    assert seen is not None and (seen.alive, seen.life) == (False, Life.GONE)
    assert clock.seconds >= 1000 + seen.lasts.total_seconds()
    waited = clock.seconds
    assert mine.acquire("airflow", "run-2", "bob") == 2
    assert clock.seconds == waited
    mine.release()


def test_a_silent_holder_elsewhere_is_watched_once(tmp_path: Path) -> None:
    """Gone after its whole lease time without a renewal; who takes the lease after that does not wait for it again."""
    SqliteLease(tmp_path, HandClock(), lasts=timedelta(seconds=25)).acquire("airflow", "run-1", "ann@far pid 1")
    elsewhere(tmp_path)
    clock = HandClock()
    silent: dict[str, Mark] = {}
    first = SqliteLease(tmp_path, clock, lasts=LASTS, silent=silent).watch("airflow")
    assert first is not None and (first.life, first.alive, first.run_id) == (Life.GONE, False, "run-1")
    assert 1025 <= clock.seconds < 1026
    waited = clock.seconds
    mine = SqliteLease(tmp_path, clock, lasts=LASTS, silent=silent)
    assert mine.watch("airflow") == first
    assert mine.acquire("airflow", "run-2", "bob") == 2
    assert clock.seconds == waited
    mine.release()


def test_what_stood_still_once_is_waited_for_again_when_it_moved(tmp_path: Path) -> None:
    """A holder that was silent and renewed later is alive: the memory of its silence counts for that silence only."""
    far = SqliteLease(tmp_path, HandClock(), lasts=LASTS)
    far.acquire("airflow", "run-1", "ann@far pid 1")
    elsewhere(tmp_path)
    clock = HandClock()
    silent: dict[str, Mark] = {}
    mine = SqliteLease(tmp_path, clock, lasts=LASTS, silent=silent)
    mine.watch("airflow")
    far.renew()
    began = clock.seconds
    assert mine.acquire("airflow", "run-2", "bob") == 2
    assert clock.seconds - began >= 10
    mine.release()


def test_a_holder_elsewhere_that_renews_is_alive(tmp_path: Path) -> None:
    """Its first sign of life ends the watching; a release does, too."""
    far = SqliteLease(tmp_path, HandClock(), lasts=LASTS)
    far.acquire("airflow", "run-1", "ann@far pid 1")
    elsewhere(tmp_path)

    class Moving(HandClock):
        """While we sleep, the other side does something."""

        def __init__(self, act: Callable[[], None]) -> None:
            super().__init__()
            self.act = act

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            self.act()

    clock = Moving(far.renew)
    seen = SqliteLease(tmp_path, clock, lasts=LASTS).watch("airflow")
    assert seen is not None and (seen.life, seen.alive) == (Life.ALIVE, True)
    assert clock.seconds < 1001
    over = SqliteLease(tmp_path, Moving(far.release), lasts=LASTS).watch("airflow")
    assert over is not None and (over.released, over.alive) == (True, False)
    assert SqliteLease(tmp_path, clock).watch("other") is None
