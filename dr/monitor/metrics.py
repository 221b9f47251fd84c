"""The one list of Prometheus names, and the collector that sets them. What is unknown has no series: it is never exported as 0.

Dashboards and alert rules (``dashboards/``) use these names and no others; a test compares.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from dr.model.lag import Exposure
from dr.model.words import DebtKind, Known, Role
from dr.monitor import exposure as judged
from dr.monitor.watch import Round
from dr.ports import Clock


class _Spec(NamedTuple):
    """One metric: name as it is exposed, labels beside ``runbook``, help."""

    exposed: str
    labels: tuple[str, ...]
    text: str


class Name(Enum):
    """Every metric of ``dr monitor``."""

    LAG = _Spec("dr_replication_lag_seconds", ("component",), "Age of the newest change that the secondary does not have yet.")
    RECOVERY_POINT = _Spec(
        "dr_recovery_point_timestamp_seconds", ("component",), "The newest moment whose data the secondary holds, Unix time."
    )
    BEHIND = _Spec("dr_replication_behind_bytes", ("component",), "What the secondary still has to receive.")
    BEHIND_ITEMS = _Spec("dr_replication_behind_items", ("component",), "Objects that the secondary still has to receive.")
    FAILED_ITEMS = _Spec(
        "dr_replication_failed_items", ("component",), "Objects that never arrived in the secondary although later ones did."
    )
    EXPOSURE = _Spec("dr_exposure_seconds", ("component",), "At most so much would be lost if the primary were lost now.")
    EXPOSURE_KNOWN = _Spec("dr_exposure_known", ("component",), "1 where dr_exposure_seconds is known, 0 where it is unknown.")
    SAMPLE_AGE = _Spec("dr_sample_age_seconds", ("component",), "Age of the newest sample whose lag could be read.")
    RPO = _Spec("dr_rpo_seconds", ("component",), "The recovery point objective that counts for the component.")
    PRIMARY = _Spec("dr_primary_info", ("component", "region"), "1 for the region that is seen as the one primary.")
    REACHABLE = _Spec("dr_region_reachable", ("component", "region"), "1 where the component answers in the region.")
    READY = _Spec("dr_failover_ready", ("answer",), "1 for the answer to: could we fail over now? (yes, with-acceptance, no)")
    BEATS = _Spec("dr_heartbeats_total", ("component",), "Heartbeats written on the primary, acknowledged or not.")
    BEATS_FAILED = _Spec("dr_heartbeat_failures_total", ("component",), "Heartbeats that were not acknowledged.")
    BEAT_AGE = _Spec("dr_heartbeat_age_seconds", ("component",), "Time since the last acknowledged heartbeat.")
    DEBT = _Spec("dr_debt_items", ("kind",), "What runs have left to be done.")
    IN_FLIGHT = _Spec("dr_run_in_flight", (), "1 while a run of the runbook has not ended, paused ones included.")


@dataclass(frozen=True)
class Standing:
    """What the journal says beside the samples: open debt by kind, and whether a run has not ended."""

    debt: Mapping[DebtKind, int]
    run_in_flight: bool


class Metrics(Collector):
    """Turns rounds into metrics. ``saw`` is called by the monitor, ``collect`` by whoever scrapes, from other threads.

    Args:
        rpo: of each component that counts.
        standing: read from the journal at most every ``standing_every``, in the thread that calls ``saw``; what it raises comes out there.
    """

    def __init__(
        self,
        runbook: str,
        rpo: Mapping[str, timedelta],
        clock: Clock,
        standing: Callable[[], Standing],
        *,
        stale_after: timedelta = judged.STALE_AFTER,
        standing_every: timedelta = timedelta(seconds=5),
    ) -> None:
        self._runbook, self._rpo, self._clock, self._read_standing = runbook, dict(rpo), clock, standing
        self._stale_after, self._standing_every = stale_after, standing_every
        self._lock = threading.Lock()
        self._round: Round | None = None
        self._standing: Standing | None = None
        self._standing_at = 0.0
        self._beats: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._acknowledged: dict[str, datetime] = {}
        self._measured: dict[str, datetime] = {}

    def saw(self, round_: Round) -> None:
        """Takes in one round. Raises what reading the journal raises (StateUnreadable)."""
        now = self._clock.monotonic()
        standing = None
        if self._standing is None or now - self._standing_at >= self._standing_every.total_seconds():
            standing = self._read_standing()
        with self._lock:
            self._round = round_
            if standing is not None:
                self._standing, self._standing_at = standing, now
            for name, beat in round_.beats.items():
                self._beats[name] += 1
                self._failed[name] += beat.acknowledged_at is None
                if beat.acknowledged_at is not None:
                    self._acknowledged[name] = beat.acknowledged_at
            self._measured.update({name: item.at for name, item in round_.samples.items() if item.state is not Known.UNKNOWN})

    def collect(self) -> Iterator[Metric]:
        """All metrics as they stand at this moment; nothing but the objectives before the first round."""
        with self._lock:
            yield self._gauge(Name.RPO, [((name,), rpo.total_seconds()) for name, rpo in self._rpo.items()])
            if self._round is not None:
                yield from self._replication(self._round)
                yield from self._regions(self._round)
            yield from self._heartbeats()
            if self._standing is not None:
                yield self._gauge(Name.DEBT, [((kind.value,), self._standing.debt.get(kind, 0)) for kind in DebtKind])
                yield self._gauge(Name.IN_FLIGHT, [((), float(self._standing.run_in_flight))])

    def describe(self) -> Iterator[Metric]:
        """Names without values, for the registry."""
        return iter([self._gauge(name, []) for name in Name])

    def _replication(self, seen: Round) -> Iterator[Metric]:
        samples = seen.samples.items()
        yield self._gauge(Name.LAG, [((name,), item.lag.total_seconds()) for name, item in samples if item.lag is not None])
        points = [((name,), item.recovery_point.timestamp()) for name, item in samples if item.recovery_point is not None]
        yield self._gauge(Name.RECOVERY_POINT, points)
        yield self._gauge(Name.BEHIND, [((name,), item.behind_bytes) for name, item in samples if item.behind_bytes is not None])
        items = [((name,), item.behind_items) for name, item in samples if item.behind_items is not None]
        yield self._gauge(Name.BEHIND_ITEMS, items)
        failed = [((name,), item.failed_items) for name, item in samples if item.failed_items is not None]
        yield self._gauge(Name.FAILED_ITEMS, failed)
        exposures = self._exposures(seen)
        known = [((name,), item.value.total_seconds()) for name, item in exposures.items() if item.value is not None]
        yield self._gauge(Name.EXPOSURE, known)
        yield self._gauge(Name.EXPOSURE_KNOWN, [((name,), float(item.value is not None)) for name, item in exposures.items()])
        now = self._clock.now()
        yield self._gauge(Name.SAMPLE_AGE, [((name,), (now - at).total_seconds()) for name, at in self._measured.items()])
        verdict = judged.can_fail_over(seen.views.values(), exposures, self._rpo)
        yield self._gauge(Name.READY, [((answer.value,), float(answer is verdict.answer)) for answer in judged.Answer])

    def _exposures(self, seen: Round) -> dict[str, Exposure]:
        now = self._clock.now()
        return {name: judged.exposure(item, now, component=name, stale_after=self._stale_after) for name, item in seen.samples.items()}

    def _regions(self, seen: Round) -> Iterator[Metric]:
        views = seen.views.items()
        yield self._gauge(Name.PRIMARY, [((name, view.primary), 1) for name, view in views if view.primary is not None])
        roles = [(name, region, item.role) for name, view in views for region, item in view.regions.items()]
        yield self._gauge(Name.REACHABLE, [((name, region), float(role in (Role.PRIMARY, Role.SECONDARY))) for name, region, role in roles])

    def _heartbeats(self) -> Iterator[Metric]:
        yield self._counter(Name.BEATS, self._beats)
        yield self._counter(Name.BEATS_FAILED, self._failed)
        now = self._clock.now()
        yield self._gauge(Name.BEAT_AGE, [((name,), (now - at).total_seconds()) for name, at in self._acknowledged.items()])

    def _gauge(self, name: Name, values: Iterable[tuple[tuple[str, ...], float]]) -> GaugeMetricFamily:
        spec = name.value
        family = GaugeMetricFamily(spec.exposed, spec.text, labels=("runbook", *spec.labels))
        for labels, value in values:
            family.add_metric((self._runbook, *labels), value)
        return family

    def _counter(self, name: Name, counts: Counter[str]) -> CounterMetricFamily:
        spec = name.value
        family = CounterMetricFamily(spec.exposed.removesuffix("_total"), spec.text, labels=("runbook", *spec.labels))
        for component, count in counts.items():
            family.add_metric((self._runbook, component), count)
        return family
