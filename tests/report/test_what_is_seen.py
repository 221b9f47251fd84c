"""What a report shows beside the numbers: contents accounted for, readiness, guards at the promotion, the point of no return, owners."""

from __future__ import annotations

import pytest

from dr.model.events import StepEnded
from dr.model.evidence import Accounted, Evidence, Identities, TaskCount
from dr.model.lag import Finding
from dr.model.plan import GuardResult
from dr.model.report import RunReport
from dr.model.words import DebtKind, Guard, Intent, Known, Outcome, Severity, TaskFate, Verdict
from dr.report.assess import run_report
from dr.report.debt import open_debt
from dr.report.gantt import gantt
from dr.report.html import render_run
from tests.report.build import RUNBOOK, Story, acceptance, at, failover, fenced, plan, point, promoted, result, usual_steps
from tests.report.test_render import Page


def report(story: Story) -> RunReport:
    return run_report(story.records(), "journal.db")


def with_facts(*facts: Evidence, story: Story | None = None, **more: object) -> Story:
    """A failover whose start found something."""
    made = story or failover(**more)  # type: ignore[arg-type]
    for number, (moment, event) in enumerate(made.events):
        if isinstance(event, StepEnded) and event.step == "deployments/start":
            made.events[number] = (moment, event.model_copy(update={"evidence": facts}))
    return made


def account(**more: object) -> Accounted:
    """200 objects, 3 of them missing and 2 differing, 1 brought over."""
    values: dict[str, object] = {
        "component": "deployments", "region": "west", "at": at(2.5), "checked": 200, "equal": 195, "missing": ("a", "b", "c"),
        "missing_total": 3, "differing": ("d", "e"), "differing_total": 2, "repaired": 1, "items_path": "/state/items.jsonl",
    }  # fmt: skip
    return Accounted.model_validate({**values, **more})


def test_contents_are_accounted_for_in_a_table() -> None:
    """Step, totals and names; what is left unequal is counted, and said as a deviation."""
    fine = account(component="logs", missing_total=0, missing=(), differing_total=0, differing=(), complete=False)
    found = report(with_facts(account(), fine))
    one, other = found.accounted
    assert (one.step, one.checked, one.equal, one.missing_total, one.repaired, one.unequal) == ("deployments/start", 200, 195, 3, 1, 4)
    assert (other.unequal, other.complete) == (0, False)
    assert "deployments: 4 of 200 not equal in west" in found.deviations
    assert not any(text.startswith("logs:") for text in found.deviations)
    text = Page(render_run(found)).text
    for expected in ("Accounted for", "✗ 4 left", "missing: a, b, c.", "differing: d, e.", "/state/items.jsonl", "as far as known"):
        assert expected in text, expected


def test_what_is_not_equal_is_owed_until_an_account_finds_it_equal() -> None:
    """Opened with names, owner and command; closed by a later account of that region, not by that of another one."""
    def drift(*stories: Story) -> list[str]:
        return [item.text for item in open_debt([story.records() for story in stories]) if item.kind is DebtKind.DRIFT]

    equal = {"missing": (), "missing_total": 0, "differing": (), "differing_total": 0}
    first, good = with_facts(account()), with_facts(account(**equal), run_id="r2")
    assert drift(first) == ["4 of 200 are not equal in west: a, b, c, d, e; all of them: /state/items.jsonl"]
    assert drift(first, with_facts(account(**equal, region="east"), run_id="r2")) == drift(first)
    assert drift(first, good) == []
    assert drift(with_facts(account(repaired=5))) == []
    many = account(missing=tuple("abcdefg"), missing_total=7, differing_total=0, differing=())
    assert "6 of 200 are not equal in west: a, b, c, d, e and 1 more;" in drift(with_facts(many))[0]


def test_identities_that_were_not_compared_are_a_deviation_and_a_debt() -> None:
    """I7: without a snapshot of before nothing was proven, and that is not silent; a later comparison pays it."""
    def compared(before: float | None) -> Identities:
        taken = None if before is None else at(before)
        return Identities(
            component="deployments", checked=0 if before is None else 5, changed=(), missing=(), created_later=(), before_taken_at=taken,
            before_sha256=None if before is None else "aa", after_sha256="aa",
        )  # fmt: skip

    silent = with_facts(compared(None))
    assert "deployments: identities were not compared, no snapshot of them was kept outside of east" in report(silent).deviations
    (debt,) = (item for item in report(silent).debt if item.kind is DebtKind.DRIFT)
    assert (debt.command, debt.owner) == (f"dr monitor {RUNBOOK}", "on-call")
    again = with_facts(compared(-9), run_id="r2")
    assert not [item for item in open_debt([silent.records(), again.records()]) if item.kind is DebtKind.DRIFT]
    assert not [text for text in report(again).deviations if "identities" in text]


@pytest.mark.parametrize("explained", [True, False])
def test_contents_that_differ_and_history_that_is_missing_are_said(explained: bool) -> None:
    """I7: names and numbers, as deviation, debt and on the page; rows that the recovery point accounts for are a number and no debt."""
    fact = Identities(
        component="deployments", checked=5, changed=(), missing=(), created_later=(), before_taken_at=at(-9), before_sha256="aa",
        after_sha256="bb", contents=("d-001.variable.token",), rows={"dag_run": 15, "xcom": 3}, fewer={"d-002.dag_run": 4},
        fewer_explained=explained,
    )  # fmt: skip
    found = report(with_facts(fact))
    lost = "" if explained else ", 4 rows of d-002.dag_run missing"
    assert f"deployments: d-001.variable.token differs{lost}" in found.deviations
    [debt] = [item.text for item in found.debt if item.kind is DebtKind.DRIFT]
    assert debt == f"identities differ: d-001.variable.token changed{lost}"
    who = found.identities
    assert (who.contents, who.fewer, who.fewer_explained) == (("d-001.variable.token",), {"d-002.dag_run": 4}, explained)
    text = Page(render_run(found)).text
    assert "History before dag_run 15, xcom 3 rows" in text
    assert f"d-002.dag_run 4 {'newer than the recovery point' if explained else '✗ unexplained'}" in text


def test_lost_tasks_are_unknown_unless_everything_arrived() -> None:
    """What never reached the target cannot be counted there: null in a failover, a number in a move that waited for all of it."""
    count = TaskCount(component="deployments", in_flight=60, fates={TaskFate.REQUEUED: 58, TaskFate.LOST: 2})
    assert report(with_facts(count)).tasks.lost is None
    assert "Tasks lost unknown beside 60 that arrived" in Page(render_run(report(with_facts(count)))).text
    whole = report(with_facts(count, recovery=point(0, complete=True), fence=fenced(0)))
    assert whole.tasks.lost == 2


def test_guards_at_the_promotion_are_told_when_they_passed_or_were_overridden() -> None:
    """With the step they were asked at, beside what the same guard said before the run."""
    before = result(name=Guard.EXPOSURE, verdict=Verdict.PASSED, reason="0.12s of 5m00s", component="metadata-db")
    story = Story().start(plan(usual_steps(), guards=(before,)), acceptances=(acceptance(Guard.FENCE),))
    story.run("deployments/snapshot", 1.21, 1.25).run("metadata-db/fence", 1.21, 1.3)
    asked = (
        result(name=Guard.FENCE, verdict=Verdict.OVERRIDDEN, reason="no answer", component="metadata-db", overridden_by="on-call"),
        result(name=Guard.EXPOSURE, verdict=Verdict.PASSED, reason="1.5s of 5m00s", component="metadata-db"),
    )
    story.run("metadata-db/promote", 1.31, 1.4, point(-0.1), promoted(1.39), guards=asked)
    found = report(story)
    assert [(item.name, item.step, item.verdict, item.overridden_by) for item in found.guards] == [
        (Guard.EXPOSURE, None, Verdict.PASSED, None), (Guard.FENCE, "metadata-db/promote", Verdict.OVERRIDDEN, "on-call"),
        (Guard.EXPOSURE, "metadata-db/promote", Verdict.PASSED, None),
    ]  # fmt: skip
    assert found.hint == f"dr resume {story.run_id}"
    text = Page(render_run(found)).text
    assert "at metadata-db/promote" in text and "1.5s of 5m00s" in text and "before the run" in text


def test_a_guard_that_refused_and_then_passed_is_told_once_for_its_step() -> None:
    """The last attempt that asked counts."""
    def asked(verdict: Verdict) -> tuple[GuardResult, ...]:
        return (result(name=Guard.EXPOSURE, verdict=verdict, reason=str(verdict), component="metadata-db"),)

    story = Story().start(plan(usual_steps())).run("deployments/snapshot", 1.21, 1.25).run("metadata-db/fence", 1.21, 1.3)
    no = asked(Verdict.REFUSED)
    story.run("metadata-db/promote", 1.31, 1.32, outcome=Outcome.FAILED, acted=False, guard="exposure", reason="no", guards=no)
    assert [(item.verdict, item.reason) for item in report(story).guards] == [(Verdict.REFUSED, "refused")]
    story.resume(5, crashed=False).run("metadata-db/fence", 5.1, 5.2)
    story.run("metadata-db/promote", 5.3, 5.4, point(-0.1), promoted(5.4), guards=asked(Verdict.PASSED))
    assert [(item.verdict, item.reason) for item in report(story).guards] == [(Verdict.PASSED, "passed")]


def test_the_point_of_no_return_is_drawn_and_named() -> None:
    """At the promotion's start, with its step; a run that never acted irreversibly has none."""
    found = report(failover())
    assert (found.point_of_no_return_at, found.point_of_no_return_step) == (at(1.3), "metadata-db/promote")
    picture = gantt(found)
    assert picture is not None
    (mark,) = (item for item in picture.marks if item.text == "point of no return")
    assert mark.tone == "return"
    assert ">point of no return</text>" in render_run(found)
    early = report(Story().start(plan(usual_steps())).run("deployments/snapshot", 1.21, 1.25))
    assert (early.point_of_no_return_at, early.point_of_no_return_step) == (None, None)
    assert "point of no return" not in render_run(early)


def test_each_component_is_shown_as_it_was_seen_before_the_decision() -> None:
    """Recovery point, exposure against the RPO, findings with their fix; what is unknown stays unknown."""
    made = plan(usual_steps())
    finding = Finding(component="metadata-db", severity=Severity.WARNING, fact="the slot keeps 2 GiB", fix="look at the link")
    (view,) = made.views
    assert view.lag is not None
    dark = view.model_copy(update={"component": "logs", "lag": view.lag.model_copy(update={"state": Known.UNKNOWN})})
    seen = view.model_copy(update={"findings": (finding,)})
    story = Story().start(made.model_copy(update={"views": (seen, dark)}))
    one, other = report(story).readiness
    assert (one.id, one.recovery_point, one.exposure_seconds, one.rpo_seconds) == ("metadata-db", at(-0.5), 1.7, 300)
    assert (other.recovery_point, other.exposure_seconds, other.lag_seconds) == (None, None, None)
    text = Page(render_run(report(story))).text
    assert "the slot keeps 2 GiB" in text and "look at the link" in text and "✓ no findings" in text


def test_debt_belongs_to_who_had_the_run_in_hand() -> None:
    """Started by one, resumed by another: what the promotion left is the second one's, what came before the first one's."""
    story = Story().start(plan(usual_steps()), actor="ann").run("deployments/snapshot", 1.21, 1.25).run("metadata-db/fence", 1.21, 1.3)
    story.resume(2, crashed=True).run("metadata-db/fence", 2.01, 2.05).run("metadata-db/promote", 2.1, 2.2, point(-0.1), promoted(2.2))
    assert {(item.owner, item.run_id) for item in open_debt([story.records()])} == {("second", story.run_id)}
    assert {item.owner for item in open_debt([failover(actor="ann").records()])} == {"ann"}
    later = failover(run_id="r2", intent=Intent.FAILOVER, actor="bob")
    assert {item.owner for item in open_debt([failover(actor="ann").records(), later.records()])} == {"ann"}
