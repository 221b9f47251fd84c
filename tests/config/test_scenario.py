"""A scenario is checked like a runbook, and against its runbook."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from dr.config.scenario import load_scenario
from dr.errors import FileError
from tests.config.conftest import Stores, facts

SCENARIO = """\
name: region-outage
runbook: runbook.yaml
world: lab
timeline:
  - {at: 5s, kill: {region: east}}
acts:
  - {at: 5s, intent: failover, to: west, accept_data_loss: 15m, reason: lost, actor: on-call}
expect: {outcome: completed, exit_code: 0, rta: 60s}
"""


def test_a_good_scenario_is_read(runbook_file: Callable[..., Path], stores: Stores) -> None:
    """Durations are durations; the runbook is found beside the scenario."""
    path = runbook_file().with_name("scenario.yaml")
    path.write_text(SCENARIO)
    scenario = load_scenario(path, stores)
    assert scenario.timeline[0].at == timedelta(seconds=5)
    assert scenario.expect.rta == timedelta(minutes=1)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "sentence"),
    [
        ("world: lab", "world: moon", 3, "world", "unknown world; known: lab, sim"),
        ("region: east", "region: eats", 5, "timeline[0].kill.region", 'did you mean "east"'),
        ("to: west", "to: north", 7, "acts[0].to", "unknown region"),
        ("kill:", "kil:", 5, "timeline[0].kil", 'did you mean "kill"'),
        ("at: 5s, intent", "at: 5, intent", 7, "acts[0].at", "expected a duration"),
        ("accept_data_loss: 15m", "accept_data_loss: much", 7, "acts[0].accept_data_loss", "or unknown"),
        ("reason: lost", "accept: [newest-copy]", 7, "acts[0].accept[0]", "no guard that can be accepted"),
        ("rta: 60s", "primary: north", 8, "expect.primary", "unknown region"),
        ("outcome: completed", "outcome: great", 8, "expect.outcome", "expected 'completed'"),
        ("runbook: runbook.yaml", "runbook: none.yaml", 2, "runbook", "no such file"),
    ],
)
def test_what_is_wrong_is_named(
    old: str, new: str, line: int, field: str, sentence: str, runbook_file: Callable[..., Path], stores: Stores
) -> None:
    """Each mistake has its line and field."""
    path = runbook_file().with_name("scenario.yaml")
    assert old in SCENARIO
    path.write_text(SCENARIO.replace(old, new, 1))
    with pytest.raises(FileError) as caught:
        load_scenario(path, stores)
    found = facts(caught.value)
    assert any((item[0], item[1]) == (line, field) and sentence in item[2] for item in found), found


def test_a_wrong_runbook_is_reported_as_the_runbooks(runbook_file: Callable[..., Path], stores: Stores) -> None:
    """The message names the runbook's file and line, not the scenario's."""
    runbook = runbook_file(("home: east", "home: nowhere"))
    path = runbook.with_name("scenario.yaml")
    path.write_text(SCENARIO)
    with pytest.raises(FileError) as caught:
        load_scenario(path, stores)
    assert (caught.value.file, caught.value.line) == (str(runbook), 6)
