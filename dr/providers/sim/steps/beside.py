"""Simulated checks, restarts, messages and commands: the same claims and evidence as the generic kinds."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from dr.errors import EffectUnknown, Permanent, Transient
from dr.model.base import show_duration
from dr.model.evidence import CommandRan, Evidence, Note
from dr.model.words import Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.generic.checks.base import rest
from dr.providers.generic.notify import texts
from dr.providers.sim.beside import Channel, Check, Pools, Program, Soak
from dr.providers.sim.steps.base import SimStep


class Looks(SimStep[Check]):
    """The look is the act: it changes nothing, and may be repeated by anybody."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Looks until it has held as often in a row as it must. Raises Transient where one look does not hold."""
        for number in range(1, self.store.successes + 1):
            seen = self.read(self.target, "look", lambda: self.store.hold(self.target))
            if number < self.store.successes:
                text = f"{number} of {self.store.successes} looks in a row: {seen}"
                context.say(text)
                rest(context, self.store.every, text)
        return (Note(text=f"{self.component}: {seen}"),)


class Soaks(SimStep[Soak]):
    """Checks hold for a while, all of them, all the time."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Looks again and again. Raises Transient where one does not hold: from the start, then."""
        began, rounds, names = context.clock.monotonic(), 0, ", ".join(check.name for check in self.store.checks)
        while True:
            for check in self.store.checks:
                try:
                    self.place.wire.read(self.target, f"{check.name}.look", partial(check.hold, self.target))
                except Transient as error:
                    held = timedelta(seconds=context.clock.monotonic() - began)
                    raise Transient(f"{check.name} did not hold after {show_duration(held)}: {error.message}") from None
            rounds += 1
            left = self.store.duration - (context.clock.monotonic() - began)
            if left <= 0:
                break
            text = f"{left:.1f} s left, all held {rounds} times"
            context.say(text)
            rest(context, min(left, self.store.every), text)
        return (Note(text=f"{self.component}: {names} held {rounds} times"),)


class Restart(SimStep[Pools]):
    """Whoever holds connections from before the promotion lets go of them."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: no session is older than the promotion. Where nobody can count them, it runs once."""
        old = self._old()
        if old is None:
            return Seen(Look.NEEDED)
        return Seen(Look.NEEDED, "sessions from before the promotion") if old else Seen(Look.DONE, "nobody holds a connection from before")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Runs the command of the region."""
        began = context.clock.monotonic()
        self.do(context, self.region, "restart", lambda: self.store.restart(self.region))
        took = timedelta(seconds=context.clock.monotonic() - began)
        return (CommandRan(program=self.component, exit_status=0, duration=took),)

    def verify(self, context: AttemptContext) -> Seen:
        """No old session is left."""
        return Seen(Look.NEEDED, "sessions from before the promotion") if self._old() else Seen(Look.DONE, "restarted")

    def _old(self) -> bool | None:
        return self.read(self.region, "sessions", lambda: self.store.old(self.region))


class Tell(SimStep[Channel]):
    """The message of one stage, at most once in a run."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where it may have been sent before."""
        if context.number > 1:
            text = f"not sent again: an earlier attempt may have sent the message {context.step.stage}"
            return Seen(Look.DONE, text, (Note(text=text),))
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Sends. Raises Permanent where it did not arrive: a deviation, the run goes on."""
        stage = context.step.stage
        assert stage is not None, "every message has a stage"
        message = texts.text(stage, {}, self.place.site.runbook, context)
        try:
            self.do(context, self.region, str(stage), lambda: self.store.send(context.run_id, str(stage), message))
        except (Transient, EffectUnknown) as error:
            raise Permanent(error.message, hint=f"tell them: {message}") from error
        return (Note(text=f"told {', '.join(self.store.to)}: {message}"),)


class Run(SimStep[Program]):
    """A program of the user's own."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where its check says so. BLOCKED where it may have run, and nothing tells."""
        if self.store.checked:
            done = self.read(self.region, "check", lambda: self._mark(context) in self.store.done)
            return Seen(Look.DONE, "the check says it is done") if done else Seen(Look.NEEDED)
        if context.number > 1 and not self.store.repeatable:
            text = f"it may have run before and there is no check: look, then dr skip {context.run_id} {context.step.id} --reason TEXT"
            return Seen(Look.BLOCKED, text)
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Takes its time. Raises Transient or Permanent where it fails."""
        began = context.clock.monotonic()

        def run() -> bool:
            if not self.store.fails:
                self.store.done.add(self._mark(context))
            return self.store.fails

        if self.do(context, self.region, "run", run):
            text = f"{self.store.program} ended with exit status 1; its output is not kept"
            again = self.store.repeatable or self.store.checked
            raise Transient(text) if again else Permanent(text, hint=f"by hand: {context.step.by_hand}")
        took = timedelta(seconds=context.clock.monotonic() - began)
        return (CommandRan(program=self.store.program, exit_status=0, duration=took),)

    def verify(self, context: AttemptContext) -> Seen:
        """Its check, where it has one; else the exit status was the proof."""
        if not self.store.checked:
            return Seen(Look.DONE)
        done = self.read(self.region, "check", lambda: self._mark(context) in self.store.done)
        return Seen(Look.DONE) if done else Seen(Look.NEEDED, "the check says it is not done")

    def undo(self, context: AttemptContext) -> None:
        """Runs its ``undo``."""
        self.do(context, self.region, "undo", lambda: self.store.done.discard(self._mark(context)))

    def _mark(self, context: AttemptContext) -> tuple[str, str, str]:
        return self.region, context.run_id, context.step.id


def check(name: str, verb: Verb, intent: Intent) -> type[Looks]:
    """The operation of a check."""
    return Looks


def soak(name: str, verb: Verb, intent: Intent) -> type[Soaks]:
    """The operation of a soak."""
    return Soaks


def restart(name: str, verb: Verb, intent: Intent) -> type[Restart]:
    """The operation of a restart."""
    return Restart


def notify(name: str, verb: Verb, intent: Intent) -> type[Tell]:
    """The operation of a message."""
    return Tell


def command(name: str, verb: Verb, intent: Intent) -> type[Run]:
    """The operation of a command."""
    return Run
