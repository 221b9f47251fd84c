"""Answering runs: pause, cancel, approve, skip; to the process that holds one, or here where nobody does."""

from __future__ import annotations

from dr.app.conduct import Conductor, Hooks, giving_back
from dr.app.runs import Runs
from dr.app.state import State
from dr.engine import machine
from dr.engine.state import RunState
from dr.errors import Refused
from dr.model.events import Approved, CancelRequested, Event, PauseRequested, SkipRequested
from dr.model.report import RunReport
from dr.model.words import RunStatus, StepState


class Answers:
    """Requests to runs."""

    def __init__(self, state: State, runs: Runs, conductor: Conductor) -> None:
        self.state, self.runs, self.conductor = state, runs, conductor

    def request(self, run_id: str, event: Event, *, actor: str, hooks: Hooks | None = None) -> RunReport | None:
        """Pause, cancel, approve or skip. None: a live process holds the run and will take it up.

        Raises:
            Refused: the run has ended, or the request makes no sense for it.
        """
        state = self.runs.fold(run_id)
        if state.status is RunStatus.ENDED:
            raise Refused(f"run {run_id} has ended: {state.outcome}", hint=f"dr runs {run_id}")
        self._check(state, event)
        if self.conductor.held(state):
            self.state.inbox.put(run_id, event)
            return None
        if isinstance(event, PauseRequested):
            raise Refused(f"run {run_id} is not running: no process holds it", hint=f"dr resume {run_id}")
        platform = self.conductor.platform_of(state)
        try:
            if isinstance(event, CancelRequested):
                return self.conductor.take_over(platform, state, [event], actor, hooks or Hooks())
            self._note(state, event)
            return self.runs.report(run_id)
        finally:
            platform.close()

    def _note(self, state: RunState, event: Event) -> None:
        """An answer to a paused run that changes what ``dr resume`` will do, and nothing now."""
        lease = self.state.lease()
        lease.acquire(state.current_plan.runbook, state.run_id, self.state.holder)
        with giving_back(lease):
            at = self.state.clock.now()
            machine.apply(self.runs.fold(state.run_id), event, at)  # refused before it is written
            self.state.journal.append(state.run_id, [(at, event)])

    def _check(self, state: RunState, event: Event) -> None:
        if isinstance(event, (Approved, SkipRequested)):
            step = state.step(event.step)
            if isinstance(event, SkipRequested) and step.state.active:
                raise Refused(f"{event.step} is under way", hint=f"dr pause {state.run_id}, then skip")
            if isinstance(event, SkipRequested) and state.passes(step):
                raise Refused(f"{event.step} is {step.state} already: nothing waits for it", hint=f"dr runs {state.run_id}")
            if isinstance(event, Approved):
                self._check_approval(state, event)
            elif step.spec.kind == "approval":
                self._check_person(state, event)

    def _check_approval(self, state: RunState, event: Approved) -> None:
        step = state.step(event.step)
        if not step.spec.approval:
            raise Refused(f"{event.step} asks for no approval", hint=f"dr runs {state.run_id}")
        again = step.state is StepState.FAILED and not state.passes(step)
        open_ = again or (not step.approved_by and step.state in (StepState.PENDING, StepState.WAITING_APPROVAL))
        if not open_:
            raise Refused(f"{event.step} is answered already: {step.state}", hint=f"dr runs {state.run_id}")
        if step.spec.asks_text and not event.text.strip():  # refused here it costs nothing; the step would fail, and a planned move go back
            how = f"dr approve {state.run_id} {event.step} --reason EVIDENCE"
            raise Refused(f"{event.step} asks for evidence: a ticket, a link, what was seen", hint=how)
        if step.spec.kind == "approval":
            self._check_person(state, event)

    def _check_person(self, state: RunState, event: Approved | SkipRequested) -> None:
        """Two people are two people: neither who asked for the run nor who approved it already lets it go on once more."""
        if state.has_spoken(event.actor, state.step(event.step)):
            what = "skip" if isinstance(event, SkipRequested) else "approve"
            raise Refused(
                f"{event.actor} asked for this run or has approved it already: somebody else must {what}",
                hint=f"dr {what} {state.run_id} {event.step} --actor NAME" + (" --reason TEXT" if what == "skip" else ""),
            )
