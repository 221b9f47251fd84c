"""Replication lag and recovery point. The decision is pure; the probe reads and writes.

``now() - pg_last_xact_replay_timestamp()`` grows while the primary is idle, so it is no lag. What counts instead, in this order:

1. the secondary has replayed the position that the primary had a moment before: nothing was missing then, the lag is that moment;
2. else the age of the newest heartbeat row that the secondary holds: everything older has arrived;
3. else (no heartbeats were ever written, or the primary cannot be asked) the age of the recovery point is only an upper bound.

What cannot be read is unknown, never zero (I6).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.errors import Permanent, StepError
from dr.model.base import clock_behind
from dr.model.lag import Beat, LagSample
from dr.model.words import Known
from dr.ports import Clock
from dr.providers.clock_ahead import ClockAhead, Told, why_wrong
from dr.providers.selfhosted.postgres.config import PostgresConfig
from dr.providers.selfhosted.postgres.connect import Connections
from dr.providers.selfhosted.postgres.facts import UNDEFINED_TABLE, Reading, Unread, everywhere, try_read
from dr.providers.selfhosted.postgres.wal import behind, parse_lsn

INVALID_SCHEMA = "3F000"

CREATE = """
CREATE SCHEMA IF NOT EXISTS dr;
CREATE TABLE IF NOT EXISTS dr.heartbeat(
  component text PRIMARY KEY, region text NOT NULL, beat_at timestamptz NOT NULL, number bigint NOT NULL)
"""
BEAT = """
INSERT INTO dr.heartbeat AS h (component, region, beat_at, number) VALUES (%(component)s, %(region)s, least(%(at)s, clock_timestamp()), 1)
ON CONFLICT (component) DO UPDATE SET region = excluded.region, beat_at = excluded.beat_at, number = h.number + 1
RETURNING number
"""
_POSITION = """
SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn()::text END,
       (SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = %(slot)s), clock_timestamp()
"""


@dataclass(frozen=True)
class Ahead:
    """The primary's position, read before the secondary was looked at; ``retained_from``: where its slot still keeps the log from.

    read_at: by this machine's monotonic clock, right before it was asked. clock: what the primary's own showed.
    """

    position: str
    retained_from: str | None
    read_at: float
    clock: datetime | None = None


def decide(
    component: str, now: datetime, secondary: Reading | Unread, primary: Ahead | None, elapsed: timedelta, *, why_not: str = "",
    asked: datetime | None = None, clock: Told | None = None,
) -> LagSample:  # fmt: skip
    """One sample out of what was read.

    Args:
        elapsed: from before the primary's position was read until the secondary had been looked at.
        why_not: why the primary's position is not known.
        asked: what this machine's clock showed right before the secondary was asked; None: nobody looked.
        clock: how far the primary's clock, which stamps the commits, is ahead of the secondary's.
    """
    clock = clock or {"clock_ahead": None, "clock_of": ""}
    if isinstance(secondary, Unread):
        return LagSample(component=component, at=now, state=Known.UNKNOWN, reason=secondary.reason, **clock)
    if not secondary.recovering:
        reason = "the secondary takes writes: it follows nobody"
        return LagSample(component=component, at=now, state=Known.UNKNOWN, reason=reason, **clock)
    missing = behind(primary.position, secondary.received) if primary else None
    secondary = secondary.by_own_clock(clock)
    why_not = "; ".join(filter(None, [why_wrong(clock), why_not]))
    slow = None if asked is None else clock_behind(secondary.clock, asked)
    state, lag, reason = _lag(now + (slow or timedelta(0)), secondary, primary, elapsed, why_not)
    return LagSample(
        component=component, at=now, state=state, lag=lag, recovery_point=secondary.recovery_point, behind_bytes=missing,
        follows=secondary.receiver == "streaming",
        retained_bytes=behind(primary.position, primary.retained_from) if primary else None, reason=reason, clock_behind=slow,
        **clock,
    )  # fmt: skip


def _lag(now: datetime, secondary: Reading, primary: Ahead | None, elapsed: timedelta, why_not: str) -> tuple[Known, timedelta | None, str]:
    if primary is not None and secondary.replayed and parse_lsn(secondary.replayed) >= parse_lsn(primary.position):
        return Known.KNOWN, elapsed, ""
    point = secondary.recovery_point
    if point is None:
        return Known.UNKNOWN, None, why_not or "no heartbeat and no replayed commit in the secondary yet"
    age = max(now - point, timedelta(0))
    if primary is None:
        return Known.BOUND, age, why_not or "the primary cannot be asked"
    if secondary.heartbeat is None:
        return Known.BOUND, age, "no heartbeats were written yet: start dr monitor"
    return Known.KNOWN, age, ""


def write_beat(connections: Connections, component: str, region: str, at: datetime, limit: timedelta | None = None) -> int:
    """Writes the heartbeat row and makes its table on the first time; the row's number. A clock that is ahead must not make a recovery
    point look newer than it is: of ``at`` and what the server's own clock shows the earlier one is stored.

    Raises:
        NotServed, EffectUnknown, Permanent: as ``Connections.rows``; a read-only server refuses with Permanent.
    """
    values = {"component": component, "region": region, "at": at}
    answer = connections.ask(region, BEAT, values, effect=True, limit=limit)
    if answer.refused in (UNDEFINED_TABLE, INVALID_SCHEMA):
        connections.rows(region, CREATE, effect=True, limit=limit)
        answer = connections.ask(region, BEAT, values, effect=True, limit=limit)
    if answer.refused:
        raise Permanent(f"{component} in {region} did not take a write: {answer.message}")
    number: int = answer.rows[0][0]
    return number


class Probe:
    """What the monitor asks. Every method is bounded and never raises."""

    _BEAT_LIMIT = timedelta(seconds=1)

    def __init__(self, component: str, config: PostgresConfig, connections: Connections, clock: Clock, clocks: ClockAhead) -> None:
        self._component, self._config, self._connections, self._clock, self._clocks = component, config, connections, clock, clocks
        self._beating = threading.Lock()

    def beat(self, region: str) -> Beat:
        """One heartbeat in a region. ``sent_at`` is what is stored, unless the server's clock shows an earlier moment: whatever was
        acknowledged before it comes before it in the log."""
        at = self._clock.now()
        try:
            with self._beating:
                write_beat(self._connections, self._component, region, at, self._BEAT_LIMIT)
        except StepError as error:
            return Beat(component=self._component, region=region, sent_at=at, acknowledged_at=None, reason=error.message)
        return Beat(component=self._component, region=region, sent_at=at, acknowledged_at=self._clock.now())

    def sample(self, primary: str | None) -> LagSample:
        """One measurement. Where the primary is not known, the one region that is in recovery counts as the secondary."""
        if primary is None:
            readings = everywhere(self._config.regions, lambda region: try_read(self._connections, self._component, region))
            followers = [region for region, reading in readings.items() if isinstance(reading, Reading) and reading.recovering]
            if len(followers) != 1:
                reasons = [reading.reason for reading in readings.values() if isinstance(reading, Unread)]
                return self._unknown("; ".join(reasons) or "no region, or more than one, is a secondary")
            primary = self._config.other(followers[0])
        started = self._clock.monotonic()
        ahead, why_not = self._ahead(primary)
        asked = self._clock.now()
        secondary = try_read(self._connections, self._component, self._config.other(primary))
        read_at = self._clock.monotonic()
        elapsed = timedelta(seconds=read_at - (ahead.read_at if ahead else started))
        if ahead is not None and ahead.clock is not None and isinstance(secondary, Reading) and secondary.clock is not None:
            # both on the way to the safe side: the primary showed this after it was asked, the secondary before it had answered
            self._clocks.saw(primary, ahead.clock - secondary.clock + elapsed, elapsed)
        elif isinstance(secondary, Reading) and secondary.recovering and secondary.stamped_ahead is not None:
            self._clocks.stamped(primary, secondary.stamped_ahead)
        return decide(
            self._component, self._clock.now(), secondary, ahead, elapsed, why_not=why_not, asked=asked, clock=self._clocks.told(primary)
        )  # fmt: skip

    def _ahead(self, primary: str) -> tuple[Ahead | None, str]:
        slot, began = self._config.slot(self._config.other(primary)), self._clock.monotonic()
        try:
            recovering, position, kept_from, clock = self._connections.rows(primary, _POSITION, {"slot": slot}, limit=self._BEAT_LIMIT)[0]
        except StepError as error:
            return None, error.message
        if recovering or position is None:
            return None, f"{primary} is a secondary"
        return Ahead(position, kept_from, began, clock), ""

    def _unknown(self, reason: str) -> LagSample:
        return LagSample(component=self._component, at=self._clock.now(), state=Known.UNKNOWN, reason=reason, **self._clocks.told(None))
