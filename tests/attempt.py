"""One attempt of one step, without the engine's judgement: what a step raises is raised."""

from __future__ import annotations

from dataclasses import replace

from dr.errors import Transient
from dr.model.evidence import Evidence
from dr.ports import AttemptContext, Look, Seen, Step

_POLL_SECONDS = 0.01


def perform(step: Step, context: AttemptContext) -> tuple[Seen, list[Evidence]]:
    """Looks, acts where that is needed, and looks until it holds or the attempt's time is over: the last look, and all that was found.

    What must be journaled before it acts is: that takes the engine a second attempt.
    """
    operation = step.operation
    seen = operation.observe(context)
    found = list(seen.evidence)
    if seen.look is Look.NEEDED:
        try:
            found += operation.preserve(context)
        except Transient:
            context = replace(context, evidence=(*context.evidence, *found))
            found += operation.preserve(context)
        found += operation.act(replace(context, evidence=(*context.evidence, *found)))
        context = replace(context, evidence=(*context.evidence, *found))
        seen = operation.verify(context)
        while seen.look is Look.NEEDED and context.clock.monotonic() < context.deadline:
            context.clock.sleep(_POLL_SECONDS)
            seen = operation.verify(context)
        found += seen.evidence
    return seen, found
