"""``dr monitor``: beats, samples, metrics, until it is told to stop."""

from __future__ import annotations

import threading
from datetime import timedelta

from dr.app.platform import Platform
from dr.app.runs import Runs


def watch(runs: Runs, platform: Platform, *, interval: timedelta, port: int | None, stop: threading.Event) -> None:
    """Blocks until ``stop``. Raises StateLost when samples cannot be written any more."""
    raise NotImplementedError
