"""What takes writes in both regions and sends them to the other one: buckets, global tables. Nothing of it leads, nothing is promoted.

How far the other side is behind is known where it is sent from; once that region is lost, what was told last only gets older.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication.html,
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html: the last writer of an item wins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from dr.model.lag import Finding, LagSample
from dr.model.words import Known, Severity
from dr.providers.sim.objects import Objects, Piece, count, within
from dr.providers.sim.process import START
from dr.providers.sim.sort import Answers, Told, answered, silent
from dr.providers.sim.world import World


class Sent(NamedTuple):
    """What a region says of its sending. point: all of before has arrived, in seconds of the world. behind, failed: objects.
    follows: it is sending."""

    point: float
    behind: int
    failed: int
    follows: bool


class TwoWay(Objects):
    """``Store`` of one such component. The markers of ``Objects`` mean nothing here: nobody leads.

    where: whether somebody writes to a region's side now. written_by: by region, the run that wrote its marker there last.
    joined: what was told last of all directions.
    """

    placed = False
    two_way = watched = True

    def __init__(self, world: World, name: str, home: str, where: Callable[[str], bool], regions: Sequence[str] = ()) -> None:
        super().__init__(world, name, home, None, regions)
        self._where = where
        self.written_by: dict[str, str] = {}
        self._last: LagSample | None = None

    def writes(self, region: str) -> bool:
        """Somebody writes there."""
        return self.world.regions[region].alive and region not in self.down and self._where(region)

    def _marks_arrive(self, one: str, other: str, way: object) -> None:
        """There are none."""

    def lost(self, region: str) -> None:
        """What it had not sent it sends by itself once it is back: only what AWS says has failed is never sent."""

    def look(self, region: str) -> Told:
        """How far the others are, as the region says that sends to them."""
        self.there(region)
        found = []
        for (one, other), way in self.ways.items():
            if one == region:
                late = count(within(self.written[one], way.upto, float("inf")))
                failed = count(piece for gap in way.gaps for piece in within(self.written[one], *gap))
                found.append(Sent(self.arrived(one, other), late, failed, not self.stalled))
        return Told(None, min(found))

    def findings(self, told: Answers) -> Sequence[Finding]:
        """What failed, and what is not sent at all."""
        found = []
        for region, item in answered(told).items():
            if item.facts.failed:
                fact = f"{item.facts.failed} objects of {region} failed to replicate"
                found.append(self.finding(Severity.WARNING, fact, "dr reprotect, or a planned move: Batch Replication brings them", region))
            if not item.facts.follows:
                fact = f"nothing is sent from {region}"
                found.append(self.finding(Severity.WARNING, fact, "aws s3api put-bucket-replication", region))
        return found

    def joined(self, told: Answers, now: datetime) -> LagSample:
        """One sample for all directions: the worst; what was known last where a region does not say."""
        quiet = "; ".join(error.message for error in silent(told).values())
        sent = [item.facts for item in answered(told).values()]
        if sent and not quiet:
            point = START + timedelta(seconds=min(item.point for item in sent))
            self._last = LagSample(
                component=self.name, at=now, state=Known.BOUND, lag=max(now - point, timedelta(0)), recovery_point=point,
                behind_items=sum(item.behind for item in sent), failed_items=sum(item.failed for item in sent),
                follows=all(item.follows for item in sent),
            )  # fmt: skip
            return self._last
        if self._last is None or self._last.recovery_point is None:
            return LagSample(component=self.name, at=now, state=Known.UNKNOWN, reason=quiet or "nothing was ever told")
        lag = max(now - self._last.recovery_point, timedelta(0))
        reason = f"{quiet}; this is what was known last"
        return self._last.model_copy(update={"at": now, "lag": lag, "reason": reason, "follows": None})

    @property
    def known(self) -> datetime | None:
        """The recovery point that was told last; None: nobody ever said."""
        return None if self._last is None else self._last.recovery_point

    def lacks(self, one: str, other: str, before: float) -> list[Piece]:
        """What was written in one region before a moment and is not in the other."""
        return [Piece(piece.begin, min(piece.end, before)) for piece in self.missing(one, other) if piece.begin < before]


class Buckets(TwoWay):
    """Two buckets, each with a rule that replicates to the other one.

    routed: where a Multi-Region Access Point in front of both leads; None: there is none. settles: when its routes hold everywhere.
    batch: there is a role for Batch Replication.
    """

    def __init__(
        self, world: World, name: str, home: str, where: Callable[[str], bool], regions: Sequence[str], *, access: bool, batch: bool = True
    ) -> None:
        super().__init__(world, name, home, where, regions)
        self.batch = batch
        self.routed: str | None = home if access else None
        self.settles = 0.0

    def gave_up(self, one: str, other: str, since: float, before: float) -> list[Piece]:
        """What was written in one region between two moments and failed to replicate: it never arrives by itself."""
        gaps = [piece for gap in self.ways[one, other].gaps for piece in within([gap], since, before)]
        return [piece for gap in gaps for piece in within(self.written[one], *gap)]

    def route(self, region: str) -> None:
        """All traffic to one region: both routes in one call, which hold everywhere within two minutes."""
        if self.routed != region:
            self.routed, self.settles = region, self.world.now + 120.0


class GlobalTable(TwoWay):
    """A global table: what both sides wrote is merged by DynamoDB, item by item, and the later write wins."""
