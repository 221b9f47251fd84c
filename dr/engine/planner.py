"""Runbook + intent + target + what is observed → a plan. Adds the edges between components that the invariants require.

Chains know only themselves; what must come before what across components stands in ``RULES``, one line each, with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import NamedTuple

from dr.engine import graph
from dr.errors import UsageError
from dr.model.by_hand import said_yes
from dr.model.lag import ComponentView
from dr.model.plan import GuardResult, Plan, Slack, StepSpec
from dr.model.runbook import Runbook
from dr.model.words import Intent, Stage, Verb
from dr.ports import AttemptContext, Look, Operation, Seen, Step

V = Verb


class Where(Enum):
    """Between which components a rule holds; "needs" is meant through others, too."""

    SAME = "the same component"
    NEEDED = "the earlier step's component is needed by the later step's"
    NEEDING = "the earlier step's component needs the later step's"
    EVERY = "any two components"


@dataclass(frozen=True)
class Rule:
    """Every step with a verb of ``before`` comes before every step with a verb of ``after``, where they meet as ``where`` says.

    planned_only, failover_only: not in plans of the other kind.
    yields: left out where the other rules already say the opposite; of two that yield the earlier one holds.
    """

    before: tuple[Verb, ...]
    after: tuple[Verb, ...]
    where: tuple[Where, ...]
    why: str
    planned_only: bool = False
    failover_only: bool = False
    yields: bool = False


PEOPLE = (V.APPROVAL, V.GATE, V.COMMAND, V.CHECK, V.WAIT)
"""Steps that stand where the runbook's ``needs`` put them: what a person answers, runs, looks at, or waits for."""
WAY_OUT = (V.LOCK, V.SILENCE, V.LOWER_TTL, V.FREEZE, V.DRAIN, V.FENCE)
AT_THE_END = (V.RAISE_TTL, V.UNSILENCE, V.UNLOCK)
EFFECTS = tuple(verb for verb in Verb if verb not in (V.PREPARE, V.SCALE, V.SNAPSHOT, *WAY_OUT))
UNTIL_SERVICE = tuple(verb for verb in Verb if verb not in (V.FOLLOW, V.STAND_BY, V.FINGERPRINT, V.RELEASE, *AT_THE_END))
UNDER_LOCK = tuple(verb for verb in Verb if verb not in (V.LOCK, V.PREPARE, V.SCALE, *PEOPLE))

RULES: tuple[Rule, ...] = (
    Rule((V.FENCE,), (V.PROMOTE,), (Where.SAME,), "I4: promote only with evidence of a fence, or an accepted split"),
    Rule((V.SNAPSHOT,), (V.PROMOTE,), (Where.EVERY,), "I7: what was there before is kept before anything moves"),
    Rule((V.PROMOTE,), (V.HOLD, V.VERIFY_INSIDE, V.RECONCILE, V.START), (Where.NEEDED,), "I3: nothing runs before its data takes writes"),
    Rule((V.VERIFY_INSIDE,), (V.START,), (Where.NEEDED,), "I3: what starts finds that its data has taken a write"),
    Rule((V.FENCE,), (V.START,), (Where.NEEDED,), "I3: nothing schedules twice"),
    Rule((V.PREPARE, V.SCALE), (V.START, V.VERIFY_INSIDE), (Where.SAME,), "I13: what it needs is present and usable"),
    # not before verify-inside: what takes the first write is pre-warmed, and 200 images or 400 secrets must not hold the names back
    Rule((V.PREPARE, V.SCALE), (V.START,), (Where.NEEDED,), "I13: what it needs is present and usable before it starts"),
    Rule((V.PREPARE, V.SCALE), (V.FREEZE, V.FENCE), (Where.EVERY,), "a planned move begins once the target is ready", planned_only=True),
    # a lost region asks nobody: a failover locks and silences beside everything else, and waits for neither
    Rule((V.LOCK,), UNDER_LOCK, (Where.EVERY,), "I7: nobody changes a Deployment under a move, from first to last", planned_only=True),
    Rule((V.SILENCE, V.LOWER_TTL), (V.FREEZE, V.FENCE), (Where.EVERY,), "what takes its time is done before the outage", planned_only=True),
    Rule((V.LOWER_TTL,), (V.SILENCE,), (Where.EVERY,), "alerts are not silent while an old TTL is waited out", planned_only=True),
    Rule((V.PROMOTE,), (V.RESTART,), (Where.NEEDED,), "who holds old connections lets go of them once there is a new primary"),
    Rule((V.RESTART,), (V.VERIFY_INSIDE, V.START), (Where.NEEDED,), "what is verified has no old connection behind it"),
    Rule((V.FREEZE, V.DRAIN), (V.DRAIN, V.FENCE), (Where.NEEDING,), "writers are frozen and drained before what they write to"),
    Rule((V.FREEZE, V.FENCE), (V.PRESERVE, V.FOLLOW), (Where.NEEDING,), "I17: nobody writes to what is being preserved and rewound"),
    Rule((V.PROMOTE, V.VERIFY_INSIDE), (V.REDIRECT,), (Where.SAME, Where.NEEDED), "I2: names lead only to what accepted a write"),
    Rule((V.REDIRECT, V.PROPAGATE), (V.VERIFY_OUTSIDE,), (Where.NEEDED, Where.NEEDING), "outside means through the public name"),
    Rule((V.FOLLOW,), (V.STAND_BY,), (Where.NEEDED,), "what builds on a secondary stands by once that follows"),
    Rule((V.VERIFY_OUTSIDE,), (V.FOLLOW, V.RELEASE, V.FINGERPRINT), (Where.EVERY,), "service first, protection and thundering herds after"),
    Rule((V.VERIFY_OUTSIDE,), (V.RAISE_TTL,), (Where.EVERY,), "names can be moved again as long as service is not proven"),
    Rule(tuple(verb for verb in Verb if verb not in AT_THE_END), (V.UNSILENCE,), (Where.EVERY,), "alerts ring again when all is over"),
    Rule(tuple(verb for verb in Verb if verb is not V.UNLOCK), (V.UNLOCK,), (Where.EVERY,), "deploys come back last of all"),
    Rule(PEOPLE, EFFECTS, (Where.NEEDED,), "what people put first comes first"),
    # a gate between database and Deployments cannot wait for a check through names that lead there only after the gate
    Rule(UNTIL_SERVICE, PEOPLE, (Where.NEEDED,), "what people put after comes after", yields=True),
    # nor can it hold the freeze of the Deployments, which the fence of the database waits for; a gate before both does
    Rule(PEOPLE, WAY_OUT, (Where.NEEDED,), "what people put first comes first, on the way out, too", yields=True),
    Rule((V.REDIRECT,), (V.HOLD,), (Where.NEEDING,), "service first: work on every database makes the outage longer", yields=True),
    Rule((V.START,), (V.FINGERPRINT,), (Where.NEEDING,), "what starts asks the same stores: first it, then who counts", yields=True),
    # a planned move looks at all of it before the outage begins; capacity (scale) is asked for at the first moment in any case
    Rule((V.VERIFY_OUTSIDE,), (V.PREPARE,), (Where.NEEDING,), "service first: then the start's needs", failover_only=True, yields=True),
)  # fmt: skip

APPROVAL_COMPONENT = "approvals"
_BEFORE_APPROVAL = (V.PREPARE, V.SCALE, V.SNAPSHOT, V.APPROVAL, V.GATE)


class ApprovalStep:
    """A person said yes: the machine starts this step only after that, so there is nothing left to do."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the approval is journaled already."""
        return Seen(Look.DONE, reason=f"approved by {', '.join(context.approved_by)}")

    def act(self, context: AttemptContext) -> tuple[()]:
        """Nothing."""
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)

    def undo(self, context: AttemptContext) -> None:
        """An approval is not taken back."""

    def preserve(self, context: AttemptContext) -> tuple[()]:
        """Destroys nothing."""
        return ()


@dataclass(frozen=True)
class Planned:
    """A plan and the operations that perform it, by step id."""

    plan: Plan
    operations: Mapping[str, Operation]


def make_plan(
    runbook: Runbook,
    chains: Mapping[str, Sequence[Step]],
    intent: Intent,
    source: str,
    target: str,
    *,
    views: Sequence[ComponentView] = (),
    guards: Sequence[GuardResult] = (),
    learned: Mapping[str, timedelta] | None = None,
    only: Sequence[str] = (),
    laid_out: LayOut | None = None,
) -> Planned:
    """The whole plan. Pure: the same arguments give the same plan.

    Args:
        chains: each component's own steps, in the order of the runbook.
        laid_out: instead of ``lay_out``, for who plans the same thousands of times and remembers.
        learned: durations of earlier runs by step id; they replace declared estimates.
        only: components to move; empty means all.

    Raises:
        UsageError: the steps wait for each other in a circle; two steps have one id; ``only`` names what is not in the runbook.
    """
    for name in (*only, *chains):
        if name not in runbook.components or name == APPROVAL_COMPONENT:
            raise UsageError(f"{runbook.name}: {name} cannot be planned", hint=f"components: {', '.join(runbook.components)}")
    steps = [step for name, chain in chains.items() if not only or name in only for step in chain]
    steps = _approvals(runbook, intent, target) + steps
    specs, table, path, end = (laid_out or lay_out)([step.spec for step in steps], runbook, intent, learned or {})
    plan = Plan(
        runbook=runbook.name, runbook_sha256=runbook.sha256, intent=intent, source=source, target=target, steps=specs,
        views=tuple(views), guards=tuple(guards), schedule=table, critical_path=path, predicted_rta=end,
        rto=runbook.objectives.rto, rpo=runbook.objectives.rpo,
        component_rpo={name: runbook.rpo(name) for name in runbook.components},
        rollback_on_failure=intent.planned,
    )  # fmt: skip
    return Planned(plan, {step.spec.id: step.operation for step in steps})


class LaidOut(NamedTuple):
    """Steps in an order in which each comes after what it needs, and where they lie in time.

    critical_path: in order. predicted: how long service is away, from the start of the run; of a planned move from its freeze.
    """

    steps: tuple[StepSpec, ...]
    schedule: dict[str, Slack]
    critical_path: tuple[str, ...]
    predicted: timedelta


LayOut = Callable[[Sequence[StepSpec], Runbook, Intent, Mapping[str, timedelta]], LaidOut]


def lay_out(specs: Sequence[StepSpec], runbook: Runbook, intent: Intent, learned: Mapping[str, timedelta]) -> LaidOut:
    """The graph and its times: what a plan is apart from what is observed. Pure. Raises UsageError as ``make_plan``."""
    joined = _joined(specs, runbook, intent)
    steps = [spec.model_copy(update={"estimate": learned[spec.id]}) if spec.id in learned else spec for spec in joined]
    table, path, end = graph.schedule(steps, _goals(steps), runbook.objectives.rto)
    in_service = _in_service(steps, table) if intent.planned else timedelta(0)
    if in_service:
        table, path, end = graph.schedule(steps, _goals(steps), runbook.objectives.rto + in_service)
    return LaidOut(tuple(steps), table, path, max(end - in_service, timedelta(0)))


def operations(runbook: Runbook, chains: Mapping[str, Sequence[Step]], intent: Intent, target: str) -> Mapping[str, Operation]:
    """What performs the steps of a plan that was made before, by step id. Pure."""
    steps = [step for chain in chains.values() for step in chain]
    return {step.spec.id: step.operation for step in (*_approvals(runbook, intent, target), *steps)}


def _approvals(runbook: Runbook, intent: Intent, target: str) -> list[Step]:
    count: int = getattr(runbook.approvals, intent)
    return [
        Step(
            StepSpec(
                id=f"{APPROVAL_COMPONENT}/{number}", component=APPROVAL_COMPONENT, kind="approval", verb=V.APPROVAL, region=target,
                title=f"approval {number} of {count}", approval=True, estimate=timedelta(minutes=1), budget=timedelta(hours=24),
                by_hand=said_yes(f"{APPROVAL_COMPONENT}/{number}").do, check_by_hand=said_yes(f"{APPROVAL_COMPONENT}/{number}").check,
            ),
            ApprovalStep(),
        )
        for number in range(1, count + 1)
    ]  # fmt: skip


def _joined(specs: Sequence[StepSpec], runbook: Runbook, intent: Intent) -> list[StepSpec]:
    """The steps with the needs that the rules add, in an order in which each comes after what it needs."""
    components = graph.build({name: component.needs for name, component in runbook.components.items()})
    needed = {name: graph.needed_by(components, name) for name in runbook.components}
    by_id = {spec.id: spec for spec in specs}
    if len(by_id) < len(specs):
        raise UsageError("two steps have one id: " + ", ".join(sorted({spec.id for spec in specs if by_id[spec.id] is not spec})))
    needs = {spec.id: list(spec.needs) for spec in specs}
    rules = [rule for rule in RULES if _holds(rule, intent)]
    must = (pair for rule in rules if not rule.yields for pair in _pairs(rule, specs, needed))
    for before, after in (*_after_approval(specs), *must):
        if before not in needs[after]:
            needs[after].append(before)
    joined = graph.build(needs)
    for before, after in (pair for rule in rules if rule.yields for pair in _pairs(rule, specs, needed)):
        if graph.add_unless_circular(joined, before, after):
            needs[after].append(before)
    for spec in specs:
        for before in () if spec.stage is None else _moment(spec.stage, specs, needs, joined):
            if graph.add_unless_circular(joined, before, spec.id):
                needs[spec.id].append(before)
    return [_with_needs(by_id[step_id], tuple(needs[step_id])) for wave in graph.waves(joined) for step_id in wave]


def _with_needs(spec: StepSpec, needs: tuple[str, ...]) -> StepSpec:
    return spec if spec.needs == needs else spec.model_copy(update={"needs": needs})


def _holds(rule: Rule, intent: Intent) -> bool:
    return (intent.planned or not rule.planned_only) and (intent is Intent.FAILOVER or not rule.failover_only)


def _after_approval(specs: Sequence[StepSpec]) -> list[tuple[str, str]]:
    approvals = [spec.id for spec in specs if spec.component == APPROVAL_COMPONENT]
    waiting = [spec.id for spec in specs if spec.verb not in _BEFORE_APPROVAL and spec.stage is None]
    return [(approval, step_id) for step_id in waiting for approval in approvals]


def _moment(stage: Stage, specs: Sequence[StepSpec], needs: Mapping[str, Sequence[str]], joined: graph.Graph) -> Sequence[str]:
    """What a notification comes after. No rule puts anything after a notification: nobody waits for a message."""
    acts = [spec for spec in specs if spec.stage is None]
    goals = _goals(acts)
    match stage:
        case Stage.INVESTIGATING:
            return ()
        case Stage.FAILING_OVER:  # it goes out as the promotion begins, so it waits for what the promotion waits for
            on_the_way = frozenset[str]().union(goals, *(graph.needed_by(joined, goal) for goal in goals))
            moves = next((found for verb in (V.PROMOTE, V.REDIRECT) if (found := [spec for spec in acts if spec.verb is verb])), [])
            return tuple(dict.fromkeys(before for spec in moves if spec.id in on_the_way for before in needs[spec.id]))
        case Stage.RESTORED:
            return goals
        case Stage.RESOLVED:
            waited_for = {before for spec in acts for before in needs[spec.id]}
            return [spec.id for spec in acts if spec.id not in waited_for]


def _pairs(rule: Rule, specs: Sequence[StepSpec], needed: Mapping[str, frozenset[str]]) -> Iterator[tuple[str, str]]:
    """The ids of the steps that a rule puts in order."""
    moved = [spec for spec in specs if spec.component != APPROVAL_COMPONENT and spec.stage is None]
    earlier = [spec for spec in moved if spec.verb in rule.before]
    for after in (spec for spec in moved if spec.verb in rule.after):
        for before in earlier:
            if before is not after and any(_meet(where, before.component, after.component, needed) for where in rule.where):
                yield before.id, after.id


def _meet(where: Where, before: str, after: str, needed: Mapping[str, frozenset[str]]) -> bool:
    match where:
        case Where.SAME:
            return before == after
        case Where.NEEDED:
            return before in needed[after]
        case Where.NEEDING:
            return after in needed[before]
        case Where.EVERY:
            return True


def _in_service(specs: Sequence[StepSpec], table: Mapping[str, Slack]) -> timedelta:
    """How long a planned move leaves service as it is: until the first freeze, else the first fence. An old TTL is waited out before it."""
    for verb in (V.FREEZE, V.FENCE):
        starts = [table[spec.id].earliest_start for spec in specs if spec.verb is verb]
        if starts:
            return min(starts)
    return timedelta(0)


def _goals(specs: Sequence[StepSpec]) -> list[str]:
    """The steps with which service is back: verified outside, else redirected, else promoted."""
    for verbs in ((V.VERIFY_OUTSIDE,), (V.PROPAGATE, V.REDIRECT), (V.VERIFY_INSIDE,), (V.PROMOTE,)):
        goals = [spec.id for spec in specs if spec.verb in verbs]
        if goals:
            return goals
    return [spec.id for spec in specs if spec.stage is None]
