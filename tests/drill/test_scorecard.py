"""Every expectation that a scenario can write can be met and can fail, and unknown is never met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from dr.drill.scorecard import Results, score
from dr.model.base import Json
from dr.model.evidence import Attested
from dr.model.report import (
    AccountedReport,
    DeploymentReport,
    DivergenceReport,
    FenceReport,
    GuardReport,
    IdentityReport,
    RunReport,
    TaskReport,
)
from dr.model.scenario import Expect
from dr.model.truth import Truth
from dr.model.words import FenceState, Guard, Intent, Known, RunOutcome, Verdict
from dr.report.assess import run_report
from tests.drill.fakes import TRUTH
from tests.report.build import at, failover

BASE = run_report(failover().records(), "journal.db").model_copy(
    update={
        "identities": IdentityReport(checked=5, after_sha256="aa"),
        "tasks": TaskReport(in_flight=60, requeued=60, failed=0, lost=0, duplicated=0, untouched=0),
        "guards": (GuardReport(name=Guard.EXPOSURE, verdict=Verdict.REFUSED, reason="too much"),),
        "divergence": DivergenceReport(state="preserved", items=1, preserved_at="/kept"),
        "fence": FenceReport(state=FenceState.FENCED, evidence="gone"),
    }
)


def run(**more: object) -> RunReport:
    return BASE.model_copy(update=more)


def objectives(**more: object) -> RunReport:
    return BASE.model_copy(update={"objectives": BASE.objectives.model_copy(update=more)})


def truth(**more: object) -> Truth:
    return TRUTH.model_copy(update=more)


def results(runs: Sequence[RunReport] = (BASE,), seen: Truth | None = TRUTH, codes: Sequence[int | None] = (0,)) -> Results:
    return Results(runs, seen, codes, codes[-1] if codes else None)


NO_RUN = results(())
NO_TRUTH = results(seen=None)
LOST = truth(lost_writes=3, loss_window=timedelta(seconds=1))

PRESERVED = truth(lost_writes=3, preserved_writes=3)
KEPT = run(divergence=DivergenceReport(state="preserved", items=7, preserved_at="/kept"))
LESS = AccountedReport.model_validate({
    "component": "logs", "kind": "s3-bucket", "step": "logs/prepare", "region": "west", "at": "2026-03-01T02:40:00Z", "checked": 3,
    "equal": 2, "missing": ["a"], "missing_total": 1, "differing": [], "differing_total": 0, "conflicts": [], "conflicts_total": 0,
    "repaired": 0, "unequal": 1, "complete": False, "items_path": None,
})  # fmt: skip
SHIPPED = truth(lost_objects=2, lost_object_names=("a", "b"))
NAMED = run(accounted=(LESS,))
WORKING = DeploymentReport(total=5, healthy=5)
SAME = LESS.model_copy(update={"equal": 3, "missing": (), "missing_total": 0, "unequal": 0, "complete": True})
PART = LESS.model_copy(update={"step": "logs/drain"})
IMAGES = SAME.model_copy(update={"component": "images", "kind": "oci-registry"})
FEWER = {"checked": 2, "equal": 2}
MORE = {"checked": 4, "equal": 4}
LAP = run(accounted=(IMAGES, SAME))
MISSED = objectives(rto_met=False).model_copy(update={"deviations": ("2.0s before the RTO of 8.0s is over, …",)})



def asked(answered: float, dependent: float, *, said: bool = True) -> Results:
    """A gate that was free at 1 s, was answered at ``answered``, and a promotion that began at ``dependent``."""
    gate, before, after = (BASE.steps[0].model_copy(update={"id": name, "needs": needs, "started_at": at(began), "finished_at": at(ended)})
        for name, needs, began, ended in (
            ("ready/gate", ("db/prepare",), answered, answered + 0.01), ("db/prepare", (), 0, 1),
            ("db/promote", ("ready/gate",), dependent, dependent + 1),
        ))  # fmt: skip
    return results([run(steps=(before, gate, after), approvals=(Attested(step="ready/gate", actor="lead"),) if said else ())])


CASES: list[tuple[str, Json, Results, Results]] = [
    ("waited_for", {"ready/gate": "2s"}, asked(3, 3.5), asked(2.9, 3.5)),
    ("waited_for", {"ready/gate": "2s"}, asked(3, 3.5), asked(3, 2.5)),
    ("waited_for", {"ready/gate": "2s"}, asked(3, 3.5), asked(3, 3.5, said=False)),
    ("waited_for", {"ready/gate": "2s"}, asked(3, 3.5), NO_RUN),
    ("outcome", "completed", results(), results([run(outcome=RunOutcome.FAILED)])),
    ("outcome", "completed", results(), NO_RUN),
    ("exit_code", 3, results(codes=[0, 3]), results(codes=[3, 0])),
    ("exit_codes", [137, 0], results(codes=[137, 0]), results(codes=[0, 137])),
    ("exit_codes", [0, 0], results(codes=[0, 0]), results(codes=[0, None])),
    ("rta", "3s", results(), results([objectives(rta_seconds=3.1)])),
    ("rta", "3s", results(), results([objectives(rta_seconds=None)])),
    ("rpa", "3s", results(), results([objectives(rpa_seconds=3.1)])),
    ("rpa", "3s", results(), results([objectives(rpa_seconds=None, rpa_state=Known.UNKNOWN)])),
    ("rta_matches_truth", True, results(), results(seen=truth(outage=timedelta(seconds=1.5)))),
    ("rta_matches_truth", True, results(seen=truth(outage=timedelta(seconds=3.1))), results(seen=truth(outage=timedelta(seconds=3.3)))),
    ("rta_matches_truth", True, results(), results(seen=truth(outage=None))),
    ("rta_matches_truth", True, results(), results([objectives(rta_seconds=None)])),
    ("rpa_not_below_truth", True, results(seen=LOST), results(seen=truth(loss_window=timedelta(seconds=3.1)))),
    ("rpa_not_below_truth", True, results([objectives(rpa_seconds=1.2, rpa_state=Known.KNOWN)], LOST),
     results([objectives(rpa_seconds=1.4, rpa_state=Known.KNOWN)], LOST)),
    ("rpa_not_below_truth", True, results(), NO_TRUTH),
    ("outage", "3s", results(), results(seen=truth(outage=timedelta(seconds=4)))),
    ("outage", "3s", results(), results(seen=truth(outage=None))),
    ("lost_writes", 0, results(), results(seen=LOST)),
    ("lost_writes", 3, results(seen=LOST), NO_TRUTH),
    ("min_lost_writes", 1, results(seen=LOST), results()),
    ("max_lost_writes", 2, results(), results(seen=LOST)),
    ("identities", "preserved", results(), results([run(identities=IdentityReport(checked=5, changed=("d-001.name",)))])),
    ("identities", "preserved", results(), results([run(identities=IdentityReport(checked=5, missing=("d-001",)))])),
    ("identities", "preserved", results(), results([run(identities=IdentityReport())])),
    ("identities", "preserved", results(), results([run(identities=IdentityReport(checked=5, contents=("d-001.pool.batch",)))])),
    ("identities", "preserved", results([run(identities=IdentityReport(checked=5, fewer={"d-001.xcom": 1}, fewer_explained=True))]),
     results([run(identities=IdentityReport(checked=5, fewer={"d-001.xcom": 1}, fewer_explained=False))])),
    ("identities", "preserved", results(), results([run(identities=IdentityReport()), BASE])),
    ("lost_tasks", 0, results(), results([run(tasks=BASE.tasks.model_copy(update={"lost": 1}))])),
    ("lost_tasks", 0, results(), results([run(tasks=TaskReport())])),
    ("lost_tasks", 0, replace(results(), running_tasks=BASE.tasks.in_flight or 0), replace(results(), running_tasks=100_000)),
    ("duplicated_tasks", 0, results(), results([run(tasks=BASE.tasks.model_copy(update={"duplicated": 1}))])),
    ("primary", "west", results(), results(seen=truth(served_by={"a": "east"}))),
    ("primary", "west", results(), results(seen=truth(served_by={"a": "east", "b": "west"}))),
    ("primary", "west", results(seen=truth(served_by={})), results((), truth(served_by={}))),
    ("fence", "fenced", results(), results([run(fence=FenceReport(state=FenceState.SPLIT_ACCEPTED, evidence=""))])),
    ("refused_by", "exposure", results(), results([run(guards=())])),
    ("refused_by", "exposure", results(), NO_RUN),
    ("runs", 1, results(), results([BASE, BASE])),
    ("rto_met", True, results(), results([objectives(rto_met=None)])),
    ("rpo_met", True, results(), results([objectives(rpo_met=False)])),
    ("divergence_preserved", True, results(), results([run(divergence=DivergenceReport(state="possible"))])),
    ("agent_continues", True, results(), results(seen=truth(agent_polls_after=0))),
    ("agent_continues", True, results(), NO_TRUTH),
    ("exit_codes_any_order", [0, 3], results(codes=[3, 0]), results(codes=[0, 0])),
    ("exit_codes_any_order", [0, 3], results(codes=[0, 3]), results(codes=[3, None])),
    ("says", ["too much"], results(), NO_RUN),
    ("says", ["run {run} is in flight"], replace(results(), printed=[f"run {BASE.run_id} is in flight"]), results()),
    ("says", ["too much", "split"], results([run(deviations=("split accepted",))]), results()),
    ("promotions", 1, results(), results([BASE, BASE])),
    ("promotions", 0, NO_RUN, results()),
    ("divergence_matches_truth", True, results([KEPT], PRESERVED), results([KEPT], truth(lost_writes=3, preserved_writes=2))),
    ("divergence_matches_truth", True, results([KEPT], PRESERVED), results(seen=PRESERVED)),
    ("divergence_matches_truth", True, results([KEPT], PRESERVED), results([KEPT], truth(lost_writes=0, preserved_writes=0))),
    ("divergence_matches_truth", True, results([KEPT], PRESERVED), results([KEPT], LOST)),
    ("rta_below_truth", True, results(seen=truth(outage=timedelta(seconds=8))), results()),
    ("rta_below_truth", True, results(seen=truth(outage=timedelta(seconds=8))), results(seen=truth(outage=None))),
    ("warned_in_time", True, results([MISSED]), results([objectives(rto_met=False)])),
    ("warned_in_time", True, results([MISSED]), results([run(deviations=MISSED.deviations)])),
    ("lost_objects", 0, results(seen=truth(lost_objects=0)), results(seen=truth(lost_objects=2))),
    ("lost_objects", 0, results(seen=truth(lost_objects=0)), results(seen=truth(lost_objects=None))),
    ("min_lost_objects", 1, results(seen=SHIPPED), results(seen=truth(lost_objects=0))),
    ("max_lost_objects", 2, results(seen=SHIPPED), results(seen=truth(lost_objects=3))),
    ("lost_objects_named", True, results([NAMED], SHIPPED), results([NAMED], truth(lost_objects=1, lost_object_names=("b",)))),
    ("lost_objects_named", True, results([NAMED], SHIPPED), results(seen=SHIPPED)),
    ("lost_objects_named", True, results([NAMED], SHIPPED), results([NAMED])),
    ("min_repaired", 2, results([run(accounted=(LESS.model_copy(update={"repaired": 2}),))]), results([NAMED])),
    ("min_repaired", 2, results([run(accounted=(LESS.model_copy(update={"repaired": 2}),))], SHIPPED), results([NAMED], SHIPPED)),
    ("unequal", 0, results([run(accounted=(PART, SAME)), LAP]), results([NAMED, LAP])),
    ("unequal", 0, results([LAP]), results()),
    ("unequal", 1, results([NAMED, LAP]), results([run(accounted=(SAME, SAME.model_copy(update={"region": "east"})))])),
    ("counts", "equal", results([LAP, LAP]), results([LAP])),
    ("counts", "equal", results([BASE, BASE]), results([BASE, run(identities=IdentityReport(checked=4))])),
    ("counts", "equal", results([LAP, run(accounted=(IMAGES, SAME.model_copy(update=MORE)))]),
     results([LAP, run(accounted=(IMAGES, SAME.model_copy(update=FEWER)))])),
    ("counts", "equal", results([LAP, LAP]), results([LAP, run(accounted=(IMAGES.model_copy(update=MORE), SAME))])),
    ("counts", "equal", results([LAP, LAP]), results([LAP, run(accounted=(IMAGES,))])),
    ("counts", "equal", results([run(accounted=(IMAGES, SAME.model_copy(update={"complete": False}))), run(accounted=(IMAGES,))]),
     results([LAP, run(accounted=(SAME,))])),
    ("counts", "equal", results([LAP, LAP]), results([LAP, run(accounted=LAP.accounted, outcome=RunOutcome.FAILED)])),
    ("healthy", 4, results([run(deployments=WORKING.model_copy(update={"healthy": 4}))]), results([run(deployments=WORKING)])),
    ("healthy", 0, results([run(deployments=WORKING.model_copy(update={"healthy": 0}))]), results([run(deployments=DeploymentReport())])),
    ("rpa_known", "bound", results([objectives(rpa_state=Known.BOUND)]), results([objectives(rpa_state=Known.KNOWN)])),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wanted", "good", "bad"), CASES, ids=[f"{number}-{case[0]}" for number, case in enumerate(CASES)])
def test_an_expectation_can_be_met_and_can_fail(name: str, wanted: Json, good: Results, bad: Results) -> None:
    """One line each, met where it holds and not met where it does not."""
    expect = Expect.model_validate({name: wanted})
    (met,) = score(expect, good)
    (unmet,) = score(expect, bad)
    assert (met.name, met.met, unmet.met) == (name, True, False)


def test_every_expectation_has_a_case() -> None:
    """A new field of Expect needs a met and an unmet case here."""
    assert {case[0] for case in CASES} == set(Expect.model_fields)


def test_only_what_is_written_is_checked() -> None:
    """An empty expectation judges nothing."""
    assert score(Expect(), results()) == ()


def test_false_can_be_expected_too() -> None:
    """``agent_continues: false`` is met by an agent that stopped."""
    (line,) = score(Expect(agent_continues=False), results(seen=truth(agent_polls_after=0)))
    assert line.met


def test_objectives_are_those_of_the_last_move() -> None:
    """A re-protect after it has none of its own: what the failover came to counts."""
    after = run(intent=Intent.REPROTECT, objectives=BASE.objectives.model_copy(update={"rto_met": None, "rpo_met": None}))
    missed = objectives(rpo_met=False, rpa_state=Known.UNKNOWN, rpa_seconds=None)
    wanted = Expect.model_validate({"rpo_met": False, "rpa_known": "unknown"})
    assert [line.met for line in score(wanted, results((missed, after)))] == [True, True]
    assert [line.met for line in score(wanted, results((BASE, after)))] == [False, False]


def test_runs_that_move_nothing_are_not_asked_for_rta_or_identities() -> None:
    """A re-protect after the failover has no RTA and compares no identities: the failover's count."""
    reprotect = run(
        intent=Intent.REPROTECT, identities=IdentityReport(), objectives=BASE.objectives.model_copy(update={"rta_seconds": None})
    )  # fmt: skip
    both = replace(results(), runs=[BASE, reprotect])
    lines = score(Expect(identities="preserved", rta_matches_truth=True), both)
    assert [line.met for line in lines] == [True, True]


@pytest.mark.parametrize(("least", "holds"), [(3.15, False), (2.5, True), (3.25, False)])
def test_the_rta_is_held_to_what_the_client_can_tell(least: float, holds: bool) -> None:
    """An RTA of 2.9 s against an outage of 3.3 s is too short, unless the client's writes are so far apart that 2.5 s is as likely."""
    seen = truth(outage=timedelta(seconds=3.3), outage_at_least=timedelta(seconds=least))
    [line] = score(Expect(rta_matches_truth=True), results(seen=seen))
    assert line.met is holds
