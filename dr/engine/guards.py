"""Named reasons to refuse, evaluated before anything is touched and again right before a promotion. Pure.

Guards protect, they do not trap: what ``Guard.acceptable`` names can be overridden by an acceptance, explicit, bounded and
journaled; every refusal says which flag that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from dr.model.base import show_duration
from dr.model.evidence import Fenced, RecoveryPoint
from dr.model.lag import ComponentView, Exposure, slow_clock
from dr.model.plan import Acceptance, GuardResult, Plan
from dr.model.words import FenceState, Guard, Intent, Known, Role, Severity, Verdict

FLAG: Mapping[Guard, tuple[str, ...]] = {
    Guard.PRIMARY_HEALTHY: ("--reason TEXT",),
    Guard.FENCE: ("--accept-split", "--reason TEXT"),
    Guard.EXPOSURE: ("--accept-data-loss DURATION",),
    Guard.IDENTITIES: ("--accept identities", "--reason TEXT"),
    Guard.PREREQUISITES: ("--accept prerequisites", "--reason TEXT"),
    Guard.REVERSE_REPLICATION: ("--accept reverse-replication", "--reason TEXT"),
}

UNKNOWN_LOSS = ("--accept-data-loss unknown", "--reason TEXT")
"""A loss that nobody can bound is not covered by a duration."""


_MAYBE_SLOW = "it did not answer in time, which may be slowness and no loss"


def accepted(guard: Guard, acceptances: Iterable[Acceptance]) -> Acceptance | None:
    """The newest acceptance of a guard that needs no bound."""
    return next((item for item in reversed(tuple(acceptances)) if item.guard is guard), None)


def accepted_loss(value: timedelta | None, acceptances: Iterable[Acceptance]) -> Acceptance | None:
    """The newest acceptance that covers a loss of ``value`` (None: unknown, which only an unbounded one covers)."""
    for item in reversed(tuple(acceptances)):
        if item.guard is Guard.EXPOSURE and (item.unbounded or (value is not None and item.bound is not None and value <= item.bound)):
            return item
    return None


def _result(guard: Guard, reason: str, component: str | None, by: Acceptance | None, accept: tuple[str, ...] = ()) -> GuardResult:
    if by is None:
        return GuardResult(name=guard, verdict=Verdict.REFUSED, reason=reason, component=component, accept=accept or FLAG.get(guard, ()))
    return GuardResult(name=guard, verdict=Verdict.OVERRIDDEN, reason=reason, component=component, overridden_by=by.actor)


def _passed(guard: Guard, reason: str = "", component: str | None = None) -> GuardResult:
    return GuardResult(name=guard, verdict=Verdict.PASSED, reason=reason, component=component)


def before_run(
    intent: Intent,
    source: str,
    target: str,
    views: Sequence[ComponentView],
    exposures: Mapping[str, Exposure],
    rpo: Mapping[str, timedelta],
    acceptances: Sequence[Acceptance],
    *,
    reason: str,
) -> tuple[GuardResult, ...]:
    """Everything that can be said before a run touches anything, in the order in which a person wants to read it."""
    results = [_reachable(view, target) for view in views if target in view.regions]
    if intent is Intent.FAILOVER:
        results.append(_primary_lost(source, views, acceptances, reason))
        results += [exposure(exposures[name], rpo[name], acceptances) for name in exposures]
    elif intent.planned:
        results += [_source_healthy(view, source) for view in views if source in view.regions]
        results += [_replicating(exposures[name], rpo[name], acceptances) for name in exposures]
    if intent.moves:
        results += _prerequisites(views, target, acceptances)
    return tuple(results)


def _reachable(view: ComponentView, target: str) -> GuardResult:
    seen = view.regions[target]
    if seen.role is Role.PRIMARY and view.primary not in (None, target):
        reason = f"{view.component} in {target} is an old primary: {view.primary} has the newer copy, moving would give that up"
        return _result(Guard.TARGET_REACHABLE, reason + "; dr reprotect first", view.component, None)
    if seen.role in (Role.PRIMARY, Role.SECONDARY):
        return _passed(Guard.TARGET_REACHABLE, component=view.component)
    return _result(Guard.TARGET_REACHABLE, _not_there(view, target), view.component, None)


def followed(
    views: Sequence[ComponentView], target: str, promoted: Mapping[str, str], epochs: Mapping[str, Mapping[str, int]],
    acceptances: Sequence[Acceptance],
) -> tuple[GuardResult, ...]:  # fmt: skip
    """Re-protect: nothing may follow an old primary that came back, however alone it looks while the new one does not answer. A person may
    know better: a database that was made anew begins with the first epoch.

    Args:
        promoted, epochs: where each component was promoted last, as the journal tells, and as of which epoch of its own in each region.
    """
    said, results = accepted(Guard.PREREQUISITES, acceptances), []
    for view in views:
        led, known = promoted.get(view.component, target), epochs.get(view.component, {})
        own = view.regions[target].epoch if target in view.regions else None
        if led != target and own is not None and (own < known.get(led, own) or own <= known.get(target, own - 1)):
            since = f"it was promoted in {led} since, as of {known.get(led)}"
            text = f"{view.component} in {target} is an old primary, as of epoch {own}: {since}"
            results.append(_result(Guard.PREREQUISITES, f"{text}; wait until {led} answers", view.component, said))
    return tuple(results)


def maybe_promoted(
    views: Sequence[ComponentView], target: str, components: Sequence[str], elsewhere: str, acceptances: Sequence[Acceptance]
) -> tuple[GuardResult, ...]:  # fmt: skip
    """The same of components whose promotion in another region was sent and never answered; one that says there that it follows was not
    promoted."""
    said, results = accepted(Guard.PREREQUISITES, acceptances), []
    for view in views:
        seen = view.regions.get(elsewhere)
        if elsewhere != target and view.component in components and seen is not None and seen.role not in (Role.SECONDARY, Role.PRIMARY):
            text = f"{view.component} may have been promoted in {elsewhere}, which does not say what it is; wait until it answers"
            results.append(_result(Guard.PREREQUISITES, text, view.component, said))
    return tuple(results)


def _not_there(view: ComponentView, region: str) -> str:
    """Why a region of a component cannot be relied on. One that did not answer in time is not taken for reachable, nor called lost."""
    seen = view.regions[region]
    text = f"{view.component} in {region} is {seen.role}" + (f": {seen.reason}" if seen.reason else "")
    return f"{text} ({_MAYBE_SLOW})" if seen.late else text


def _primary_lost(source: str, views: Sequence[ComponentView], acceptances: Sequence[Acceptance], reason: str) -> GuardResult:
    """A failover of a healthy primary loses data that a switchover would keep: it needs a reason.

    What holds data decides, where anything does: a name server that died is no lost database.
    """
    here = [view for view in views if source in view.regions]
    lost = [view.component for view in here if not _leads(view, source)]
    decide = [view for view in here if view.lag is not None] or here
    if not decide or any(view.component in lost for view in decide):
        return _passed(Guard.PRIMARY_HEALTHY)
    said = accepted(Guard.PRIMARY_HEALTHY, acceptances)
    text = f"every component is healthy and primary in {source}: a switchover would lose nothing"
    if lost:
        held = ", ".join(view.component for view in decide)
        text = f"{held} in {source}: healthy and primary, with the data; only {', '.join(lost)} does not work there"
    if said is None and reason:
        return GuardResult(name=Guard.PRIMARY_HEALTHY, verdict=Verdict.OVERRIDDEN, reason=text, overridden_by=f"reason: {reason}")
    return _result(Guard.PRIMARY_HEALTHY, text, None, said)


def _leads(view: ComponentView, region: str) -> bool:
    """It takes writes there, and no newer copy does elsewhere."""
    return view.regions[region].role is Role.PRIMARY and view.primary in (region, None)


def _source_healthy(view: ComponentView, source: str) -> GuardResult:
    seen = view.regions[source]
    if seen.role is Role.PRIMARY:
        return _passed(Guard.PRIMARY_HEALTHY, component=view.component)
    way = f"wait, or give {source} up: use failover" if seen.late else "use failover"
    return _result(
        Guard.TARGET_REACHABLE, f"{_not_there(view, source)}, a planned move needs both sides: {way}", view.component, None
    )  # fmt: skip


def _replicating(value: Exposure, rpo: timedelta, acceptances: Sequence[Acceptance]) -> GuardResult:
    """I14: no planned move before replication towards the target is healthy and inside the RPO; the hand-over itself waits for zero."""
    said = accepted(Guard.REVERSE_REPLICATION, acceptances)
    if value.follows is False:
        text = f"nothing is being replicated to {value.component}'s other side now, however little that is behind; dr reprotect first"
        return _result(Guard.REVERSE_REPLICATION, text, value.component, said)
    if value.state is not Known.UNKNOWN and value.value is not None and value.value <= rpo:
        return _passed(Guard.REVERSE_REPLICATION, f"lag {show_duration(value.value)}", value.component)
    behind = None if value.state is Known.UNKNOWN else value.value
    text = f"replication of {value.component} is {show_duration(behind)} behind, RPO {show_duration(rpo)}"
    return _result(Guard.REVERSE_REPLICATION, text + (f" ({value.reason})" if value.reason else ""), value.component, said)


def _prerequisites(views: Sequence[ComponentView], target: str, acceptances: Sequence[Acceptance]) -> list[GuardResult]:
    said = accepted(Guard.PREREQUISITES, acceptances)
    found = [finding for view in views for finding in view.findings if finding.severity is Severity.ERROR]
    errors = [finding for finding in found if finding.region in (None, target)]  # what is wrong elsewhere does not keep it from working
    if not errors:
        return [_passed(Guard.PREREQUISITES, f"nothing found that keeps {target} from working")]
    told: dict[str, list[str]] = {}  # what a whole region lacks (credentials, a profile) is one refusal, whoever noticed it
    for item in errors:
        told.setdefault(item.fact + (f"; fix: {item.fix}" if item.fix else ""), []).append(item.component)
    one = {text: _result(Guard.PREREQUISITES, text, names[0], said) for text, names in told.items() if len(names) == 1}
    many = {text: _result(Guard.PREREQUISITES, f"{text} ({', '.join(names)})", None, said) for text, names in told.items()}
    return [one.get(text, many[text]) for text in told]


def exposure(value: Exposure, rpo: timedelta, acceptances: Sequence[Acceptance]) -> GuardResult:
    """I6: no promotion when the exposure is above the RPO, or unknown, without acceptance."""
    if value.state is not Known.UNKNOWN and value.value is not None and value.value <= rpo:
        return _passed(Guard.EXPOSURE, f"{show_duration(value.value)} of {show_duration(rpo)}", value.component)
    loss = None if value.state is Known.UNKNOWN else value.value
    text = f"{value.component} would lose {show_duration(loss)}, RPO {show_duration(rpo)}" + (f" ({value.reason})" if value.reason else "")
    return _result(Guard.EXPOSURE, text, value.component, accepted_loss(loss, acceptances), UNKNOWN_LOSS if loss is None else ())


def before_promote(
    component: str,
    fence: Fenced | None,
    found: RecoveryPoint | None,
    rpo: timedelta,
    acceptances: Sequence[Acceptance],
    now: datetime,
    *,
    planned: bool,
) -> tuple[GuardResult, ...]:
    """I4 and I6, with what was found in this run and nothing else.

    Exposure = writes ended − recovery point; writes are known to have ended only where the old primary is fenced, else it is now.
    ``planned``: nothing may be lost, whatever the RPO.
    """
    split = accepted(Guard.FENCE, acceptances)
    if fence is not None and fence.state in (FenceState.FENCED, FenceState.NOT_NEEDED):
        fenced = _passed(Guard.FENCE, fence.proof, component)
    else:
        tried = f"the fence of {component} was not acknowledged: {fence.proof}" if fence else f"{component} was not fenced"
        fenced = _result(Guard.FENCE, tried, component, split)
    lost = exposure_at_promote(component, fence, found, now)
    if planned:
        rpo = timedelta(0)
        lost = lost.model_copy(update={"reason": "; ".join(filter(None, ["a planned move loses nothing", lost.reason]))})
    return fenced, exposure(lost, rpo, acceptances)


def exposure_at_promote(component: str, fence: Fenced | None, found: RecoveryPoint | None, now: datetime) -> Exposure:
    """What a promotion now would lose of a component, from the evidence of the run.

    This machine's clock may be slow, and would make the loss look smaller than it is. Where the target's own clock shows a later moment,
    that one counts: for now, and for the end of writes that the fence saw.
    """
    if found is None or found.recovery_point is None:
        reason = "the recovery point could not be read in the target" if found is None or not found.reason else found.reason
        return Exposure(component=component, state=Known.UNKNOWN, reason=reason)
    zero = timedelta(0)
    if found.complete:
        return Exposure(component=component, state=Known.KNOWN, value=zero, recovery_point=found.recovery_point)
    point = found.recovery_point
    slow = found.clock_behind or zero
    now += slow
    ended = fence.writes_ended_at if fence is not None and fence.state is FenceState.FENCED else None
    ended = None if ended is None else ended + slow
    if ended is not None and ended > point:
        return Exposure(component=component, state=Known.KNOWN, value=ended - point, recovery_point=point, reason=slow_clock(slow))
    if now <= point:
        ahead = f"the recovery point is {show_duration(point - now)} ahead of this machine's clock: compare the clocks"
        return Exposure(component=component, state=Known.UNKNOWN, recovery_point=point, reason=ahead)
    reason = "when the old primary wrote last is not known: it may have written until now"
    if ended is not None:  # what came before something that arrived was not the end: two clocks disagree
        reason = "the recovery point is newer than the end of writes that the fence saw"
    reason = "; ".join(filter(None, [reason, slow_clock(slow)]))
    return Exposure(component=component, state=Known.BOUND, value=now - point, recovery_point=point, reason=reason)


def maybe_slow(plan: Plan, results: Iterable[GuardResult]) -> bool:
    """All that is refused is for components that did not answer in time, so that the same command may be granted a moment later."""
    needed = (plan.source, plan.target) if plan.intent.planned else (plan.target,)
    late = set()
    for view in plan.views:
        away = [seen for name in needed if (seen := view.regions.get(name)) and seen.role not in (Role.PRIMARY, Role.SECONDARY)]
        if away and all(seen.late for seen in away):
            late.add(view.component)
    no = refused(results)
    return any(item.name is Guard.TARGET_REACHABLE for item in no) and all(item.component in late for item in no)


def refused(results: Iterable[GuardResult]) -> tuple[GuardResult, ...]:
    """Those that refuse."""
    return tuple(item for item in results if item.verdict is Verdict.REFUSED)


def way_out(results: Iterable[GuardResult]) -> str:
    """The flags that accept what was refused, each once; empty where something refuses that nobody can accept."""
    no = refused(results)
    if any(not item.name.acceptable for item in no):
        return ""
    flags = dict.fromkeys(flag for item in no for flag in item.accept or FLAG[item.name])
    if UNKNOWN_LOSS[0] in flags:
        flags.pop(FLAG[Guard.EXPOSURE][0], None)
    return " ".join(sorted(flags, key=lambda flag: flag.startswith("--reason")))
