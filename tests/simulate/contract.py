"""What every kind promises, walked through step by step: a whole platform moves there and back, and each step is tried twice, undone, and
tried where nobody answers. The walk knows no world: a ``Stand`` hands in the kinds, and time, and what the components really are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Protocol, TypeVar

from dr.engine import graph
from dr.engine.planner import make_plan
from dr.errors import StepError
from dr.model.evidence import Evidence, Fenced
from dr.model.plan import Acceptance
from dr.model.runbook import Runbook
from dr.model.words import FenceState, Guard, Intent, Verb
from dr.ports import AttemptContext, Clock, Kind, Look, Operation, Seen, Step

T = TypeVar("T")

PERSONS = ("gate", "approval")
"""Kinds whose steps end with a person's word, which is the engine's."""
WAITS = ("propagate", "wait-ttl", "wait")
"""Steps that let time pass and look at nothing: they are done wherever they are."""
ATTEMPT = timedelta(minutes=2)


class Stand(Protocol):
    """A world in which kinds are tried. ``clock``: what is handed to attempts."""

    runbook: Runbook
    kinds: Mapping[str, Kind]
    clock: Clock

    def run(self, work: Callable[[], T]) -> T:
        """Does something in the time of this world. Raises what it raises."""

    def pass_time(self, seconds: float) -> None:
        """Lets time pass."""

    def alive(self, region: str) -> bool:
        """The region lives."""

    def lose(self, region: str) -> None:
        """A region dies."""

    def bring_back(self, region: str) -> None:
        """It is there again, as it was."""

    def facts(self) -> object:
        """What all components are, looked at from outside, without moments; two looks are equal where nothing has changed."""


@dataclass(frozen=True)
class Tried:
    """One step, tried. first, last: what was seen before and in the end. again: seen by a second attempt; same: it changed nothing more.
    undone: seen after an undo, None where there is none; taken_back: things are not as they were after the act;
    undone_twice: a second undo changed nothing more. silent: what came of it while
    its region was lost; None where that was not tried. found: its evidence.
    """

    intent: Intent
    step: Step
    first: Seen
    last: Seen
    again: Seen
    same: bool
    undone: Seen | None = None
    taken_back: bool = True
    undone_twice: bool = True
    silent: Seen | StepError | None = None
    found: tuple[Evidence, ...] = ()

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.intent}: {self.step.spec.id}"

    @property
    def waits(self) -> bool:
        """It only lets time pass."""
        return self.step.spec.id.partition("/")[2] in WAITS

    @property
    def unacknowledged(self) -> bool:
        """A fence that says that it did not take hold."""
        seen = self.silent.evidence if isinstance(self.silent, Seen) else ()
        return any(isinstance(item, Fenced) and item.state is FenceState.UNACKNOWLEDGED for item in seen)


ROUND_TRIP = (
    (Intent.FAILOVER, "east", "west"), (Intent.REPROTECT, "east", "west"), (Intent.FAILBACK, "west", "east"),
    (Intent.SWITCHOVER, "east", "west"),
)  # fmt: skip
"""Intent, source and target, one after the other. The source of the first is lost before it, and back after it."""


class Walk:
    """All steps of all intents, in the order of their plans. ``deaf``: each is tried while its region is lost, before it is done."""

    def __init__(self, stand: Stand, *, deaf: bool = False) -> None:
        self._stand, self._deaf, self._epoch = stand, deaf, 1
        self.tried: list[Tried] = []

    def go(self) -> list[Tried]:
        """Walks."""
        for intent, source, target in ROUND_TRIP:
            for kind in self._stand.kinds.values():  # as a monitor does: what is known of a region is known from before
                self._stand.run(partial(kind.sample, source))
            if intent is Intent.FAILOVER:
                self._stand.lose(source)
            self._move(intent, source, target)
            if intent is Intent.FAILOVER:
                self._stand.bring_back(source)
            self._stand.pass_time(10.0)
        return self.tried

    def _move(self, intent: Intent, source: str, target: str) -> None:
        stand, self._epoch = self._stand, self._epoch + 1
        chains = {name: kind.steps(intent, source, target) for name, kind in stand.kinds.items()}
        planned = make_plan(stand.runbook, chains, intent, source, target)
        steps = {spec.id: Step(spec, planned.operations[spec.id]) for spec in planned.plan.steps}
        order = graph.waves(graph.build({spec.id: spec.needs for spec in planned.plan.steps}))
        evidence: tuple[Evidence, ...] = ()
        for name in (name for wave in order for name in wave):
            if steps[name].spec.kind not in PERSONS:
                evidence = (*evidence, *self._try(steps[name], self._context(steps[name], intent, source, target, evidence)))

    def _context(
        self, step: Step, intent: Intent, source: str, target: str, evidence: tuple[Evidence, ...]
    ) -> AttemptContext:
        clock = self._stand.clock
        yes = Acceptance(guard=Guard.FENCE, actor="somebody", reason="it is lost", at=clock.now())
        return AttemptContext(
            run_id=f"20260303-024000-{intent}", step=step.spec, intent=intent, source=source, target=target, number=1,
            key=f"{intent}/{step.spec.id}", epoch=self._epoch, actor="somebody", clock=clock,
            deadline=clock.monotonic() + ATTEMPT.total_seconds(), evidence=evidence,
            acceptances=(yes,) if intent is Intent.FAILOVER else (),
        )  # fmt: skip

    def _try(self, step: Step, context: AttemptContext) -> tuple[Evidence, ...]:
        stand, act = self._stand, step.operation
        silent = self._silent(step, context) if self._deaf else None
        context = replace(context, deadline=stand.clock.monotonic() + 20 * ATTEMPT.total_seconds())
        before = stand.facts()
        first, last, found = self._attempt(act, context)
        context = replace(context, evidence=(*context.evidence, *found))
        stand.pass_time(2.0)  # what others did a moment ago has arrived
        after = stand.facts()
        again, _, more = self._attempt(act, replace(context, number=2))
        tried = Tried(context.intent, step, first, last, again, stand.facts() == after, silent=silent, found=(*found, *more))
        if context.intent.planned and step.spec.undoable and first.look is Look.NEEDED:  # only planned moves are rolled back
            stand.run(lambda: act.undo(context))
            undone, facts = stand.run(lambda: act.observe(context)), stand.facts()
            stand.run(lambda: act.undo(context))
            tried = replace(
                tried, undone=undone, taken_back=facts != after or after == before, undone_twice=stand.facts() == facts
            )  # fmt: skip
            _, last, more = self._attempt(act, context)
        self.tried.append(tried)
        return (*found, *more)

    def _attempt(self, act: Operation, context: AttemptContext) -> tuple[Seen, Seen, tuple[Evidence, ...]]:
        """What was seen first and last, and what was found."""
        stand, found = self._stand, list[Evidence]()

        def seen(look: Callable[[AttemptContext], Seen]) -> Seen:
            answer = look(replace(context, evidence=(*context.evidence, *found)))
            found.extend(answer.evidence)
            return answer

        def attempt() -> tuple[Seen, Seen]:
            first = last = seen(act.observe)
            if first.look is Look.NEEDED:
                found.extend(act.preserve(replace(context, evidence=(*context.evidence, *found))))
                found.extend(act.act(replace(context, evidence=(*context.evidence, *found))))
                last = seen(act.verify)
                while last.look is Look.NEEDED and context.clock.monotonic() < context.deadline:
                    context.clock.sleep(1.0)
                    last = seen(act.verify)
            return first, last

        first, last = stand.run(attempt)
        return first, last, tuple(found)

    def _silent(self, step: Step, context: AttemptContext) -> Seen | StepError | None:
        """One attempt while the step's region is lost, without patience."""
        stand, region = self._stand, step.spec.region
        if not stand.alive(region):
            return None
        stand.lose(region)
        try:
            _, last, found = self._attempt(step.operation, replace(context, deadline=stand.clock.monotonic()))
            return replace(last, evidence=found)
        except StepError as error:
            return error
        finally:
            stand.bring_back(region)
            stand.pass_time(5.0)


def same_specs(one: Sequence[Step], other: Sequence[Step]) -> bool:
    """The same steps, apart from what a person would type."""
    left = {"by_hand": "", "check_by_hand": ""}
    return [step.spec.model_copy(update=left) for step in one] == [step.spec.model_copy(update=left) for step in other]


def verbs(tried: Sequence[Tried]) -> set[Verb]:
    """What was done."""
    return {item.step.spec.verb for item in tried}
