"""All runs of one state directory: reading them, and planning another one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from dr import __version__
from dr.app import outlook
from dr.app.platform import Platform
from dr.app.state import State
from dr.engine import graph, guards
from dr.engine.planner import LayOut, Planned, make_plan
from dr.engine.state import RunState
from dr.errors import NotThere, Refused, StateLost, StateUnreadable, UsageError
from dr.model.events import Record, RunEnded, RunStarted, StepEnded
from dr.model.lag import ComponentView
from dr.model.lease import Listed
from dr.model.plan import Acceptance, GuardResult, Plan
from dr.model.report import RunReport
from dr.model.runbook import Runbook
from dr.model.words import Intent, Outcome, Role, RunOutcome, Verb
from dr.ports import Step
from dr.report.assess import report_of
from dr.report.debt import RECKONING, Book
from dr.report.history import History

_LEARN_FROM = 20
_REMEMBERED = 16
_ENDS = '"step-ended"'
"""Stands in the body of what says how long a step took; decoding all of the other records takes ten times as long."""
_ONLY_SAID = (RunOutcome.REFUSED, RunOutcome.ALREADY)
_MOVED_NOTHING = (*_ONLY_SAID, RunOutcome.ROLLED_BACK)
FENCE_BUDGET = timedelta(seconds=20)
"""For one try of a fence that is owed."""


@dataclass(frozen=True)
class Request:
    """What a person asked for when starting a run."""

    intent: Intent
    to: str | None
    actor: str
    reason: str = ""
    acceptances: tuple[Acceptance, ...] = ()
    outage_began: datetime | None = None
    only: tuple[str, ...] = ()
    fence_only: bool = False
    """Of the chains the fences alone, once each and for a short while (``fencing``)."""
    asked: Intent | None = None
    """What was typed, where it is not the intent (``Runs.the_rest``)."""


@dataclass
class Runs:
    """All runs of one state directory."""

    state: State
    learned: dict[str, Mapping[str, timedelta]] = field(default_factory=dict)
    laid_out: LayOut | None = None
    read_back: dict[str, History] = field(default_factory=dict)
    """What was read last of each run."""
    reckoned: dict[str, Book] = field(default_factory=dict)
    """What was reckoned last, by the key of its last run. None of these books is changed any more."""

    def records(self, run_id: str) -> Sequence[Record]:
        """All records of a run. Raises NotThere."""
        records = self.state.journal.records(run_id)
        if not records:
            raise NotThere(f"{self.state.directory} has no run {run_id}", hint="dr runs")
        return records

    def fold(self, run_id: str) -> RunState:
        """The state of a run, from its journal. Raises NotThere."""
        return self.history(run_id).state.copy()

    def report(self, run_id: str, *, keep: bool = False) -> RunReport:
        """``dr.run/1``. ``keep``: what is owed after it is kept for who asks next, where that can be written. Raises NotThere."""
        history = self.history(run_id)
        book = self.book(history.state.current_plan.runbook, through=run_id, keep=keep and history.state.ended_at is not None)
        return report_of(history, self.state.journal.path, book.owed())

    def history(self, run_id: str) -> History:
        """A run, read back, to be looked at only (``fold`` gives a state of one's own). Raises NotThere, StateUnreadable."""
        records = self.records(run_id)
        known = self.read_back.get(run_id)
        if known is None or known.head != records[-1].hash:  # the last hash stands for all that is before it
            place = 0 if known is None else len(known.events)
            grown = known is not None and place <= len(records) and records[place - 1].hash == known.head
            known = self.read_back[run_id] = History.read(records, known if grown else None)
        return known

    def book(self, runbook: str, *, through: str | None = None, keep: bool = False) -> Book:
        """The debt that the runs of a runbook left, ``through`` the last one; what was kept of it is not reckoned again."""
        journal = self.state.journal
        every = [item for item in journal.listing() if item.runbook == runbook]
        listed = every[: next((number for number, item in enumerate(every, start=1) if item.run_id == through), None)]
        keys = _keys(listed)
        done, book = self._reckoned(keys) or self._kept(keys)
        # a list that something was reckoned from is the one that it was then; of the rest each run is looked at
        for _ in islice(journal.newest(runbook), len(every) - done):
            pass
        for number, item in enumerate(listed[done:], start=done):
            if 0 < number == len(listed) - 1:  # the newest run may grow yet
                self._remember(keys[number - 1], book.copy())
            known = self.read_back.get(item.run_id)
            if known is None or known.head != item.head:
                known = self.history(item.run_id)
            if known.state.outcome not in _ONLY_SAID:  # what was only said (a refusal) left nothing
                book.read(known)
        if keep and self.state.derived is not None and done < len(listed):
            with suppress(StateLost, StateUnreadable):  # it can be reckoned from the journal at any time
                self.state.derived.keep(keys[-1], book.dump())
        if keys:
            self._remember(keys[-1], book)
        return book

    def _remember(self, key: str, book: Book) -> None:
        """For who asks every few seconds, as the monitor does."""
        if len(self.reckoned) >= _REMEMBERED:
            self.reckoned.clear()
        self.reckoned[key] = book

    def _reckoned(self, keys: Sequence[str]) -> tuple[int, Book] | None:
        """The newest book that is remembered, as one's own, and of how many of these runs."""
        place = next((place for place in range(len(keys), 0, -1) if keys[place - 1] in self.reckoned), 0)
        return (place, self.reckoned[keys[place - 1]].copy()) if place else None

    def _kept(self, keys: Sequence[str]) -> tuple[int, Book]:
        """The newest book that was kept, and of how many of these runs. One that has grown since has another key: none is found."""
        try:
            found = self.state.derived.first(reversed(keys)) if self.state.derived is not None and keys else None
            return (0, Book()) if found is None else (keys.index(found[0]) + 1, Book.load(found[1]))
        except (StateUnreadable, ValueError):  # damaged, or of another version: the journal has it all
            return 0, Book()

    def unfinished(self, runbook: str) -> str | None:
        """The run of a runbook that has not ended; there is at most one, the newest."""
        for item in self.state.journal.newest(runbook):
            last = self.state.journal.records(item.run_id)[-1].event
            if not isinstance(last, RunEnded):
                return item.run_id
            if last.outcome not in _ONLY_SAID:
                return None
        return None

    def cut_short(self, runbook: str) -> RunState | None:
        """The newest move, where that was cancelled past the point of no return: its target is primary, and not all is done there.

        What moves nothing (a re-protect, a fence that is tried again) or moved nothing in the end does not change that.
        """
        for item in self.state.journal.newest(runbook):
            last = self.state.journal.records(item.run_id)[-1].event
            if isinstance(last, RunEnded) and last.outcome in _MOVED_NOTHING:
                continue
            state = self.history(item.run_id).state
            if not state.current_plan.intent.moves:
                continue
            short = state.outcome is RunOutcome.CANCELLED and state.past_no_return and state.unsatisfied
            return state if short else None
        return None

    def left_away(self, runbook: str) -> History | None:
        """The newest move that changed anything, where it took service away and did not put it back: it was cancelled past its point of no
        return, or rolled back after a turn, with a freeze that the new plan knew nothing of."""
        for item in self.state.journal.newest(runbook):
            last = self.state.journal.records(item.run_id)[-1].event
            if isinstance(last, RunEnded) and last.outcome in _ONLY_SAID:
                continue
            history = self.history(item.run_id)
            state = history.state
            if not state.current_plan.intent.moves:
                continue
            if state.outcome in (RunOutcome.ROLLED_BACK, RunOutcome.CANCELLED) and history.left(Verb.FREEZE) is not None:
                return history
            if state.outcome is RunOutcome.ROLLED_BACK and history.first_act(Verb.FREEZE) is None:
                continue  # one that froze and took that back says that service was there before it
            return history if state.outcome is RunOutcome.CANCELLED and state.past_no_return and state.unsatisfied else None
        return None

    def the_rest(self, platform: Platform, request: Request, seen: outlook.Outlook) -> Request:
        """A planned move that was cancelled past its point of no return, asked for once more: it goes on forward.

        Its source has nothing to hand over any more where the target leads everything that holds data. What is left of it are a failover's
        steps then, and they lose nothing. Everywhere else, and for everything else, the request as it is.
        """
        short = self.cut_short(platform.runbook.name) if request.intent.planned and not request.only else None
        if short is None or short.started is None or request.intent is not (short.started.asked or short.started.plan.intent):
            return request
        target = short.current_plan.target
        leads = {view.component: view.primary for view in seen.views}
        if self.regions_of(platform, request.intent, request.to, None)[1] != target or not seen.exposures:
            return request
        if any(leads.get(name) != target for name in seen.exposures):
            return request
        why = f"the rest of run {short.run_id}, which was cancelled past its point of no return"
        reason = f"{request.reason}; {why}" if request.reason else why
        return replace(request, intent=Intent.FAILOVER, to=target, asked=request.intent, reason=reason)

    def regions_of(self, platform: Platform, intent: Intent, to: str | None, primary: str | None) -> tuple[str, str]:
        """Source and target of an intent.

        Raises:
            UsageError: the target is missing or unknown.
            Refused: it cannot be told who is primary, and the intent depends on it.
        """
        if intent is Intent.REPROTECT:
            if primary is None:
                raise Refused(
                    f"{platform.runbook.name}: no region is primary of everything, so none can be followed",
                    hint=self._way_out(platform.runbook),
                )
            return platform.other(primary), primary
        if intent is Intent.FAILBACK:
            to = platform.runbook.home
        if to is None:
            raise UsageError(f"{intent} needs a target", hint="--to REGION")
        return platform.other(platform.region(to)), to

    def _way_out(self, runbook: Runbook) -> str:
        """Of a platform that is led by two regions: the move that was cut short goes on with its own command."""
        short = self.cut_short(runbook.name)
        if short is None or short.started is None:
            return f"dr status {runbook.path}"
        asked = short.started.asked or short.started.plan.intent
        to = "" if asked is Intent.FAILBACK else f" --to {short.current_plan.target}"
        again = f"dr {asked} {runbook.path}{to}"
        return f"run {short.run_id} was cancelled half-way to {short.current_plan.target}; {again} finishes it"

    def plan(self, platform: Platform, request: Request, seen: outlook.Outlook) -> Planned:
        """What would be done, with the verdicts of the guards on what is seen now."""
        for name in request.only:
            platform.component(name)
        source, target = self.regions_of(platform, request.intent, request.to, seen.primary)
        if request.only and request.intent.moves:
            _stands_on_the_target(platform, request.only, target, seen)
        rpo = {name: platform.runbook.rpo(name) for name in platform.kinds}
        views = [view for view in seen.views if not request.only or view.component in request.only]
        exposures = {name: item for name, item in seen.exposures.items() if not request.only or name in request.only}
        old = self._old_primaries(platform, views, target, request)
        if request.intent is Intent.FAILOVER:  # what the target has taken over already, a failover does not lose once more
            names = {item.component for item in old}
            exposures = {view.component: exposures[view.component] for view in views
                         if view.component in exposures and (view.primary != target or view.component in names)}  # fmt: skip
        verdicts = guards.before_run(
            request.intent, source, target, views, exposures, rpo, request.acceptances, reason=request.reason
        )
        verdicts += old if request.intent is Intent.REPROTECT else ()
        chains = platform.chains(request.intent, source, target)
        return make_plan(
            platform.runbook, _fences(chains) if request.fence_only else chains, request.intent, source, target,
            views=seen.views, guards=verdicts, learned=self._durations(platform.runbook.name, request.intent), only=request.only,
            laid_out=self.laid_out,
        )  # fmt: skip

    def _old_primaries(
        self, platform: Platform, views: Sequence[ComponentView], target: str, request: Request
    ) -> tuple[GuardResult, ...]:  # fmt: skip
        """What leads in the target and was promoted elsewhere since. The journal is asked only where anything leads there."""
        if not any(target in view.regions and view.primary == target for view in views):
            return ()
        with suppress(StateUnreadable):  # a damaged run: whoever writes next says so
            book, short = self.book(platform.runbook.name), self.cut_short(platform.runbook.name)
            old = guards.followed(views, target, book.primaries, book.epochs, request.acceptances)
            if short is None:
                return old
            # who promoted may have died before it could say so
            maybe = [step.spec.component for step in short.steps.values() if step.spec.verb is Verb.PROMOTE and step.look_first]
            unsaid = [name for name in maybe if book.primaries.get(name) != short.current_plan.target]
            return old + guards.maybe_promoted(views, target, unsaid, short.current_plan.target, request.acceptances)
        return ()

    def already(self, platform: Platform, request: Request, seen: outlook.Outlook, plan: Plan) -> bool:
        """The target is primary, nothing is stopped there that leads nowhere else, and no move was cut short there: the same command
        touches nothing. A failover away from it that was cancelled after its fence leaves a primary stopped, and that is not well; nor is
        an old primary that came back while the new one does not answer."""
        short = self.cut_short(platform.runbook.name)
        there = seen.primary == plan.target and (short is None or short.current_plan.target != plan.target)
        led = [view.regions[plan.target] for view in seen.views if view.primary is None and plan.target in view.regions]
        well = plan.intent.moves and not request.only and there and all(item.role is not Role.STOPPED for item in led)
        return well and not self._old_primaries(platform, seen.views, plan.target, request)

    def _durations(self, runbook: str, intent: Intent) -> Mapping[str, timedelta]:
        """What the steps took in earlier runs of the same intent: medians, once there are three."""
        key = f"{runbook}/{intent}"
        if key not in self.learned:
            took: dict[str, list[timedelta]] = {}
            for item in islice(self.state.journal.newest(runbook), _LEARN_FROM):
                records = self.state.journal.records(item.run_id)
                first = records[0].event
                if not isinstance(first, RunStarted) or first.plan.intent is not intent:
                    continue
                for event in (record.event for record in records if _ENDS in record.body):
                    if isinstance(event, StepEnded) and event.outcome is Outcome.DONE and not event.owed:
                        took.setdefault(event.step, []).append(event.duration)
            self.learned[key] = {step: sorted(values)[len(values) // 2] for step, values in took.items() if len(values) >= 3}
        return self.learned[key]


def _keys(listed: Sequence[Listed]) -> list[str]:
    """For each of these runs a digest of all records up to its end, and of how debt is reckoned."""
    so_far, keys = hashlib.sha256(f"debt {RECKONING} {__version__}".encode()), []
    for item in listed:
        so_far.update(f"{item.run_id} {item.head}\n".encode())
        keys.append(so_far.hexdigest())
    return keys


def _fences(chains: Mapping[str, Sequence[Step]]) -> dict[str, Sequence[Step]]:
    """The fences of the chains alone. Optional: a fence that fails stays owed, and the run ends all the same."""
    return {name: tuple(_alone(step) for step in chain if step.spec.verb is Verb.FENCE) for name, chain in chains.items()}


def _alone(step: Step) -> Step:
    changed = {"needs": (), "optional": True, "max_attempts": 1, "budget": min(step.spec.budget, FENCE_BUDGET)}
    return Step(step.spec.model_copy(update=changed), step.operation)


def _stands_on_the_target(platform: Platform, only: Sequence[str], target: str, seen: outlook.Outlook) -> None:
    """I2, I3: a part is moved alone only where all that it needs moves with it or is there already; nobody can accept otherwise.

    Raises:
        Refused: names or Deployments would lead to a region that takes no writes.
    """
    needs = graph.build({name: component.needs for name, component in platform.runbook.components.items()})
    there = {*only, *(view.component for view in seen.views if view.primary == target)}
    for name in only:
        missing = [other for other in platform.kinds if other in graph.needed_by(needs, name) and other not in there]
        if missing:
            raise Refused(
                f"--only {name}: it needs {', '.join(missing)}, not primary in {target}; nothing was touched",
                hint="move that, too: " + " ".join(f"--only {other}" for other in dict.fromkeys((*missing, *only))),
            )
