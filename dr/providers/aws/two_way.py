"""What takes writes in both regions and sends them to the other one: buckets, global tables. Its lag is known where it is sent from.

CloudWatch of the region that sends says how far the other one is behind. Once that region is lost, nobody can be asked: what was told last
is remembered, in this process and in the monitor's samples, and only gets older. Which region people write to is not known here, so the
direction that is further behind counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Generic, TypeVar

from dr.errors import StepError
from dr.model.evidence import Fenced, Promoted, RecoveryPoint
from dr.model.lag import Finding, LagSample
from dr.model.runbook import KindConfig
from dr.model.words import FenceState, Known
from dr.ports import Site
from dr.providers.aws.config import AwsConfig
from dr.providers.aws.kind import AwsKind

C = TypeVar("C", bound=AwsConfig)
T = TypeVar("T")


@dataclass(frozen=True)
class Told:
    """What a region says of its sending to the other one.

    point: what was written there before this moment has arrived; None: not known, and ``reason`` says why.
    behind_bytes, behind_items: on their way. failed: given up. follows: it is sending; None: not known.
    unasked: why CloudWatch did not say it: what else the region says counts all the same.
    """

    point: datetime | None
    reason: str = ""
    behind_bytes: int | None = None
    behind_items: int | None = None
    failed: int | None = None
    follows: bool | None = None
    unasked: StepError | None = None


def measured(ask: Callable[[], Told]) -> Told:
    """What CloudWatch says, or why it does not: a permission that is missing there hides nothing of the rest."""
    try:
        return ask()
    except StepError as error:
        return Told(None, error.message, unasked=error)


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def joined(component: str, now: datetime, told: Mapping[str, Told | StepError], before: LagSample | None) -> LagSample:
    """One sample for all directions: the worst, or what was known last where one is not known. Pure.

    A direction in which nothing is sent does not count beside another one: that is an error finding for every move against it.

    Args:
        told: by the region that sends. before: the newest sample with a recovery point.
    """
    reasons = [item.message if isinstance(item, StepError) else item.reason for item in told.values()]
    reason = "; ".join(text for text in reasons if text)
    counts = [item for item in told.values() if isinstance(item, StepError) or item.follows is not False] or list(told.values())
    said = [item for item in counts if isinstance(item, Told)]
    points = [item.point for item in said if item.point is not None]
    stopped = any(item.follows is False for item in said)
    if points and len(points) == len(counts):
        point = min(points)
        return LagSample(
            component=component, at=now, state=Known.BOUND, lag=max(now - point, timedelta(0)), recovery_point=point, reason=reason,
            behind_bytes=_sum(item.behind_bytes for item in said), behind_items=_sum(item.behind_items for item in said),
            failed_items=_sum(item.failed for item in said), follows=not stopped,
        )  # fmt: skip
    if before is not None and before.recovery_point is not None:
        lag = max(now - before.recovery_point, timedelta(0))
        reason = "; ".join(filter(None, [reason, "this is what was known last"]))
        return before.model_copy(
            update={"at": now, "state": Known.BOUND, "lag": lag, "reason": reason, "follows": False if stopped else None}
        )
    return LagSample(component=component, at=now, state=Known.UNKNOWN, reason=reason or "nothing was ever told", follows=None)


class TwoWay(AwsKind[C, T], Generic[C, T]):
    """Base of kinds that take writes in both regions: they have no primary, and nothing of them is promoted or fenced."""

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        self._last: LagSample | None = None
        self._keeping = Lock()

    def lag(self, told: Mapping[str, Told | StepError]) -> LagSample:
        """The sample of a look."""
        now = self.site.clock.now()
        found = joined(self.name, now, told, None)
        if found.state is Known.UNKNOWN:
            return joined(self.name, now, told, self.remembered())
        with self._keeping:
            self._last = found
        return found

    def unmeasured(self, told: Mapping[str, Told | StepError]) -> Iterator[Finding]:
        """A warning for each region whose CloudWatch did not say what it sends."""
        for region, item in told.items():
            if isinstance(item, Told) and item.unasked is not None:
                yield self.hidden(region, item.unasked)

    def remembered(self) -> LagSample | None:
        """The newest sample with a recovery point, of this process or of the monitor; None: there is none."""
        kept = self.site.samples.latest(self.site.runbook).get(self.name)
        with self._keeping:
            known = [item for item in (self._last, kept) if item is not None and item.recovery_point is not None]
        return max(known, key=lambda item: item.recovery_point or item.at, default=None)

    def recovery_point(self, region: str) -> RecoveryPoint:
        """What a region holds of the other one as far as anybody knows without asking that one."""
        known = self.remembered()
        point = known.recovery_point if known is not None else None
        return RecoveryPoint(component=self.name, region=region, read_at=self.site.clock.now(), recovery_point=point)

    def unfenced(self, region: str) -> Fenced:
        """Nothing to fence: who writes is fenced, by the component that holds the writers."""
        proof = f"{self.kind} takes writes in both regions at all times; what writes to it is fenced, and what comes late is carried over"
        return Fenced(component=self.name, region=region, state=FenceState.NOT_NEEDED, proof=proof)

    def promoted(self, region: str) -> Promoted:
        """From now on what is written there counts."""
        return Promoted(component=self.name, region=region, epoch=None, promoted_at=self.site.clock.now())
