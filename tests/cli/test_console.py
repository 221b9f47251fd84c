"""Where words go, and in which form."""

from __future__ import annotations

import io
import json
import sys

import pytest
from freezegun import freeze_time

from dr.cli.console import daemon


class Screen(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@freeze_time("2026-11-22T03:00:00Z")
def test_a_daemon_logs_json_where_nobody_sits_in_front_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One object a line, with moment, level and runbook: what collects logs need not parse sentences."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    log = daemon("airflow-lab")
    log("watching")
    log("metadata-db: no answer\nfrom east")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first == {"event": "watching", "level": "info", "runbook": "airflow-lab", "timestamp": "2026-11-22T03:00:00Z"}
    assert second["event"] == "metadata-db: no answer\nfrom east"


def test_on_a_terminal_it_speaks_in_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person reads sentences."""
    stream = Screen()
    monkeypatch.setattr(sys, "stderr", stream)
    daemon("airflow-lab")("watching")
    assert stream.getvalue() == "watching\n"
