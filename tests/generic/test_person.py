"""Approvals and gates: whose word counts, and what it must say."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.engine.attempt import attempt
from dr.model.evidence import Attested
from dr.model.runbook import Region
from dr.model.words import Intent, Outcome, Verb
from dr.ports import AttemptContext, Site, Step
from dr.providers.generic.person import Approval, ApprovalConfig, Gate, GateConfig
from dr.providers.system import SystemClock
from tests.airflow.world import Files, Kept

CLOCK = SystemClock()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(
        runbook="mine", regions={"east": Region(), "west": Region()}, hosts={}, clock=CLOCK, secrets=Files(tmp_path), samples=Kept(),
        artefacts=tmp_path, base=tmp_path, peers={},
    )  # fmt: skip


def approval(site: Site, **settings: object) -> Step:
    kind = Approval("cab", ApprovalConfig.model_validate({"text": "does the change board agree?"} | settings), [], site)
    [step] = kind.steps(Intent.FAILOVER, "east", "west")
    return step


def gate(site: Site, **settings: object) -> Step:
    kind = Gate("customers", GateConfig.model_validate({"text": "customers were told"} | settings), [], site)
    [step] = kind.steps(Intent.FAILOVER, "east", "west")
    return step


def answered(step: Step, *names: str, said: tuple[Attested, ...] = ()) -> AttemptContext:
    return AttemptContext(
        run_id="run-1", step=step.spec, intent=Intent.FAILOVER, source="east", target="west", number=1, key="run-1/x", epoch=1,
        actor="alice", clock=CLOCK, deadline=CLOCK.monotonic(), approved_by=names, evidence=said,
    )  # fmt: skip


def test_the_machine_asks_before_it_starts(site: Site) -> None:
    """Both kinds wait for a person; the plan shows what is asked."""
    for step, verb in ((approval(site), Verb.APPROVAL), (gate(site), Verb.GATE)):
        assert step.spec.approval
        assert step.spec.verb is verb
        assert step.spec.title in ("does the change board agree?", "customers were told")


@pytest.mark.parametrize(
    ("names", "outcome"),
    [((), Outcome.FAILED), (("alice",), Outcome.FAILED), (("bob",), Outcome.DONE), (("alice", "bob"), Outcome.DONE)],
)
def test_an_approval_is_somebody_elses(site: Site, names: tuple[str, ...], outcome: Outcome) -> None:
    """Whoever asked for the run cannot approve it."""
    step = approval(site)
    result = attempt(step.operation, answered(step, *names))
    assert result.outcome is outcome
    assert ("dr approve run-1 cab/approval" in result.reason) == (outcome is Outcome.FAILED)
    assert [item.actor for item in result.evidence if isinstance(item, Attested)] == (["bob"] if outcome is Outcome.DONE else [])


def test_the_requester_may_attest_a_gate_unless_the_runbook_says_no(site: Site) -> None:
    """A gate asks for a fact, not for a second person, by default."""
    mine, others = gate(site), gate(site, requester=False)
    assert attempt(mine.operation, answered(mine, "alice")).outcome is Outcome.DONE
    assert attempt(others.operation, answered(others, "alice")).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ((), Outcome.FAILED),
        ((Attested(step="customers/gate", actor="bob", text=" "),), Outcome.FAILED),
        ((Attested(step="other/gate", actor="bob", text="CHG-1"),), Outcome.FAILED),
        ((Attested(step="customers/gate", actor="carol", text="CHG-1"),), Outcome.FAILED),
        ((Attested(step="customers/gate", actor="bob", text="CHG-1"),), Outcome.DONE),
    ],
)
def test_a_gate_may_want_evidence(site: Site, said: tuple[Attested, ...], outcome: Outcome) -> None:
    """The text must come from who answered this gate."""
    step = gate(site, evidence="required")
    result = attempt(step.operation, answered(step, "bob", said=said))
    assert result.outcome is outcome
    assert outcome is Outcome.DONE or "--reason EVIDENCE" in result.reason


def test_what_the_host_keeps_is_not_kept_twice(site: Site) -> None:
    """The machine's own record of the answer is enough."""
    step = gate(site)
    said = (Attested(step="customers/gate", actor="bob", text="CHG-1"),)
    assert attempt(step.operation, answered(step, "bob", said=said)).evidence == []


def test_only_for_the_intents_that_are_named(site: Site) -> None:
    """Re-protect is not asked for unless the runbook says so."""
    kind = Approval("cab", ApprovalConfig.model_validate({"text": "agree?", "intents": ["failback"]}), [], site)
    assert [bool(kind.steps(intent, "east", "west")) for intent in Intent] == [False, False, True, False]
    assert kind.view().regions == {}
    assert kind.beat("east") is None


@pytest.mark.parametrize("settings", [{}, {"text": ""}, {"text": "x", "evidence": "maybe"}, {"text": "x", "intents": []}])
def test_settings_that_are_refused(settings: dict[str, object]) -> None:
    """A question must be there, and only known words."""
    with pytest.raises(ValueError):
        GateConfig.model_validate(settings)
