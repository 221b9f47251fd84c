"""What would be lost, since when writes fail, and whether a failover could go ahead now. Pure; unknown is never zero (I6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby, pairwise
from typing import NamedTuple

from dr.model.base import show_duration
from dr.model.lag import STALE_AFTER as STALE_AFTER
from dr.model.lag import Beat, ComponentView, Exposure, LagSample, slow_clock
from dr.model.words import Known, Role, Severity


def exposure(
    sample: LagSample | None,
    now: datetime,
    outage_began: datetime | None = None,
    *,
    component: str,
    proven: bool = False,
    stale_after: timedelta = STALE_AFTER,
) -> Exposure:
    """What a failover now would lose of a component: the end of writes − recovery point.

    KNOWN where the end is proven, BOUND ("at most this") where writes may have gone on until now, UNKNOWN where the sample is
    missing, stale, from the future or without a recovery point. A recovery point after the proven end means that the end was
    not the end (heartbeats come once an interval), so now is taken instead; one after now means that clocks disagree: UNKNOWN.
    So a value is always above zero. Where the secondary's own clock showed a later moment than this machine's, that one counts.

    Args:
        outage_began: when writes ended. Counts only with ``proven``.
        proven: the old primary is fenced, or an independent probe saw writes end.
        stale_after: the greatest age of a sample that still says something.
    """
    known, reason = _usable(sample, now, stale_after)
    if sample is None or known is None:
        return Exposure(component=component, state=Known.UNKNOWN, recovery_point=sample.recovery_point if sample else None, reason=reason)
    slow = sample.clock_behind or timedelta(0)
    now += slow
    outage_began = None if outage_began is None else outage_began + slow
    if proven and outage_began is not None and outage_began > known:
        return Exposure(component=component, state=sample.state, value=outage_began - known, recovery_point=known)
    if now <= known:
        ahead = show_duration(known - now)
        return Exposure(
            component=component, state=Known.UNKNOWN, recovery_point=known,
            reason=f"the recovery point is {ahead} ahead of this machine's clock: compare the clocks",
        )  # fmt: skip
    why = "the recovery point is newer than the end of writes that was told" if proven and outage_began else "writes may go on until now"
    why = "; ".join(filter(None, [why, slow_clock(slow)]))
    return Exposure(component=component, state=Known.BOUND, value=now - known, recovery_point=known, reason=why)


def _usable(sample: LagSample | None, now: datetime, stale_after: timedelta) -> tuple[datetime | None, str]:
    """The recovery point of a sample that can be relied on, else None and why not."""
    if sample is None:
        return None, "there is no sample: is dr monitor running?"
    age = now - sample.at
    if age > stale_after:
        return None, f"the newest sample is {show_duration(age)} old, more than {show_duration(stale_after)}: is dr monitor running?"
    if -age > stale_after:
        return None, f"the newest sample is {show_duration(-age)} ahead of this machine's clock: compare the clocks"
    if sample.state is Known.UNKNOWN or sample.recovery_point is None:
        return None, sample.reason or "the recovery point could not be read in the secondary"
    return sample.recovery_point, ""


class Outage(NamedTuple):
    """Failing writes as the heartbeats saw them; both None where the newest ones were acknowledged.

    began: the last acknowledged heartbeat before the failures that still go on; None where none ever was.
    detected: the first heartbeat of these failures.
    """

    began: datetime | None
    detected: datetime | None


NO_OUTAGE = Outage(None, None)


def outages(beats: Iterable[Beat]) -> dict[str, Outage]:
    """The outage of each component whose newest heartbeat failed."""
    ordered = sorted(beats, key=lambda beat: (beat.component, beat.sent_at))
    found = {component: _outage(list(own)) for component, own in groupby(ordered, key=lambda beat: beat.component)}
    return {component: outage for component, outage in found.items() if outage.detected is not None}


def outage(beats: Iterable[Beat], *, watched_until: datetime | None = None) -> Outage:
    """The outage of the platform: it began with the first component that does not take writes.

    Args:
        watched_until: the newest heartbeat must not be older than this; failures that nobody watches any more may be over.
    """
    beats = list(beats)
    if watched_until is not None and all(beat.sent_at < watched_until for beat in beats):
        return NO_OUTAGE
    found = outages(beats).values()
    return Outage(
        min((item.began for item in found if item.began is not None), default=None),
        min((item.detected for item in found if item.detected is not None), default=None),
    )


def last_beat(beats: Iterable[Beat], *, watched_until: datetime) -> datetime | None:
    """Until when every component was seen to take writes; None where one never was, or nobody watched since ``watched_until``.

    Who decides within moments of a disaster is faster than the first heartbeat that fails: this one dates the outage then.
    """
    newest: dict[str, datetime | None] = {}
    for beat in sorted(beats, key=lambda beat: beat.sent_at):
        newest[beat.component] = beat.acknowledged_at or newest.get(beat.component)
    moments = [moment for moment in newest.values() if moment is not None and moment >= watched_until]
    return min(moments) if moments and len(moments) == len(newest) else None


_USUAL = 20
"""So many heartbeats say how often they come."""


def late(beats: Iterable[Beat], acknowledged_at: datetime, now: datetime) -> bool:
    """Whether what followed the heartbeat that was acknowledged then, another one or nothing until now, came later than twice the usual
    distance, or nobody knows what is usual. An outage that it dates may have begun anywhere in that gap."""
    beats = list(beats)
    dating = next((beat for beat in beats if beat.acknowledged_at == acknowledged_at), None)
    if dating is None:
        return True
    sent = sorted(beat.sent_at for beat in beats if beat.component == dating.component)
    usual = sorted(later - earlier for earlier, later in pairwise([at for at in sent if at <= dating.sent_at][-_USUAL:]))
    follows = next((at for at in sent if at > dating.sent_at), now)
    return len(usual) < 2 or follows - dating.sent_at > 2 * usual[len(usual) // 2]


def _outage(beats: Sequence[Beat]) -> Outage:
    """Of one component, heartbeats in order."""
    began = detected = None
    for beat in beats:
        if beat.acknowledged_at is not None:
            began, detected = beat.acknowledged_at, None
        elif detected is None:
            detected = beat.sent_at
    return NO_OUTAGE if detected is None else Outage(began, detected)


class Answer(StrEnum):
    """Can we fail over now?"""

    YES = "yes"
    WITH_ACCEPTANCE = "with-acceptance"
    NO = "no"


@dataclass(frozen=True)
class Verdict:
    """The answer and every reason against "yes"."""

    answer: Answer
    reasons: tuple[str, ...] = ()


def can_fail_over(views: Iterable[ComponentView], exposures: Mapping[str, Exposure], rpo: Mapping[str, timedelta]) -> Verdict:
    """Whether one region could take over everything now, from what is seen; the guards of a run decide when it comes to it.

    NO: there is no region in which every component is a secondary that answers, or one has two primaries.
    WITH_ACCEPTANCE: an exposure is unknown or above its RPO, or a readiness check found an error.
    """
    views = [view for view in views if view.regions]  # a command or a gate is nowhere
    primaries = {view.component: _in(view, Role.PRIMARY) for view in views}
    no = [f"{name} has more than one primary: {', '.join(regions)}" for name, regions in primaries.items() if len(regions) > 1]
    targets = [set(_in(view, Role.SECONDARY)) for view in views]
    if not targets:
        no.append("nothing is seen yet")
    elif not set.intersection(*targets):
        missing = [view.component for view, able in zip(views, targets, strict=True) if not able]
        no.append(f"no secondary answers: {', '.join(missing)}" if missing else "no region is the secondary of every component")
    if no:
        return Verdict(Answer.NO, tuple(no))
    doubts = [f"{item.component}: {item.fact}" for view in views for item in view.findings if item.severity is Severity.ERROR]
    for name, item in exposures.items():
        if item.state is Known.UNKNOWN or item.value is None:
            doubts.append(f"{name} would lose an unknown amount: {item.reason}")
        elif item.value > rpo[name]:
            doubts.append(f"{name} would lose {show_duration(item.value)}, RPO {show_duration(rpo[name])}")
    return Verdict(Answer.WITH_ACCEPTANCE, tuple(doubts)) if doubts else Verdict(Answer.YES)


def _in(view: ComponentView, role: Role) -> list[str]:
    return [name for name, region in view.regions.items() if region.role is role]
