"""``dr monitor``: beats, samples, metrics, until it is told to stop."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

from dr.app import status
from dr.app.fencing import FenceRetry
from dr.app.platform import Platform
from dr.app.runs import Runs
from dr.monitor.daemon import Monitor
from dr.monitor.sampler import Sampler
from dr.monitor.watch import Round


def watch(
    runs: Runs, platform: Platform, *, interval: timedelta, port: int | None, stop: threading.Event, fence: FenceRetry | None = None
) -> None:
    """Blocks until ``stop``.

    Args:
        port: of ``/metrics`` on loopback; None: no endpoint.
        fence: hears of each round and retries fences that are owed; None: nobody does.

    Raises:
        StateLost, StateUnreadable: what is measured cannot be stored.
    """
    name, clock = platform.runbook.name, runs.state.clock
    sampler = Sampler(name, platform.kinds, runs.state.samples, clock)
    if port is None:
        Monitor(sampler, clock, interval, heard=lambda seen: fence.saw(seen) if fence else None).run(stop)
        return
    from dr.monitor.exporter import Exporter
    from dr.monitor.metrics import Metrics, Standing

    def standing() -> Standing:
        owed = Counter(item.kind for item in status.debt(runs, name))
        return Standing(debt=owed, run_in_flight=runs.unfinished(name) is not None)

    metrics = Metrics(name, {component: platform.runbook.rpo(component) for component in platform.kinds}, clock, standing)
    def heard(seen: Round) -> None:
        metrics.saw(seen)
        if fence is not None:
            fence.saw(seen)

    with Exporter(metrics, port):
        Monitor(sampler, clock, interval, heard=heard).run(stop)
