"""Silences in two real Alertmanagers: made once, always with an end, expired at the end; a dead one holds nobody up."""

from __future__ import annotations

import signal
import subprocess
from datetime import timedelta

import pytest

from dr.engine.attempt import attempt
from dr.model.evidence import Note, PutBack, Temporary
from dr.model.words import Intent, Outcome, Severity
from tests.alerts.conftest import Managers, ends_within, named

pytestmark = pytest.mark.lab


def test_alerts_of_the_platform_are_silent_until_the_end_and_nobody_elses(managers: Managers) -> None:
    """A real alert is suppressed in both regions from the silence on, and rings again after; another platform's rings throughout."""
    kind = managers.kind(expires="20m")
    silence, end = named(kind, "silence"), named(kind, "unsilence")
    assert managers.rings("west", platform="mine")
    result = attempt(silence.operation, managers.context(silence))
    assert result.outcome is Outcome.DONE
    for region in ("east", "west"):
        [made] = managers.silences(region)
        assert ends_within(made, timedelta(minutes=20))
        assert made["createdBy"] == "dr"
        assert made["comment"] == "dr mine run run-1: failover from east to west, asked for by on-call"
        assert not managers.rings(region, platform="mine")
        assert managers.rings(region, platform="another")
    facts = [item for item in result.evidence if isinstance(item, Temporary)]
    assert [(item.what, item.until is not None) for item in facts] == [("alerts in east", True), ("alerts in west", True)]
    result = attempt(end.operation, managers.context(end))
    assert result.outcome is Outcome.DONE
    assert [item.what for item in result.evidence if isinstance(item, PutBack)] == ["alerts in east", "alerts in west"]
    assert [managers.silences(region) for region in ("east", "west")] == [[], []]
    assert managers.rings("west", platform="mine")


def test_a_resumed_run_makes_no_second_silence(managers: Managers) -> None:
    """As after a crash between effect and journal: found by its comment, and its facts are not lost. Another run makes its own."""
    kind = managers.kind()
    silence = named(kind, "silence")
    silence.operation.act(managers.context(silence))
    again = attempt(silence.operation, managers.context(silence), look_first=True)
    assert (again.outcome, again.acted) == (Outcome.DONE, False)
    assert len([item for item in again.evidence if isinstance(item, Temporary)]) == 2
    silence.operation.act(managers.context(silence))
    assert [len(managers.silences(region)) for region in ("east", "west")] == [1, 1]
    attempt(silence.operation, managers.context(silence, run="run-2"))
    assert [len(managers.silences(region)) for region in ("east", "west")] == [2, 2]
    end = named(kind, "unsilence")
    assert attempt(end.operation, managers.context(end, run="run-2")).outcome is Outcome.DONE
    assert managers.silences("west") == [], "what an earlier run left is expired, too"


def test_a_rollback_lets_alerts_ring_again(managers: Managers) -> None:
    """The undo, twice; and while the source's Alertmanager is dead, because the silence there ends by itself."""
    kind = managers.kind()
    silence = named(kind, "silence", Intent.SWITCHOVER)
    context = managers.context(silence, intent=Intent.SWITCHOVER)
    assert silence.spec.undoable
    for dead in (None, "east"):
        assert attempt(silence.operation, context).outcome is Outcome.DONE
        if dead:
            managers.kill(dead)
        silence.operation.undo(context)
        silence.operation.undo(context)
        assert managers.silences("west") == []


@pytest.mark.parametrize("how", ["dead", "held"])
def test_the_lost_regions_alertmanager_holds_nobody_up(managers: Managers, how: str) -> None:
    """Refused or silent: west is silenced all the same, east is said, and each request had its limit."""
    if how == "dead":
        managers.kill("east")
    else:
        managers.send("east", signal.SIGSTOP)
    kind = managers.kind(**({"answer_timeout": "500ms"} if how == "held" else {}))  # each request to the silent one costs it
    silence, end = named(kind, "silence"), named(kind, "unsilence")
    result = attempt(silence.operation, managers.context(silence))
    assert result.outcome is Outcome.DONE
    assert [item.region for item in result.evidence if isinstance(item, Temporary)] == ["west"]
    [note] = [item.text for item in result.evidence if isinstance(item, Note)]
    assert "alerts in east" in note
    assert attempt(end.operation, managers.context(end)).outcome is Outcome.DONE
    [finding] = kind.view().findings
    assert (finding.severity, "in east" in finding.fact) == (Severity.WARNING, True)
    assert kind.view().regions == {}, "no guard refuses a move for it"


def test_without_the_targets_alertmanager_the_step_fails_and_is_not_needed(managers: Managers) -> None:
    """A deviation: alerts ring, the move goes on. Nothing open-ended was left in the other region."""
    managers.kill("west")
    kind = managers.kind()
    silence, end = named(kind, "silence"), named(kind, "unsilence")
    assert silence.spec.optional and end.spec.optional
    assert silence.spec.max_attempts <= 3
    result = attempt(silence.operation, managers.context(silence))
    assert result.outcome is Outcome.RETRY
    assert "alerts in west" in result.reason and "refused" in result.reason.lower()
    assert attempt(end.operation, managers.context(end)).outcome is Outcome.RETRY


def test_the_commands_by_hand_do_the_same(managers: Managers) -> None:
    """Typed literally: silence, its check, the end, its check; each check fails before its command."""
    kind = managers.kind(expires="15m", matchers=['platform="mine"', 'alertname=~"Te.*"'])
    silence, end = named(kind, "silence").spec, named(kind, "unsilence").spec

    def typed(command: str) -> int:
        return subprocess.run(["bash", "-c", command], capture_output=True, timeout=30, check=False).returncode

    assert typed(silence.check_by_hand) != 0
    assert typed(silence.by_hand) == 0
    assert typed(silence.check_by_hand) == 0
    [made] = managers.silences("west")
    assert ends_within(made, timedelta(minutes=16))
    assert not managers.rings("west", platform="mine")
    assert typed(end.check_by_hand) != 0
    assert typed(end.by_hand) == 0
    assert typed(end.check_by_hand) == 0
    assert managers.silences("west") == []
