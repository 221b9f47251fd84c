"""The same things done in any order to the SQLite files and to a simulated disk: each answer, and each refusal, is the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dr.errors import DrError
from dr.model.events import Approved, CancelRequested, Event, PauseRequested
from tests.simulate.bench import Bench, MemoryBench, SqliteBench
from tests.store.build import at, note, started
from tests.store.test_samples import after, beat, sample, snapshot

Act = Callable[[Bench, list[Any]], object]
"""One thing that is done to a bench, by one of its two stores."""

WHO = st.integers(0, 1)
RUNS = st.sampled_from(["run", "other"])
SECONDS = st.integers(0, 100)
REQUESTS = st.sampled_from(
    [PauseRequested(actor="ann"), CancelRequested(actor="bob", reason="no"), Approved(step="gate", actor="eve")]
)


def answer(act: Callable[[], object]) -> object:
    """What it returned, or what it raised with its words."""
    try:
        found = act()
    except DrError as error:
        return type(error), error.message, error.hint
    except (ValueError, KeyError) as error:
        return type(error)
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else found


def compare(make: Callable[[Bench], Any], acts: list[tuple[str, Act]]) -> None:
    """Does them to both, each with two stores of one state directory."""
    with tempfile.TemporaryDirectory() as folder:
        benches: list[Bench] = [SqliteBench(Path(folder)), MemoryBench(Path(folder))]
        stores = [[make(bench), make(bench)] for bench in benches]
        done = []
        for name, act in acts:
            done.append(name)
            real, simulated = (answer(partial(act, bench, own)) for bench, own in zip(benches, stores, strict=True))
            assert simulated == real, f"after {done}"
        for bench in benches:
            bench.close()


def new(make: Callable[[Bench], Any], who: int) -> Act:
    """The store of a process that was started again."""

    def act(bench: Bench, own: list[Any]) -> None:
        own[who] = make(bench)

    return act


def journal(bench: Bench) -> Any:
    return bench.journal(bench.place.process())


def inbox(bench: Bench) -> Any:
    return bench.inbox(bench.place.process())


def samples(bench: Bench) -> Any:
    return bench.samples(bench.place.process())


@st.composite
def journal_acts(draw: st.DrawFn) -> tuple[str, Act]:
    who, run, number = draw(WHO), draw(RUNS), draw(st.integers(0, 9))
    events: list[tuple[datetime, Event]] = [(at(n), note(f"{n}")) for n in range(draw(st.integers(0, 3)))]
    acts: dict[str, Act] = {
        f"{who} append {run} {len(events)}": lambda _, own: own[who].append(run, events),
        f"{who} start {run} {len(events)}": lambda _, own: own[who].append(run, [(at(9), started(run)), *events]),
        f"{who} bad {run}": lambda _, own: own[who].append(run, [*events, (datetime(2025, 1, 1), note("x"))]),  # noqa: DTZ001 - the point
        f"{who} records {run} {number}": lambda _, own: own[who].records(run, number),
        f"{who} records {run}": lambda _, own: own[who].records(run),
        f"{who} events {run}": lambda _, own: [record.event for record in own[who].records(run)],
        f"{who} nowhere": lambda _, own: own[who].records("nowhere"),
        f"{who} head {run}": lambda _, own: own[who].head(run),
        f"{who} listing": lambda _, own: own[who].listing(),
        f"{who} runs {run}": lambda _, own: own[who].runs(run),
        f"{who} newest {run}": lambda _, own: list(own[who].newest("airflow")),
        f"{who} close": lambda _, own: own[who].close(),
        f"{who} new": new(journal, who),
        f"flip {run} {number}": lambda bench, _: bench.flip(run, number, 40),
        f"cut {run} {number // 3}": lambda bench, _: bench.cut(run, number // 3),
    }
    return draw(st.sampled_from(list(acts.items())))


@settings(max_examples=60, deadline=None)
@given(acts=st.lists(journal_acts(), min_size=5, max_size=25))
def test_journals_are_alike(acts: list[tuple[str, Act]]) -> None:
    """Also where records were changed or lost, and where two write."""
    compare(journal, [("start", lambda _, own: own[0].append("run", [(at(0), started()), (at(1), note("x"))])), *acts])


@st.composite
def inbox_acts(draw: st.DrawFn) -> tuple[str, Act]:
    who, run, number, event = draw(WHO), draw(RUNS), draw(st.integers(0, 9)), draw(REQUESTS)
    acts: dict[str, Act] = {
        f"{who} put {run}": lambda _, own: own[who].put(run, event),
        f"{who} take {run}": lambda _, own: own[who].take(run),
        f"{who} confirm {run}": lambda _, own: own[who].confirm(run),
        f"{who} withdraw {number}": lambda _, own: own[who].withdraw([number, number + 2]),
        f"{who} newest": lambda _, own: own[who].newest(),
        f"{who} drop {run} {number}": lambda _, own: own[who].drop(run, number, (CancelRequested, PauseRequested)),
        f"{who} new": new(inbox, who),
    }
    return draw(st.sampled_from(list(acts.items())))


@settings(max_examples=60, deadline=None)
@given(acts=st.lists(inbox_acts(), min_size=5, max_size=25))
def test_inboxes_are_alike(acts: list[tuple[str, Act]]) -> None:
    """Whoever puts, takes, withdraws and drops."""
    compare(inbox, acts)


@st.composite
def samples_acts(draw: st.DrawFn) -> tuple[str, Act]:
    who, runbook, one, two = draw(WHO), draw(RUNS), draw(SECONDS), draw(SECONDS)
    component, region, image = draw(st.sampled_from(["db", "logs"])), draw(st.sampled_from(["east", "west"])), draw(st.integers(0, 2))
    pulses = [beat(two), beat(one, "db", acknowledged=False)]
    acts: dict[str, Act] = {
        f"{who} add {runbook} {component} {one} {two}": lambda _, own: own[who].add(
            runbook, [sample(component, one, two), sample(component, two, one)], pulses
        ),
        f"{who} latest {runbook}": lambda _, own: list(own[who].latest(runbook).items()),
        f"{who} history {runbook} {one}": lambda _, own: own[who].history(runbook, after(one)),
        f"{who} beats {runbook} {one}": lambda _, own: own[who].beats(runbook, after(one)),
        f"{who} stretches {runbook} {one} {two}": lambda _, own: sorted(own[who].stretches(runbook, after(one), after(two)), key=repr),
        f"{who} keep {component} {one} {region} {image}": lambda _, own: own[who].keep_identities(
            runbook, component, snapshot(one, region, f"sha256:{image}")
        ),
        f"{who} identities {component} {region}": lambda _, own: own[who].identities(runbook, component, region),
        f"{who} identities {component}": lambda _, own: own[who].identities(runbook, component),
        f"{who} runbooks": lambda _, own: own[who].runbooks(),
    }
    return draw(st.sampled_from(list(acts.items())))


@settings(max_examples=60, deadline=None)
@given(acts=st.lists(samples_acts(), min_size=5, max_size=25))
def test_samples_are_alike(acts: list[tuple[str, Act]]) -> None:
    """Moments in any order, and equal ones."""
    compare(samples, acts)
