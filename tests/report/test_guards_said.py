"""What a report says of guards is what the guards said: an acceptance that did not cover it overrode nothing."""

from __future__ import annotations

from datetime import timedelta

from dr.model.events import Accepted
from dr.model.report import RunReport
from dr.model.words import Guard, Outcome, RunOutcome, Verdict
from dr.report.assess import run_report
from tests.report.build import RUNBOOK, Story, acceptance, plan, result, usual_steps

FIVE = acceptance(Guard.EXPOSURE, bound=timedelta(minutes=5))


def report(story: Story) -> RunReport:
    return run_report(story.records(), "journal.db")


def test_too_small_an_acceptance_overrides_nothing() -> None:
    """20 minutes would be lost and 5 were accepted: refused, and the next command says what would be needed."""
    flags = ("--accept-data-loss DURATION",)
    no = result(name=Guard.EXPOSURE, verdict=Verdict.REFUSED, reason="would lose 20m", component="metadata-db", accept=flags)
    found = report(Story().start(plan(usual_steps(), guards=(no,)), acceptances=(FIVE,)).over(1.2, RunOutcome.REFUSED, "exposure"))
    assert [(item.verdict, item.overridden_by) for item in found.guards] == [(Verdict.REFUSED, None)]
    assert found.hint == f"dr failover {RUNBOOK} --to west --accept-data-loss DURATION"


def test_an_unknown_loss_asks_for_the_flag_that_covers_it() -> None:
    """A duration would be refused again."""
    flags = ("--accept-data-loss unknown", "--reason TEXT")
    no = result(name=Guard.EXPOSURE, verdict=Verdict.REFUSED, reason="would lose unknown", component="metadata-db", accept=flags)
    found = report(Story().start(plan(usual_steps(), guards=(no,))).over(1.2, RunOutcome.REFUSED, "exposure"))
    assert found.hint == f"dr failover {RUNBOOK} --to west --accept-data-loss unknown --reason TEXT"


def test_a_promotion_that_was_refused_in_spite_of_an_acceptance_is_refused() -> None:
    """Accepted at the start, not enough at the promotion: the way out is printed. Accepted more later: overridden by whom."""
    story = Story().start(plan(usual_steps()), acceptances=(FIVE,)).run("deployments/snapshot", 1.21, 1.25)
    story.run("metadata-db/fence", 1.21, 1.3)
    story.run("metadata-db/promote", 1.31, 1.32, outcome=Outcome.FAILED, acted=False, guard="exposure", reason="would lose 20m")
    paused = report(story)
    assert [(item.name, item.verdict) for item in paused.guards] == [(Guard.EXPOSURE, Verdict.REFUSED)]
    assert paused.hint == f"dr resume {story.run_id} --accept-data-loss DURATION"
    story.add(5, Accepted(acceptance=acceptance(Guard.EXPOSURE, actor="lead", bound=timedelta(hours=1)))).resume(5.1, crashed=False)
    assert [(item.verdict, item.overridden_by) for item in report(story).guards] == [(Verdict.OVERRIDDEN, "lead")]
    reason = "would lose unknown (try: dr resume RUN --accept-data-loss unknown --reason TEXT)"
    story.run("metadata-db/fence", 5.12, 5.15)  # who resumes looks at the fence again
    story.run("metadata-db/promote", 5.2, 5.3, outcome=Outcome.FAILED, acted=False, guard="exposure", reason=reason)
    again = report(story)
    assert [(item.verdict, item.overridden_by) for item in again.guards] == [(Verdict.REFUSED, None)]
    assert again.hint == f"dr resume {story.run_id} --accept-data-loss unknown --reason TEXT"


def test_two_refusals_of_one_guard_and_component_are_both_told() -> None:
    """Target and source of a planned move are both away: neither hides the other."""
    both = tuple(
        result(name=Guard.TARGET_REACHABLE, verdict=Verdict.REFUSED, reason=f"metadata-db in {region} is unknown", component="metadata-db")
        for region in ("west", "east")
    )
    found = report(Story().start(plan(usual_steps(), guards=both)).over(1.2, RunOutcome.REFUSED, "both"))
    assert [item.reason for item in found.guards] == ["metadata-db in west is unknown", "metadata-db in east is unknown"]
