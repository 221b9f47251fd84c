"""Starting a run: the question, what ``--yes`` means and what it does not, Ctrl-C."""

from __future__ import annotations

import json
import signal
from datetime import timedelta

import pytest
from click.testing import CliRunner

from dr.cli.host import Interrupts
from dr.cli.main import cli, run
from dr.cli.moves import question
from dr.errors import ExitCode
from dr.model.lag import ComponentView, LagSample, RegionView
from dr.model.plan import Acceptance
from dr.model.words import Guard, Intent, Known, Role
from tests.cli.conftest import T0, FakeApp, a_plan


def asked(app: type[FakeApp]) -> dict[str, object]:
    """What start was called with."""
    ((_, what),) = [item for item in app.asked if item[0] == "start"]
    assert isinstance(what, dict)
    return what


def test_without_a_terminal_yes_is_required(app: type[FakeApp], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is asked where nobody can answer: exit 2, and nothing was started."""
    assert CliRunner().invoke(cli, ["failover", "r.yaml", "--to", "west"], standalone_mode=False).return_value == ExitCode.USAGE
    assert not app.asked


def test_without_a_terminal_to_is_required(app: type[FakeApp]) -> None:
    """The target is never guessed."""
    assert run(["failover", "r.yaml", "--yes"]) == ExitCode.USAGE
    assert not app.asked


def test_yes_accepts_nothing(app: type[FakeApp]) -> None:
    """``--yes`` alone carries no acceptance."""
    assert run(["failover", "r.yaml", "--to", "west", "--yes"]) == 0
    assert asked(app)["acceptances"] == ()


def test_what_was_left_out_of_the_samples_is_said_before_anything(app: type[FakeApp], monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared state could not be read in part: who decides hears so, with or without a question."""
    monkeypatch.setattr(app, "troubles", ("what other machines saw is not known: row 3 cannot be read",))
    result = CliRunner().invoke(cli, ["failover", "r.yaml", "--to", "west", "--yes"], standalone_mode=False)
    assert result.return_value == 0
    assert "shared state: what other machines saw is not known: row 3 cannot be read" in result.stderr


def test_flags_become_acceptances(app: type[FakeApp]) -> None:
    """Bound, actor, reason and moment are in them."""
    argv = ["failover", "r.yaml", "--to", "west", "--yes", "--accept-data-loss", "15m", "--accept-split", "--accept", "prerequisites"]
    assert run([*argv, "--reason", "region lost", "--only", "db", "--outage-began", "02:30"]) == 0
    what = asked(app)
    assert what["acceptances"] == (
        Acceptance(guard=Guard.EXPOSURE, actor="ann", reason="region lost", at=T0, bound=timedelta(minutes=15)),
        Acceptance(guard=Guard.FENCE, actor="ann", reason="region lost", at=T0),
        Acceptance(guard=Guard.PREREQUISITES, actor="ann", reason="region lost", at=T0),
    )
    assert (what["only"], what["outage_began"], what["intent"]) == (("db",), T0 - timedelta(minutes=10), Intent.FAILOVER)


@pytest.mark.parametrize("intent", ["failback", "reprotect"])
def test_failback_and_reprotect_need_no_target(intent: str, app: type[FakeApp]) -> None:
    """Where they go follows from home and from who is primary."""
    assert run([intent, "r.yaml", "--yes"]) == 0
    assert (asked(app)["to"], asked(app)["intent"]) == (None, Intent(intent))


@pytest.mark.parametrize(("typed", "runs"), [("small", True), ("smal", False), ("y", False), ("", False)])
def test_a_person_types_the_runbooks_name_in_full(typed: str, runs: bool, app: type[FakeApp], monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else is a no. The plan and both sides are shown first, on stderr."""
    monkeypatch.setattr("dr.cli.moves.terminal", lambda: True)
    result = CliRunner().invoke(cli, ["failover", "r.yaml", "--to", "west"], input=f"{typed}\n", standalone_mode=False)
    assert result.return_value == (0 if runs else ExitCode.REFUSED)
    assert ("start" in dict(app.asked)) is runs
    assert "from east" in result.stderr and "to west" in result.stderr and "db/promote" in result.stderr


def test_the_question_names_both_sides_and_since_when() -> None:
    """Since when writes fail is not how new the target's data is: both are said, and what nobody knows is not."""
    view = ComponentView(
        component="db", kind="store", at=T0, regions={"east": RegionView(role=Role.UNREACHABLE), "west": RegionView(role=Role.SECONDARY)},
        lag=LagSample(component="db", at=T0, state=Known.KNOWN, recovery_point=T0),
    )  # fmt: skip
    data = "to west, whose newest data is of 02:40:00Z"
    told = question(a_plan(views=(view,)), T0 + timedelta(seconds=7))
    assert told == f"failover of small: from east, unreachable since 02:40:07Z, {data}"
    assert question(a_plan(views=(view,))) == f"failover of small: from east, unreachable, {data}"
    blind = view.model_copy(update={"lag": None})
    assert question(a_plan(views=(blind,))) == "failover of small: from east, unreachable, to west"


def test_json_is_the_whole_report(app: type[FakeApp], capsys: pytest.CaptureFixture[str]) -> None:
    """stdout is dr.run/1 and nothing else."""
    assert run(["failover", "r.yaml", "--to", "west", "--yes", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["schema"], body["outcome"], body["objectives"]["rta_seconds"]) == ("dr.run/1", "completed", 1.83)


def test_resume_takes_acceptances_too(app: type[FakeApp]) -> None:
    """A run that was refused half-way goes on with what it asked for."""
    assert run(["resume", "r-1", "--accept-data-loss", "unknown", "--reason", "no choice"]) == 0
    given = Acceptance(guard=Guard.EXPOSURE, actor="ann", reason="no choice", at=T0, unbounded=True)
    assert app.asked == [("resume", ("r-1", "ann", (given,)))]


def test_ctrl_c_goes_to_the_runner_and_is_given_back() -> None:
    """First and second Ctrl-C reach the runner; afterwards Ctrl-C is Python's own again."""

    class Runner:
        heard = 0

        def interrupt(self) -> None:
            self.heard += 1

    runner, interrupts = Runner(), Interrupts()
    before = signal.getsignal(signal.SIGINT)
    interrupts.watch(runner, "r-1")  # type: ignore[arg-type]
    try:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    finally:
        interrupts.close()
    assert (runner.heard, interrupts.count, signal.getsignal(signal.SIGINT)) == (2, 2, before)
