"""Exit codes, hints, deviations and guards of a run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dr.model.events import Accepted, Approved, Observed, PauseRequested, StepEnded
from dr.model.evidence import Following, Healthy, Identities, PredictedLate, TaskCount
from dr.model.lag import ComponentView, RegionView
from dr.model.report import RunReport
from dr.model.words import DebtKind, Guard, Intent, Outcome, Role, RunOutcome, TaskFate, Verb, Verdict
from dr.report.assess import run_report
from tests.report.build import RUNBOOK, Story, acceptance, at, failover, plan, result, step, usual_steps

SECONDARY = RegionView(role=Role.SECONDARY)


def report(story: Story) -> RunReport:
    return run_report(story.records(), "journal.db")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (RunOutcome.ALREADY, 0),
        (RunOutcome.REFUSED, 3),
        (RunOutcome.FAILED, 1),
        (RunOutcome.CANCELLED, 1),
        (RunOutcome.ROLLED_BACK, 1),
        (RunOutcome.PAUSED, 4),
    ],
)
def test_exit_codes(outcome: RunOutcome, code: int) -> None:
    """One code for each way a run ends."""
    found = report(Story().start(plan(usual_steps())).over(1.3, outcome, "because"))
    assert (found.outcome, found.exit_code, found.reason) == (outcome, code, "because")


def test_a_completed_run_with_a_missed_objective_exits_5() -> None:
    """RTO two seconds, RTA 2.9."""
    story = failover()
    story.events[0] = Story().start(plan(usual_steps(), rto=timedelta(seconds=2))).events[0]
    found = report(story)
    assert (found.objectives.rto_met, found.objectives.rpo_met, found.exit_code) == (False, True, 5)


def test_a_refusal_names_the_guard_and_the_flag_that_accepts_it() -> None:
    """The next command is the same one with the flag."""
    no = result(name=Guard.EXPOSURE, verdict=Verdict.REFUSED, reason="would lose 20m", component="metadata-db")
    found = report(Story().start(plan(usual_steps(), guards=(no,))).over(1.2, RunOutcome.REFUSED, "exposure"))
    assert [(item.name, item.verdict) for item in found.guards] == [(Guard.EXPOSURE, Verdict.REFUSED)]
    assert found.hint == f"dr failover {RUNBOOK} --to west --accept-data-loss DURATION"


def test_a_target_that_is_not_whole_names_both_ways_out() -> None:
    """The name server of the target is down: start it, or move at once what does not need it, with what that needs."""
    def refused(*away: str) -> str:
        gone = RegionView(role=Role.UNREACHABLE, reason="no answer")
        views = tuple(
            ComponentView(component=name, kind="fake", at=at(0.9), regions={"east": gone, "west": gone if name in away else SECONDARY})
            for name in ("metadata-db", "deployments", "dns")
        )
        no = tuple(
            result(name=Guard.TARGET_REACHABLE, verdict=Verdict.REFUSED, reason=f"{name} in west is unreachable", component=name)
            for name in away
        )
        document = {"home": "east", "components": {
            "metadata-db": {"kind": "postgres"}, "deployments": {"needs": ["metadata-db"]}, "dns": {"needs": ["deployments"]},
        }}  # fmt: skip
        story = Story().start(plan(usual_steps(), guards=no, views=views), document=document)
        return report(story.over(1.2, RunOutcome.REFUSED, "target-reachable")).hint

    assert refused("dns") == (
        f"dr status {RUNBOOK} · start dns in west, then give the same command again · or, without it and with the same flags: "
        f"dr failover {RUNBOOK} --to west --only metadata-db --only deployments"
    )
    # everything stands on it
    assert refused("metadata-db") == f"dr status {RUNBOOK} · start metadata-db in west, then give the same command again"


@pytest.mark.parametrize("late", [True, False])
def test_what_did_not_answer_in_time_is_asked_again(late: bool) -> None:
    """The hint of a refusal says to look at the load and to come again, not to start what may well run; a planned move's, too."""
    def refused(intent: Intent) -> str:
        west = RegionView(role=Role.UNREACHABLE, reason="no answer within 1.8 s", late=late)
        view = ComponentView(component="dns", kind="fake", at=at(0.9), regions={"east": RegionView(role=Role.PRIMARY), "west": west})
        no = result(name=Guard.TARGET_REACHABLE, verdict=Verdict.REFUSED, reason="dns in west is unreachable", component="dns")
        story = Story().start(plan(usual_steps(), intent=intent, guards=(no,), views=(view,)), document={"home": "east", "components": {}})
        return report(story.over(1.2, RunOutcome.REFUSED, "target-reachable")).hint

    told = "look at the load there and on this machine" if late else "start dns in west"
    for intent in (Intent.SWITCHOVER, Intent.FAILOVER):
        assert refused(intent) == f"dr status {RUNBOOK} · {told}, then give the same command again"


def test_a_predicted_miss_is_a_deviation_with_the_time_that_was_left() -> None:
    """Said before it happened: how long before. Once it is too late it does not say so."""
    story = failover()
    early = PredictedLate(at=at(2), rto=timedelta(seconds=4), deadline=at(4), service_back=at(7), waits_for="deployments/verify-inside")
    late = early.model_copy(update={"at": at(5)})
    story.events[-1:-1] = [(at(2), Observed(evidence=early)), (at(2.01), Observed(evidence=late))]
    said = [text for text in report(story).deviations if "RTO" in text]
    assert said == [
        "2.0s before the RTO of 4.0s is over, service is predicted back 3.0s after it: waiting for deployments/verify-inside",
        "the RTO of 4.0s is over and service is not back: waiting for deployments/verify-inside",
    ]


def test_a_guard_that_refused_a_step_is_overridden_by_a_later_acceptance() -> None:
    """Refused at the promotion, accepted while paused, promoted at the second attempt: all three are told."""
    story = Story().start(plan(usual_steps())).run("deployments/snapshot", 1.21, 1.25).run("metadata-db/fence", 1.21, 1.3)
    story.run("metadata-db/promote", 1.31, 1.32, outcome=Outcome.FAILED, acted=False, guard="fence", reason="not acknowledged")
    paused = report(story)
    assert (paused.outcome, paused.guards[0].verdict) == (RunOutcome.PAUSED, Verdict.REFUSED)
    assert paused.hint == f"dr resume {story.run_id} --accept-split --reason TEXT"
    assert paused.point_of_no_return_at is None
    story.add(5, Accepted(acceptance=acceptance(Guard.FENCE, actor="lead"))).resume(5.1, crashed=False, changed=True)
    found = report(story)
    assert (found.guards[0].verdict, found.guards[0].overridden_by) == (Verdict.OVERRIDDEN, "lead")
    assert any("edited" in text for text in found.deviations)
    assert "guard fence accepted by lead: region lost" in found.deviations


def test_an_optional_step_that_failed_is_a_deviation_and_the_run_goes_on() -> None:
    """Fencing in a dead region is best effort."""
    story = failover()
    for number, (moment, event) in enumerate(story.events):
        if isinstance(event, StepEnded) and event.step == "metadata-db/fence":
            story.events[number] = (moment, event.model_copy(update={"outcome": Outcome.FAILED, "reason": "no route to host"}))
    found = report(story)
    assert found.outcome is RunOutcome.COMPLETED
    assert "metadata-db/fence failed and was not needed to go on: no route to host" in found.deviations


def test_a_run_that_waits_for_a_person_says_for_what() -> None:
    """The hint is the approval, then the resume."""
    gate = step("gate/attest", Verb.GATE, approval=True)
    story = Story().start(plan((gate,)))
    found = report(story)
    assert found.reason == "waits for a person at gate/attest"
    assert found.hint == f"dr approve {story.run_id} gate/attest · dr resume {story.run_id}"
    story.add(2, Approved(step="gate/attest", actor="lead", text="seen")).run("gate/attest", 2.1, 2.2, outcome=Outcome.ALREADY).over(2.3)
    assert [(said.actor, said.text, said.proven) for said in report(story).approvals] == [("lead", "seen", False)]


def test_a_pause_is_told_with_its_actor() -> None:
    """Who, and why."""
    found = report(Story().start(plan(usual_steps())).add(2, PauseRequested(actor="lead", reason="wait for network")))
    assert (found.outcome, found.reason) == (RunOutcome.PAUSED, "wait for network")
    assert "paused by lead: wait for network" in found.deviations


def test_a_reprotect_has_no_objectives_and_then_offers_the_way_home() -> None:
    """It moves nothing: exit 0 without RTA and RPA; with no debt left the next command is the failback."""
    follow = step("metadata-db/follow", Verb.FOLLOW, region="east")
    story = Story("r2").start(plan((follow,), Intent.REPROTECT, source="east", target="west"), outage_began=None, detected=None)
    story.run("metadata-db/follow", 2, 4, Following(component="metadata-db", region="east", upstream="west", how="pg_rewind")).over(4.1)
    found = run_report(story.records(), "journal.db", [failover().records()])
    assert (found.exit_code, found.objectives.rto_met, found.objectives.rpo_met, found.debt) == (0, None, None, ())
    assert found.stamps.outage_began is None
    assert found.hint == f"dr failback {RUNBOOK}"


def test_after_a_failover_the_next_command_pays_the_debt() -> None:
    """Region, journal and plan are named, too: a report can be checked."""
    story = failover()
    found = report(story)
    assert found.hint == f"dr reprotect {RUNBOOK}"
    assert {item.kind for item in found.debt} == {DebtKind.REPROTECT, DebtKind.DIVERGENCE, DebtKind.FENCE}
    assert found.journal_head == story.records()[-1].hash
    assert found.plan_hash == plan(usual_steps()).plan_hash


def test_platform_facts_come_from_evidence() -> None:
    """Identities, health and tasks as the kinds found them; null where the run did not get there."""
    assert report(failover()).tasks.in_flight is None
    story = failover()
    facts = (
        Identities(component="deployments", checked=5, changed=("d-001.name",), missing=(), created_later=("d-006",),
                   before_taken_at=at(-9), before_sha256="aa", after_sha256="bb"),
        Healthy(component="deployments", total=5, healthy=4, unhealthy={"d-003": "503"}),
        TaskCount(component="deployments", in_flight=60, fates={TaskFate.REQUEUED: 50, TaskFate.FAILED: 7, TaskFate.UNTOUCHED: 3}),
    )  # fmt: skip
    for number, (moment, event) in enumerate(story.events):
        if isinstance(event, StepEnded) and event.step == "deployments/start":
            story.events[number] = (moment, event.model_copy(update={"evidence": facts}))
    found = report(story)
    assert (found.identities.checked, found.identities.changed, found.identities.created_later) == (5, ("d-001.name",), ("d-006",))
    assert (found.deployments.total, found.deployments.healthy) == (5, 4)
    tasks = found.tasks
    assert (tasks.in_flight, tasks.requeued, tasks.failed, tasks.untouched, tasks.lost) == (60, 50, 7, 3, None)
    assert any(item.kind is DebtKind.DRIFT for item in found.debt)
