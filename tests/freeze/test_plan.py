"""Where the planner puts what surrounds a freeze: first and last, before the outage, beside a failover."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest

from dr.model.words import Intent, Verb
from tests.engine.test_planner import CHAINS, GATE, Order, make

FAILOVER, SWITCHOVER = Intent.FAILOVER, Intent.SWITCHOVER
PLATFORM = {"db": "", "pools": "db", "deployments": "db pools", "dns": "deployments", "alerts": ""}
Chain = Mapping[str, str]
AROUND: Mapping[str, Chain] = {
    "deployments": {**CHAINS[SWITCHOVER]["deployments"], "lock": "", "unlock": "fingerprint"},
    "dns": {**CHAINS[SWITCHOVER]["dns"], "lower-ttl": "prepare", "raise-ttl": "propagate"},
    "pools": {"restart": ""}, "alerts": {"silence": "", "unsilence": "silence"},
}  # fmt: skip
LOST: Mapping[str, Chain] = {
    "deployments": {**CHAINS[FAILOVER]["deployments"], "lock": "", "unlock": "fingerprint"},
    "pools": AROUND["pools"], "alerts": AROUND["alerts"],
}  # fmt: skip


def test_a_planned_move_locks_before_its_first_effect_and_unlocks_last() -> None:
    """Warm-up and people apart, nothing comes before the lock; nothing at all comes after its end."""
    plan = make(SWITCHOVER, PLATFORM, AROUND)
    before = Order(plan)
    for step in plan.steps:
        warm_up = step.verb is Verb.PREPARE
        assert before("deployments/lock", step.id) is (not warm_up), step.id
        assert before(step.id, "deployments/unlock"), step.id
    assert before("alerts/unsilence", "deployments/unlock")


def test_what_takes_its_time_is_done_before_the_outage() -> None:
    """TTL lowered and waited out, then alerts silenced, then the first freeze."""
    before = Order(make(SWITCHOVER, PLATFORM, AROUND))
    assert before("dns/lower-ttl", "alerts/silence")
    assert before("alerts/silence", "deployments/freeze")
    assert before("deployments/verify-outside", "dns/raise-ttl")
    assert before("db/follow", "alerts/unsilence"), "alerts ring again when the old side follows"


def test_a_failover_waits_for_neither_lock_nor_silence() -> None:
    """Both start at once, and nothing but their own end comes after them."""
    plan = make(FAILOVER, PLATFORM, LOST)
    needs = {step.id: step.needs for step in plan.steps}
    assert needs["deployments/lock"] == () and needs["alerts/silence"] == ()
    before = Order(plan)
    for early in ("deployments/lock", "alerts/silence"):
        after = {step.id for step in plan.steps if step.id != early and before(early, step.id)}
        assert after <= {"alerts/unsilence", "deployments/unlock"}
    for step in plan.steps:
        assert before(step.id, "deployments/unlock")


def test_the_lock_is_an_effect_that_people_approve() -> None:
    """Nobody is locked out before the second person said yes."""
    for intent, chains in ((SWITCHOVER, AROUND), (FAILOVER, LOST)):
        before = Order(make(intent, PLATFORM, chains, approvals=1))
        assert before("approvals/1", "deployments/lock")
        assert before("approvals/1", "alerts/silence")


@pytest.mark.parametrize(
    ("needs", "must"),
    [
        ({"gate": "", "db": "gate", "deployments": "db", "dns": "deployments"}, ("gate/gate", "deployments/lock")),
        ({"db": "", "gate": "db", "deployments": "gate", "dns": "deployments"}, ("db/promote", "gate/gate")),
        ({"db": "", "deployments": "db", "dns": "deployments", "gate": "dns"}, ("gate/gate", "deployments/unlock")),
    ],
)
def test_a_gate_keeps_its_place_beside_a_lock(needs: Mapping[str, str], must: tuple[str, str]) -> None:
    """A gate before everything holds the lock; one after the database does not become one before it; the end waits for the last."""
    chains = {name: AROUND[name] for name in needs if name in AROUND}
    assert Order(make(SWITCHOVER, needs, {**chains, "gate": GATE}))(*must)


def test_holders_of_old_connections_let_go_between_promotion_and_the_first_check() -> None:
    """db promoted → pools restarted → Deployments verified and started; the database's own check waits for no pool."""
    for intent, chains in ((SWITCHOVER, AROUND), (FAILOVER, LOST)):
        before = Order(make(intent, PLATFORM, chains))
        assert before("db/promote", "pools/restart")
        assert before("pools/restart", "deployments/verify-inside")
        assert before("pools/restart", "deployments/start")
        assert not before("pools/restart", "db/verify-inside")


def test_the_rto_of_a_planned_move_counts_from_its_freeze() -> None:
    """An hour of waiting for an old TTL is no hour of outage: prediction and slack are as without it."""
    plan = make(SWITCHOVER, PLATFORM, AROUND)
    waits = make(SWITCHOVER, PLATFORM, AROUND, learned={"dns/lower-ttl": timedelta(hours=1)})
    assert waits.predicted_rta == plan.predicted_rta < timedelta(minutes=1)
    assert waits.schedule["dns/redirect"].slack == plan.schedule["dns/redirect"].slack
    assert waits.schedule["dns/redirect"].earliest_start > timedelta(hours=1)
