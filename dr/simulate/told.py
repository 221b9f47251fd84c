"""The story of one seed in plain words, from what happened in its world and what its journals hold. Times count from the disaster."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby

from dr.model.base import show_duration
from dr.model.events import Accepted, Approved, CancelRequested, Event, Resumed, RunStarted, SkipRequested, StepEnded, TimedOut, Turned
from dr.model.plan import Acceptance
from dr.model.scenario import Act
from dr.model.simulation import ToldLine
from dr.model.words import Guard, Outcome
from dr.providers.sim.process import START
from dr.simulate.colleagues import asked
from dr.simulate.disk import StoredRun
from dr.simulate.outcome import Record
from dr.simulate.play import Played
from dr.simulate.stage import Command, Stage

_NOTHING_DONE = 2
"""Records of a run that began and ended."""
_PLOTS = {
    "lost": "a region dies with everything in it",
    "partition": "nobody reaches a region any more, and it lives",
    "planned": "a planned move to the other region",
    "round-trip": "a region dies, comes back, is protected again and gets its place back",
}


def tell(stage: Stage, played: Played, record: Record, faults: Mapping[str, str]) -> tuple[ToldLine, ...]:
    """All of it in order. ``faults``: what each fault does, in a line for people, by its name."""
    story = played.story
    lines = [
        ToldLine(at_seconds=-story.disaster, what="world", text=_beginning(stage, played)),
        *_world(stage, story.disaster, faults),
        *_people(stage, story.disaster),
        *(line for run in stage.disk.runs.values() for line in _run(stage, run, story.disaster)),
    ]
    lines.sort(key=_place)
    return (*lines, *_end(stage, played, record))


def _place(line: ToldLine) -> tuple[float, bool]:
    """Of what happens at the same moment: what happens to the world first, what people read and type last."""
    later = 0.0004 if line.what in ("person", "answer") else 0.0
    return line.at_seconds + later, line.what not in ("world", "fault")


def _beginning(stage: Stage, played: Played) -> str:
    story = played.story
    person = story.person
    bold = "accepts what can be accepted" if person.bold else "accepts nothing, and tries again"
    alone = "; nobody else answers before the morning" if story.alone and asked(stage.runbook) else ""
    return (
        f"seed {story.seed}: {_PLOTS.get(story.plot, story.plot)}. {story.deployments} Deployments in {stage.runbook.home}, {story.tasks} "
        f"tasks in flight, replication {show_duration(timedelta(seconds=story.lag))} behind. Who is on call {bold}{alone}"
    )


def _world(stage: Stage, disaster: float, faults: Mapping[str, str]) -> Iterator[ToldLine]:
    """What happened to the world, and everything that was done to it."""
    typed = {command.process.name for command in stage.commands}
    for seen in stage.world.told:
        at, name = seen.at - disaster, seen.text.removeprefix("fault ")
        if seen.text.startswith("violation of ") or (" types dr " in seen.text and seen.text.partition(" ")[0] in typed):
            continue  # told with its answer, and at the end
        if name != seen.text:
            yield _line(at, "fault", f"{name}: {faults[name]}" if faults.get(name) else name)
        else:
            yield _line(at, "world", seen.text)
    for effect in stage.world.effects:
        if effect.process:
            text = f"{effect.what} takes effect in {effect.region}" + (f": {effect.text}" if effect.text else "")
            yield _line(effect.at - disaster, "effect", f"{text} (by {effect.process})")


def _people(stage: Stage, disaster: float) -> Iterator[ToldLine]:
    """What was typed, and what it answered; the same once more, with the same answer, is counted and not told."""
    for (typed, _answer), group in groupby(stage.commands, key=lambda command: (_typed(command.act), _without_ids(_answered(command)))):
        first, *others = group
        yield _line(first.begun - disaster, "person", f"{first.process.name} on {first.process.machine} types: {typed}")
        if first.ended is not None:
            yield _line(first.ended - disaster, "answer", f"{first.process.name} is answered: {_answered(first)}")
        elif first.process.dead and not _waits(stage, first):
            yield _line(first.begun - disaster, "answer", f"{first.process.name} never gets an answer: its process was killed")
        if others:
            last = others[-1]
            at = (last.begun if last.ended is None else last.ended) - disaster
            yield _line(at, "answer", f"the same {len(others)} times more, with the same answer; the last by {last.process.name}")


def _waits(stage: Stage, command: Command) -> bool:
    """It holds the run that the story ends with, because nobody answers that."""
    lease = stage.disk.leases.get(stage.runbook.name)
    return stage.left_waiting is not None and lease is not None and lease.process is command.process


def _without_ids(text: str) -> str:
    """Run ids and ages differ each time."""
    return re.sub(r"\d{8}-\d{6}-\w+|\d[\d.hm]*s\b|\d+h\d+m", "…", text)


def _typed(act: Act) -> str:
    """An act as it is typed."""
    if act.intent is None:
        verb, what = ("approve", act.approve) if act.approve else ("skip", act.skip) if act.skip else (act.command or "", None)
        return f"dr {verb} RUN" + (f" {what}" if what else "") + (f" --reason '{act.reason}'" if act.reason else "")
    words = [f"dr {act.intent}", f"--to {act.to}" if act.to else ""]
    words += [f"--accept-data-loss {act.accept_data_loss}" if act.accept_data_loss else ""]
    words += ["--accept-split" if act.accept_split else "", *(f"--accept {name}" for name in act.accept)]
    words += [f"--reason '{act.reason}'" if act.reason else ""]
    return " ".join(word for word in words if word)


def _answered(command: Command) -> str:
    """What came back."""
    if command.error is not None:
        hint = f" (try: {command.error.hint})" if command.error.hint else ""
        return f"exit {int(command.error.exit_code)}: {command.error.message}{hint}"
    report = command.report
    if report is None:
        return "exit 0"
    return f"exit {report.exit_code}, {report.outcome}" + (f": {report.reason}" if report.reason else "")


def _run(stage: Stage, run: StoredRun, disaster: float) -> Iterator[ToldLine]:
    """What the journal of a run says, by the right clocks: a process whose clock is wrong stamps what it writes with it."""
    skew, rate = 0.0, 1.0
    if len(run.records) <= _NOTHING_DONE:  # refused, or done already: its answer says so
        return
    for record in run.records:
        try:
            event = record.event
        except ValueError:  # what damaged it was told as a fault
            continue
        if isinstance(event, (RunStarted, Resumed)):
            process = next((item for item in stage.processes if f"{item.name}@{item.machine}" == event.holder), None)
            skew, rate = (process.skew, process.rate) if process is not None else (0.0, 1.0)
        at = ((datetime.fromisoformat(record.at) - START).total_seconds() - skew) / rate - disaster
        for what, text in _event(event):
            yield _line(at, what, text)


def _event(event: Event) -> Iterator[tuple[str, str]]:
    match event:
        case RunStarted():
            late = f", predicted RTA {show_duration(event.plan.predicted_rta)} of {show_duration(event.plan.rto)}"
            yield "step", f"the run begins: {event.plan.intent} from {event.plan.source} to {event.plan.target}{late}"
            yield from (("decision", _accepted(item)) for item in event.acceptances)
        case Accepted():
            yield "decision", _accepted(event.acceptance)
        case StepEnded():
            times = f" (attempt {event.attempt})" if event.attempt > 1 else ""
            reason = f": {event.reason}" if event.reason and event.outcome is not Outcome.DONE else ""
            yield "step", f"{event.step} {event.outcome} after {show_duration(event.duration)}{times}{reason}"
            if event.guard:
                yield "guard", f"the guard {event.guard} refuses before {event.step}"
        case Approved():
            yield "decision", f"{event.actor} approves {event.step}"
        case SkipRequested():
            yield "decision", f"{event.actor} skips {event.step}: {event.reason}"
        case Resumed() | Turned() | CancelRequested() | TimedOut():
            yield "step", _turn(event)


def _turn(event: Resumed | Turned | CancelRequested | TimedOut) -> str:
    """Who has the run in hand, and what for."""
    match event:
        case Resumed():
            before = ": the process before ended without a word" if event.crashed else ""
            return f"{event.holder} takes the run over with dr {event.tool_version}{before}"
        case Turned():
            return f"the run is now a {event.plan.intent}"
        case CancelRequested():
            return f"{event.actor} cancels the run"
        case TimedOut():
            return "the run has used up its time: a person is asked"


def _accepted(item: Acceptance) -> str:
    limit = ", however much is lost" if item.unbounded else f", up to {show_duration(item.bound)}"
    bound = limit if item.guard is Guard.EXPOSURE else ""
    return f"{item.actor} accepts what the guard {item.guard} refuses{bound}" + (f": {item.reason}" if item.reason else "")


def _end(stage: Stage, played: Played, record: Record) -> Iterator[ToldLine]:
    """How it ended: what was lost, how long it took, what must never have happened."""
    at, runbook = played.seconds - played.story.disaster, stage.runbook
    if record.violation is not None:
        yield _line(record.violation.at, "violation", f"VIOLATION of {record.violation.rule}: {record.violation.text}")
    ended = "the move came to its end" if record.completed else "the move did not come to its end"
    if stage.left_waiting is not None:
        run, steps = stage.left_waiting
        ended += f": run {run} needs somebody at {', '.join(steps)}, and nobody answers before the morning"
    yield _line(at, "end", ended + (f"; decided by people: {', '.join(record.decisions)}" if record.decisions else ""))
    rta = None if record.rta is None else timedelta(milliseconds=record.rta)
    rpa = None if record.rpa is None else timedelta(milliseconds=record.rpa)
    goals, over = runbook.objectives, f" ({', '.join(record.over_rpo)})" if record.over_rpo else ""
    voided = record.violation is not None and "counts as missed, because of the violation"
    took = voided or ("met" if record.rto_met else "missed")
    cost = voided or ("met" if record.rpo_met else "missed")
    yield _line(at, "end", f"RTA {show_duration(rta)}: so long service was away; RTO {show_duration(goals.rto)} {took}")
    lost = f"RPA {show_duration(rpa)}: so much of what was acknowledged was lost"
    yield _line(at, "end", f"{lost}; RPO {show_duration(goals.rpo)} {cost}{over}")


def _line(at: float, what: str, text: str) -> ToldLine:
    return ToldLine(at_seconds=round(at, 3), what=what, text=text)
