"""A violation, told to people: what, when, in which story, what happened last, and the command that repeats it."""

from __future__ import annotations

from collections.abc import Iterable

from dr import __version__
from dr.model.events import Event, RunStarted, StepEnded, StepStarted
from dr.providers.sim.world import Effect
from dr.simulate.disk import StoredRecord
from dr.simulate.stage import Stage, Violation
from dr.simulate.story import Story, Struck

LAST = 12
"""So many lines of each sort are told."""


def told(stage: Stage, story: Story, violation: Violation) -> str:
    """Everything that is needed to understand it, and to see it again. Lines are in the order of time, moments in seconds of the world."""
    effects = [effect for effect in stage.world.effects if effect.at <= violation.at][-LAST:]
    seen = [line for line in stage.world.told if line.at <= violation.at][-LAST:]
    lines = [
        f"violation of {violation.rule} at {violation.at:.2f} s: {violation.text}",
        f"seed {story.seed} · {story.plot} · {story.deployments} Deployments, {story.tasks} tasks · dr {_version(stage)}",
        "faults:",
        *(_indented(_fault(struck) for struck in story.faults) or ["  none"]),
        "what was done last:",
        *_indented(_effect(effect) for effect in effects),
        "what was seen last:",
        *_indented(f"{line.at:9.2f}  {line.text}" for line in seen),
        "what was journaled last:",
        *_indented(_record(record) for record in _newest(stage)),
        "again:",
        f"  {command(stage, story)}",
    ]
    return "\n".join(lines)


def command(stage: Stage, story: Story) -> str:
    """What repeats a story."""
    return f"dr simulate {stage.runbook.path} --seed {story.seed} --explain"


def _version(stage: Stage) -> str:
    """The tool's, as the journal has it; else the one that runs."""
    for run in stage.disk.runs.values():
        first = run.records[0].event if run.records else None
        if isinstance(first, RunStarted):
            return first.tool_version
    return __version__


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _fault(struck: Struck) -> str:
    drawn = ", ".join(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in struck.values.items())
    return f"{struck.at:9.2f}  {struck.name}" + (f" ({drawn})" if drawn else "")


def _effect(effect: Effect) -> str:
    who = f" by {effect.process}, run {effect.run_id}, epoch {effect.epoch}" if effect.process else ""
    return f"{effect.at:9.2f}  {effect.what} in {effect.region}{who}" + (f": {effect.text}" if effect.text else "")


def _newest(stage: Stage) -> list[StoredRecord]:
    """The last records of all runs."""
    records = [record for run in stage.disk.runs.values() for record in run.records[-LAST:]]
    return sorted(records, key=lambda record: (record.at, record.run_id, record.seq))[-LAST:]


def _record(record: StoredRecord) -> str:
    at = record.at[11:22]
    return f"{at}  {record.run_id} {record.seq:3d}  {_words(record.event)}"


def _words(event: Event) -> str:
    """An event in one line."""
    match event:
        case RunStarted():
            return f"run-started {event.plan.intent} to {event.plan.target} by {event.actor}, epoch {event.epoch}"
        case StepStarted():
            return f"step-started {event.step}, attempt {event.attempt}" + (", looks first" if event.look_first else "")
        case StepEnded():
            facts = ", ".join(item.fact for item in event.evidence)
            why = f" ({event.reason})" if event.reason else ""
            return f"step-ended {event.step}: {event.outcome}{why}" + (f" [{facts}]" if facts else "")
    step = getattr(event, "step", "")
    return f"{event.event} {step}".strip() + (f": {reason}" if (reason := getattr(event, "reason", "")) else "")
