"""What is observed of a component, now: roles, replication lag, recovery point, findings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from dr.model.base import Duration, Frozen, Moment, show_duration
from dr.model.words import Known, Role, Severity

STALE_AFTER = timedelta(seconds=30)
"""A sample older than this says nothing about now."""
_WORTH_TELLING = timedelta(seconds=2)


class LagSample(Frozen):
    """One measurement of one component. A missing or stale sample is unknown, never zero.

    lag: how old the newest change is that the secondary does not have yet (None when unknown).
    recovery_point: the newest moment whose data the secondary holds, read in the secondary from its own data.
    behind_bytes: what the secondary still has to receive, where the primary could be asked. behind_items: the same, counted in objects.
    failed_items: what it will not receive by itself, for what was written well after it is there. Counted apart from behind_items, by kinds
        that replicate items one by one. failed_named: the first of them. None: not known, or there is no such thing.
    follows: the secondary is being sent changes now. One that has forked may lie only seconds back and never come nearer. None: not told.
    clock_behind: how far the clock of the machine that sampled was behind the secondary's own; None: not asked.
    clock_ahead: how far the primary's clock, which stamps the commits, was ahead of the secondary's when both were asked last. Lag and
        recovery point are by the secondary's: it is taken off already. None: they were never compared, or it stamps nothing.
    clock_of: the region whose clock ``clock_ahead`` tells of; a sample that says nothing else still carries both. With None: that clock
        went ahead since both were asked, nobody knows how far, and its stamps count for nothing.
    """

    component: str
    at: Moment
    state: Known
    lag: Duration | None = None
    recovery_point: Moment | None = None
    behind_bytes: int | None = None
    behind_items: int | None = None
    failed_items: int | None = None
    failed_named: tuple[str, ...] = ()
    follows: bool | None = None
    retained_bytes: int | None = None
    reason: str = ""
    clock_behind: Duration | None = None
    clock_ahead: Duration | None = None
    clock_of: str = ""


class Stretch(NamedTuple):
    """A piece of time that samples of one component speak for, for adding up over months. Whole microseconds since 1970 UTC.

    One sample speaks from its moment until the next one of its component, at most for ``STALE_AFTER``; older ones are summed up by the
    minute (``dr.store.history``), where the worst sample of the minute speaks for all of it. Stretches do not overlap.

    known: how much of ``start`` to ``end`` a sample speaks for that could be read; the rest is unknown.
    exposure: the worst moment-of-the-sample − recovery point in it, and when; None where nothing is known. lag: likewise.
    """

    component: str
    start: int
    end: int
    samples: int
    known: int
    exposure: int | None
    exposure_at: int | None
    lag: int | None
    lag_at: int | None


class Beat(Frozen):
    """One heartbeat: a small write on the primary of a component, acknowledged or not."""

    component: str
    region: str
    sent_at: Moment
    acknowledged_at: Moment | None
    reason: str = ""


class Finding(Frozen):
    """One result of a readiness check: severity, fact, fix. ``region``: where it matters only for moves to that region, else None."""

    component: str
    severity: Severity
    fact: str
    fix: str = ""
    region: str | None = None


class RegionView(Frozen):
    """A component as observed in one region.

    epoch: a number that grows with each promotion where the kind has one (PostgreSQL timeline), else None.
    late: it did not answer within the time of one look: lost or only slow, nobody can tell. Nobody relies on it either way.
    """

    role: Role
    reason: str = ""
    epoch: int | None = None
    late: bool = False


class ComponentView(Frozen):
    """A component as observed now, in all regions."""

    component: str
    kind: str
    at: Moment
    regions: dict[str, RegionView]
    lag: LagSample | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def primary(self) -> str | None:
        """See ``leading``."""
        return leading(self.regions)


def leading(regions: Mapping[str, RegionView]) -> str | None:
    """The region that takes writes: observed, never configured; None when nobody does, or it is unclear.

    Of two that take writes it is the one with the greater epoch: the other one is an old primary that came back, whose
    writes are divergence. Without epochs it is unclear.
    """
    primaries = [name for name, view in regions.items() if view.role is Role.PRIMARY]
    if len(primaries) < 2:
        return primaries[0] if primaries else None
    epochs = {name: regions[name].epoch for name in primaries}
    newest = max((epoch for epoch in epochs.values() if epoch is not None), default=None)
    ahead = [name for name, epoch in epochs.items() if epoch == newest]
    return ahead[0] if None not in epochs.values() and len(ahead) == 1 else None


def slow_clock(slow: timedelta) -> str:
    """What is said of an exposure that was reckoned by the other side's clock; nothing of what the question itself takes."""
    return "" if slow < _WORTH_TELLING else f"this machine's clock is {show_duration(slow)} behind the other side's, which counts"


class Exposure(Frozen):
    """Outage began (or now) minus recovery point: what would be lost. ``state`` bound: at most this. ``follows``: as the sample has it."""

    component: str
    state: Known
    value: timedelta | None = None
    recovery_point: Moment | None = None
    reason: str = ""
    follows: bool | None = None
