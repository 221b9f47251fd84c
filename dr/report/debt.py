"""What the runs of a runbook have left to be done: opened and closed by facts of the journal only, never by hand. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dr.model.base import Frozen
from dr.model.events import Record, StepEnded, UndoEnded
from dr.model.evidence import (
    Accounted,
    Evidence,
    Fenced,
    Following,
    Identities,
    Preserved,
    Promoted,
    PutBack,
    RecoveryPoint,
    Redirected,
    Temporary,
)
from dr.model.report import Debt
from dr.model.words import DebtKind, FenceState, RunOutcome, StepState, Verb
from dr.report.history import History

_BESIDE = (Verb.FOLLOW, Verb.STAND_BY, Verb.LOCK, Verb.UNLOCK, Verb.SILENCE, Verb.UNSILENCE, Verb.LOWER_TTL, Verb.RAISE_TTL)
"""What re-protect does anyway, and what is temporary: debt of its own kind."""


RECKONING = 2
"""Grows whenever the same runs would leave another debt than before: what an earlier one kept does not count then."""


class Kept(Frozen):
    """A book as text."""

    open: tuple[tuple[DebtKind, str, str, Debt], ...]
    primaries: dict[str, str]
    epochs: dict[str, dict[str, int]]


def open_debt(runs: Sequence[Sequence[Record]]) -> tuple[Debt, ...]:
    """The debt that is open after these runs of one runbook, oldest first.

    Args:
        runs: the records of each run, oldest run first.
    """
    return debt_after([History.read(records) for records in runs])


def debt_after(runs: Sequence[History]) -> tuple[Debt, ...]:
    """The same, for runs that were read already."""
    book = Book()
    for history in runs:
        book.read(history)
    return book.owed()


def unequal(fact: Accounted) -> int:
    """How many items were not equal when the step ended: found missing or differing, less what was brought over."""
    return max(0, fact.missing_total + fact.differing_total - fact.repaired)


def lost_history(fact: Identities) -> list[str]:
    """Rows of history that are missing without an explanation, by table of a Deployment."""
    return [] if fact.fewer_explained else [f"{less} rows of {table} missing" for table, less in fact.fewer.items()]


class Book:
    """The debt of one runbook, by what it is about; runs are read in, oldest first.

    primaries: where each component was promoted last, as the journal tells. epochs: as of which epoch of its own it was promoted last in
        each region, where it has any.
    """

    def __init__(self) -> None:
        self.open: dict[tuple[DebtKind, str, str], Debt] = {}
        self.primaries: dict[str, str] = {}
        self.epochs: dict[str, dict[str, int]] = {}
        self._reading: History | None = None

    @classmethod
    def load(cls, text: str) -> Book:
        """What ``dump`` wrote. Raises ValueError: it is of another version."""
        kept, book = Kept.model_validate_json(text), cls()
        book.open = {(kind, component, what): debt for kind, component, what, debt in kept.open}
        book.primaries, book.epochs = dict(kept.primaries), dict(kept.epochs)
        return book

    def dump(self) -> str:
        """The book as text, to go on from later. A change of what runs mean for the debt needs another ``RECKONING``."""
        listed = tuple((*key, debt) for key, debt in self.open.items())
        return Kept(open=listed, primaries=self.primaries, epochs=self.epochs).model_dump_json()

    def copy(self) -> Book:
        """One of one's own."""
        other = Book()
        other.open, other.primaries, other.epochs = self.open.copy(), self.primaries.copy(), self.epochs.copy()
        return other

    def owed(self) -> tuple[Debt, ...]:
        """What is open after the runs that were read so far, oldest first."""
        return tuple(self.open.values())

    def read(self, history: History) -> None:
        """Takes one run in, fact by fact."""
        self._reading = history
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
            elif step.state is StepState.FAILED and step.spec.optional and step.spec.verb not in (Verb.FENCE, Verb.NOTIFY, *_BESIDE):
                command = step.spec.by_hand or f"dr runs {history.run_id}"
                self._add(key, f"{step.spec.id} failed and was not needed to go on: {step.reason}", command, step.ended_at)
        self._temporary(history)

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
                self._identities(fact, at, history, source)
            case Accounted():
                self._accounted(fact, at, history)

    def _temporary(self, history: History) -> None:
        """What a run changed for its own time only and did not put back, by an undo neither: owed once the run has ended."""
        if not history.all(Temporary) and not history.all(PutBack):
            return
        left: dict[tuple[DebtKind, str, str], tuple[str, Temporary, datetime]] = {}
        for at, event in history.events:
            if isinstance(event, StepEnded):
                over = [(DebtKind.CLEAN_UP, item.component, item.what) for item in event.evidence if isinstance(item, PutBack)]
                for item in event.evidence:
                    if isinstance(item, Temporary):
                        left[DebtKind.CLEAN_UP, item.component, item.what] = (event.step, item, at)
            elif isinstance(event, UndoEnded) and event.ok:
                over = [key for key, (step, _, _) in left.items() if step == event.step]
            else:
                continue
            for key in over:
                left.pop(key, None)
                self.open.pop(key, None)
        for key, (_, item, at) in left.items() if history.state.ended_at is not None else ():
            ends = f"; ends by itself on {item.until:%Y-%m-%d at %H:%M} UTC" if item.until else ""
            self._add(key, f"{item.text}, still, after run {history.run_id}{ends}", item.by_hand, at)

    def _promoted(self, fact: Promoted, at: datetime, history: History, source: str, reprotect: str) -> None:
        self.primaries[fact.component] = fact.region
        if fact.epoch is not None:
            self.epochs[fact.component] = {**self.epochs.get(fact.component, {}), fact.region: fact.epoch}
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

    def _accounted(self, fact: Accounted, at: datetime, history: History) -> None:
        """The newest account of a region counts: what is not equal there is owed until an account finds it equal."""
        key = (DebtKind.DRIFT, fact.component, fact.region)
        left = unequal(fact)
        if not left:
            self.open.pop(key, None)
            return
        names = (*fact.missing, *fact.differing)
        named = ", ".join(names[:5]) + (f" and {left - 5} more" if left > 5 and len(names) >= 5 else "")
        text = f"{left} of {fact.checked} are not equal in {fact.region}" + (f": {named}" if named else "")
        text += f"; all of them: {fact.items_path}" if fact.items_path else ""
        self._add(key, text, f"dr runs {history.run_id}", at)

    def _identities(self, fact: Identities, at: datetime, history: History, source: str) -> None:
        self._close(DebtKind.DRIFT, fact.component, "")
        if fact.before_taken_at is None:
            text = f"identities were not compared: no snapshot of them was kept outside of {source}; hold them against your own inventory"
            self._add((DebtKind.DRIFT, fact.component, ""), text, f"dr monitor {history.started.runbook_path}", at)
        wrong = [*(f"{name} missing" for name in fact.missing), *(f"{name} changed" for name in (*fact.changed, *fact.contents))]
        wrong += lost_history(fact)
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            text = f"identities differ: {', '.join(wrong[:5])}{more}"
            self._add((DebtKind.DRIFT, fact.component, ""), text, f"dr runs {history.run_id}", at)

    def _add(self, key: tuple[DebtKind, str, str], text: str, command: str, since: datetime | None) -> None:
        old = self.open.get(key)
        assert self._reading is not None, "debt is opened while a run is read"
        self.open[key] = Debt(
            kind=key[0], component=key[1], text=text, command=command, since=old.since if old else since,
            owner=old.owner if old else self._reading.in_charge(since), run_id=old.run_id if old else self._reading.run_id,
        )  # fmt: skip

    def _close(self, kind: DebtKind, component: str, region: str | None = None) -> None:
        for key in [key for key in self.open if key[:2] == (kind, component) and region in (None, key[2])]:
            del self.open[key]
