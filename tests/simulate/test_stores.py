"""One contract for what is remembered, held by the SQLite files, by the disk of a simulated world, and by what lies on a shared table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dr.errors import LeaseLost, RunInFlight, StateLost, StateUnreadable
from dr.model.events import GENESIS, Approved, CancelRequested, Event, PauseRequested, SkipRequested
from dr.model.lease import Held, Life
from dr.ports import LeaseStore
from dr.providers.sim.loop import Killed
from dr.providers.sim.process import Process
from dr.simulate.samples import MemorySamples
from dr.simulate.stores import MemoryInbox, MemoryJournal, MemoryLease
from dr.store.lease import Mark
from dr.store.samples import SNAPSHOTS
from tests.simulate.bench import Bench, MemoryBench, SharedBench, SqliteBench
from tests.store.build import START, at, note, started
from tests.store.test_samples import after, beat, sample, snapshot

FAULTS = ("full", "broken", "read_only")
REQUESTS: list[Event] = [
    PauseRequested(actor="ann", reason="coffee"),
    Approved(step="gate/approve", actor="bob", text="go"),
    SkipRequested(step="dns/redirect", actor="ann", reason="done by hand"),
]


@pytest.fixture(params=["sqlite", "memory", "shared"])
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A state directory of either sort, or a shared table."""
    sorts: dict[str, Callable[[], Bench]] = {
        "sqlite": lambda: SqliteBench(tmp_path, monkeypatch), "memory": lambda: MemoryBench(tmp_path),
        "shared": lambda: SharedBench(tmp_path, monkeypatch),
    }  # fmt: skip
    made = sorts[request.param]()
    yield made
    made.close()


@pytest.fixture
def memory(tmp_path: Path) -> MemoryBench:
    """A simulated one."""
    return MemoryBench(tmp_path)


@pytest.fixture
def one(bench: Bench) -> Process:
    """A process."""
    return bench.place.process()


@pytest.fixture
def two(bench: Bench) -> Process:
    """Another one on the same machine."""
    return bench.place.process()


# the journal


def test_what_was_appended_comes_back_in_order(bench: Bench, one: Process, two: Process) -> None:
    """records, runs, listing and head of another process are what append returned; before, there was nothing."""
    writer, reader = bench.journal(one), bench.journal(two)
    assert (reader.records("run-1"), reader.runs(), reader.head("run-1")) == ([], [], GENESIS)
    assert writer.append("run-1", []) == []
    first = [*writer.append("run-1", [(at(0), started()), (at(1), note("1"))]), *writer.append("run-1", [(at(2), note("2"))])]
    second = writer.append("run-2", [(at(3), started("other"))])
    assert [record.seq for record in first] == [1, 2, 3]
    assert reader.records("run-1") == first
    assert [record.event for record in reader.records("run-1")] == [started(), note("1"), note("2")]
    assert reader.records("run-2") == second
    assert (reader.head("run-1"), reader.head("run-2")) == (first[-1].hash, second[-1].hash)
    assert (list(reader.runs()), list(reader.runs("other"))) == (["run-1", "run-2"], ["run-2"])
    assert [(item.run_id, item.runbook, item.started_at) for item in reader.listing("airflow")] == [("run-1", "airflow", first[0].at)]


def test_a_live_view_follows_a_run_while_it_is_written(bench: Bench, one: Process, two: Process) -> None:
    """records(after=n) gives what is new and nothing else; where nobody has written that far, nothing."""
    writer, reader = bench.journal(one), bench.journal(two)
    writer.append("run", [(at(0), started())])
    seen = list(reader.records("run"))
    for number in range(1, 6):
        written = writer.append("run", [(at(number), note(f"{number}")), (at(number), note("and"))])
        assert reader.records("run", after=seen[-1].seq) == written
        seen += written
    assert reader.records("run", after=seen[-1].seq) == []
    assert reader.records("run", after=seen[-1].seq + 5) == []
    assert bench.journal(two).records("run", after=4) == seen[4:]
    seen += writer.append("run", [(at(9), note("later"))])
    assert bench.journal(two).records("run", after=4) == seen[4:], "of which one has not been verified by anybody"


def test_a_run_begins_with_its_start_and_a_batch_is_all_or_nothing(bench: Bench, one: Process) -> None:
    """What cannot be written takes its whole batch with it; the journal goes on."""
    journal = bench.journal(one)
    with pytest.raises(ValueError, match="run run must begin with RunStarted, not Observed"):
        journal.append("run", [(at(0), note("first"))])
    with pytest.raises(ValueError, match="needs a zone"):
        journal.append("run", [(at(0), started()), (datetime(2025, 1, 1), note("bad"))])  # noqa: DTZ001 - the point of the test
    assert journal.runs() == []
    journal.append("run", [(at(0), started())])
    with pytest.raises(ValueError, match="needs a zone"):
        journal.append("run", [(at(1), note("good")), (datetime(2025, 1, 1), note("bad"))])  # noqa: DTZ001 - the point of the test
    journal.append("run", [(at(2), note("next"))])
    assert [record.event for record in journal.records("run")] == [started(), note("next")]


def test_a_second_writer_of_the_same_run_is_told(bench: Bench, one: Process, two: Process) -> None:
    """A process that lost its lease cannot write behind the back of the one that went on; other runs it can."""
    old, new = bench.journal(one), bench.journal(two)
    old.append("run", [(at(0), started())])
    new.append("run", [(at(1), note("I went on"))])
    for _ in range(2):
        with pytest.raises(LeaseLost, match="run run was continued by another process after record 1") as caught:
            old.append("run", [(at(2), note("me too"))])
        assert caught.value.hint == "dr status · dr runs run"
    old.append("other", [(at(0), started())])
    new.append("run", [(at(3), note("still me"))])
    assert [record.event for record in old.records("run")] == [started(), note("I went on"), note("still me")]


def write(bench: Bench, process: Process, run_id: str = "run", notes: int = 8) -> None:
    bench.journal(process).append(run_id, [(at(0), started()), *((at(n), note(f"note {n}")) for n in range(1, notes + 1))])


@pytest.mark.parametrize("seq", [1, 5, 9])
def test_a_changed_body_is_noticed(bench: Bench, one: Process, two: Process, seq: int) -> None:
    """Also by one who has read it before; named with its place. Other runs stay readable."""
    write(bench, one)
    write(bench, one, "other")
    reader = bench.journal(two)
    assert len(reader.records("run")) == 9
    bench.flip("run", seq, 31)
    told = f"{bench.named('journal')} cannot be trusted: run run, record {seq} was changed"
    for journal in (reader, bench.journal(one)):
        with pytest.raises(StateUnreadable, match=told) as caught:
            journal.records("run")
        assert "restore it from a backup" in caught.value.hint
        assert len(journal.records("other")) == 9
    bench.flip("run", seq, 31)
    assert len(reader.records("run")) == 9, "it is as it was again"


def test_what_is_followed_is_verified_from_where_it_was(bench: Bench, one: Process, two: Process) -> None:
    """Who follows does not read what lies behind again; what comes after is verified."""
    write(bench, one)
    reader = bench.journal(two)
    bench.flip("run", 3, 0)
    assert [record.seq for record in reader.records("run", after=6)] == [7, 8, 9]
    bench.flip("run", 8, 0)
    with pytest.raises(StateUnreadable, match="record 8 was changed"):
        reader.records("run", after=6)


@pytest.mark.parametrize("lost", [1, 3, 9])
def test_a_missing_tail_is_noticed(bench: Bench, one: Process, two: Process, lost: int) -> None:
    """By reading, by following, and before anything is written behind it."""
    write(bench, one)
    reader = bench.journal(two)
    reader.records("run")
    bench.cut("run", lost)
    with pytest.raises(StateUnreadable, match=rf"run run, record {10 - lost} is missing \(the run has 9\)"):
        bench.journal(one).records("run")
    with pytest.raises(StateUnreadable, match="run run, record 9 is missing, or was changed after it was read"):
        reader.records("run", after=9)
    with pytest.raises(StateUnreadable, match="run run, record 9 is not the end of its chain"):
        bench.journal(one).append("run", [(at(9), note("more"))])


def test_a_gap_that_was_written_over_is_noticed(bench: Bench, one: Process, two: Process) -> None:
    """Its writer goes on without looking back; every reader sees the gap."""
    writer = bench.journal(one)
    writer.append("run", [(at(0), started()), (at(1), note("1")), (at(2), note("2"))])
    bench.cut("run", 2)
    writer.append("run", [(at(3), note("3"))])
    with pytest.raises(StateUnreadable, match=r"record 2 is missing \(the next one there is 4\)"):
        bench.journal(two).records("run")


def test_no_such_run_is_only_said_of_a_list_that_can_be_trusted(bench: Bench, one: Process) -> None:
    """A run that lost its first record may be the one that is asked for."""
    write(bench, one)
    assert bench.journal(one).records("none") == []
    bench.flip("run", 1, 7)
    with pytest.raises(StateUnreadable, match=r"run number 1 \(run\) does not fit its first record"):
        bench.journal(one).records("none")


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_failed_append_nothing_more_is_written(bench: Bench, one: Process, two: Process, fault: str) -> None:
    """StateLost, again when the disk is well; what was written stays readable, and another process goes on."""
    journal = bench.journal(one)
    written = len(journal.append("run", [(at(0), started())]))
    with bench.fault(fault, journal):
        with pytest.raises(StateLost, match=bench.lost("journal")) as caught:
            for number in range(1, 100):  # what a file has room for already, a full disk still takes
                written += len(journal.append("run", [(at(number), note("x" * 500))]))
        assert "df -h" in caught.value.hint
        assert len(journal.records("run")) == written == len(bench.journal(two).records("run"))
    for events in ([(at(0), note("small"))], []):
        with pytest.raises(StateLost) as again:
            journal.append("run", events)
        assert (again.value.message, again.value.hint) == (caught.value.message, caught.value.hint)
    bench.journal(two).append("run", [(at(0), note("I went on"))])
    assert len(journal.records("run")) == written + 1


# the lease


def take(bench: Bench, process: Process, run_id: str = "run-1", holder: str = "ann") -> LeaseStore:
    """A lease that this process holds."""
    lease = bench.lease(process)
    bench.place.do((process, lambda: lease.acquire("airflow", run_id, holder)))
    return lease


def look(bench: Bench, process: Process) -> Held | None:
    found: list[Held | None] = []
    bench.place.do((process, lambda: found.append(bench.lease(process).look("airflow"))))
    return found[0]


def test_epochs_only_grow(bench: Bench, one: Process) -> None:
    """Also across releases, objects and runbooks; each runbook has its own."""
    epochs: list[int] = []

    def body() -> None:
        for number in range(4):
            lease = bench.lease(one)
            epochs.append(lease.acquire("airflow", f"run-{number}", "ann"))
            lease.release()
            lease.release()
        epochs.append(bench.lease(one).acquire("other", "run", "ann"))

    assert bench.place.do((one, body)) == 0
    assert epochs == [1, 2, 3, 4, 1]


def test_a_live_holder_on_this_machine_is_not_waited_for(bench: Bench, one: Process, two: Process) -> None:
    """Refused at once, naming run, holder and since when; after a release it can be taken."""
    held = take(bench, one)

    def refused() -> None:
        with pytest.raises(RunInFlight, match="run run-1 of airflow is in flight, held by ann since 2026-03-03T02:40:00"):
            bench.lease(two).acquire("airflow", "run-2", "bob")

    assert bench.place.do((two, refused)) == 0
    seen = look(bench, two)
    assert seen is not None and (seen.run_id, seen.epoch, seen.life, seen.alive) == ("run-1", 1, Life.ALIVE, True)
    bench.place.do((one, held.release))
    seen = look(bench, two)
    assert seen is not None and (seen.released, seen.alive) == (True, False)
    take(bench, two, "run-2", "bob")
    seen = look(bench, two)
    assert seen is not None and (seen.run_id, seen.holder, seen.epoch, seen.lasts) == ("run-2", "bob", 2, timedelta(seconds=10))


def test_a_dead_holder_is_taken_over_at_once(bench: Bench, one: Process, two: Process) -> None:
    """On the same machine it is seen to be gone."""
    take(bench, one)
    one.kill()
    seen = look(bench, two)
    assert seen is not None and (seen.life, seen.alive, seen.run_id) == (Life.GONE, False, "run-1")
    lease = bench.lease(two)
    assert bench.place.do((two, lambda: lease.acquire("airflow", "run-2", "bob"))) == 0
    seen = look(bench, two)
    assert seen is not None and (seen.epoch, seen.run_id) == (2, "run-2")


def test_a_silent_holder_elsewhere_is_taken_over_after_its_whole_lease_time(bench: Bench, two: Process) -> None:
    """Only silence counts there, dead or not; its valid has ended before, and its renewal fails."""
    far = bench.place.process("there")
    held = bench.lease(far, lasts=timedelta(seconds=25))
    bench.place.do((far, lambda: held.acquire("airflow", "run-1", "ann")))
    seen = look(bench, two)
    assert seen is not None and (seen.life, seen.alive) == (Life.UNKNOWN, True)
    mine = bench.lease(two)
    waited = bench.place.do((two, lambda: mine.acquire("airflow", "run-2", "bob")))
    assert 25 <= waited < 26
    assert not held.valid()

    def too_late() -> None:
        with pytest.raises(LeaseLost, match="the lease of airflow, epoch 1, was taken by another process"):
            held.renew()
        held.release()

    bench.place.do((far, too_late))
    bench.place.do((two, mine.renew))
    seen = look(bench, two)
    assert mine.valid() and seen is not None and (seen.epoch, seen.released, seen.renewal) == (2, False, 1)


def test_a_holder_elsewhere_that_renews_is_not_taken_over(bench: Bench, two: Process) -> None:
    """A renewal while we wait is a sign of life."""
    far = bench.place.process("there")
    held = take(bench, far)

    def renews() -> None:
        far.clock.sleep(4)
        held.renew()

    def asks() -> None:
        with pytest.raises(RunInFlight, match="held by ann"):
            bench.lease(two).acquire("airflow", "run-2", "bob")

    assert 4 <= bench.place.do((far, renews), (two, asks)) < 5


def test_a_frozen_holder_can_be_waited_for(bench: Bench, one: Process, two: Process) -> None:
    """patient: a process that is there but silent loses its lease after its time, and finds that out when it goes on."""
    held = take(bench, one)
    one.freeze(60)
    patient = bench.lease(two, patient=True)
    assert 10 <= bench.place.do((two, lambda: patient.acquire("airflow", "run-2", "bob"))) < 11
    late: list[bool] = []
    assert bench.place.do((one, lambda: late.append(held.valid()))) > 40
    assert late == [False]


def test_validity_runs_out_without_renewals(bench: Bench, one: Process, two: Process) -> None:
    """A fifth before somebody could take over; a late renewal that nobody used is good; what was released is not renewed."""
    lease = bench.lease(one)
    said: list[bool] = []

    def body() -> None:
        said.append(lease.valid())
        lease.acquire("airflow", "run", "ann")
        for seconds in (7.9, 0.2, 3600):
            one.clock.sleep(seconds)
            said.append(lease.valid())
        lease.renew()
        said.append(lease.valid())
        lease.release()
        said.append(lease.valid())
        with pytest.raises(LeaseLost, match="no lease is held"):
            lease.renew()

    bench.place.do((one, body))
    assert said == [False, True, False, False, True, False]


def test_of_two_that_wait_one_takes_it(bench: Bench, one: Process, two: Process) -> None:
    """Two takers watch the same silent holder; one epoch has one holder."""
    take(bench, bench.place.process("there"))
    said: list[str] = []

    def asks(process: Process, name: str) -> Callable[[], None]:
        def body() -> None:
            try:
                said.append(f"{name} {bench.lease(process).acquire('airflow', name, name)}")
            except RunInFlight as error:
                said.append(f"{name} lost to {error.holder}")

        return body

    bench.place.do((one, asks(one, "bob")), (two, asks(two, "eve")))
    assert said == ["bob 2", "eve lost to bob"]


def test_a_silent_holder_elsewhere_is_watched_once(bench: Bench, two: Process) -> None:
    """watch tells it as gone after its lease time; who shares the memory of that does not wait again, until it moved."""
    far, silent = bench.place.process("there"), dict[str, Mark]()
    held = take(bench, far)
    seen: list[Held | None] = []

    def watch() -> None:
        seen.append(bench.lease(two, silent=silent).watch("airflow"))

    assert 10 <= bench.place.do((two, watch)) < 11
    assert seen[0] is not None and (seen[0].life, seen[0].alive, seen[0].run_id) == (Life.GONE, False, "run-1")
    assert bench.place.do((two, watch)) == 0
    assert seen[1] == seen[0]
    bench.place.do((far, held.renew))
    taker = bench.lease(two, silent=silent)
    assert bench.place.do((two, lambda: taker.acquire("airflow", "run-2", "bob"))) >= 10
    assert bench.place.do((two, lambda: seen.append(taker.watch("airflow")))) == 0
    assert seen[2] is not None and (seen[2].life, seen[2].epoch) == (Life.ALIVE, 2)


def test_a_sign_of_life_ends_the_watching(bench: Bench, two: Process) -> None:
    """A renewal: alive. A release: released. Never taken: None."""
    far = bench.place.process("there")
    held = take(bench, far)
    seen: list[Held | None] = []
    for act in (held.renew, held.release):

        def acts(act: Callable[[], None] = act) -> None:
            far.clock.sleep(3)
            act()

        assert 3 <= bench.place.do((far, acts), (two, lambda: seen.append(bench.lease(two).watch("airflow")))) < 4
    bench.place.do((two, lambda: seen.append(bench.lease(two).watch("other"))))
    assert [item and (item.life, item.released, item.alive) for item in seen] == [
        (Life.ALIVE, False, True), (Life.ALIVE, True, False), None,
    ]  # fmt: skip


@pytest.mark.parametrize("fault", ["broken", "read_only"])
def test_a_lease_that_cannot_be_written_runs_out(bench: Bench, one: Process, two: Process, fault: str) -> None:
    """A failed renewal alone does not end it; release and a new one say StateLost, and it can be released when the disk is well."""
    held, other = take(bench, one), bench.lease(two)
    bench.place.do((two, lambda: other.acquire("another", "run-9", "bob")))

    def body() -> None:
        with bench.fault(fault, held):
            one.clock.sleep(5)
            held.renew()
            assert held.valid(), "of the renewal before"
            one.clock.sleep(5)
            assert not held.valid()
            with pytest.raises(LeaseLost, match="the lease of airflow could not be renewed in time"):
                held.renew()
            with pytest.raises(StateLost, match=bench.lost("lease")):
                held.release()
        held.release()

    bench.place.do((one, body))
    seen = look(bench, two)
    assert seen is not None and seen.released

    def new() -> None:
        with bench.fault(fault, other), pytest.raises(StateLost, match=bench.lost("lease")):
            other.acquire("airflow", "run-2", "bob")

    bench.place.do((two, new))
    seen = look(bench, two)
    assert seen is not None and seen.epoch == 1


# the inbox


def test_requests_arrive_once_and_in_order(bench: Bench, one: Process, two: Process) -> None:
    """Of another process, of one run only; what was taken is not returned again, what comes later is."""
    inbox, other = bench.inbox(one), bench.inbox(two)
    assert inbox.take("run") == []
    inbox.confirm("run")
    numbers = [other.put("run", request) for request in REQUESTS]
    assert numbers == sorted(set(numbers))
    other.put("elsewhere", CancelRequested(actor="eve"))
    assert inbox.take("run") == REQUESTS
    assert inbox.take("run") == []
    inbox.confirm("run")
    other.put("run", CancelRequested(actor="ann"))
    assert inbox.take("run") == [CancelRequested(actor="ann")]
    other.put("run", REQUESTS[0])
    inbox.confirm("run")
    inbox.confirm("run")
    assert inbox.take("run") == REQUESTS[:1], "it came before the last one was confirmed, and was not confirmed with it"
    assert inbox.take("elsewhere") == [CancelRequested(actor="eve")]


def test_a_request_outlives_a_holder_that_died_before_it_was_journaled(bench: Bench, one: Process, two: Process) -> None:
    """Taken and not confirmed: the next holder gets it again; confirmed: it does not. Numbers are not used again."""
    first = bench.inbox(one)
    first.put("run", REQUESTS[0])
    number = first.put("run", REQUESTS[1])
    assert first.take("run") == REQUESTS[:2]
    one.kill()
    second = bench.inbox(two)
    assert second.take("run") == REQUESTS[:2]
    second.confirm("run")
    assert second.newest() == 0
    assert second.put("run", REQUESTS[2]) > number
    assert bench.inbox(two).take("run") == REQUESTS[2:]


def test_what_was_asked_can_be_withdrawn_or_dropped(bench: Bench, one: Process, two: Process) -> None:
    """Withdrawn by number, until somebody took it; dropped up to a number, by kind, of one run. The rest is taken."""
    inbox, later = bench.inbox(one), CancelRequested(actor="lead", reason="now")
    inbox.withdraw([])
    assert (inbox.newest(), inbox.drop("run", 0, (CancelRequested,))) == (0, [])
    numbers = [inbox.put("run", request) for request in REQUESTS]
    inbox.withdraw([numbers[1], numbers[1], 999])
    inbox.put("run", CancelRequested(actor="ann", reason="then"))
    inbox.put("elsewhere", CancelRequested(actor="eve"))
    newest = inbox.newest()
    inbox.put("run", later)
    other = bench.inbox(two)
    assert other.drop("run", newest, (CancelRequested,)) == [CancelRequested(actor="ann", reason="then")]
    assert other.drop("run", newest, (CancelRequested,)) == []
    assert other.take("run") == [REQUESTS[0], REQUESTS[2], later]
    assert other.take("elsewhere") == [CancelRequested(actor="eve")]


@pytest.mark.parametrize("fault", ["broken", "read_only"])
def test_a_request_that_cannot_be_written_is_not_taken_for_asked(bench: Bench, one: Process, two: Process, fault: str) -> None:
    """StateLost, and what was asked before can be taken, and confirmed when the disk is well."""
    inbox = bench.inbox(one)
    number = inbox.put("run", REQUESTS[0])
    with bench.fault(fault, inbox):
        assert inbox.take("run") == REQUESTS[:1]
        for act in (
            lambda: inbox.put("run", REQUESTS[1]), lambda: inbox.confirm("run"), lambda: inbox.withdraw([number]),
            lambda: inbox.drop("run", number, (PauseRequested,)),
        ):  # fmt: skip
            with pytest.raises(StateLost, match=bench.lost("inbox")):
                act()
    assert bench.inbox(two).take("run") == REQUESTS[:1]
    inbox.confirm("run")
    assert bench.inbox(two).take("run") == []


# the monitor's memory


def test_newest_history_and_beats(bench: Bench, one: Process, two: Process) -> None:
    """By the time of the measurement, not of the writing; of one runbook."""
    writer, reader = bench.samples(one), bench.samples(two)
    assert (reader.latest("airflow"), reader.history("airflow", START), reader.beats("airflow", START)) == ({}, [], [])
    writer.add("airflow", [])
    writer.add("airflow", [sample("logs", 1), sample("db", 3, 7.5)])
    writer.add("airflow", [sample("db", 2.000001)], [beat(2, acknowledged=False), beat(1)])
    writer.add("other", [sample("db", 9)])
    writer.add("other", [], [beat(9)])
    assert list(reader.latest("airflow").items()) == [("db", sample("db", 3, 7.5)), ("logs", sample("logs", 1))]
    assert reader.history("airflow", after(2.000001)) == [sample("db", 2.000001), sample("db", 3, 7.5)]
    assert reader.history("airflow", after(2.000002)) == [sample("db", 3, 7.5)]
    assert reader.beats("airflow", START) == [beat(1), beat(2, acknowledged=False)]
    assert reader.beats("airflow", after(1.5)) == [beat(2, acknowledged=False)]
    assert list(reader.runbooks()) == ["airflow", "other"]
    writer.add("airflow", [sample("logs", 1, 8.5)])
    assert reader.latest("airflow")["logs"] == sample("logs", 1, 8.5), "the later one of two of a moment"


def test_what_samples_speak_for(bench: Bench, one: Process) -> None:
    """Until the next one of their component, and half a minute at most; what is not in the span is left out."""
    samples = bench.samples(one)
    samples.add("airflow", [sample("db", second, second / 10) for second in (0, 20, 90, 95, 300)])
    found = sorted(samples.stretches("airflow", after(40), after(100)))
    assert [((item.end - item.start) / 1e6, item.exposure) for item in found] == [(30, 2_000_000), (5, 9_000_000), (30, 9_500_000)]
    assert list(samples.stretches("none", after(40), after(100))) == []


def test_identity_snapshots(bench: Bench, one: Process, two: Process) -> None:
    """The newest wins; one from another region can be asked for; equal ones take each other's place, and old ones go."""
    samples, reader = bench.samples(one), bench.samples(two)
    assert reader.identities("airflow", "deployments") is None
    samples.keep_identities("airflow", "deployments", snapshot(0))
    samples.keep_identities("airflow", "deployments", snapshot(10))
    samples.keep_identities("airflow", "deployments", snapshot(10, "west"))
    assert reader.identities("airflow", "deployments") == snapshot(10, "west"), "the later one of two of a moment"
    assert reader.identities("airflow", "deployments", not_from="west") == snapshot(10)
    assert reader.identities("airflow", "deployments", not_from="east") == snapshot(10, "west")
    assert reader.identities("airflow", "else") is None
    for number in range(SNAPSHOTS + 5):
        samples.keep_identities("airflow", "deployments", snapshot(30 + number, image=f"sha256:{number}"))
    newest = reader.identities("airflow", "deployments", not_from="west")
    assert newest == snapshot(30 + SNAPSHOTS + 4, image=f"sha256:{SNAPSHOTS + 4}")
    assert reader.identities("airflow", "deployments", not_from="east") == snapshot(10, "west")
    if isinstance(bench, MemoryBench):
        assert len(list(bench.disk.snapshots_of("airflow", "deployments").newest_first())) == SNAPSHOTS + 1


def test_a_snapshot_of_the_same_things_takes_the_place_of_the_newest(bench: Bench, one: Process) -> None:
    """Also one of a clock that went back, and one that lists them in another order; one of other things does not."""
    samples = bench.samples(one)
    first = snapshot(30).deployments[0]
    both = (first, first.model_copy(update={"id": "d-002"}))
    for seconds, deployments, newest in ((30, both, 30), (20, both, 20), (10, both[::-1], 10), (5, both[:1], 10)):
        samples.keep_identities("airflow", "deployments", snapshot(seconds).model_copy(update={"deployments": deployments}))
        found = samples.identities("airflow", "deployments")
        assert found is not None and found.taken_at == after(newest)


@pytest.mark.parametrize("fault", ["broken", "read_only"])
def test_samples_that_cannot_be_written_are_told(bench: Bench, one: Process, fault: str) -> None:
    """StateLost, and the earlier ones are readable."""
    samples = bench.samples(one)
    samples.add("airflow", [sample("db", 0)])
    with bench.fault(fault, samples):
        with pytest.raises(StateLost, match=bench.lost("samples")):
            samples.add("airflow", [sample("db", 1)], [beat(1)])
        with pytest.raises(StateLost, match=bench.lost("samples")):
            samples.keep_identities("airflow", "deployments", snapshot(0))
        assert samples.history("airflow", START) == [sample("db", 0)]
    assert samples.identities("airflow", "deployments") is None


# what only a simulated process has


def test_a_dead_process_does_nothing(memory: MemoryBench) -> None:
    """Every method raises Killed, and nothing changes."""
    process = memory.place.process()
    journal, inbox, samples = memory.journal(process), memory.inbox(process), memory.samples(process)
    lease = take(memory, process)
    journal.append("run", [(at(0), started())])
    process.kill()
    acts: list[Callable[[], object]] = [
        lambda: journal.append("run", [(at(1), note("x"))]), lambda: journal.append("run", []), lambda: journal.records("run"),
        journal.runs, journal.listing, lambda: journal.head("run"), journal.close,
        lambda: lease.acquire("airflow", "run", "ann"), lease.renew, lease.valid, lease.release, lambda: lease.look("airflow"),
        lambda: lease.watch("airflow"), lambda: inbox.put("run", REQUESTS[0]), lambda: inbox.take("run"), lambda: inbox.confirm("run"),
        lambda: inbox.withdraw([]), inbox.newest, lambda: inbox.drop("run", 0, ()), inbox.close,
        lambda: samples.add("airflow", [sample("db", 0)]), lambda: samples.latest("airflow"), lambda: samples.history("airflow", START),
        lambda: samples.beats("airflow", START), lambda: list(samples.stretches("airflow", START, START)), samples.runbooks,
        lambda: samples.keep_identities("airflow", "x", snapshot(0)), lambda: samples.identities("airflow", "x"), samples.troubles,
        samples.close,
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(Killed):
            act()
    disk = memory.disk
    assert (len(disk.runs["run"].records), disk.requests, disk.watched) == (1, {}, {})
    assert not disk.leases["airflow"].released
    for store in (MemoryJournal, MemoryLease, MemoryInbox, MemorySamples):
        methods = {name for name in dir(store) if not name.startswith("_") and callable(getattr(store, name))}
        missing = methods - {name for act in acts for name in (*act.__code__.co_names, getattr(act, "__name__", ""))}
        assert not missing, f"{store.__name__} {missing} is not tried above"


@pytest.mark.parametrize(("where", "durable"), [("journal:before", 0), ("journal:after", 2)])
def test_a_process_can_die_around_a_write(memory: MemoryBench, where: str, durable: int) -> None:
    """Before it, nothing is there; after it, all is, though nobody was told."""
    process, names, told = memory.place.process(), list[str](), list[int]()

    def point(name: str) -> None:
        names.append(name)
        if name == where:
            process.kill()

    journal = MemoryJournal(memory.disk, process, point)
    memory.place.do((process, lambda: told.append(len(journal.append("run", [(at(0), started()), (at(1), note("x"))])))))
    assert (told, names[-1], process.dead) == ([], where, True)
    assert len(memory.journal(memory.place.process()).records("run")) == durable


def test_a_process_that_slept_before_a_write_sees_what_happened_meanwhile(memory: MemoryBench) -> None:
    """Another process went on with the run in between: LeaseLost."""
    one, two = memory.place.process(), memory.place.process()

    def point(name: str) -> None:
        if name == "journal:before" and memory.disk.runs:
            one.clock.sleep(5)

    def slow() -> None:
        journal = MemoryJournal(memory.disk, one, point)
        journal.append("run", [(at(0), started())])
        with pytest.raises(LeaseLost):
            journal.append("run", [(at(1), note("mine"))])

    def quick() -> None:
        two.clock.sleep(1)
        memory.journal(two).append("run", [(at(2), note("theirs"))])

    memory.place.do((one, slow), (two, quick))
    assert [record.event for record in memory.journal(two).records("run")] == [started(), note("theirs")]


def test_a_follower_notices_another_hash_of_what_it_has_read(memory: MemoryBench) -> None:
    """The chain goes on from the hash that the follower verified, not from what stands there now."""
    process = memory.place.process()
    write(memory, process)
    reader = memory.journal(process)
    reader.records("run")
    run = memory.disk.runs["run"]
    run.records[-1] = run.records[-1]._replace(hash="0" * 64)
    with pytest.raises(StateUnreadable, match="record 9 is missing, or was changed after it was read"):
        reader.records("run", after=9)


def test_an_event_is_decoded_once_and_from_what_is_stored(memory: MemoryBench) -> None:
    """All readers share it; a damaged body is decoded anew."""
    one, two = memory.place.process(), memory.place.process()
    first = note("x")
    memory.journal(one).append("run", [(at(0), started()), (at(1), first)])
    read = memory.journal(one).records("run")[1].event
    assert read == first
    assert read is not first
    assert memory.journal(two).records("run")[1].event is read
    memory.disk.flip("run", 2, memory.disk.runs["run"].records[1].body.index('"x"') + 1)
    assert memory.disk.runs["run"].records[1].event == note("y")
