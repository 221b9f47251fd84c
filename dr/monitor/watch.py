"""What the sampler asks next, and what it writes down when no answer comes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.errors import DrError
from dr.model.base import show_duration
from dr.model.lag import Beat, ComponentView, LagSample
from dr.model.words import Known


@dataclass(frozen=True)
class Pace:
    """How often what is asked, beside one heartbeat and one sample a round.

    views: who is primary; asked at once, too, when a heartbeat was not acknowledged (but not more often than ``hurry``).
    identities: who the Deployments are.
    grace: how long samples wait for the heartbeats of their round, so that they see them; a dead primary costs samples no more.
    limit: the longest a round waits for anything; what has not answered by then counts as not answering.
    """

    views: timedelta = timedelta(seconds=5)
    hurry: timedelta = timedelta(seconds=1)
    identities: timedelta = timedelta(seconds=60)
    grace: timedelta = timedelta(milliseconds=200)
    limit: timedelta = timedelta(seconds=4)


@dataclass(frozen=True)
class Round:
    """One round over all components.

    views: those that are recent enough to be believed. troubles: what could not be done, one line each.
    """

    at: datetime
    samples: Mapping[str, LagSample]
    beats: Mapping[str, Beat]
    views: Mapping[str, ComponentView]
    troubles: tuple[str, ...] = ()


def next_primary(known: str | None, view: ComponentView) -> str | None:
    """The region that gets the heartbeats. The last known one stays while nobody, or more than one, is seen as primary:
    heartbeats that fail are what dates the outage."""
    return view.primary or known


def view_due(asked_at: float | None, now: float, pace: Pace, *, failing: bool) -> bool:
    """Whether to ask again who is primary. Moments are monotonic seconds."""
    return asked_at is None or now - asked_at >= (pace.hurry if failing else pace.views).total_seconds()


def believed(view: ComponentView, now: datetime, pace: Pace) -> bool:
    """Whether a view still says something about now: two were missed at most."""
    return now - view.at <= pace.views * 3 + pace.limit


def no_answer(pace: Pace) -> str:
    """The reason for what took too long."""
    return f"no answer within {show_duration(pace.limit)}"


def reason_of(error: BaseException) -> str:
    """An error as a reason. Text of errors that are not ours is left out: it may carry credentials (connection strings)."""
    return error.message if isinstance(error, DrError) else f"{type(error).__name__} in the kind: a bug, see its tests"


def failed_beat(component: str, region: str, sent_at: datetime, reason: str) -> Beat:
    """A heartbeat that nobody acknowledged."""
    return Beat(component=component, region=region, sent_at=sent_at, acknowledged_at=None, reason=reason)


def unknown_sample(component: str, at: datetime, reason: str, before: LagSample | None = None) -> LagSample:
    """A measurement that did not come about. What the one before knew of the primary's clock is carried on: it may not be asked again."""
    ahead, of = (None, "") if before is None else (before.clock_ahead, before.clock_of)
    return LagSample(component=component, at=at, state=Known.UNKNOWN, reason=reason, clock_ahead=ahead, clock_of=of)
