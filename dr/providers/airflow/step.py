"""What all steps of this kind have in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from dr.ports import AttemptContext, Look, Seen
from dr.providers.airflow.fleet import Fleet
from dr.providers.one_way import OneWay

_NAMED = 3


class FleetStep(OneWay):
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


def some(names: Collection[str]) -> str:
    """The first few names, and how many more there are."""
    shown: Sequence[str] = sorted(names)[:_NAMED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
