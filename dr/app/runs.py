"""All runs of one state directory: reading them, and planning another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dr.app import outlook
from dr.app.platform import Platform
from dr.app.state import State
from dr.engine import graph, guards, machine
from dr.engine.planner import LayOut, Planned, make_plan
from dr.engine.state import RunState
from dr.errors import NotThere, Refused, UsageError
from dr.model.events import Record, RunEnded, RunStarted, StepEnded
from dr.model.plan import Acceptance, Plan
from dr.model.report import RunReport
from dr.model.words import Intent, Outcome, RunOutcome, Verb
from dr.ports import Step
from dr.report.assess import report_of
from dr.report.debt import debt_after
from dr.report.history import History

_LEARN_FROM = 20
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


@dataclass
class Runs:
    """All runs of one state directory."""

    state: State
    learned: dict[str, Mapping[str, timedelta]] = field(default_factory=dict)
    laid_out: LayOut | None = None
    read_back: dict[str, History] = field(default_factory=dict)
    """What was read last of each run."""

    def records(self, run_id: str) -> Sequence[Record]:
        """All records of a run. Raises NotThere."""
        records = self.state.journal.records(run_id)
        if not records:
            raise NotThere(f"{self.state.directory} has no run {run_id}", hint="dr runs")
        return records

    def fold(self, run_id: str) -> RunState:
        """The state of a run, from its journal. Raises NotThere."""
        return machine.fold(((datetime.fromisoformat(item.at), item.event) for item in self.records(run_id)), run_id)

    def report(self, run_id: str) -> RunReport:
        """``dr.run/1``. Raises NotThere."""
        history = self.history(run_id)
        earlier = self.that_did_something(history.state.current_plan.runbook, before=run_id)
        return report_of(history, self.state.journal.path, debt_after([*earlier, history]))

    def history(self, run_id: str) -> History:
        """A run, read back, to be looked at only (``fold`` gives a state of one's own). Raises NotThere, StateUnreadable."""
        records = self.records(run_id)
        known = self.read_back.get(run_id)
        if known is None or known.head != records[-1].hash:  # the last hash stands for all that is before it
            known = self.read_back[run_id] = History.read(records)
        return known

    def that_did_something(self, runbook: str, *, before: str | None = None) -> list[History]:
        """The runs of a runbook, oldest first, up to ``before``; what was only said (a refusal) left nothing."""
        found = []
        for item in self.state.journal.listing(runbook):
            if item.run_id == before:
                break
            known = self.read_back.get(item.run_id)
            if known is None or known.head != item.head:
                known = self.history(item.run_id)
            if known.state.outcome not in _ONLY_SAID:
                found.append(known)
        return found

    def unfinished(self, runbook: str) -> str | None:
        """The run of a runbook that has not ended; there is at most one, the newest."""
        for run_id in reversed(self.state.journal.runs(runbook)):
            last = self.state.journal.records(run_id)[-1].event
            if not isinstance(last, RunEnded):
                return run_id
            if last.outcome not in _ONLY_SAID:
                return None
        return None

    def cut_short(self, runbook: str) -> RunState | None:
        """The newest move, where that was cancelled past the point of no return: its target is primary, and not all is done there.

        What moves nothing (a re-protect, a fence that is tried again) or moved nothing in the end does not change that.
        """
        for run_id in reversed(self.state.journal.runs(runbook)):
            last = self.state.journal.records(run_id)[-1].event
            if isinstance(last, RunEnded) and last.outcome in _MOVED_NOTHING:
                continue
            state = self.history(run_id).state
            if not state.current_plan.intent.moves:
                continue
            short = state.outcome is RunOutcome.CANCELLED and state.past_no_return and state.unsatisfied
            return state if short else None
        return None

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
                    hint=f"dr status {platform.runbook.path}",
                )
            return platform.other(primary), primary
        if intent is Intent.FAILBACK:
            to = platform.runbook.home
        if to is None:
            raise UsageError(f"{intent} needs a target", hint="--to REGION")
        return platform.other(platform.region(to)), to

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
        if request.intent is Intent.FAILOVER:  # what the target has taken over already, a failover does not lose once more
            exposures = {view.component: exposures[view.component] for view in views
                         if view.component in exposures and view.primary != target}  # fmt: skip
        verdicts = guards.before_run(
            request.intent, source, target, views, exposures, rpo, request.acceptances, reason=request.reason
        )
        chains = platform.chains(request.intent, source, target)
        return make_plan(
            platform.runbook, _fences(chains) if request.fence_only else chains, request.intent, source, target,
            views=seen.views, guards=verdicts, learned=self._durations(platform.runbook.name, request.intent), only=request.only,
            laid_out=self.laid_out,
        )  # fmt: skip

    def already(self, platform: Platform, request: Request, seen: outlook.Outlook, plan: Plan) -> bool:
        """The target is primary, and no move was cut short there: the same command touches nothing."""
        short = self.cut_short(platform.runbook.name)
        there = seen.primary == plan.target and (short is None or short.current_plan.target != plan.target)
        return plan.intent.moves and not request.only and there

    def _durations(self, runbook: str, intent: Intent) -> Mapping[str, timedelta]:
        """What the steps took in earlier runs of the same intent: medians, once there are three."""
        key = f"{runbook}/{intent}"
        if key not in self.learned:
            took: dict[str, list[timedelta]] = {}
            for run_id in reversed(self.state.journal.runs(runbook)[-_LEARN_FROM:]):
                events = [record.event for record in self.state.journal.records(run_id)]
                if not isinstance(events[0], RunStarted) or events[0].plan.intent is not intent:
                    continue
                for event in events:
                    if isinstance(event, StepEnded) and event.outcome is Outcome.DONE:
                        took.setdefault(event.step, []).append(event.duration)
            self.learned[key] = {step: sorted(values)[len(values) // 2] for step, values in took.items() if len(values) >= 3}
        return self.learned[key]


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
