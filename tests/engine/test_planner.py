"""The planner joins the chains of a platform as the invariants require, and computes when what can be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise

import networkx as nx
import pytest

from dr.engine import graph, planner
from dr.engine.planner import ApprovalStep, Planned, make_plan
from dr.errors import UsageError
from dr.model.plan import Plan, StepSpec
from dr.model.runbook import Approvals, Component, KindConfig, Objectives, Region, Runbook
from dr.model.words import Intent, Verb
from dr.ports import Step
from tests.engine.build import spec
from tests.engine.doubles import context_for

FAILOVER, SWITCHOVER, FAILBACK, REPROTECT = Intent.FAILOVER, Intent.SWITCHOVER, Intent.FAILBACK, Intent.REPROTECT
PLATFORM = {"db": "", "deployments": "db", "dns": "deployments"}
Chain = Mapping[str, str]

_DATABASE: Chain = {"prepare": "", "fence": "", "promote": "prepare fence", "verify-inside": "promote"}
_ARRIVE: Chain = {
    "verify-inside": "prepare", "hold": "verify-inside", "reconcile": "hold", "start": "prepare reconcile", "canary": "start",
    "verify-outside": "verify-inside", "release": "canary verify-outside", "fingerprint": "release",
}  # fmt: skip
_LEAVE: Chain = {"prepare": "", "snapshot": "", "freeze": "prepare snapshot", "drain": "freeze"}
_DNS: Chain = {"prepare": "", "redirect": "prepare", "propagate": "redirect"}
CHAINS: Mapping[Intent, Mapping[str, Chain]] = {
    FAILOVER: {"db": _DATABASE, "deployments": {"prepare": "", **_ARRIVE}, "dns": _DNS},
    SWITCHOVER: {
        "db": {**_DATABASE, "drain": "prepare", "fence": "drain", "follow": "verify-inside"},
        "deployments": {**_LEAVE, **_ARRIVE, "stand-by": ""}, "dns": _DNS,
    },
    REPROTECT: {
        "db": {"fence": "", "preserve": "fence", "follow": "preserve"}, "deployments": {"freeze": "", "stand-by": "freeze"}, "dns": {},
    },
}  # fmt: skip


def chain(component: str, steps: Chain) -> list[Step]:
    """Steps named by their verbs, as real kinds name theirs."""
    return [
        Step(
            spec(
                f"{component}/{verb}", " ".join(f"{component}/{need}" for need in needs.split()), verb=Verb(verb),
                irreversible=verb == "promote", approval=verb in ("gate", "approval"),
            ),
            ApprovalStep(),
        )
        for verb, needs in steps.items()
    ]  # fmt: skip


def runbook(needs: Mapping[str, str] = PLATFORM, approvals: int = 0) -> Runbook:
    components = {
        name: Component(name=name, kind="fake", needs=tuple(wanted.split()), config=KindConfig()) for name, wanted in needs.items()
    }
    return Runbook(
        api_version="dr/v1", name="lab", regions={"east": Region(), "west": Region()}, home="east",
        objectives=Objectives(rto=timedelta(hours=1), rpo=timedelta(minutes=15)), components=components,
        approvals=Approvals(failover=approvals, switchover=approvals), path="lab.yaml", base="/", sha256="0",
    )  # fmt: skip


def make(
    intent: Intent, needs: Mapping[str, str] = PLATFORM, extra: Mapping[str, Chain] | None = None, *, approvals: int = 0,
    only: Sequence[str] = (), learned: Mapping[str, timedelta] | None = None,
) -> Plan:  # fmt: skip
    kinds = {**CHAINS[intent], **(extra or {})}
    chains = {name: chain(name, kinds[name]) for name in needs if not only or name in only}
    return planned(intent, needs, chains, approvals=approvals, only=only, learned=learned).plan


def planned(
    intent: Intent, needs: Mapping[str, str], chains: Mapping[str, Sequence[Step]], *, approvals: int = 0, only: Sequence[str] = (),
    learned: Mapping[str, timedelta] | None = None,
) -> Planned:  # fmt: skip
    return make_plan(runbook(needs, approvals), chains, intent, "east", "west", only=only, learned=learned)


class Order:
    """Which step comes before which, through others, too."""

    def __init__(self, plan: Plan) -> None:
        self.graph: nx.DiGraph[str] = nx.DiGraph((need, step.id) for step in plan.steps for need in step.needs)
        self.graph.add_nodes_from(step.id for step in plan.steps)

    def __call__(self, before: str, after: str) -> bool:
        return nx.has_path(self.graph, before, after)


MUST = {
    FAILOVER: [
        ("db/fence", "db/promote", "I4"),
        ("db/promote", "deployments/verify-inside", "I3"),
        ("db/promote", "deployments/hold", "I3"),
        ("db/promote", "deployments/start", "I3"),
        ("db/fence", "deployments/start", "I3"),
        ("db/promote", "dns/redirect", "I2"),
        ("deployments/verify-inside", "dns/redirect", "I2"),
        ("db/verify-inside", "dns/redirect", "I2"),
        ("deployments/prepare", "deployments/start", "I13"),
        ("db/prepare", "deployments/start", "I13"),
        ("dns/redirect", "deployments/verify-outside", "outside is through the name"),
        ("dns/propagate", "deployments/verify-outside", "outside is through the name"),
        ("deployments/verify-outside", "deployments/release", "service first"),
    ],
    SWITCHOVER: [
        ("deployments/freeze", "db/drain", "writers stop before the database catches up"),
        ("deployments/drain", "db/fence", "writers are drained before the fence"),
        ("deployments/snapshot", "db/promote", "I7"),
        ("dns/prepare", "deployments/freeze", "the target is ready before anybody is frozen"),
        ("db/prepare", "deployments/freeze", "the target is ready before anybody is frozen"),
        ("db/fence", "db/promote", "I4"),
        ("deployments/verify-inside", "dns/redirect", "I2"),
        ("deployments/verify-outside", "db/follow", "re-protect comes last"),
        ("db/follow", "deployments/stand-by", "what builds on a secondary stands by once that follows"),
    ],
    REPROTECT: [
        ("deployments/freeze", "db/preserve", "I17"),
        ("deployments/freeze", "db/follow", "I17"),
        ("db/fence", "db/follow", "I17"),
        ("db/follow", "deployments/stand-by", "what builds on a secondary stands by once that follows"),
    ],
}
MUST_NOT = {
    FAILOVER: [
        ("db/fence", "deployments/prepare", "warm-up work starts at once"),
        ("deployments/reconcile", "dns/redirect", "reconcile is not on the way to service"),
        ("deployments/start", "dns/redirect", "nor is the start"),
        ("deployments/canary", "deployments/verify-outside", "nor the canary"),
    ],
    SWITCHOVER: [("deployments/canary", "dns/redirect", "the canary is not on the way to service")],
    REPROTECT: [],
}


@pytest.mark.parametrize("intent", MUST)
def test_the_invariants_are_edges(intent: Intent) -> None:
    """I2, I3, I4, I7, I13, I17 and the order of a planned move hold by the graph; what is not needed is not waited for."""
    before = Order(make(intent))
    assert not [row for row in MUST[intent] if not before(row[0], row[1])]
    assert not [row for row in MUST_NOT[intent] if before(row[0], row[1])]


@pytest.mark.parametrize("intent", [FAILOVER, SWITCHOVER])
def test_what_only_starts_waits_for_the_write_too(intent: Intent) -> None:
    """I3: something with nothing but a start, as what polls a queue, starts after its data has taken a write, not with the promotion."""
    before = Order(make(intent, {"db": "", "events": "db"}, {"events": {"start": ""}}))
    assert before("db/verify-inside", "events/start")


def test_what_a_deployment_needs_is_there_before_it_starts_and_keeps_no_name_waiting() -> None:
    """I13: images, secrets and logs are ready before the start; a slow check of them is neither before the promotion nor the redirect."""
    needs = {"db": "", "images": "", "deployments": "db images", "dns": "deployments"}
    before = Order(make(FAILOVER, needs, {"images": {"prepare": "", "fingerprint": "prepare"}}))
    assert before("images/prepare", "deployments/start")
    assert before("deployments/verify-outside", "images/fingerprint")
    for later in ("db/promote", "deployments/verify-inside", "dns/redirect", "deployments/verify-outside"):
        assert not before("images/prepare", later), later


IMAGES = {"db": "", "images": "", "deployments": "db images", "dns": "deployments"}


def test_in_a_failover_service_comes_before_what_only_the_start_needs() -> None:
    """Looking at 200 images takes the target's processors from the names: it comes after them, and counting after the start. What the
    way to service needs stays where it was."""
    before = Order(make(FAILOVER, IMAGES, {"images": {"prepare": "", "fingerprint": "prepare"}}))
    assert before("deployments/verify-outside", "images/prepare")
    assert before("deployments/start", "images/fingerprint")
    assert not before("deployments/canary", "images/fingerprint"), "a canary that fails leaves the account"
    for step in ("db/prepare", "deployments/prepare", "dns/prepare"):
        assert not before("deployments/verify-outside", step), step


def test_a_planned_move_looks_at_everything_before_the_outage() -> None:
    """There is time as long as the source serves: nothing is frozen before all images are there."""
    before = Order(make(SWITCHOVER, IMAGES, {"images": {"prepare": "", "fingerprint": "prepare"}}))
    assert before("images/prepare", "deployments/freeze")
    assert not before("deployments/verify-outside", "images/prepare")


def test_a_planned_move_without_an_outage_looks_at_everything_first_too() -> None:
    """Neither frozen nor fenced: no other rule says the opposite, and still nothing that only the start needs waits for the outside."""
    chains = {"db": {"prepare": "", "promote": "prepare"}, "deployments": {"prepare": "", **_ARRIVE}, "images": {"prepare": ""}}
    assert Order(make(FAILOVER, IMAGES, chains))("deployments/verify-outside", "images/prepare")
    assert not Order(make(SWITCHOVER, IMAGES, chains))("deployments/verify-outside", "images/prepare")


def test_failback_is_a_switchover() -> None:
    """Both planned intents get the same edges."""
    kinds = CHAINS[SWITCHOVER]
    chains = {name: chain(name, kinds[name]) for name in PLATFORM}
    back = planned(FAILBACK, PLATFORM, chains).plan
    assert [(step.id, step.needs) for step in back.steps] == [(step.id, step.needs) for step in make(SWITCHOVER).steps]
    assert back.rollback_on_failure


GATE: Chain = {"gate": ""}
GATES = {
    "before everything": (
        {"gate": "", "db": "gate", "deployments": "db", "dns": "deployments"}, [("gate/gate", "db/fence"), ("gate/gate", "dns/redirect")],
    ),
    "after the database": (
        {"db": "", "gate": "db", "deployments": "gate", "dns": "deployments"},
        [("db/promote", "gate/gate"), ("db/verify-inside", "gate/gate"), ("gate/gate", "deployments/verify-inside")],
    ),
    "before the names": (
        {"db": "", "deployments": "db", "gate": "deployments", "dns": "gate"},
        [("deployments/verify-inside", "gate/gate"), ("deployments/canary", "gate/gate"), ("gate/gate", "dns/redirect")],
    ),
    "after everything": (
        {"db": "", "deployments": "db", "dns": "deployments", "gate": "dns"},
        [("dns/propagate", "gate/gate"), ("deployments/verify-outside", "gate/gate")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("intent", [FAILOVER, SWITCHOVER])
@pytest.mark.parametrize("place", GATES)
def test_a_gate_may_stand_anywhere(place: str, intent: Intent) -> None:
    """Between any two components, in any intent that moves: no circle, what it needs comes before it and what needs it after."""
    needs, must = GATES[place]
    before = Order(make(intent, needs, {"gate": GATE}))
    assert not [row for row in must if not before(*row)]
    assert not [row for row in MUST[intent] if not before(row[0], row[1])], "the invariants hold as without it"


def test_a_gate_before_everything_holds_the_freeze() -> None:
    """Planned: nothing is frozen before a person let it; preparing goes on."""
    before = Order(make(SWITCHOVER, GATES["before everything"][0], {"gate": GATE}))
    assert before("gate/gate", "deployments/freeze")
    assert not before("gate/gate", "deployments/prepare")


def test_a_command_that_needs_the_names_comes_after_them() -> None:
    """A notification at the end: after the names lead to the target."""
    before = Order(make(FAILOVER, {**PLATFORM, "mail": "dns"}, {"mail": {"command": ""}}))
    assert before("deployments/verify-outside", "mail/command")


def test_approvals_come_before_effects_and_hold_up_no_preparation() -> None:
    """Two approvals beside the requester: in front of every effect, not of preparing and keeping snapshots."""
    plan = make(SWITCHOVER, approvals=2)
    before = Order(plan)
    ids = [step.id for step in plan.steps if step.verb is Verb.APPROVAL]
    assert ids == ["approvals/1", "approvals/2"]
    assert all(step.approval for step in plan.steps if step.id in ids)
    quiet = (Verb.PREPARE, Verb.SNAPSHOT, Verb.APPROVAL)
    for step in plan.steps:
        for approval in ids:
            assert before(approval, step.id) is (step.verb not in quiet or step.id == approval)


def test_an_approval_is_done_when_it_starts() -> None:
    """The machine starts it only once somebody approved: who, is its reason."""
    seen = ApprovalStep().observe(context_for(spec("approvals/1"), approved_by=("lead",)))
    assert (seen.look.value, seen.reason) == ("done", "approved by lead")


def test_only_some_components() -> None:
    """--only dns: its steps, with no needs that are not there."""
    plan = make(FAILOVER, only=("dns",), approvals=1)
    assert [step.id for step in plan.steps] == ["approvals/1", "dns/prepare", "dns/redirect", "dns/propagate"]
    ids = {step.id for step in plan.steps}
    assert all(need in ids for step in plan.steps for need in step.needs)


def test_only_what_is_there() -> None:
    """A name that the runbook does not have is a wrong command line, not an empty plan that completes."""
    with pytest.raises(UsageError, match="databse"):
        make(FAILOVER, only=("databse",))


def test_the_name_of_the_approvals_is_taken() -> None:
    """A component named like the approvals of the plan would be taken for one of them."""
    with pytest.raises(UsageError, match="approvals"):
        make(FAILOVER, {"approvals": ""}, {"approvals": GATE})


def test_two_steps_with_one_id_are_refused() -> None:
    """A kind that names two steps alike would lose one of them."""
    with pytest.raises(UsageError, match="db/prepare"):
        planned(FAILOVER, {"db": ""}, {"db": [*chain("db", _DATABASE), *chain("db", {"prepare": ""})]})


def test_a_circle_is_printed_whole() -> None:
    """a waits for b, b for c, c for a; d stands beside: all three are named, in order, and how to go on."""
    steps = {"prepare": "command", "command": "snapshot", "snapshot": "prepare", "fence": ""}
    with pytest.raises(UsageError) as caught:
        planned(FAILOVER, {"db": ""}, {"db": chain("db", steps)})
    shown = caught.value.message.split(": ")[1].split(" → ")
    assert shown[0] == shown[-1]
    assert sorted(shown[:-1]) == ["db/command", "db/prepare", "db/snapshot"]
    edges = {(f"db/{need}", f"db/{step}") for step, need in steps.items() if need}
    assert set(pairwise(shown)) == edges
    assert caught.value.hint


def test_a_need_that_is_not_there_is_named() -> None:
    """A kind that waits for a step that it does not have."""
    with pytest.raises(UsageError, match="db/fence needs db/nothing, which does not exist"):
        planned(FAILOVER, {"db": ""}, {"db": chain("db", {"fence": "nothing"})})


def test_the_same_arguments_give_the_same_plan() -> None:
    """Twice the same, step for step, hash for hash; each step stands after what it needs."""
    for intent in MUST:
        plan, again = make(intent, approvals=1), make(intent, approvals=1)
        assert plan == again
        assert plan.plan_hash == again.plan_hash
        seen: set[str] = set()
        for step in plan.steps:
            assert seen.issuperset(step.needs)
            seen.add(step.id)


def test_every_step_has_its_operation() -> None:
    """By id, approvals included."""
    chains = {"db": chain("db", _DATABASE)}
    made = planned(FAILOVER, {"db": ""}, chains, approvals=1)
    assert set(made.operations) == {step.id for step in made.plan.steps}
    assert made.operations["db/fence"] is chains["db"][1].operation


def test_waves_hold_what_can_run_at_once() -> None:
    """a, b → c → d, a → d: three waves, each in the order of the runbook."""
    built = graph.build({"b": [], "a": [], "c": ["a", "b"], "d": ["c", "a"]})
    assert graph.waves(built) == [["b", "a"], ["c"], ["d"]]
    assert graph.reduced(built) == [("a", "c"), ("b", "c"), ("c", "d")]


def timed(**seconds: str) -> list[StepSpec]:
    """``a="3"``, ``b="2 a"``: estimate in seconds, then needs."""
    return [
        spec(name, " ".join(value.split()[1:]), estimate=timedelta(seconds=int(value.split()[0]))) for name, value in seconds.items()
    ]


def test_critical_path_and_slack() -> None:
    """a(3) → b(2) → d(1), a → c(4) → d, d → e(9): goal d, limit 20 s. By hand: a 0–3, c 3–7, d 7–8; b has two seconds to spare."""
    table, path, end = graph.schedule(timed(a="3", b="2 a", c="4 a", d="1 b c", e="9 d"), ["d"], timedelta(seconds=20))
    assert (path, end) == (("a", "c", "d"), timedelta(seconds=8))
    got = {
        name: tuple(None if value is None else int(value.total_seconds()) for value in (
            row.earliest_start, row.earliest_finish, row.latest_finish, row.slack)) for name, row in table.items()
    }  # fmt: skip
    assert got == {"a": (0, 3, 15, 12), "b": (3, 5, 19, 14), "c": (3, 7, 19, 12), "d": (7, 8, 20, 12), "e": (8, 17, None, None)}
    assert [name for name, row in table.items() if row.critical] == ["a", "c", "d"]


def test_slack_is_negative_where_the_rto_cannot_be_kept() -> None:
    """a(30) → b(40) with a limit of 60 s: ten seconds too long, and the plan says so."""
    table, _, end = graph.schedule(timed(a="30", b="40 a"), ["b"], timedelta(seconds=60))
    assert end == timedelta(seconds=70)
    assert {row.slack for row in table.values()} == {timedelta(seconds=-10)}


def test_several_goals_count_by_the_last() -> None:
    """a(1) → x(5), a → y(2): service is back with the later of x and y."""
    table, path, end = graph.schedule(timed(a="1", x="5 a", y="2 a"), ["x", "y"], timedelta(seconds=10))
    assert (path, end) == (("a", "x"), timedelta(seconds=6))
    assert table["y"].slack == timedelta(seconds=7)


def test_the_predicted_rta_ends_with_the_outside_check() -> None:
    """The plan's RTA is the finish of verify-outside; learned durations replace estimates; later work does not count."""
    plan = make(FAILOVER)
    assert plan.critical_path[-1] == "deployments/verify-outside"
    assert plan.predicted_rta == plan.schedule["deployments/verify-outside"].earliest_finish
    assert plan.schedule["deployments/release"].slack is None
    slow = make(FAILOVER, learned={"db/promote": timedelta(minutes=10), "deployments/canary": timedelta(hours=9)})
    assert slow.predicted_rta == plan.predicted_rta + timedelta(minutes=10) - timedelta(seconds=1)
    assert slow.plan_hash == plan.plan_hash, "what was learned changes no plan"


@pytest.mark.parametrize(
    ("verbs", "goal"),
    [("promote", "promote"), ("promote verify-inside", "verify-inside"), ("promote redirect", "redirect"), ("prepare", "prepare")],
)
def test_the_goal_is_the_last_thing_that_service_needs(verbs: str, goal: str) -> None:
    """Without an outside check: the names, else the inside check, else the promotion, else everything."""
    plan = planned(FAILOVER, {"db": ""}, {"db": chain("db", dict.fromkeys(verbs.split(), ""))}).plan
    assert plan.critical_path[-1] == f"db/{goal}"


def test_every_rule_says_why() -> None:
    """One line each, and nothing that no verb could match."""
    assert all(rule.why and rule.before and rule.after and rule.where for rule in planner.RULES)
