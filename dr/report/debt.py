"""What the runs of a runbook have left to be done: opened and closed by facts of the journal only, never by hand. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dr.model.events import Record
from dr.model.evidence import Evidence, Fenced, Following, Identities, Preserved, Promoted, RecoveryPoint, Redirected
from dr.model.report import Debt
from dr.model.words import DebtKind, FenceState, RunOutcome, StepState, Verb
from dr.report.history import History

_BESIDE = (Verb.FOLLOW, Verb.STAND_BY)
"""What re-protect does anyway: debt of its own kind."""


def open_debt(runs: Sequence[Sequence[Record]]) -> tuple[Debt, ...]:
    """The debt that is open after these runs of one runbook, oldest first.

    Args:
        runs: the records of each run, oldest run first.
    """
    return debt_after([History.read(records) for records in runs])


def debt_after(runs: Sequence[History]) -> tuple[Debt, ...]:
    """The same, for runs that were read already."""
    book = _Book()
    for history in runs:
        book.read(history)
    return tuple(book.open.values())


class _Book:
    """Debt by what it is about. ``primaries``: where each component was promoted last, as the journal tells."""

    def __init__(self) -> None:
        self.open: dict[tuple[DebtKind, str, str], Debt] = {}
        self.primaries: dict[str, str] = {}

    def read(self, history: History) -> None:
        """Takes one run in, fact by fact."""
        plan = history.state.current_plan
        reprotect = f"dr reprotect {history.started.runbook_path}"
        for fact in history.facts:
            self._fact(fact.evidence, fact.at, history, plan.source, reprotect)
        for step in history.state.steps.values():
            if step.spec.verb is Verb.FOLLOW and step.state in (StepState.DONE, StepState.ALREADY):
                self._close(DebtKind.DNS, step.spec.component)  # its own read says that every record is right there now
            key = (DebtKind.CLEAN_UP, step.spec.component, step.spec.id)
            if step.state.satisfied:
                self.open.pop(key, None)
            elif history.state.outcome is RunOutcome.CANCELLED and history.state.past_no_return and step.spec.verb not in _BESIDE:
                command = f"dr failover {history.started.runbook_path} --to {plan.target}"
                text = f"{step.spec.id} was not done: run {history.run_id} was cancelled on its way"
                self._add(key, text, command, history.state.ended_at)
            elif step.state is StepState.FAILED and step.spec.optional and step.spec.verb not in (Verb.FENCE, *_BESIDE):
                command = step.spec.by_hand or f"dr runs {history.run_id}"
                self._add(key, f"{step.spec.id} failed and was not needed to go on: {step.reason}", command, step.ended_at)

    def _fact(self, fact: Evidence, at: datetime, history: History, source: str, reprotect: str) -> None:
        match fact:
            case Promoted():
                self._promoted(fact, at, history, source, reprotect)
            case Fenced():
                self._fenced(fact, at, reprotect, history)
            case RecoveryPoint() if fact.complete:
                self._close(DebtKind.DIVERGENCE, fact.component, source)
            case Preserved():
                self._close(DebtKind.DIVERGENCE, fact.component, fact.region)
            case Following():
                # a region that follows takes no writes of its own, and nothing was overwritten before it was preserved (I17)
                for kind in (DebtKind.REPROTECT, DebtKind.FENCE, DebtKind.DIVERGENCE, DebtKind.DNS):
                    self._close(kind, fact.component, fact.region)
            case Redirected():
                self._redirected(fact, at, source, reprotect)
            case Identities():
                self._identities(fact, at, history)

    def _promoted(self, fact: Promoted, at: datetime, history: History, source: str, reprotect: str) -> None:
        self.primaries[fact.component] = fact.region
        for kind in (DebtKind.REPROTECT, DebtKind.FENCE):
            self._close(kind, fact.component, fact.region)
        if source == fact.region:
            return
        name = fact.component
        text = f"{source} does not follow {fact.region}; there is no second copy to move back to"
        self._add((DebtKind.REPROTECT, name, source), text, reprotect, at)
        points = history.all(RecoveryPoint, name)
        if not any(point.complete for point in points):
            text = f"{source} may hold acknowledged writes that never reached {fact.region}; they are preserved before re-protect"
            self._add((DebtKind.DIVERGENCE, name, source), text, reprotect, at)
        fences = [item for item in history.all(Fenced, name) if item.region == source]
        if fences:
            self._fenced(fences[-1], at, reprotect, history)

    def _fenced(self, fact: Fenced, at: datetime, reprotect: str, history: History) -> None:
        key = (DebtKind.FENCE, fact.component, fact.region)
        if fact.state in (FenceState.FENCED, FenceState.NOT_NEEDED):
            self.open.pop(key, None)
        elif self.primaries.get(fact.component, fact.region) != fact.region:
            by_hand = next(
                (step.by_hand for step in history.state.current_plan.steps
                 if step.component == fact.component and step.verb is Verb.FENCE and step.by_hand), ""
            )  # fmt: skip
            text = f"the fence of {fact.region} was not acknowledged ({fact.proof}); it may still take writes"
            self._add(key, text + (f"; by hand: {by_hand}" if by_hand else ""), reprotect, at)

    def _redirected(self, fact: Redirected, at: datetime, source: str, reprotect: str) -> None:
        self._close(DebtKind.DNS, fact.component)
        if fact.not_reached:
            servers = ", ".join(fact.not_reached)
            text = f"not changed: {servers}; it answers with the old addresses when it comes back"
            self._add((DebtKind.DNS, fact.component, source), text, reprotect, at)

    def _identities(self, fact: Identities, at: datetime, history: History) -> None:
        self._close(DebtKind.DRIFT, fact.component)
        wrong = [*(f"{name} missing" for name in fact.missing), *(f"{name} changed" for name in fact.changed)]
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            text = f"identities differ: {', '.join(wrong[:5])}{more}"
            self._add((DebtKind.DRIFT, fact.component, ""), text, f"dr runs {history.run_id}", at)

    def _add(self, key: tuple[DebtKind, str, str], text: str, command: str, since: datetime | None) -> None:
        old = self.open.get(key)
        self.open[key] = Debt(kind=key[0], component=key[1], text=text, command=command, since=old.since if old else since)

    def _close(self, kind: DebtKind, component: str, region: str | None = None) -> None:
        for key in [key for key in self.open if key[:2] == (kind, component) and region in (None, key[2])]:
            del self.open[key]
