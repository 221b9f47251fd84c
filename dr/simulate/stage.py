"""One simulated world with everybody in it: what faults strike, what people type at, what checkers look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from dr.errors import DrError, ExitCode
from dr.model.report import RunReport
from dr.model.runbook import Runbook
from dr.model.scenario import Act
from dr.providers.sim.loop import Loop
from dr.providers.sim.process import Process
from dr.providers.sim.world import World
from dr.simulate.disk import Disk


@dataclass
class Command:
    """One command that somebody gave, and what came of it. ``begun``, ``ended``: seconds of the world; ended is None while it runs, and
    for good where its process was killed."""

    act: Act
    process: Process
    begun: float
    ended: float | None = None
    report: RunReport | None = None
    error: DrError | None = None

    @property
    def running(self) -> bool:
        """It has not answered, and its process lives."""
        return self.ended is None and self.process.alive

    @property
    def exit_code(self) -> int | None:
        """What the shell would say; None while it runs, or where it was killed."""
        if self.report is not None:
            return self.report.exit_code
        if self.error is not None:
            return self.error.exit_code
        return None if self.ended is None else ExitCode.DONE


class Desk(Protocol):
    """Where people type. Made of the real commands, handed in: this package knows none of them."""

    def begin(self, stage: Stage, command: Command, run_id: str | None, on_end: Callable[[], None]) -> None:
        """Starts a command in its process. ``run_id``: the run that it answers, for those that answer one."""

    def report(self, stage: Stage, run_id: str) -> RunReport:
        """What ``dr runs RUN`` prints to somebody who looks."""

    def watch(self, stage: Stage, process: Process) -> None:
        """Starts the monitor in its process: heartbeats, samples, identities, until the process ends."""


@dataclass(frozen=True)
class Violation:
    """Something happened that must never happen. ``rule``: I1 to I18, L1, L2."""

    rule: str
    text: str
    at: float


@dataclass
class Stage:
    """A world under way. ``violations``: the first one ends the play. ``commands``: all that were given, in order.

    clocks: by machine, how far its clock is off and how fast it goes, for processes that start from now on.
    arrivals: told of each command right before it begins. healed: all faults are over, and none comes any more.
    nobody_until: before then nobody approves anything. left_waiting: the run that the story ends with, and the steps at which it waits for
    somebody who does not answer before the morning; None as long as somebody may.
    edited: what the runbook's file was changed to, as its SHA-256; empty: it is as it was. endings: by fault, what ends what lasts of it.
    usual: how things are that a fault changes for a while, by what.
    """

    loop: Loop
    world: World
    disk: Disk
    runbook: Runbook
    desk: Desk
    seed: str
    commands: list[Command] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    clocks: dict[str, tuple[float, float]] = field(default_factory=dict)
    arrivals: list[Callable[[Command], None]] = field(default_factory=list)
    healed: bool = False
    edited: str = ""
    nobody_until: float = 0.0
    left_waiting: tuple[str, tuple[str, ...]] | None = None
    endings: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    usual: dict[str, object] = field(default_factory=dict)

    def process(self, name: str, *, machine: str = "here") -> Process:
        """A new process. Names are made different, so that chance is."""
        number = len(self.processes) + 1
        skew, rate = self.clocks.get(machine, (0.0, 1.0))
        process = Process(self.loop, f"{name}-{number}", f"{self.seed}/{name}-{number}", machine=machine, skew=skew, rate=rate)
        self.processes.append(process)
        return process

    def type(self, act: Act, *, machine: str = "here", run_id: str | None = None, process: Process | None = None) -> Command:
        """Somebody gives a command, in a process of its own."""
        command = Command(act, process or self.process(act.actor, machine=machine), self.loop.now)
        self.commands.append(command)
        waiting = self.loop.maybe_current

        def ended() -> None:
            command.ended = self.loop.now
            command.process.ended = True
            if waiting is not None:
                self.loop.wake(waiting)

        self.world.tell(f"{command.process.name} types {_words(act)}")
        for arrival in self.arrivals:
            arrival(command)
        self.desk.begin(self, command, run_id, ended)
        return command

    def wait_for(self, command: Command, until: float) -> None:
        """The current job goes on when a command has answered, when its process is gone, or at a moment."""
        while command.running and self.loop.now < until:
            self.loop.wait(min(5.0, until - self.loop.now))

    def close(self) -> None:
        """Ends everybody. Left alone, whoever waits would be ended some time later, in the middle of another story."""
        for process in self.processes:
            process.dead = True
            for job in process.jobs:
                job.end()

    def broken(self, rule: str, text: str) -> None:
        """Something happened that must never happen."""
        self.violations.append(Violation(rule, text, self.loop.now))
        self.world.tell(f"violation of {rule}: {text}")


def _words(act: Act) -> str:
    """An act as a person would say it."""
    if act.intent is not None:
        return f"dr {act.intent}" + (f" --to {act.to}" if act.to else "")
    return f"dr {act.command or ('approve' if act.approve else 'skip')}"
