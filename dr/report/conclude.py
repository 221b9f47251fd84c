"""What a run comes to: objectives, exit code, deviations, guards, and the next command to type. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from dr.engine.guards import UNKNOWN_LOSS, maybe_slow, way_out
from dr.errors import ExitCode
from dr.model.base import seconds, show_duration
from dr.model.events import (
    BOUNDS,
    Accepted,
    Observed,
    PauseRequested,
    Resumed,
    RetryDue,
    RetryScheduled,
    SkipRequested,
    StepEnded,
    StepStarted,
    TimedOut,
    Turned,
    UndoEnded,
)
from dr.model.evidence import Accounted, Evidence, Fenced, Identities, PredictedLate
from dr.model.plan import Acceptance, StepSpec
from dr.model.report import Debt, GuardReport, ObjectiveReport, StepReport
from dr.model.words import DebtKind, FenceState, Guard, Intent, Known, Role, RunOutcome, StepState, Verb, Verdict
from dr.report.debt import lost_history, unequal
from dr.report.history import Fact, History
from dr.report.recovery import Loss, within_objectives, worst
from dr.report.timing import dated_by

_NAMED = 5
"""So many things are named in one sentence; the report has all of them."""

_WAIT = "dr status {runbook} · look at the load there and on this machine, then give the same command again"
"""Where something did not answer in time, and may only be slow."""


def outcome(history: History) -> tuple[RunOutcome, str]:
    """How the run ended, or stands: without an end it is paused, whoever or whatever stopped it."""
    state = history.state
    if state.outcome is not None:
        return state.outcome, state.reason
    waiting = [step.spec.id for step in state.steps.values() if step.state is StepState.WAITING_APPROVAL]
    if state.reason or not waiting:
        return RunOutcome.PAUSED, state.reason or "no process has taken this run to its end"
    return RunOutcome.PAUSED, f"waits for a person at {', '.join(waiting)}"


def objectives(history: History, rta: timedelta | None, losses: tuple[Loss, ...], ended: RunOutcome) -> ObjectiveReport:
    """Objectives against actuals. Unknown is not met, once the run says that it is complete; before that nobody can say.

    A run that moves nothing (re-protect) has neither RTA nor RPA, and one without data has no RPA: null, and not missed.
    """
    plan = history.state.current_plan
    over = ended is RunOutcome.COMPLETED
    loss = worst(losses) if plan.intent.moves else None
    rto_met: bool | None = None
    rpo_met: bool | None = None
    if plan.intent.moves:
        rto_met = rta <= plan.rto if rta is not None else (False if over else None)
        if loss is not None:
            rpo_met = within_objectives(history, losses) if loss.value is not None or over else None
    return ObjectiveReport(
        rto_seconds=plan.rto.total_seconds(),
        rta_seconds=seconds(rta) if plan.intent.moves else None,
        rta_state=_rta_state(history, rta) if plan.intent.moves else Known.UNKNOWN,
        rto_met=rto_met,
        rpo_seconds=plan.rpo.total_seconds(),
        rpa_seconds=seconds(loss.value) if loss is not None else None,
        rpa_state=loss.state if loss is not None else Known.UNKNOWN,
        rpo_met=rpo_met,
    )


def _rta_state(history: History, rta: timedelta | None) -> Known:
    """A bound where the outage was dated by the recovery point, by a heartbeat that nothing followed for longer than usual, by a fence that
    nobody acknowledged, or by the last look at a primary that went before the fence: it began then or later."""
    if rta is None:
        return Known.UNKNOWN
    fenced = any(fact.state is FenceState.FENCED for fact in history.fences()) and history.first_act(Verb.FENCE) is not None
    undated = history.state.outage_began is None and not history.started.plan.intent.planned and not fenced
    return Known.BOUND if undated or dated_by(history) in BOUNDS else Known.KNOWN


def exit_code(ended: RunOutcome, found: ObjectiveReport) -> ExitCode:
    """What the command exits with: a completed run still misses when an objective is missed or unknown."""
    if ended is RunOutcome.COMPLETED:
        return ExitCode.OBJECTIVE_MISSED if False in (found.rto_met, found.rpo_met) else ExitCode.DONE
    return {
        RunOutcome.ALREADY: ExitCode.DONE,
        RunOutcome.REFUSED: ExitCode.REFUSED,
        RunOutcome.PAUSED: ExitCode.PAUSED,
    }.get(ended, ExitCode.FAILED)


def guards(history: History) -> tuple[GuardReport, ...]:
    """What the guards said: those of the plan, then those that were asked at a step, whatever they said, with who overrode them.

    The plan's were asked with what had been accepted by then. A step's refusal is overridden by what is accepted after it: what
    had been accepted before did not cover it. Of several attempts of a step the last one that asked counts.
    """
    said = [GuardReport(**vars(item)) for item in history.state.current_plan.guards]
    for _at, event in history.events:
        if isinstance(event, StepEnded) and (asked := _asked(event, history)):
            said = [item for item in said if item.step != event.step]
            # what is refused right before a step goes beyond what was said before the run
            no = {(item.name, item.component) for item in asked if item.verdict is Verdict.REFUSED}
            said = [item for item in said if item.step is not None or (item.name, item.component) not in no] + asked
        elif isinstance(event, Accepted):
            said = [_overridden(item, event.acceptance) for item in said]
    return tuple(said)


def _asked(event: StepEnded, history: History) -> list[GuardReport]:
    """What was asked at the end of an attempt; of a journal that keeps refusals only, the refusal."""
    if event.guards:
        return [GuardReport(**vars(item), step=event.step) for item in event.guards]
    if event.guard not in _GUARDS:
        return []
    steps = history.state.steps
    component = steps[event.step].spec.component if event.step in steps else event.step.partition("/")[0]
    accept = UNKNOWN_LOSS if UNKNOWN_LOSS[0] in event.reason else ()
    refusal = GuardReport(
        name=Guard(event.guard), verdict=Verdict.REFUSED, reason=event.reason, component=component, accept=accept, step=event.step
    )  # fmt: skip
    return [refusal]


_GUARDS = frozenset(Guard)


def _overridden(item: GuardReport, by: Acceptance) -> GuardReport:
    if item.verdict is not Verdict.REFUSED or by.guard is not item.name:
        return item
    return item.model_copy(update={"verdict": Verdict.OVERRIDDEN, "overridden_by": by.actor, "accept": ()})


def deviations(history: History, steps: Sequence[StepReport]) -> tuple[str, ...]:
    """Everything that did not go as the plan said, in the order of the journal, then over-budget steps."""
    specs = {step.id: step for step in history.started.plan.steps} | {item.spec.id: item.spec for item in history.state.steps.values()}
    found: list[str] = []
    if history.started.only:
        found.append(f"restricted to {', '.join(history.started.only)}")
    if history.started.asked is not None:
        asked, done = history.started.asked, history.started.plan.intent
        found.append(f"asked for as a {asked}, done with the steps of a {done}: {history.started.reason}")
    found += [_accepted(item) for item in history.state.acceptances]
    before, version = history.events[0][0], history.started.tool_version
    for at, event in history.events:
        text = "" if isinstance(event, _NO_DEVIATION) else _deviation(event, specs, at - before, version)
        if text:
            found.append(text)
        if isinstance(event, StepEnded):
            found += [text for fact in event.evidence if (text := _found(fact, history))]
        before = at
        version = (isinstance(event, Resumed) and event.tool_version) or version
    found += [_late(item) for item in history.facts if item.owed and isinstance(item.evidence, Fenced) and item.evidence.state.certain]
    found += [
        f"{step.id} took {show_duration(timedelta(seconds=step.duration_seconds or 0))}, "
        f"over its budget of {show_duration(timedelta(seconds=step.budget_seconds))}"
        for step in steps
        if step.over_budget
    ]
    return tuple(found)


def _late(fact: Fact) -> str:
    """A fence that was owed is one by now. What was done without it stays a deviation."""
    assert isinstance(fact.evidence, Fenced), "asked before"
    return f"{fact.step} was acknowledged after the promotion, at {fact.at:%H:%M:%S} UTC: {fact.evidence.proof}"


def _found(fact: Evidence, history: History) -> str:
    """What a step found that is not as it should be, although it ended well."""
    if isinstance(fact, Identities) and fact.before_taken_at is None:
        source = history.state.current_plan.source
        return f"{fact.component}: identities were not compared, no snapshot of them was kept outside of {source}"
    if isinstance(fact, Identities):
        wrong = [*(f"{name} differs" for name in fact.contents), *lost_history(fact)]
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        return f"{fact.component}: {', '.join(wrong[:_NAMED])}{more}" if wrong else ""
    if isinstance(fact, Accounted) and (unequal(fact) or fact.conflicts_total):
        names = ", ".join(fact.conflicts[:_NAMED]) + (", …" if fact.conflicts_total > _NAMED else "")
        conflicts = f", {fact.conflicts_total} newer there and left alone ({names})" if fact.conflicts_total else ""
        return f"{fact.component}: {unequal(fact)} of {fact.checked} not equal in {fact.region}{conflicts}"
    return ""


def _accepted(item: Acceptance) -> str:
    bound = ""
    if item.guard is Guard.EXPOSURE:
        bound = " of unknown size" if item.bound is None else f" up to {show_duration(item.bound)}"
    return f"guard {item.guard} accepted by {item.actor}{bound}" + (f": {item.reason}" if item.reason else "")


_NO_DEVIATION = (StepStarted, RetryScheduled, RetryDue)
"""Most of a journal."""


def _deviation(event: object, specs: dict[str, StepSpec], since: timedelta, version: str) -> str:
    """``since``: how long after the record before it. ``version``: of ``dr``, as far as the run had come then."""
    text = ""
    match event:
        case SkipRequested():
            text = f"{event.step} skipped by {event.actor}: {event.reason}"
        case StepEnded() if event.outcome == "failed" and event.step in specs:
            text = f"{event.step} failed" + (" and was not needed to go on" if specs[event.step].optional else "") + f": {event.reason}"
        case Resumed():
            how = "the process that held the run ended without saying so" if event.crashed else "the run was paused"
            changed = "; the runbook was edited meanwhile, the run kept its plan" if event.runbook_changed else ""
            other = f"; dr is {event.tool_version} now, was {version}" if event.tool_version not in ("", version) else ""
            text = f"resumed by {event.actor} {show_duration(since)} after its last record: {how}{changed}{other}"
            if event.dropped:
                text += f"; asked for before and not obeyed, ask again if it is still wanted: {', '.join(event.dropped)}"
        case PauseRequested():
            text = f"paused by {event.actor}" + (f": {event.reason}" if event.reason else "")
        case Turned():
            text = f"turned into a {event.plan.intent} by {event.actor}" + (f": {event.reason}" if event.reason else "")
        case TimedOut():
            text = "the run used up its time"
        case Observed(evidence=PredictedLate()):
            text = str(event.evidence)
        case UndoEnded() if not event.ok:
            text = f"undo of {event.step} failed: {event.reason}"
    return text


def accepted_by(said: Sequence[GuardReport]) -> str:
    """The flags that accept what was refused, with a space before them, to be put behind a command; empty where nothing can be."""
    flags = way_out(said)
    return f" {flags}" if flags else ""


def _maybe_slow(history: History, said: Sequence[GuardReport]) -> bool:
    """Nothing is known to be lost: it was refused for what did not answer in time."""
    return maybe_slow(history.state.current_plan, said)


def _around(history: History, said: Sequence[GuardReport]) -> str:
    """What to do where parts do not answer: wait or mend them, or move at once what does not need them. Else empty."""
    plan, runbook = history.state.current_plan, history.started.runbook_path
    no = [item for item in said if item.verdict is Verdict.REFUSED and not item.name.acceptable]
    ready, slow = (Role.PRIMARY, Role.SECONDARY), _maybe_slow(history, said)
    if slow and plan.intent is not Intent.FAILOVER:
        return _WAIT.format(runbook=runbook)
    views = [view for view in plan.views if plan.target in view.regions]
    away = [view.component for view in views if view.regions[plan.target].role not in ready]
    gone = [view for view in views if view.lag is not None and plan.source in view.regions and view.regions[plan.source].role not in ready]
    if plan.intent.planned and gone and not away:
        return f"dr failover {runbook} --to {plan.target}"  # the source has nothing to hand over, and the target can take over
    if not away or not plan.intent.moves or any(item.name is not Guard.TARGET_REACHABLE or item.component not in away for item in no):
        return ""
    start = f"dr status {runbook} · start {', '.join(away)} in {plan.target}, then give the same command again"
    mend = _WAIT.format(runbook=runbook) if slow else start
    needs = _needs(history)
    rest = [view.component for view in views if not _stands_on(view.component, away, needs)]
    if plan.intent is not Intent.FAILOVER or not rest:
        return mend
    only = " ".join(f"--only {name}" for name in rest)
    return f"{mend} · or, without it and with the same flags: dr failover {runbook} --to {plan.target} {only}"


def _stands_on(component: str, others: Sequence[str], needs: Mapping[str, Sequence[str]]) -> bool:
    """It is one of the others, or needs one, directly or not. Runbooks have no circles."""
    return component in others or any(_stands_on(need, others, needs) for need in needs.get(component, ()))


def _needs(history: History) -> dict[str, tuple[str, ...]]:
    """What each component needs, as the run's own runbook says."""
    document = history.started.document
    listed = document.get("components") if isinstance(document, dict) else None
    components = listed if isinstance(listed, dict) else {view.component: None for view in history.state.current_plan.views}
    found: dict[str, tuple[str, ...]] = {}
    for name, component in components.items():
        wanted = component.get("needs") if isinstance(component, dict) else None
        found[name] = tuple(str(item) for item in wanted) if isinstance(wanted, list) else ()
    return found


def _after_refusal(history: History, said: Sequence[GuardReport], accepting: str) -> str:
    """accepting: the same command with the flags that accept what was refused; empty where nothing can be."""
    plan, runbook = history.state.current_plan, history.started.runbook_path
    if accepting and plan.intent is Intent.REPROTECT:  # it would follow an old primary: the flag that accepts that is no next step
        later = f"when {plan.source} answers: dr reprotect {runbook}"
        return f"dr status {runbook} · {later} · or give it up: dr failover {runbook} --to {plan.target}"
    return accepting or _around(history, said) or f"dr status {runbook}"


def hint(history: History, ended: RunOutcome, debt: Sequence[Debt], said: Sequence[GuardReport]) -> str:
    """The next command to type, empty where nothing is left to be done."""
    plan, runbook, run = history.state.current_plan, history.started.runbook_path, history.run_id
    accepting = accepted_by(said)
    if ended is RunOutcome.PAUSED:
        waiting = [step.spec.id for step in history.state.steps.values() if step.state is StepState.WAITING_APPROVAL]
        give_up = [f"dr failover {runbook} --to {plan.target}"] if plan.intent.planned and not history.state.past_no_return else []
        return " · ".join([*(f"dr approve {run} {step}" for step in waiting), f"dr resume {run}{accepting}", *give_up])
    to = f" --to {plan.target}" if plan.intent in (Intent.FAILOVER, Intent.SWITCHOVER) else ""
    if ended is RunOutcome.REFUSED:
        return _after_refusal(history, said, f"dr {plan.intent} {runbook}{to}{accepting}" if accepting else "")
    if ended is RunOutcome.CANCELLED and history.state.past_no_return:
        return f"dr failover {runbook} --to {plan.target}"
    if ended in (RunOutcome.FAILED, RunOutcome.ROLLED_BACK, RunOutcome.CANCELLED):
        return f"dr status {runbook} · dr {plan.intent} {runbook}{to}"
    document = history.started.document
    home = document.get("home") if isinstance(document, dict) else None
    if any(item.kind is not DebtKind.CLEAN_UP for item in debt):
        return debt[0].command
    # a re-protect's target is the primary that is followed
    return "" if home in (None, plan.target) else f"dr failback {runbook}"
