"""RPA of each component, fence and divergence: what is known, what is only a bound, and what nobody knows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dr.model.events import Observed, RunStarted, StepEnded, StepStarted
from dr.model.evidence import Fenced, Preserved, RecoveryPoint, Redirected
from dr.model.report import RunReport
from dr.model.words import DebtKind, FenceState, Known, Outcome
from dr.report.assess import run_report
from tests.report.build import Story, at, failover, fenced, no_fence, plan, point, usual_steps


def report(story: Story) -> RunReport:
    return run_report(story.records(), "journal.db")


@pytest.mark.parametrize(
    ("fence", "recovery", "state", "seconds"),
    [
        (no_fence(), point(-0.1), Known.BOUND, 3.0),  # it may live: until names and caches led nobody there any more, seen at 2.9
        (fenced(0.3), point(-0.1), Known.KNOWN, 0.4),
        (fenced(None), point(-0.1), Known.BOUND, 1.55),  # fenced, but nobody knows when the last write was: until the promotion at 1.45
        (fenced(0.3), point(0.3), Known.BOUND, 1.15),  # what came before something that arrived was not the end
        (fenced(0.3), point(0.5), Known.BOUND, 0.95),
        (fenced(0.3), point(1.5), Known.UNKNOWN, None),  # a clock that is ahead bounds nothing
        (no_fence(), point(2.9), Known.UNKNOWN, None),
        (fenced(0.3), point(None), Known.UNKNOWN, None),
        (fenced(0.3), point(None, complete=True), Known.KNOWN, 0.0),
        (no_fence(), point(None), Known.UNKNOWN, None),
    ],
)
def test_rpa(fence: Fenced, recovery: RecoveryPoint, state: Known, seconds: float | None) -> None:
    """The outage counts only where the end of writes is known; else the promotion ends them, and RPA is a bound; null is unknown."""
    found = report(failover(fence=fence, recovery=recovery))
    assert (found.objectives.rpa_state, found.objectives.rpa_seconds) == (state, seconds)
    assert found.objectives.rpo_met is (state is not Known.UNKNOWN)
    assert found.exit_code == (5 if state is Known.UNKNOWN else 0)


@pytest.mark.parametrize(("fence", "state"), [(fenced(0.9), Known.KNOWN), (no_fence(), Known.BOUND)])
def test_a_slow_clock_does_not_make_the_rpa_smaller(fence: Fenced, state: Known) -> None:
    """What ended writes was stamped 28 s too early: by the clock of the target, which was read with the recovery point."""
    slow = point(0.5).model_copy(update={"clock_behind": timedelta(seconds=28)})
    found = report(failover(fence=fence, recovery=slow)).objectives
    right = report(failover(fence=fence, recovery=point(0.5))).objectives
    assert (found.rpa_state, right.rpa_state) == (state, state)
    assert found.rpa_seconds is not None and right.rpa_seconds is not None
    assert found.rpa_seconds == pytest.approx(right.rpa_seconds + 28)


def test_the_clock_of_who_fenced_and_died_counts() -> None:
    """It read no recovery point any more; the plan it made says how slow its clock was."""
    story = failover(fence=fenced(0.9), recovery=point(0.5))
    right = report(story).objectives.rpa_seconds
    moment, began = story.events[0]
    assert isinstance(began, RunStarted)
    view = began.plan.views[0]
    assert view.lag is not None and view.component == "metadata-db"
    slow = view.model_copy(update={"lag": view.lag.model_copy(update={"clock_behind": timedelta(seconds=28)})})
    plan = began.plan.model_copy(update={"views": (slow, *began.plan.views[1:])})
    story.events[0] = moment, began.model_copy(update={"plan": plan})
    found = report(story).objectives.rpa_seconds
    assert right is not None and found == pytest.approx(right + 28)


def test_a_silent_name_server_of_the_old_side_leaves_the_loss_unknown() -> None:
    """Nobody fenced the old primary, and its name server may lead people to it: no bound holds. With a fence it is as it was."""
    silent = {"still_answers": True}

    def seen(story: Story) -> RunReport:
        story.events = [
            (moment, event.model_copy(update={"evidence": tuple(
                fact.model_copy(update=silent) if isinstance(fact, Redirected) else fact for fact in event.evidence
            )}) if isinstance(event, StepEnded) else event)
            for moment, event in story.events
        ]  # fmt: skip
        return report(story)

    split = seen(failover())
    assert (split.objectives.rpa_state, split.objectives.rpo_met, split.exit_code) == (Known.UNKNOWN, False, 5)
    assert seen(failover(fence=fenced(0.3))).objectives.rpa_state is Known.KNOWN


def test_an_independent_probe_can_know_when_writes_ended() -> None:
    """The fence was not acknowledged, but a probe saw the last write at 0.1: known, not a bound."""
    story = failover()
    seen = Fenced(component="metadata-db", region="east", state=FenceState.UNACKNOWLEDGED, proof="probe", writes_ended_at=at(0.1))
    story.events.insert(-1, (at(1.5), Observed(evidence=seen)))
    assert report(story).objectives.rpa_seconds == pytest.approx(0.2)
    assert report(story).objectives.rpa_state is Known.KNOWN


def test_each_component_is_held_against_its_own_rpo() -> None:
    """The component's RPO of one second is missed although the runbook's fifteen minutes are kept."""
    story = failover()
    story.events[0] = Story().start(plan(usual_steps(), component_rpo={"metadata-db": timedelta(seconds=1)})).events[0]
    found = report(story)
    assert found.objectives.rpo_met is False
    assert found.components[0].rpo_seconds == 1.0


def test_a_run_before_its_promotion_has_no_rpa_yet() -> None:
    """Null and unknown, and neither met nor missed."""
    found = report(Story().start(plan(usual_steps())))
    assert (found.objectives.rpa_seconds, found.objectives.rpa_state, found.objectives.rpo_met) == (None, Known.UNKNOWN, None)


def test_the_lag_that_was_known_is_reported_with_its_age() -> None:
    """120 ms, 1.6 s old when it was decided."""
    component = report(failover()).components[0]
    assert (component.lag_seconds, component.lag_age_seconds) == (0.12, 1.6)
    assert component.recovery_point == at(-0.1)


def test_a_fence_that_was_not_acknowledged_is_a_recorded_split_where_it_was_accepted() -> None:
    """The same fact without the acceptance stays unacknowledged; divergence is possible in both."""
    split = report(failover())
    assert split.fence.state is FenceState.SPLIT_ACCEPTED
    assert "on-call: region lost" in split.fence.evidence
    assert split.divergence.state == "possible"
    assert report(failover(acceptances=())).fence.state is FenceState.UNACKNOWLEDGED


def test_a_fence_that_was_not_tried_is_not_called_unanswered() -> None:
    """Both stay unacknowledged for programs; who reads is told whether anybody asked."""
    before = report(Story().start(plan(usual_steps())))
    assert (before.fence.state, before.fence.tried, before.fence.evidence) == (FenceState.UNACKNOWLEDGED, False, "no fence was tried")
    begun = report(Story().start(plan(usual_steps())).begin("metadata-db/fence", 1.21))
    assert (begun.fence.state, begun.fence.tried, begun.fence.evidence) == (FenceState.UNACKNOWLEDGED, True, "metadata-db/fence running")


def test_an_acknowledged_fence_wins_over_an_acceptance_given_in_advance() -> None:
    """What was accepted and did not come to pass is no split."""
    found = report(failover(fence=fenced(0.3), recovery=point(0.3, complete=True)))
    assert (found.fence.state, found.divergence.state) == (FenceState.FENCED, "none")


def test_preserved_divergence_says_where_and_how_much() -> None:
    """Two kept sets are added up; one that cannot be counted makes the sum unknown."""
    kept = [
        Preserved(component=name, region="east", at=at(9), path=f"/kept/{name}", manifest="m", items=items)
        for name, items in (("metadata-db", 12), ("task-logs", 30))
    ]
    story = failover()
    story.events[-1:-1] = [(at(3.1), Observed(evidence=item)) for item in kept]
    found = report(story).divergence
    assert (found.state, found.items) == ("preserved", 42)
    story.events[-1:-1] = [(at(3.15), Observed(evidence=kept[1].model_copy(update={"items": None})))]
    assert report(story).divergence.items is None


def late(acknowledged: float, ended: float | None = None, **more: object) -> Story:
    """A recorded split, whose fence is tried again by its own run: in vain at 2.0, and acknowledged then."""
    story = failover(ends=False, **more)  # type: ignore[arg-type]  # what ``failover`` takes
    for begins, ends, found in ((1.9, 2.0, no_fence()), (acknowledged - 0.1, acknowledged, fenced(ended))):
        story.add(begins, StepStarted(step="metadata-db/fence", attempt=2, look_first=True, owed=True))
        values = {"attempt": 2, "outcome": Outcome.DONE, "acted": True, "evidence": (found,), "duration": timedelta(seconds=0.1)}
        story.add(ends, StepEnded.model_validate({"step": "metadata-db/fence", "owed": True, **values}))
    return story.over(4.0)


def test_a_fence_that_is_acknowledged_later_ends_the_split() -> None:
    """The report says fenced, owes no fence any more and says when; times, path and divergence are those of the split that it was."""
    split, found = report(failover()), report(late(3.5))
    assert (split.fence.state, found.fence.state) == (FenceState.SPLIT_ACCEPTED, FenceState.FENCED)
    assert DebtKind.FENCE in {item.kind for item in split.debt}
    assert DebtKind.FENCE not in {item.kind for item in found.debt}
    assert "metadata-db/fence was acknowledged after the promotion, at 02:40:03 UTC: process gone, write refused" in found.deviations
    assert (found.objectives, found.stamps, found.critical_path) == (split.objectives, split.stamps, split.critical_path)
    assert found.divergence == split.divergence
    one, other = (next(step for step in item.steps if step.verb == "fence") for item in (split, found))
    assert (one.started_at, one.finished_at, one.duration_seconds) == (other.started_at, other.finished_at, other.duration_seconds)


def test_what_the_old_primary_took_ends_with_the_late_fence() -> None:
    """It took writes after the promotion at 1.45, until the fence was acknowledged at most: a bound still."""
    assert (report(late(2.4, 2.3)).objectives.rpa_state, report(late(2.4, 2.3)).objectives.rpa_seconds) == (Known.BOUND, 2.5)
    assert report(late(3.5, 3.4)).objectives.rpa_seconds == 3.0, "names led nobody there from 2.9 on"


def test_a_late_fence_does_not_date_an_outage() -> None:
    """A primary that still served is fenced after the promotion: when service ended is known no better than before."""
    began = {"outage_began": None, "detected": None}
    split, found = report(failover(**began)), report(late(3.5, 3.4, **began))  # type: ignore[arg-type]  # as above
    assert (found.stamps.outage_began, found.objectives.rta_state) == (split.stamps.outage_began, split.objectives.rta_state)
