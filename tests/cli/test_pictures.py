"""What people see: waves and markers, Mermaid, the live table, the summary."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from rich.console import Console

from dr.cli import lag
from dr.cli.live import Watcher, prediction, table
from dr.cli.plan_view import marker, mermaid, show_plan, waves
from dr.cli.run_view import show_run
from dr.cli.status import show_status
from dr.engine.forecast import forecast
from dr.engine.machine import apply
from dr.engine.state import RunState
from dr.model.events import Event, Record, StepEnded, StepStarted, encode
from dr.model.lag import Finding, RegionView
from dr.model.report import Debt, FenceReport, GuardReport, StepReport
from dr.model.status import ComponentStatus, LagLine, LagReport, LeaseStatus, Readiness, StatusReport, plan_report
from dr.model.words import DebtKind, FenceState, Guard, Known, Outcome, Role, RunOutcome, Severity, StepState, Verb, Verdict
from tests.cli.conftest import SECOND, T0, a_plan, a_report, spec, started


def console() -> Console:
    return Console(file=io.StringIO(), width=160, markup=False, highlight=False)


def text_of(picture: Console) -> str:
    assert isinstance(picture.file, io.StringIO)
    return picture.file.getvalue()


def test_markers_tell_what_a_step_does() -> None:
    """! irreversible, ? a person, · looks, + adds, ~ changes."""
    signs = [marker(step) for step in a_plan().steps]
    assert signs == ["~", "!", "·", "?", "+", "~"]


def test_waves_follow_the_needs() -> None:
    """Each step stands in the wave after the last one it needs; a long chain is no problem."""
    assert [[step.id for step in wave] for wave in waves(a_plan().steps)] == [
        ["db/fence", "app/approve"], ["db/promote"], ["db/verify", "app/start"], ["dns/redirect"],
    ]  # fmt: skip
    chain = [spec("c/0", Verb.COMMAND), *(spec(f"c/{n}", Verb.COMMAND, f"c/{n - 1}") for n in range(1, 3_000))]
    assert len(waves(list(reversed(chain)))) == 3_000


def test_a_plan_as_people_read_it() -> None:
    """Both sides, every step, the critical path, the prediction and what was overridden are there."""
    screen = console()
    show_plan(a_plan(), screen)
    text = text_of(screen)
    for expected in ("from east to west", "! * db/promote", "predicted RTA", "against RTO 1h00m: within it", "overridden by ann"):
        assert expected in text


def test_mermaid_draws_every_step_and_need() -> None:
    """One node a step, one arrow a need, thick on the critical path."""
    chart = mermaid(a_plan())
    assert chart.count('["') == 6 + 3  # steps and their components
    assert chart.count("==>") == 3 and chart.count("-->") == 2
    assert "class s1 irreversible" in chart


def test_the_plan_on_the_wire_names_its_units() -> None:
    """dr.plan/1 has every step with seconds and the hash."""
    body = plan_report(a_plan()).model_dump(mode="json", by_alias=True)
    assert body["schema"] == "dr.plan/1" and body["predicted_rta_seconds"] == 5.0 and len(body["plan_hash"]) == 64
    promote = body["steps"][1]
    assert (promote["irreversible"], promote["estimate_seconds"], promote["needs"]) == (True, 2.0, ["db/fence"])


def test_the_forecast_is_the_longest_way_from_now(state: RunState) -> None:
    """fence 1 s, promote 2 s, verify 1 s, redirect 1 s; what is done no longer counts, what is late pushes everything."""
    assert forecast(state, T0).service_back == T0 + 5 * SECOND
    apply(state, StepStarted(step="db/fence", attempt=1), T0)
    late = T0 + 10 * SECOND
    assert forecast(state, late).service_back == late + 4 * SECOND
    apply(state, StepEnded(step="db/fence", attempt=1, outcome=Outcome.DONE, acted=True, duration=10 * SECOND), late)
    expected = forecast(state, late)
    assert expected.service_back == late + 4 * SECOND and not expected.late
    assert forecast(state, T0 + timedelta(hours=2)).late


def test_the_live_table_shows_elapsed_budget_and_the_point_of_no_return(state: RunState) -> None:
    """A running step has elapsed time and budget left; the prediction says what lies ahead."""
    apply(state, StepStarted(step="db/fence", attempt=1), T0)
    screen = console()
    screen.print(table(state, T0 + 3 * SECOND))
    text = text_of(screen)
    row = next(line for line in text.splitlines() if "db/fence" in line)
    assert "running" in row and "3.0s" in row and "4m57s" in row
    assert "point of no return: ahead" in text and "service predicted back at 02:40:07Z (in time)" in text
    apply(state, StepEnded(step="db/fence", attempt=1, outcome=Outcome.DONE, acted=True, duration=3 * SECOND), T0 + 3 * SECOND)
    apply(state, StepStarted(step="db/promote", attempt=1), T0 + 3 * SECOND)
    assert "point of no return: passed" in prediction(state, T0 + 4 * SECOND)


def test_the_point_of_no_return_stands_before_the_step_that_is_it(state: RunState) -> None:
    """A row of its own in the live table, ahead until that step begins."""
    def row() -> str:
        screen = console()
        screen.print(table(state, T0))
        lines = text_of(screen).splitlines()
        number = next(index for index, line in enumerate(lines) if "── point of no return ──" in line)
        assert "db/promote" in lines[number + 1]
        return lines[number]

    assert "ahead" in row()
    apply(state, StepStarted(step="db/fence", attempt=1), T0)
    apply(state, StepEnded(step="db/fence", attempt=1, outcome=Outcome.DONE, acted=True, duration=SECOND), T0)
    apply(state, StepStarted(step="db/promote", attempt=1), T0)
    assert "passed" in row()


class Told:
    """A journal that is told record by record."""

    def __init__(self, *events: Event) -> None:
        self.events = events

    def follow(self, run_id: str, stop: threading.Event) -> Iterator[Sequence[Record]]:
        for number, event in enumerate(self.events, 1):
            yield [Record(run_id, number, T0.isoformat(), encode(event), "")]


def test_plain_lines_say_when_the_point_of_no_return_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    """Once, when the irreversible step begins; and that it was not passed, where a guard stopped the step."""
    done = StepEnded(step="db/fence", attempt=1, outcome=Outcome.DONE, acted=True, duration=SECOND)
    fence = (StepStarted(step="db/fence", attempt=1), done)
    begun = (started(), *fence, StepStarted(step="db/promote", attempt=1))
    refused = StepEnded(step="db/promote", attempt=1, outcome=Outcome.FAILED, guard="fence", reason="no", duration=SECOND)
    for events, count in ((begun, 1), ((*begun, refused), 2), ((started(), *fence), 0)):
        watcher = Watcher(Told(*events), "r-1", lambda: T0, terminal=False)
        watcher.start()
        watcher.wait()
        said = [line for line in capsys.readouterr().err.splitlines() if "point of no return" in line]
        assert len(said) == count
        assert not said or "db/promote begins" in said[0]
        assert len(said) < 2 or "not passed" in said[1]


def test_who_is_waited_for_is_said_with_the_command(state: RunState) -> None:
    """A step that waits for a person names what that person types."""
    state.steps["app/approve"].state = StepState.WAITING_APPROVAL
    screen = console()
    screen.print(table(state, T0))
    assert "app/approve waits for approval: dr approve r-1 app/approve" in text_of(screen)


def test_a_long_run_shows_a_window_near_the_action() -> None:
    """Hundreds of steps do not fill the screen."""
    steps = tuple(spec(f"c/{n:03d}", Verb.COMMAND, *([f"c/{n - 1:03d}"] if n else [])) for n in range(200))
    from tests.cli.conftest import started

    state = apply(RunState("r-1"), started(a_plan(steps=steps, critical_path=())), T0)[0]
    screen = console()
    screen.print(table(state, T0))
    assert len(text_of(screen).splitlines()) < 45
    assert "170 more steps; 0 of 200 done" in text_of(screen)


def a_step() -> StepReport:
    """A promotion that is done."""
    return StepReport.model_validate({
        "id": "db/promote", "component": "db", "kind": "store", "verb": Verb.PROMOTE, "title": "t", "region": "west", "needs": (),
        "state": "done", "outcome": "done", "attempts": 1, "started_at": T0, "finished_at": T0, "duration_seconds": 0.1,
        "clock": "monotonic", "estimate_seconds": 1, "budget_seconds": 1, "latest_finish_seconds": None, "slack_seconds": None,
        "over_budget": False, "irreversible": True, "reason": "",
    })  # fmt: skip


def test_a_fence_that_nobody_tried_is_called_that() -> None:
    """Not "unacknowledged", as if somebody had asked."""
    screen = console()
    never = FenceReport(state=FenceState.UNACKNOWLEDGED, evidence="no fence was tried", tried=False)
    show_run(a_report(fence=never, steps=(a_step(),)), screen)
    assert "  fence: not tried\n" in text_of(screen) and "unacknowledged" not in text_of(screen)


def test_the_summary_says_objectives_first_and_what_to_type() -> None:
    """RTA and RPA against RTO and RPO, the split, the debt with its command, the next command; markup in reasons is text."""
    screen = console()
    show_run(a_report(deviations=("[bold]skipped[/bold]",)), screen)
    lines = text_of(screen).splitlines()
    assert "completed: failover of small from east to west" in lines[0]
    text = "\n".join(lines)
    assert "[bold]skipped[/bold]" in text and "dr reprotect small.yaml" in text


def test_a_missed_objective_is_said_in_the_summary() -> None:
    """MISSED, and unknown is never a number."""
    report = a_report(RunOutcome.COMPLETED, 5)
    goal = report.objectives.model_copy(update={"rto_met": False, "rpa_seconds": None, "rpa_state": Known.UNKNOWN, "rpo_met": False})
    screen = console()
    show_run(a_report(RunOutcome.COMPLETED, 5, objectives=goal, steps=(a_step(),)), screen, steps=True)
    text = text_of(screen)
    assert "1.8s of 1h00m (RTO): MISSED" in text and "unknown of 15m00s (RPO): MISSED" in text
    assert "detect 0.30s · decide 0.10s · execute 0.50s" in text


def test_status_answers_can_we_fail_over_now() -> None:
    """Verdict, what would be lost, the refusing guard and the command; an exposure above the RPO is said."""
    component = ComponentStatus(
        id="db", kind="store", primary="east", regions={"east": RegionView(role=Role.PRIMARY), "west": RegionView(role=Role.SECONDARY)},
        rpo_seconds=300, lag_seconds=400, lag_state=Known.KNOWN, lag_age_seconds=1, recovery_point=T0, exposure_seconds=401,
        exposure_state=Known.KNOWN, rpo_met=False, readiness="not-ready",
        findings=(Finding(component="db", severity=Severity.ERROR, fact="no slot", fix="create it"),),
    )  # fmt: skip
    refusing = GuardReport(name=Guard.EXPOSURE, verdict=Verdict.REFUSED, reason="6m41s is above the RPO")
    ready = Readiness(
        target="west", verdict="with-acceptance", guards=(refusing,), would_lose_seconds=401, would_lose_state=Known.KNOWN,
        predicted_rta_seconds=5, rto_seconds=3600, command="dr failover r.yaml --to west --accept-data-loss 7m",
    )  # fmt: skip
    report = StatusReport(
        tool_version="0", state_directory="/s", at=T0, runbook="small", home="east", primary="east", components=(component,),
        readiness=ready, debt=(Debt(kind=DebtKind.FENCE, component="db", text="not fenced", command="dr reprotect r.yaml", owner="ann",
                                    run_id="r-1"),),
    )  # fmt: skip
    screen = console()
    show_status(report, screen)
    text = text_of(screen)
    for expected in ("primary: east", "ABOVE", "only with acceptance", "6m41s is above the RPO", "--accept-data-loss 7m", "02:40:00Z",
                     "NOT: 1 error", "error: db: no slot  Try: create it", "not fenced", "owner: ann (run r-1)"):  # fmt: skip
        assert expected in text


def test_a_status_says_that_the_lease_is_local_only() -> None:
    """I10: two people on two machines are not kept apart, so nobody may believe it; a shared lease has nothing to be warned of."""
    lease = LeaseStatus(scope="local", epoch=3, run_id=None, holder=None)
    report = StatusReport(tool_version="0", state_directory="/s", at=T0, runbook="small", home="east", primary="east", lease=lease)
    told = "lease: local; only runs of this machine are kept apart"
    for said, there in ((report, True), (report.model_copy(update={"lease": lease.model_copy(update={"scope": "shared"})}), False)):
        screen = console()
        show_status(said, screen)
        assert (told in text_of(screen)) is there


def test_a_status_says_what_it_had_to_leave_out() -> None:
    """What other monitors saw lies in shared state, and could not be read: what is shown may be older than what is known."""
    report = StatusReport(tool_version="0", state_directory="/s", at=T0, runbook="small", troubles=("row 3 cannot be read",))
    screen = console()
    show_status(report, screen)
    assert "shared state: row 3 cannot be read" in text_of(screen)


def test_lag_counts_what_is_pending_and_what_failed() -> None:
    """Objects and bytes on their way, failed ones apart and named; what was not counted is a dash, not zero."""
    line = LagLine(
        component="logs", state=Known.KNOWN, sampled_at=T0, age_seconds=0, lag_seconds=1, recovery_point=T0, exposure_seconds=1,
        rpo_seconds=900, rpo_met=True, behind_bytes=300, behind_items=1, failed_items=4, failed_named=("a/1", "a/2", "a/3"),
        retained_bytes=None,
        reason="4 objects of east failed to arrive",
    )  # fmt: skip
    silent = line.model_copy(update={"component": "db", "behind_items": None, "failed_items": None, "failed_named": (), "reason": ""})
    report = LagReport(runbook="small", at=T0, components=(line, silent))
    screen = Console(file=io.StringIO(), width=240, markup=False, highlight=False)
    screen.print(lag.table(report))
    logs, db = (next(row for row in text_of(screen).splitlines() if name in row) for name in ("logs", "db"))
    cells = [re.split(r"\s{2,}", row.strip()) for row in (logs, db)]
    assert cells[0][-4:] == ["1 object, 300 B", "4 objects", "-", "4 objects of east failed to arrive: a/1, a/2, a/3 and 1 more"]
    assert cells[1][-3:] == ["300 B", "-", "-"]
    assert lag.lines(report).splitlines()[0].endswith("4 objects of east failed to arrive: a/1, a/2, a/3 and 1 more")
