"""RTA, its five parts, and the critical path as it went."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.model.events import OutageKnownFrom, RunStarted, SkipRequested, StepEnded, Turned
from dr.model.lag import RegionView
from dr.model.report import RunReport, Stamps
from dr.model.words import Guard, Intent, Known, Outcome, Role, RunOutcome, StepState, Verb
from dr.report.assess import run_report
from dr.report.timing import breakdown, rta
from tests.report.build import Story, acceptance, at, failover, fenced, plan, point, promoted, redirected, step, usual_steps

_MOMENT = st.none() | st.floats(-10, 4000).map(lambda second: at(round(second, 6)))


@given(st.tuples(_MOMENT, _MOMENT, _MOMENT, _MOMENT, _MOMENT, _MOMENT, _MOMENT))
def test_the_parts_always_sum_up_to_the_rta(moments: tuple[object, ...]) -> None:
    """Whatever stamps are known, and in whatever order they came: the parts are not negative, and sum to the RTA where it is known."""
    names = ("outage_began", "detected", "decided", "promoted", "redirected", "propagated", "verified")
    stamps = Stamps.model_validate(dict(zip(names, moments, strict=True)))
    parts = [value for value in breakdown(stamps).model_dump().values() if value is not None]
    assert all(value >= 0 for value in parts)
    total = rta(stamps)
    assert (total is None) == (stamps.outage_began is None or stamps.verified is None)
    if total is not None:
        assert abs(sum(parts) - total.total_seconds()) < 1e-5


def report(story: Story) -> RunReport:
    return run_report(story.records(), "journal.db")


def test_a_failover_is_cut_into_its_five_parts() -> None:
    """Outage 0, detected 0.7, decided 1.2, redirected 1.74, propagated 2.75, verified 2.9."""
    found = report(failover())
    assert found.rta_breakdown_seconds.model_dump() == {"detect": 0.7, "decide": 0.5, "execute": 0.54, "propagate": 1.01, "verify": 0.15}
    assert (found.objectives.rta_seconds, found.objectives.rta_state, found.objectives.rto_met) == (2.9, Known.KNOWN, True)
    assert found.stamps.first_effect == at(1.21)
    assert found.point_of_no_return_at == at(1.3)


def test_an_outage_that_nobody_watched_gives_a_bound() -> None:
    """Dated by the recovery point, the outage began then or later: the RTA is at most that, and is shown as a bound."""
    story = failover()
    moment, first = story.events[0]
    story.events[0] = (moment, first.model_copy(update={"samples_from": "recovery-point"}))
    found = report(story)
    assert (found.objectives.rta_seconds, found.objectives.rta_state, found.objectives.rto_met) == (2.9, Known.BOUND, True)


def test_an_outage_that_a_late_heartbeat_dates_gives_a_bound() -> None:
    """The newest heartbeat was acknowledged, and then came nothing for long: the outage began anywhere in between."""
    story = failover()
    moment, first = story.events[0]
    story.events[0] = (moment, first.model_copy(update={"samples_from": "late-heartbeat"}))
    found = report(story)
    assert (found.objectives.rta_seconds, found.objectives.rta_state, found.objectives.rto_met) == (2.9, Known.BOUND, True)


@pytest.mark.parametrize(
    ("before", "turned", "began", "state"),
    [
        ("monitor", "late-heartbeat", 0.1, Known.BOUND),
        ("late-heartbeat", "operator", 0.1, Known.KNOWN),
        ("late-heartbeat", "", None, Known.BOUND),
    ],
)
def test_the_newest_word_on_when_it_began_counts(
    before: OutageKnownFrom, turned: OutageKnownFrom, began: float | None, state: Known
) -> None:
    """A run that is turned may be dated anew: then who says so now decides whether it is a bound."""
    story = failover()
    moment, first = story.events[0]
    assert isinstance(first, RunStarted)
    story.events[0] = (moment, first.model_copy(update={"samples_from": before}))
    again = Turned(plan=first.plan, actor="lead", outage_began=None if began is None else at(began), samples_from=turned)
    story.add(1.205, again)
    found = report(story)
    assert (found.stamps.outage_began, found.objectives.rta_state) == (at(began or 0), state)


def test_the_critical_path_is_walked_back_through_the_need_that_ended_last() -> None:
    """prepare ended after the promotion but is not what verify-inside waited for; reconcile is not on the way to the redirect at all."""
    found = report(failover())
    assert found.critical_path.steps == (
        "metadata-db/fence", "metadata-db/promote", "deployments/hold", "deployments/verify-inside", "dns/redirect"
    )  # fmt: skip
    assert found.critical_path.seconds == pytest.approx(0.079 + 0.159 + 0.034 + 0.174 + 0.054)
    assert found.overhead_seconds == pytest.approx(0.54 - 0.5)


def planned() -> Story:
    """Freeze at 2.0 after a decision at 1.2: the target is made ready first."""
    story = Story().start(plan(usual_steps(planned=True), Intent.SWITCHOVER), outage_began=None, detected=None)
    story.run("deployments/snapshot", 1.21, 1.3, outcome=Outcome.ALREADY).run("deployments/prepare", 1.21, 1.99)
    story.run("deployments/freeze", 2.0, 2.05).run("metadata-db/fence", 2.06, 2.3, fenced(2.05))
    story.run("metadata-db/promote", 2.31, 2.4, point(2.05, complete=True), promoted(2.39)).run("deployments/hold", 2.41, 2.45)
    story.run("deployments/verify-inside", 2.46, 2.5, outcome=Outcome.ALREADY).run("dns/redirect", 2.51, 2.55, redirected(2.54))
    story.run("dns/propagate", 2.56, 3.5, outcome=Outcome.ALREADY).run("deployments/verify-outside", 3.51, 3.6, outcome=Outcome.ALREADY)
    return story.run("deployments/reconcile", 2.42, 2.6).run("deployments/start", 2.61, 2.9).over(3.7)


def test_a_planned_move_begins_with_its_freeze() -> None:
    """What came before the freeze cost nobody anything: it is neither in the RTA nor on the critical path."""
    found = report(planned())
    assert found.stamps.outage_began == at(2.0)
    assert found.objectives.rta_seconds == 1.6
    assert found.rta_breakdown_seconds.model_dump() == {"detect": None, "decide": 0.0, "execute": 0.55, "propagate": 0.95, "verify": 0.1}
    assert "deployments/prepare" not in found.critical_path.steps
    assert found.critical_path.steps[0] == "deployments/freeze"


def test_a_failover_of_a_healthy_primary_begins_with_its_acknowledged_fence() -> None:
    """Nothing was down before. Of a primary that did not answer any more when it was decided nobody knows when service ended: that a fence
    reached it in the end says only that it was there by then."""
    gone = plan(usual_steps()).views[0]
    alive = gone.model_copy(update={"regions": {**gone.regions, "east": RegionView(role=Role.PRIMARY, epoch=1)}})
    story = failover(fence=fenced(1.25), outage_began=None, detected=None)
    story.events[0] = Story().start(plan(usual_steps(), views=(alive,)), outage_began=None, detected=None).events[0]
    found = report(story)
    assert (found.stamps.outage_began, found.objectives.rta_state) == (at(1.21), Known.KNOWN)
    for unknown in (
        report(failover(outage_began=None, detected=None)), report(failover(fence=fenced(1.25), outage_began=None, detected=None)),
    ):
        assert (unknown.objectives.rta_seconds, unknown.objectives.rta_state, unknown.objectives.rto_met) == (None, Known.UNKNOWN, False)
        assert unknown.exit_code == 5


def test_a_primary_that_served_until_a_fence_nobody_acknowledged_gives_a_bound() -> None:
    """Behind a partition it took writes when it was decided: service was not away before the fence was tried, and maybe later."""
    gone = plan(usual_steps()).views[0]
    alive = gone.model_copy(update={"regions": {**gone.regions, "east": RegionView(role=Role.PRIMARY, epoch=1)}})
    story = failover(outage_began=None, detected=None)
    story.events[0] = Story().start(plan(usual_steps(), views=(alive,)), outage_began=None, detected=None).events[0]
    found = report(story)
    assert (found.stamps.outage_began, found.objectives.rta_state, found.objectives.rto_met) == (at(1.21), Known.BOUND, True)


def test_a_primary_that_goes_between_the_look_and_the_fence_gives_a_bound() -> None:
    """The fence finds it stopped and does nothing: service was there when it was looked at, so the RTA is at most that."""
    gone = plan(usual_steps()).views[0]
    alive = gone.model_copy(update={"at": at(1.1), "regions": {**gone.regions, "east": RegionView(role=Role.PRIMARY, epoch=1)}})
    story = failover(outage_began=None, detected=None)
    story.events[0] = Story().start(plan(usual_steps(), views=(alive,)), outage_began=None, detected=None).events[0]
    already = {"outcome": Outcome.ALREADY, "acted": False, "evidence": (fenced(1.25),)}
    story.events = [
        (moment, event.model_copy(update=already) if isinstance(event, StepEnded) and event.step == "metadata-db/fence" else event)
        for moment, event in story.events
    ]
    found = report(story)
    assert (found.stamps.outage_began, found.objectives.rta_state, found.objectives.rta_seconds) == (at(1.1), Known.BOUND, 1.8)


def test_a_skipped_outside_check_leaves_the_rta_unknown() -> None:
    """Somebody's word that it works is no measurement."""
    story = failover(ends=False)
    story.events = [item for item in story.events if getattr(item[1], "step", "") != "deployments/verify-outside"]
    story.add(2.8, SkipRequested(step="deployments/verify-outside", actor="lead", reason="I looked")).over(3.2)
    found = report(story)
    assert (found.stamps.verified, found.objectives.rta_seconds, found.objectives.rto_met, found.exit_code) == (None, None, False, 5)
    assert "deployments/verify-outside skipped by lead: I looked" in found.deviations


def test_a_run_that_just_stops_is_paused_and_counts_what_it_reached() -> None:
    """Killed during the promotion: exit 4, the parts that are known, and nothing that is not."""
    story = Story().start(plan(usual_steps())).run("deployments/snapshot", 1.21, 1.25).run("metadata-db/fence", 1.21, 1.3)
    found = report(story.begin("metadata-db/promote", 1.31))
    assert (found.outcome, found.exit_code) == (RunOutcome.PAUSED, 4)
    assert found.hint == f"dr resume {story.run_id}"
    assert found.objectives.rta_seconds is None
    assert found.objectives.rto_met is None
    assert found.rta_breakdown_seconds.model_dump() == {"detect": 0.7, "decide": 0.5, "execute": None, "propagate": None, "verify": None}
    assert found.point_of_no_return_at == at(1.31), "its end was never written: it may have taken effect"


def test_across_a_crash_the_clock_is_utc_and_the_gap_is_told() -> None:
    """A second process takes over after two seconds; the step that was under way is measured as a UTC difference."""
    story = Story().start(plan(usual_steps()), acceptances=(acceptance(Guard.FENCE),))
    story.run("deployments/snapshot", 1.21, 1.25, outcome=Outcome.ALREADY).run("metadata-db/fence", 1.21, 1.3)
    story.begin("metadata-db/promote", 1.31).resume(3.31).run("metadata-db/fence", 3.311, 3.315)
    story.run("metadata-db/promote", 3.32, 3.4, point(-0.1), promoted(3.39), clock="utc")
    found = report(story)
    promote = next(item for item in found.steps if item.verb is Verb.PROMOTE)
    assert (promote.clock, promote.attempts, promote.state) == ("utc", 2, StepState.DONE)
    assert next(item for item in found.steps if item.verb is Verb.FENCE).clock == "monotonic"
    assert any(text.startswith("resumed by second 2.0s after its last record") for text in found.deviations)
    assert found.epoch == 4
    assert found.actors == ("on-call", "second")


def test_a_step_over_its_budget_is_a_deviation() -> None:
    """Budget 100 ms, took 160 ms."""
    slow = step("metadata-db/promote", Verb.PROMOTE, "metadata-db/fence", "deployments/snapshot", budget=timedelta(milliseconds=100))
    steps = tuple(slow if item.id == slow.id else item for item in usual_steps())
    story = failover()
    story.events[0] = Story().start(plan(steps)).events[0]
    found = report(story)
    assert [item.id for item in found.steps if item.over_budget] == ["metadata-db/promote"]
    assert any("over its budget" in text for text in found.deviations)


def test_slack_is_what_was_left_against_the_latest_finish() -> None:
    """Latest finish 50 minutes after the start; the redirect was done 0.54 s after it."""
    redirect = next(item for item in report(failover()).steps if item.id == "dns/redirect")
    assert redirect.latest_finish_seconds == 3000
    assert redirect.slack_seconds == pytest.approx(3000 - 0.54)
