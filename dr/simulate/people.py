"""The on-call engineer of a simulated world: types, waits, reads what comes back, and does what it says next."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta

from dr.errors import ExitCode, Refused, RunInFlight, UsageError
from dr.model.scenario import Act
from dr.model.words import Guard, Intent, RunOutcome, Verdict
from dr.providers.sim.database import Database
from dr.simulate.stage import Command, Stage
from dr.simulate.story import Story

_GOOD = (ExitCode.DONE, ExitCode.OBJECTIVE_MISSED)
_MOST, _REPROTECTS = 200, 20
"""Commands that one person gives for one thing before giving up: a bound for stories that never end, which L1 then tells."""


@dataclass
class OnCall:
    """One person. ``decisions``: what had to be decided, for the survey: guards that were accepted, runs that were taken over."""

    stage: Stage
    story: Story
    name: str = "on-call"
    decisions: list[str] = field(default_factory=list)
    typed: list[Command] = field(default_factory=list)
    _cancelled: set[str] = field(default_factory=set)

    def brings_about(self, intent: Intent, to: str | None, *, until: float) -> bool:
        """Gives a command, and whatever must follow, until it is done or the time is over. In a job of the loop."""
        stage, accepted = self.stage, set[str]()
        act = self._act(intent, to, accepted)
        machine = "here"
        for tries in range(_MOST):
            if stage.loop.now >= until:
                return False
            command = stage.type(act, machine=machine)
            self.typed.append(command)
            stage.wait_for(command, until)
            if command.exit_code in _GOOD and (command.report is None or command.report.outcome in DONE):
                return True
            if command.exit_code is None and not command.process.alive and self.story.person.elsewhere:
                machine = "elsewhere"
                self.decisions.append("took over from another machine")
            wanted = self._asked_for(command)
            if stage.healed and tries < _REPROTECTS and self._told(command, "dr reprotect first"):
                self.decisions.append("a re-protect first")
                stage.wait_for(stage.type(self._act(Intent.REPROTECT, None, set()), machine=machine), until)
            elif wanted - accepted and (self.story.person.bold or stage.healed):  # by then somebody with the authority is found
                accepted |= wanted
                self.decisions += sorted(wanted)
            else:
                self._start_by_hand(command)
                self._clear_the_way(command, tries, until)
                stage.loop.sleep(self.story.person.patience * (1 + tries // 5))
            if stage.healed and intent.planned and self._told(command, "use failover"):
                intent, to = Intent.FAILOVER, to or stage.runbook.home
                self.decisions.append("a failover in place of a planned move")
            act = self._act(intent, to, accepted)
        return False

    def _clear_the_way(self, command: Command, tries: int, until: float) -> None:
        """Another run stands in the way and nobody holds it, or a run comes to the same pause again and again: it is cancelled, or gone
        on with where that does not help."""
        error, report, run = command.error, command.report, ""
        if isinstance(error, RunInFlight) and "held by nobody" in error.message:
            run = error.run_id
        elif report is not None and report.outcome is RunOutcome.PAUSED and self.stage.healed and tries % 6 == 5:
            run = report.run_id
        if run:
            said = "cancel" if run not in self._cancelled else "resume"
            act = Act.model_validate({"at": timedelta(0), "command": said, "actor": self.name, "reason": "it stands in the way"})
            self.decisions.append(f"{said} of a run that stood in the way")
            typed = self.stage.type(act, run_id=run)
            self.stage.wait_for(typed, until)
            if typed.exit_code is not None and typed.error is None:  # it was heard
                self._cancelled.add(run)

    def _start_by_hand(self, command: Command) -> None:
        """What a refusal says that somebody has to start first."""
        said = _START.search(command.report.hint) if command.report is not None and self.stage.healed else None
        for name in said["what"].split(", ") if said is not None else ():
            store, region = self.stage.world.stores.get(name), said["region"] if said is not None else ""
            if isinstance(store, Database) and not store.copies[region].up:
                self.stage.world.settle()
                store.start(region)
                self.stage.world.did("started by hand", name, region)
                self.decisions.append("a server started by hand")

    def _told(self, command: Command, text: str) -> bool:
        """What a refusal says has to come before, or instead."""
        no = () if command.report is None else command.report.guards
        return any(item.verdict is Verdict.REFUSED and text in item.reason for item in no)

    def _act(self, intent: Intent, to: str | None, accepted: set[str]) -> Act:
        own = (Guard.FENCE.value, Guard.EXPOSURE.value)
        reason = "the region is lost" if intent is Intent.FAILOVER or accepted else ""
        return Act(
            at=timedelta(0), intent=intent, to=to, actor=self.name, reason=reason,
            accept_data_loss="unknown" if Guard.EXPOSURE.value in accepted else None, accept_split=Guard.FENCE.value in accepted,
            accept=tuple(sorted(name for name in accepted if name not in own)),
        )  # fmt: skip

    def _asked_for(self, command: Command) -> set[str]:
        """The guards that refused, where a person can accept all of them."""
        if isinstance(command.error, (RunInFlight, UsageError, Refused)) or command.report is None:
            return set()
        no = {item.name for item in command.report.guards if item.verdict is Verdict.REFUSED}
        told = _FLAG.findall(command.report.reason) if command.report.outcome is RunOutcome.PAUSED else []
        return {guard.value for guard in no} | {_MEANT.get(flag, flag) for flag in told} if all(guard.acceptable for guard in no) else set()


DONE = (RunOutcome.COMPLETED, RunOutcome.ALREADY)
_START = re.compile(r"start (?P<what>[\w, -]+) in (?P<region>[\w-]+), then give the same command again")
_FLAG = re.compile(r"--accept[- ]([a-z-]+)")
_MEANT = {"split": Guard.FENCE.value, "data-loss": Guard.EXPOSURE.value}
"""The flags that a paused run asks for, as it prints them, and the guards that are meant."""
