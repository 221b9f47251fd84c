"""Expectations against what happened. Pure. Unknown is never met.

``truth`` is the outside client's; everything else is what the runs claim, which ``rta_matches_truth`` and
``rpa_not_below_truth`` hold against it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from dr.model.base import Json, seconds, show_duration
from dr.model.report import AccountedReport, ExpectationReport, RunReport, TaskReport
from dr.model.scenario import Expect
from dr.model.truth import Truth
from dr.model.words import Known, RunOutcome, StepState, Verb, Verdict

TOLERANCE = timedelta(seconds=0.3)
CACHED = timedelta(seconds=1)
"""The TTL of public names: how long the outside client may go on asking the old address."""
_GROWING = ("s3-bucket",)
"""Kinds whose contents the world outside goes on adding to."""
_LAPS = 2
"""So many runs must have counted, or nothing is held against anything."""


@dataclass(frozen=True)
class Results:
    """What is judged. ``runs`` in the order of their start; ``exit_codes`` of all acts in their order, None for one never typed.

    last_exit: exit code of the last act that took a run. running_tasks: how many the workload had made run.
    printed: what the commands printed on stdout, in the order of the acts.
    """

    runs: Sequence[RunReport]
    truth: Truth | None
    exit_codes: Sequence[int | None]
    last_exit: int | None
    running_tasks: int = 0
    printed: Sequence[str] = ()

    @property
    def last(self) -> RunReport | None:
        """The last run."""
        return self.runs[-1] if self.runs else None

    @property
    def moves(self) -> list[RunReport]:
        """The runs that moved the platform to another region."""
        return [run for run in self.runs if run.intent.moves and run.outcome is RunOutcome.COMPLETED]


@dataclass(frozen=True)
class _Finding:
    """What one check found."""

    expected: Json
    actual: Json
    met: bool
    detail: str = ""


def score(expect: Expect, results: Results) -> tuple[ExpectationReport, ...]:
    """One line for each expectation that the scenario writes, in the order of the model."""
    lines = []
    for name in Expect.model_fields:
        wanted = getattr(expect, name)
        if wanted is None:
            continue
        found = _CHECKS[name](wanted, results)
        lines.append(ExpectationReport(name=name, expected=found.expected, actual=found.actual, met=found.met, detail=found.detail))
    return tuple(lines)


# --- the three shapes of a check ------------------------------------------------------------------------------------


def _equal(read: Callable[[Results], Json]) -> Callable[[Json, Results], _Finding]:
    def check(wanted: Json, results: Results) -> _Finding:
        actual = read(results)
        wire = list(wanted) if isinstance(wanted, tuple) else wanted
        return _Finding(wire, actual, actual is not None and actual == wire)

    return check


def _at_most(read: Callable[[Results], float | None]) -> Callable[[Json, Results], _Finding]:
    def check(wanted: Json, results: Results) -> _Finding:
        limit = wanted.total_seconds() if isinstance(wanted, timedelta) else wanted
        actual = read(results)
        return _Finding(limit, actual, actual is not None and actual <= limit)

    return check


def _at_least(read: Callable[[Results], float | None]) -> Callable[[Json, Results], _Finding]:
    def check(wanted: Json, results: Results) -> _Finding:
        actual = read(results)
        return _Finding(wanted, actual, actual is not None and actual >= wanted)

    return check


# --- what is read ---------------------------------------------------------------------------------------------------


def _of_last(read: Callable[[RunReport], Json]) -> Callable[[Results], Json]:
    return lambda results: None if results.last is None else read(results.last)


def _of_last_move(read: Callable[[RunReport], Json]) -> Callable[[Results], Json]:
    """Objectives are those of moves: a re-protect after one has none."""

    def actual(results: Results) -> Json:
        last = next((run for run in reversed(results.runs) if run.intent.moves), None)
        return None if last is None else read(last)

    return actual


def _lost(results: Results) -> int | None:
    """Unknown while a Deployment does not say which of the acknowledged writes it has."""
    truth = results.truth
    return None if truth is None or truth.unconfirmed_writes else truth.lost_writes


def _lost_objects(results: Results) -> int | None:
    return None if results.truth is None else results.truth.lost_objects


def _outage(results: Results) -> float | None:
    return None if results.truth is None else seconds(results.truth.outage)


def _tasks(read: Callable[[TaskReport], int | None]) -> Callable[[Results], int | None]:
    """Summed over the moves that had tasks to decide about; unknown in one of them is unknown."""

    def total(results: Results) -> int | None:
        counts = [read(run.tasks) for run in results.moves if any(step.verb is Verb.RECONCILE for step in run.steps)]
        return None if not counts or None in counts else sum(count or 0 for count in counts)

    return total


def _lost_tasks(results: Results) -> int | None:
    """Tasks that ran when the disaster came and that the first move did not account for, and those that it says are lost.

    The drill knows how many it had made run; the runs know only what arrived in the target, and say null where more may be lost.
    """
    said = _tasks(lambda tasks: None if tasks.in_flight is None else tasks.lost or 0)(results)
    first = next((run.tasks.in_flight for run in results.moves if run.tasks.in_flight is not None), None)
    if said is None or first is None:
        return None
    return said + max(0, results.running_tasks - first)


def _primary(results: Results) -> str | None:
    """Who answered the client's last write, for every hostname; where the client did not note it, what the last move claims."""
    regions = set(results.truth.served_by.values()) if results.truth is not None else set()
    if regions:
        return regions.pop() if len(regions) == 1 else None
    return results.moves[-1].to_region if results.moves else None


# --- the checks that are more than one value ------------------------------------------------------------------------


def _identities(wanted: Json, results: Results) -> _Finding:
    """Every move compared identities, and nothing is changed or missing, history included that no recovery point accounts for."""
    if not results.moves or any(run.identities.checked == 0 for run in results.moves):
        return _Finding(wanted, None, False, "not compared")
    found = [run.identities for run in results.moves]
    wrong = [name for item in found for name in (*item.changed, *item.missing, *item.contents)]
    wrong += [name for item in found if item.fewer_explained is False for name in item.fewer]
    checked = sum(run.identities.checked for run in results.moves)
    detail = f"{checked} checked" + (f"; different: {', '.join(wrong[:5])}" if wrong else "")
    return _Finding(wanted, "different" if wrong else "preserved", not wrong, detail)


def _refuser(wanted: Json, results: Results) -> _Finding:
    named = [item.name.value for run in results.runs[-1:] for item in run.guards if item.verdict is Verdict.REFUSED]
    reason = "; ".join(item.reason for run in results.runs[-1:] for item in run.guards if item.verdict is Verdict.REFUSED)
    return _Finding(wanted, named[0] if len(named) == 1 else (named or None), wanted in named, reason)


def _rta_and_truth(wanted: Json, results: Results) -> _Finding:
    """The longest RTA of all moves against the client's longest outage.

    The client knows its outage only to the time between two of its writes (0.1 s at 5 Deployments, 1 s at 80): it lasted at least from
    the first failed attempt, at most from the last acknowledged one. The RTA has to be above the one and below the other.
    """
    outage = results.truth.outage if results.truth is not None else None
    reported = [run.objectives.rta_seconds for run in results.moves]
    if outage is None or not reported or None in reported:
        return _Finding(wanted, None, False, "RTA or the client's outage is unknown")
    longest = timedelta(seconds=max(value for value in reported if value is not None))
    least = results.truth.outage_at_least if results.truth is not None else None
    # only where its rhythm is coarser than the tolerance; at 5 Deployments its outage itself is the bound
    surely = least if least is not None and outage - least > TOLERANCE else outage
    matches = surely - TOLERANCE <= longest <= outage + CACHED + TOLERANCE
    seen = show_duration(outage) if surely == outage else f"{show_duration(surely)} to {show_duration(outage)}"
    detail = f"RTA {show_duration(longest)}, the client's outage {seen}, tolerance −0.3 s and +1.3 s"
    return _Finding(wanted, matches, matches is wanted, detail)


def _rpa_and_truth(wanted: Json, results: Results) -> _Finding:
    """The worst RPA of all moves is never below the client's loss window, and close to it where it claims to be known."""
    reported = [run.objectives.rpa_seconds for run in results.moves]
    if results.truth is None or results.truth.unconfirmed_writes or not reported or None in reported:
        return _Finding(wanted, None, False, "RPA or the client's loss is unknown")
    worst = max(results.moves, key=lambda run: run.objectives.rpa_seconds or 0.0).objectives
    rpa, lost = timedelta(seconds=worst.rpa_seconds or 0.0), results.truth.loss_window
    holds = rpa >= lost and (worst.rpa_state is not Known.KNOWN or rpa - lost <= TOLERANCE)
    detail = f"RPA {show_duration(rpa)} ({worst.rpa_state}), the client's loss window {show_duration(lost)}"
    return _Finding(wanted, holds, holds is wanted, detail)


def _said(wanted: Json, results: Results) -> _Finding:
    """Every text stands somewhere in what a person was told."""
    assert isinstance(wanted, tuple), "a list of texts in the scenario"
    told = [*results.printed]
    for run in results.runs:
        told += [run.reason, run.hint, *run.deviations, *(item.reason for item in run.guards)]
        told += [text for item in run.debt for text in (item.text, item.command)]
    first = results.runs[0].run_id if results.runs else "{run}"
    texts = [text.replace("{run}", first) for text in wanted]
    missing = [text for text in texts if not any(text in line for line in told)]
    said = [text for text in texts if text not in missing]
    return _Finding(texts, said, not missing, f"not said: {'; '.join(missing)}" if missing else "")


def _lost_objects_named(wanted: Json, results: Results) -> _Finding:
    """What the moves say is missing in the target is what cannot be read there: at least one, and nothing that is there after all."""
    lost = set(results.truth.lost_object_names) if results.truth is not None and results.truth.lost_objects is not None else None
    named = {name for run in results.moves for item in run.accounted if not item.complete for name in item.missing}
    if lost is None:
        return _Finding(wanted, None, False, "the shippers' loss is unknown")
    wrong = sorted(named - lost)
    detail = f"{len(named)} named, {len(lost)} lost" + (f"; not lost: {', '.join(wrong[:5])}" if wrong else "")
    return _Finding(wanted, bool(named) and not wrong, (bool(named) and not wrong) is wanted, detail)


def _last_accounts(run: RunReport) -> dict[tuple[str, str], AccountedReport]:
    """The last account of each component in each region that it judged: an earlier one may have looked at a part only."""
    return {(item.component, item.region): item for item in run.accounted}


def _unequal(results: Results) -> int | None:
    """Unknown where nothing was accounted for."""
    last = [item for run in results.runs for item in _last_accounts(run).values()]
    return sum(item.unequal for item in last) if last else None


def _counted(run: RunReport) -> dict[str, AccountedReport]:
    """The last account of each component; of what grows only one that asked both sides: what was kept of a lost one has some age."""
    return {component: item for (component, _), item in _last_accounts(run).items() if item.complete or item.kind not in _GROWING}


def _counts(wanted: Json, results: Results) -> _Finding:
    """Laps of a round trip are held against each other: nothing that was counted in one of them is absent or fewer in another."""
    done = [run for run in results.runs if run.outcome is RunOutcome.COMPLETED]
    counts: dict[str, list[int]] = {}
    wrong = []
    for run in done:
        if run.intent.moves:
            counts.setdefault("identities", []).append(run.identities.checked)
        last = _counted(run)
        for component, item in last.items():
            counts.setdefault(component, []).append(item.checked)
        alike = {component for other in done if other.intent is run.intent for component in _counted(other)}
        wrong += [f"{component} was not accounted for in {run.run_id}" for component in sorted(alike - last.keys())]
    growing = {item.component for run in done for item in run.accounted if item.kind in _GROWING}
    for name, found in counts.items():
        if sorted(found) != found if name in growing else len(set(found)) > 1:
            wrong.append(f"{name}: {', '.join(map(str, found))}")
    if not counts or len(done) < _LAPS:
        return _Finding(wanted, None, False, "nothing was counted twice")
    same = "; ".join(f"{name} {found[0]}" + (f" to {found[-1]}" if name in growing else "") for name, found in counts.items())
    return _Finding(wanted, "different" if wrong else "equal", not wrong, "; ".join(wrong) if wrong else same)


def _promotions(results: Results) -> int:
    """Promotions that took effect: a step that found the target promoted already counts in the run that did it."""
    return sum(step.verb is Verb.PROMOTE and step.state is StepState.DONE for run in results.runs for step in run.steps)


def _divergence_and_truth(wanted: Json, results: Results) -> _Finding:
    """What the client lost is what was preserved, write for write; the run counts commits: the client's and the platform's own."""
    truth = results.truth
    counted = next((run.divergence.items for run in reversed(results.runs) if run.divergence.state == "preserved"), None)
    if truth is None or truth.unconfirmed_writes or truth.preserved_writes is None:
        return _Finding(wanted, None, False, "nothing was preserved, or the client's loss is unknown")
    matches = 0 < truth.lost_writes == truth.preserved_writes and counted is not None and counted >= truth.lost_writes
    detail = f"{truth.lost_writes} acknowledged writes lost, {truth.preserved_writes} of them preserved; {counted} commits counted"
    return _Finding(wanted, matches, matches is wanted, detail)


def _rta_below_truth(wanted: Json, results: Results) -> _Finding:
    """A client that keeps addresses beyond their TTL is away for longer than any runbook can know."""
    outage, reported = results.truth.outage if results.truth is not None else None, [run.objectives.rta_seconds for run in results.moves]
    if outage is None or not reported or None in reported:
        return _Finding(wanted, None, False, "RTA or the client's outage is unknown")
    longest = timedelta(seconds=max(value for value in reported if value is not None))
    below = longest + CACHED + TOLERANCE < outage
    return _Finding(wanted, below, below is wanted, f"RTA {show_duration(longest)}, the client's outage {show_duration(outage)}")


def _warned(wanted: Json, results: Results) -> _Finding:
    """Of the last move: said and journaled before the RTO was over, and the RTO was missed indeed."""
    run = results.moves[-1] if results.moves else None
    text = "" if run is None else next((text for text in run.deviations if "before the RTO of" in text), "")
    warned = bool(text) and run is not None and run.objectives.rto_met is False
    return _Finding(wanted, warned, warned is wanted, text or "no such prediction was journaled")


def _waited_for(wanted: Json, results: Results) -> _Finding:
    """From when nothing else held the step up until it began, which is after the answer."""
    limits = {name: limit.total_seconds() for name, limit in wanted.items()}
    run = results.last
    steps = {step.id: step for step in run.steps} if run is not None else {}
    begins = [step.started_at for step in steps.values() if step.started_at is not None]
    answered = {item.step for item in run.approvals} if run is not None else set()
    waited: dict[str, Json] = {}
    wrong: list[str] = []
    for name, limit in limits.items():
        step = steps.get(name)
        if step is None or step.started_at is None or step.finished_at is None or name not in answered:
            wrong.append(f"nobody answered {name}")
            continue
        free = max([ended for need in step.needs if (ended := steps[need].finished_at) is not None], default=min(begins))
        waited[name] = (step.started_at - free).total_seconds()
        early = [item.id for item in steps.values() if name in item.needs and item.started_at and item.started_at < step.finished_at]
        wrong += [f"{item} began before {name} was answered" for item in early]
        if waited[name] < limit:
            wrong.append(f"{name} waited for {waited[name]:.1f} s only")
    return _Finding(limits, waited, not wrong, "; ".join(wrong))


_CHECKS: dict[str, Callable[[Json, Results], _Finding]] = {
    "outcome": _equal(_of_last(lambda run: run.outcome.value)),
    "exit_code": _equal(lambda results: results.last_exit),
    "exit_codes": _equal(lambda results: list(results.exit_codes)),
    "rta": _at_most(_of_last_move(lambda run: run.objectives.rta_seconds)),
    "rpa": _at_most(_of_last_move(lambda run: run.objectives.rpa_seconds)),
    "rta_matches_truth": _rta_and_truth,
    "rpa_not_below_truth": _rpa_and_truth,
    "outage": _at_most(_outage),
    "lost_writes": _equal(_lost),
    "min_lost_writes": _at_least(_lost),
    "max_lost_writes": _at_most(_lost),
    "lost_objects": _equal(_lost_objects),
    "min_lost_objects": _at_least(_lost_objects),
    "max_lost_objects": _at_most(_lost_objects),
    "lost_objects_named": _lost_objects_named,
    "min_repaired": _at_least(lambda results: sum(item.repaired for run in results.runs for item in run.accounted)),
    "unequal": _equal(_unequal),
    "counts": _counts,
    "identities": _identities,
    "healthy": _equal(_of_last(lambda run: run.deployments.healthy if run.deployments.total else None)),
    "lost_tasks": _equal(_lost_tasks),
    "duplicated_tasks": _equal(_tasks(lambda tasks: tasks.duplicated)),
    "primary": _equal(_primary),
    "fence": _equal(_of_last(lambda run: run.fence.state.value)),
    "refused_by": _refuser,
    "runs": _equal(lambda results: len(results.runs)),
    "rto_met": _equal(_of_last_move(lambda run: run.objectives.rto_met)),
    "rpo_met": _equal(_of_last_move(lambda run: run.objectives.rpo_met)),
    "divergence_preserved": _equal(lambda results: any(run.divergence.state == "preserved" for run in results.runs)),
    "agent_continues": _equal(lambda results: None if results.truth is None else results.truth.agent_polls_after > 0),
    "exit_codes_any_order": _equal(lambda results: sorted(-1 if code is None else code for code in results.exit_codes)),
    "says": _said,
    "promotions": _equal(_promotions),
    "divergence_matches_truth": _divergence_and_truth,
    "rta_below_truth": _rta_below_truth,
    "warned_in_time": _warned,
    "waited_for": _waited_for,
    "rpa_known": _equal(_of_last_move(lambda run: run.objectives.rpa_state.value)),
}
