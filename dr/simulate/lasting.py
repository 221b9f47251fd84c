"""What lasts of a play when everybody is gone: of every store, of the runs, and of what people were told; moments apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum

from dr.engine import machine
from dr.engine.state import RunState
from dr.model.evidence import Fenced, Identities, TaskCount
from dr.model.words import RunOutcome
from dr.providers.sim.beside import Channel
from dr.providers.sim.loop import Loop
from dr.providers.sim.world import World
from dr.simulate.stage import Command, Stage
from dr.simulate.stores import MemoryJournal

TOLD = "told"
"""Before what a person was told."""
_PASSING = {"before_sha256", "after_sha256", "proof", "final_position", "items_path"}
"""What evidence says about a moment: hashes that include one, positions, words."""
_MOMENTS = (
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b"), "RUN"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?"), "WHEN"),
    (re.compile(r"\b(\d+(\.\d+)? ?(ms|s|min|m|h) ?)+\b"), "SO LONG "),
)
"""What texts say that another moment changes."""


def lasting(stage: Stage, commands: Sequence[Command]) -> dict[str, str]:
    """Everything that lasts, moments apart, as pairs of a path and a value. ``commands``: those whose answers count."""
    # a message is sent once at most, by design: where it may have been sent already, the run says that it is not sent again
    lasting = {name: store for name, store in stage.world.stores.items() if not isinstance(store, Channel)}
    found = dict(_leaves("store", lasting))
    found.update(_run(stage))
    found.update(_told(commands))
    return found


def _leaves(path: str, thing: object) -> Iterator[tuple[str, str]]:
    """What there is below a thing, as pairs of a path and a value: moments, durations and what belongs to the machinery left out."""
    match thing:
        case float() | date() | timedelta() | World() | Loop():
            return
        case str() | int() | Enum() | None:
            yield path, _plain(str(thing))
        case Set():
            yield path, " ".join(sorted(map(str, thing)))
        case _:
            for name, value in _inside(path, thing):
                yield from _leaves(f"{path}{name}", value)


def _inside(path: str, thing: object) -> Iterator[tuple[str, object]]:
    """The parts of a thing, and how many they are where that can differ."""
    if isinstance(thing, Mapping):
        yield from ((f".{_plain(str(key))}", value) for key, value in thing.items())
    elif isinstance(thing, tuple) and hasattr(thing, "_fields"):
        # epochs grow with each process that holds the lease
        yield from ((f".{name}", part) for name, part in zip(thing._fields, thing, strict=True) if name != "epoch")
    elif isinstance(thing, Sequence):
        yield "#", len(thing)
        yield from ((f"[{number}]", value) for number, value in enumerate(thing, start=1))
    else:
        names = [field.name for field in fields(thing)] if is_dataclass(thing) else vars(thing)
        parts = ((name, getattr(thing, name)) for name in names if not name.startswith("_"))
        yield from ((f".{name}", part) for name, part in parts if not callable(part) and not _is_store(path, part))


def _plain(text: str) -> str:
    """A text without its moments."""
    for pattern, word in _MOMENTS:
        text = pattern.sub(word, text)
    return text


def _is_store(path: str, thing: object) -> bool:
    """One store that stands on another one names it: it is looked at under its own name."""
    return path.count(".") >= 1 and hasattr(thing, "advance") and hasattr(thing, "lost")


def _told(commands: Sequence[Command]) -> Iterator[tuple[str, str]]:
    """What the person was told in the end. Nothing where the command died after the last record: then there was no more to tell."""
    for report in [item.report for item in commands if item.report and item.report.outcome is RunOutcome.COMPLETED][-1:]:
        aims = report.objectives
        yield f"{TOLD} exit code", str(report.exit_code)
        yield f"{TOLD} objectives", f"RTA {aims.rta_state} {aims.rto_met}, RPA {aims.rpa_state} {aims.rpo_met}"
        yield f"{TOLD} fence", str(report.fence.state)
        yield f"{TOLD} divergence", str(report.divergence.state)
        yield f"{TOLD} debt", ", ".join(sorted(f"{item.kind} of {item.component}" for item in report.debt))


def states(stage: Stage) -> list[RunState]:
    """The runs that did something, as a process that knows nothing reads them: verified."""
    journal = MemoryJournal(stage.disk, stage.process("reader"))
    runs = {run_id: [(datetime.fromisoformat(item.at), item.event) for item in journal.records(run_id)] for run_id in journal.runs()}
    folded = [machine.fold(events, run_id) for run_id, events in runs.items()]
    return [state for state in folded if state.outcome is not RunOutcome.ALREADY]


def _run(stage: Stage) -> Iterator[tuple[str, str]]:
    """What the journal says of the run."""
    moved = states(stage)
    yield "runs", str(len(moved))
    for state in moved:
        yield "run", f"{state.status} {state.outcome}"
        for step in state.steps.values():
            yield f"step {step.spec.id}", "passed" if state.passes(step) else step.state
        for fact in (Identities, TaskCount, Fenced):
            last = {item.component: item for item in state.evidence if isinstance(item, fact)}
            for component, item in sorted(last.items()):
                yield from _leaves(f"{item.fact} of {component}", item.model_dump(exclude=_PASSING))
