"""Where there is no terminal a run is told in lines, and what a person must hear before it happens is one of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from dr.cli.live import Watcher
from dr.model.events import Event, Observed, Record, StepStarted, encode
from dr.model.evidence import PredictedLate
from tests.cli.conftest import SECOND, T0, started


class Told:
    """An application whose run has already written its records."""

    def __init__(self, *events: Event) -> None:
        numbered = enumerate(events, 1)
        self.records = [Record("r-1", number, (T0 + number * SECOND).isoformat(), encode(event), "") for number, event in numbered]

    def follow(self, run_id: str, stop: threading.Event) -> Iterator[Sequence[Record]]:
        yield self.records


def test_an_rto_that_will_be_missed_is_said_while_there_is_time(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, with how long before, how much too late and what is waited for."""
    rto = timedelta(hours=1)
    late = PredictedLate(at=T0, rto=rto, deadline=T0 + rto, service_back=T0 + rto + 90 * SECOND, waits_for="db/fence")
    app = Told(started(), StepStarted(step="db/fence", attempt=1), Observed(evidence=late))
    watcher = Watcher(app, "r-1", lambda: T0, terminal=False)
    watcher.start()
    watcher.wait()
    said = [line for line in capsys.readouterr().err.splitlines() if "LATE" in line]
    told = "1h00m before the RTO of 1h00m is over, service is predicted back 1m30s after it: waiting for db/fence"
    assert said == [f"02:40:03Z  LATE: {told}"]
