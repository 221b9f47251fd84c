"""``dr monitor``: beats, samples, metrics, until it is told to stop."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

from dr.app import status
from dr.app.platform import Platform
from dr.app.runs import Runs
from dr.monitor.daemon import Monitor
from dr.monitor.sampler import Sampler


def watch(runs: Runs, platform: Platform, *, interval: timedelta, port: int | None, stop: threading.Event) -> None:
    """Blocks until ``stop``.

    Args:
        port: of ``/metrics`` on loopback; None: no endpoint.

    Raises:
        StateLost, StateUnreadable: what is measured cannot be stored.
    """
    name, clock = platform.runbook.name, runs.state.clock
    sampler = Sampler(name, platform.kinds, runs.state.samples, clock)
    if port is None:
        Monitor(sampler, clock, interval).run(stop)
        return
    from dr.monitor.exporter import Exporter
    from dr.monitor.metrics import Metrics, Standing

    def standing() -> Standing:
        owed = Counter(item.kind for item in status.debt(runs, name))
        return Standing(debt=owed, run_in_flight=runs.unfinished(name) is not None)

    metrics = Metrics(name, {component: platform.runbook.rpo(component) for component in platform.kinds}, clock, standing)
    with Exporter(metrics, port):
        Monitor(sampler, clock, interval, heard=metrics.saw).run(stop)
