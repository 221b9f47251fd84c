"""I11, I12: what is asked of a lost region, and that nothing is touched by who only looks, nor anything outside the world by anybody."""

from __future__ import annotations

import math
import os
import sys
from collections import Counter

from dr.errors import Refused, RunInFlight, UsageError
from dr.model.events import Event, StepStarted, Turned, UndoEnded, UndoStarted
from dr.model.words import Intent, RunOutcome, Verb
from dr.providers.sim.world import Asked, Effect
from dr.simulate.checks.witness import Rule, Told
from dr.simulate.disk import StoredRecord

_BESIDE = (Verb.FENCE, Verb.REDIRECT, Verb.LOCK, Verb.UNLOCK, Verb.SILENCE, Verb.UNSILENCE, Verb.RAISE_TTL)
"""What a failover tries in the lost region, too, and does not need there."""
_CALLS = 3
"""Calls into one region in one attempt."""


class NoNeed(Rule):
    """I11: what a failover asks to be changed in its source while nothing goes through to there is best effort (a fence, a name server
    beside its own, a lock) or of an optional step; and each such step asks no more often than its attempts allow, so that the time is
    bounded (a fence that is owed may be tried for as long as the run lasts: nothing waits for it). What is taken back there, too, is best
    effort where the undo ends well without it. Reads are bounded by the time-out of the wire."""

    name = "I11"

    def begun(self) -> None:
        """Nobody has asked anything."""
        self._seen = 0
        self._tries: dict[tuple[str, str], int] = {}
        self._taken_back: dict[tuple[str, str], str] = {}
        self._undone: set[tuple[str, str]] = set()
        self._owed: Counter[tuple[str, str]] = Counter()
        self._turned: dict[str, float] = {}

    def record(self, told: Told, record: StoredRecord, event: Event) -> None:
        """An undo that could not do without the lost region; what is undone, and how often what is owed is tried."""
        if isinstance(event, Turned):
            self._turned.setdefault(told.run_id, self.witness.stage.loop.now)
        elif isinstance(event, StepStarted):
            self._owed[told.run_id, event.step] += event.owed
        elif isinstance(event, UndoStarted):
            self._undone.add((told.run_id, event.step))
        elif isinstance(event, UndoEnded) and not event.ok:
            what = self._taken_back.get((told.run_id, event.step))
            if what is not None and what in event.reason:
                self.broken(f"taking {event.step} back needs {what} in a region that it cannot reach")

    def effect(self, effect: Effect) -> None:
        """What was asked since the last look."""
        asked = self.witness.stage.world.asked
        for item in asked[self._seen :]:
            if not item.reached:
                self._tried(item)
        self._seen = len(asked)

    def over(self) -> None:
        """The rest of it."""
        asked = self.witness.stage.world.asked
        for item in asked[self._seen :]:
            if not item.reached:
                self._tried(item)

    def _tried(self, item: Asked) -> None:
        told = self.witness.told.get(item.run_id)
        if told is None or told.plan is None or told.plan.intent is not Intent.FAILOVER or item.region != told.plan.source:
            return
        if item.at <= self._turned.get(item.run_id, -math.inf):
            return  # of a planned move then
        spec = told.specs.get(item.step)
        if spec is None:
            return
        key = item.run_id, item.step
        if key in self._undone:  # taken back beside: whether it is needed shows in how the undo ends
            self._taken_back[key] = item.what
        elif spec.verb not in _BESIDE and not spec.optional:
            self.broken(f"a failover needs {item.what} in {item.region}, which it cannot reach ({item.step})")
        self._tries[key] = self._tries.get(key, 0) + 1
        if self._tries[key] > _CALLS * (spec.max_attempts * (2 + told.resumes) + self._owed[key]):
            self.broken(f"{item.step} asked {self._tries[key]} times for {item.what} in {item.region}, which it cannot reach")


class Untouched(Rule):
    """I12: a command that answers with refused or already, or that was refused by an error, asked for no change (a re-protect that it ended
    for the sake of a failover is that run's); and while a story is played, nothing is opened for writing, connected to or started outside
    of it: Python's own audit events say so, whoever does it."""

    name = "I12"

    def begun(self) -> None:
        """From now on."""
        _listen()
        _HEARD.clear()
        self._commands = 0

    def effect(self, effect: Effect) -> None:
        """What the interpreter saw."""
        if _HEARD:
            self.broken(f"something outside the world was touched: {_HEARD.pop()}")

    def over(self) -> None:
        """What the interpreter saw, and every command."""
        if _HEARD:
            self.broken(f"something outside the world was touched: {_HEARD.pop()}")
            return
        for command in self.witness.stage.commands:
            said = command.report.outcome if command.report is not None else None
            if said not in (RunOutcome.REFUSED, RunOutcome.ALREADY) and not isinstance(command.error, (Refused, UsageError, RunInFlight)):
                continue
            until = command.begun if command.ended is None else command.ended
            for item in self.witness.stage.world.asked:
                if item.process == command.process.name and command.begun <= item.at <= until and not self._gave_up(item):
                    self.broken(f"{item.process} was answered {said or type(command.error).__name__}, and had asked for {item.what}")
                    return

    def _gave_up(self, item: Asked) -> bool:
        told = self.witness.told.get(item.run_id)
        return told is not None and told.started is not None and not told.started.plan.intent.moves


_HEARD: list[str] = []
_LISTENS: list[bool] = []
_ACTS = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect", "socket.sendto", "socket.bind"})
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _listen() -> None:
    """Once in a Python process: its audit events cannot be given back."""
    if not _LISTENS:
        _LISTENS.append(True)
        sys.addaudithook(_hear)


def _hear(event: str, args: tuple[object, ...]) -> None:
    if event in _ACTS:
        _HEARD.append(f"{event} {args[-1]!r:.80}")
    elif event == "open" and isinstance(args[2], int) and args[2] & _WRITES and isinstance(args[0], str) and ".pyc" not in args[0]:
        _HEARD.append(f"open {args[0]!r:.80}")
