"""Checks, waits and messages in a plan: checks stand where ``needs`` puts them, messages at their moment; nobody waits for those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from dr.engine.planner import ApprovalStep
from dr.model.plan import Plan
from dr.model.words import Intent, Stage, Verb
from dr.ports import Step
from tests.engine.build import spec
from tests.engine.test_planner import CHAINS, FAILOVER, MUST, PLATFORM, REPROTECT, SWITCHOVER, Chain, Order, chain, make, planned

CHECK: Chain = {"check": ""}


def messages(stages: Sequence[Stage] = tuple(Stage)) -> list[Step]:
    """The chain of a component of kind ``notify``."""
    steps: list[Step] = []
    for stage in stages:
        before = steps[-1].spec.id if steps else ""
        one = spec(f"people/{stage}", before, verb=Verb.NOTIFY, stage=stage, optional=True)
        steps.append(Step(one, ApprovalStep()))
    return steps


def told(
    intent: Intent, needs: Mapping[str, str] = PLATFORM, extra: Mapping[str, Chain] | None = None, *, approvals: int = 0,
    first: bool = False,
) -> Plan:  # fmt: skip
    """A plan with messages."""
    kinds = {**CHAINS[intent], **(extra or {})}
    chains: dict[str, list[Step]] = {name: chain(name, kinds[name]) for name in needs}
    everything = {"people": "", **needs} if first else {**needs, "people": ""}
    return planned(intent, everything, {**chains, "people": messages()}, approvals=approvals).plan


@pytest.mark.parametrize("verb", ["check", "wait"])
def test_between_database_and_deployments_it_holds_the_names_only_if_they_need_it(verb: str) -> None:
    """``needs`` decides: beside the way it holds nothing, on the way it holds all that comes after."""
    beside = Order(make(FAILOVER, {"db": "", "look": "db", "deployments": "db", "dns": "deployments"}, {"look": {verb: ""}}))
    assert beside("db/promote", f"look/{verb}")
    assert not beside(f"look/{verb}", "dns/redirect")
    assert not beside(f"look/{verb}", "deployments/start")
    on_it = Order(make(FAILOVER, {"db": "", "look": "db", "deployments": "db look", "dns": "deployments"}, {"look": {verb: ""}}))
    assert on_it("db/promote", f"look/{verb}")
    assert on_it(f"look/{verb}", "deployments/verify-inside")
    assert on_it(f"look/{verb}", "dns/redirect")


def test_a_check_before_the_names_holds_them() -> None:
    """Inside the target, before anybody is led there; what comes through the names is not waited for."""
    before = Order(make(FAILOVER, {"db": "", "deployments": "db", "look": "deployments", "dns": "look"}, {"look": CHECK}))
    assert before("deployments/verify-inside", "look/check")
    assert before("look/check", "dns/redirect")
    assert before("dns/redirect", "deployments/verify-outside")


def test_a_check_after_the_names_is_on_nobodys_way() -> None:
    """A smoke test at the end: after service is back, so the predicted RTA is what it was."""
    plan = make(FAILOVER, {**PLATFORM, "smoke": "dns"}, {"smoke": CHECK})
    before = Order(plan)
    assert before("dns/propagate", "smoke/check")
    assert before("deployments/verify-outside", "smoke/check")
    assert plan.predicted_rta == make(FAILOVER).predicted_rta
    assert plan.critical_path == make(FAILOVER).critical_path


@pytest.mark.parametrize("intent", [FAILOVER, SWITCHOVER])
@pytest.mark.parametrize("first", [True, False])
def test_messages_go_out_at_their_moments(intent: Intent, first: bool) -> None:
    """At once, as the promotion begins, with service back, after everything; wherever the component stands in the runbook."""
    plan = told(intent, first=first)
    before = Order(plan)
    needs = {step.id: step.needs for step in plan.steps}
    assert needs["people/investigating"] == ()
    promote = set(needs["db/promote"])
    assert promote <= set(needs["people/failing-over"])
    assert before("db/fence", "people/failing-over") and not before("db/promote", "people/failing-over")
    assert before("deployments/verify-outside", "people/restored") and not before("deployments/fingerprint", "people/restored")
    assert all(before(step.id, "people/resolved") for step in plan.steps)
    assert not [row for row in MUST[intent] if not before(row[0], row[1])], "the invariants hold as without them"


@pytest.mark.parametrize("intent", [FAILOVER, SWITCHOVER, REPROTECT])
def test_nothing_waits_for_a_message(intent: Intent) -> None:
    """A message that hangs delays no step and no predicted end."""
    plan, plain = told(intent), make(intent)
    messages_of_it = {step.id for step in plan.steps if step.stage is not None}
    assert not [step.id for step in plan.steps if step.stage is None and messages_of_it & set(step.needs)]
    assert {step.id: set(step.needs) for step in plan.steps if step.stage is None} == {step.id: set(step.needs) for step in plain.steps}
    assert (plan.predicted_rta, plan.critical_path) == (plain.predicted_rta, plain.critical_path)


def test_people_know_before_somebody_approves() -> None:
    """The first message does not wait for an approval; the one about the promotion comes after it."""
    before = Order(told(FAILOVER, approvals=1))
    assert not before("approvals/1", "people/investigating")
    assert before("approvals/1", "people/failing-over")


def test_a_gate_behind_the_database_is_not_part_of_the_decision() -> None:
    """What holds the Deployments does not hold the message that the promotion begins; what holds the promotion does."""
    needs = {"db": "", "gate": "db", "deployments": "gate", "dns": "deployments"}
    assert not Order(told(FAILOVER, needs, {"gate": {"gate": ""}}))("gate/gate", "people/failing-over")
    needs = {"gate": "", "db": "gate", "deployments": "db", "dns": "deployments"}
    assert Order(told(FAILOVER, needs, {"gate": {"gate": ""}}))("gate/gate", "people/failing-over")


def test_a_promotion_beside_the_way_is_not_waited_for() -> None:
    """A store that takes its time and nobody needs for service does not hold back the message."""
    needs = {**PLATFORM, "logs": ""}
    plan = told(FAILOVER, needs, {"logs": {"drain": "", "promote": "drain"}})
    before = Order(plan)
    assert not before("logs/drain", "people/failing-over")
    assert before("logs/promote", "people/resolved")


def test_what_is_left_until_service_is_back() -> None:
    """From the start of a step, by the estimates: at the start of the run all of it, after service nothing that is known."""
    plan = told(FAILOVER)
    assert plan.to_service("people/investigating") == plan.predicted_rta
    left = plan.to_service("people/failing-over")
    assert left is not None and left < plan.predicted_rta
    assert left == plan.to_service("db/promote")
    assert plan.to_service("people/restored") is None
    assert plan.to_service("people/resolved") is None
    assert plan.to_service("nothing") is None


def test_a_runbook_of_names_only_has_its_moments_too() -> None:
    """Without a promotion the redirect is what people are told of."""
    plan = told(FAILOVER, {"dns": ""})
    before = Order(plan)
    assert before("dns/prepare", "people/failing-over") and not before("dns/redirect", "people/failing-over")
    assert before("dns/propagate", "people/restored")
