"""What all steps of this kind have in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dr.errors import Permanent
from dr.model.evidence import Evidence
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.airflow.fleet import Fleet

_NAMED = 3


class FleetStep:
    """A step over all Deployments in one region.

    ``observe`` says NEEDED without looking where the act itself reads each Deployment's state in the transaction that changes it:
    reading it before, too, would prove nothing and cost a round trip to every database.

    Args:
        fleet: what the component can reach.
        region: where the step works.
    """

    def __init__(self, fleet: Fleet, region: str) -> None:
        self.fleet, self.region = fleet, region

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED: the act is conditional on what it reads."""
        return Seen(Look.NEEDED)

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing is destroyed."""
        return ()

    def undo(self, context: AttemptContext) -> None:
        """Only steps that say ``undoable`` have one."""
        raise Permanent(f"{context.step.id} cannot be undone")


def accepted(context: AttemptContext, guard: Guard) -> bool:
    """A named person accepted what this guard refuses."""
    return any(item.guard is guard for item in context.acceptances)


def some(names: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    shown: Sequence[str] = sorted(names)[:_NAMED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
