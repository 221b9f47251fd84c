"""One call from a process to something in a region: it travels, arrives or not, has its effect or not, and is answered or not.

An effect happens when the call arrives, whatever became of the process meanwhile. What an honest client can know of it is what the
errors say: ``Transient`` before any effect, ``EffectUnknown`` where it may have happened.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.providers.sim.process import Process
from dr.providers.sim.weather import Call, Mishap, Pending
from dr.providers.sim.world import World

T = TypeVar("T")

TIMEOUT = 2.0
"""Seconds until a call that nobody answers is given up."""
_SLOW = 1.6
_AGAIN = 0.7
_UNHEARD = (Mishap.UNHEARD, Mishap.LATE)
_AWAY = (Mishap.THROTTLED, Mishap.REFUSED)
_PENDING = 240.0
"""Seconds after which what was accepted and is pending happens at the latest."""


class _Silence:
    """Nothing came back."""


class NoAnswer(Transient):
    """Nobody answered in time: lost, or only slow."""


class NotListening(Transient):
    """The connection was refused: nothing listens there now. No proof of anything else."""


class Wire:
    """The calls of one process."""

    def __init__(self, world: World, process: Process) -> None:
        self.world, self.process = world, process
        self._stale: dict[tuple[str, str, object], object] = {}

    def read(
        self, region: str, what: str, fetch: Callable[[], T], *, timeout: float = TIMEOUT, first_page: Callable[[], T] | None = None
    ) -> T:
        """Asks; ``fetch`` is called when the question arrives. ``first_page``: what is answered where the other pages are lost.

        Raises:
            NoAnswer, NotListening, Transient: no answer, or a refusal that may pass. Permanent: the credentials are not good any more.
        """
        process, world = self.process, self.world
        process.check()
        weather = world.weather
        mishap = weather.mishap(Call(process.machine, region, what, False), world.now) if weather.spells else None
        process.clock.sleep(weather.way())
        if mishap is not None and mishap in _AWAY:
            raise Transient(f"{what} in {region}: {mishap}")
        if world.refuses(process.machine, region):
            raise NotListening(f"{what} in {region}: connection refused")
        if not world.reaches(process.machine, region, write=False) or mishap is Mishap.LOST:
            process.clock.sleep(timeout)
            raise NoAnswer(f"{what} in {region}: no answer within {timeout:g} s")
        if mishap is Mishap.EXPIRED:
            raise _expired(what, region)
        world.settle()
        value = first_page() if mishap is Mishap.PAGE and first_page is not None else fetch()
        question = region, what, getattr(fetch, "__code__", None)
        if mishap is Mishap.STALE:
            value = self._stale.get(question, value)  # type: ignore[assignment]  # the answer of an earlier call of the same sort
        else:
            self._stale[question] = value
        process.clock.sleep(_SLOW if mishap is Mishap.SLOW else weather.way())
        if not world.hears(process.machine, region):
            raise NoAnswer(f"{what} in {region}: the connection broke")
        return value

    def act(
        self, region: str, what: str, effect: Callable[[], T], *, seconds: float = 0.0, half: Callable[[], T] | None = None,
        said: Callable[[], T] | None = None,
    ) -> T:  # fmt: skip
        """Has an effect there. ``seconds``: how long it takes over there; the effect is at the end of it.

        Args:
            half: the effect, where only a part of a batch goes through.
            said: what is answered by an interface that reports done and did nothing; only of acts whose caller looks afterwards.

        Raises:
            Transient: it did not happen. EffectUnknown: it may have happened, in part or as a whole, or happen yet.
            Permanent: the credentials are not good any more.
        """
        process, world = self.process, self.world
        process.check()
        mishap = world.weather.mishap(Call(process.machine, region, what, True), world.now)
        self._turned_away(region, what, mishap)
        if mishap is Mishap.PENDING:
            self._pend(region, what, effect, seconds)
            raise EffectUnknown(f"{what} in {region}: accepted, and pending still")
        happens = effect
        if mishap is Mishap.SAYS_DONE and said is not None:
            happens = said
        elif mishap is Mishap.HALF and half is not None:
            happens = half
        answer = self._send(region, happens, mishap, seconds)
        if isinstance(answer, _Silence):
            raise EffectUnknown(f"{what} in {region}: no answer within {TIMEOUT + seconds:g} s")
        process.clock.sleep(_SLOW if mishap is Mishap.SLOW else world.weather.way())
        if not world.hears(process.machine, region):
            raise EffectUnknown(f"{what} in {region}: the connection broke")
        if isinstance(answer, StepError):
            raise answer
        if mishap is Mishap.ALREADY:
            raise EffectUnknown(f"{what} in {region}: it is in that state already")
        if mishap is Mishap.HALF and half is not None:
            raise EffectUnknown(f"{what} in {region}: only a part of it went through")
        return answer

    def _turned_away(self, region: str, what: str, mishap: Mishap | None) -> None:
        """Raises what comes back at once where nothing happened, and nothing will."""
        refused = self.world.refuses(self.process.machine, region)
        if refused or mishap in (Mishap.THROTTLED, Mishap.REFUSED):
            self.process.clock.sleep(self.world.weather.way())
            raise NotListening(f"{what} in {region}: connection refused") if refused else Transient(f"{what} in {region}: {mishap}")
        if not self.world.reaches(self.process.machine, region, write=True):
            return
        busy = any(item.region == region and what.startswith(f"{item.component}.") for item in self.world.weather.pending)
        if busy or mishap is Mishap.EXPIRED:
            self.process.clock.sleep(self.world.weather.way())
            raise Transient(f"{what} in {region}: another operation is in progress") if busy else _expired(what, region)

    def _pend(self, region: str, what: str, effect: Callable[[], T], seconds: float) -> None:
        """A call is accepted, and has its effect some minutes later, or when somebody lets it go."""
        process, world = self.process, self.world
        if not world.reaches(process.machine, region, write=True):
            process.clock.sleep(TIMEOUT + seconds)
            return

        def happens() -> None:
            if world.regions[region].alive:
                world.settle()
                with suppress(StepError):  # nobody waits for its answer
                    effect()

        item = Pending(region, what.partition(".")[0], happens)
        world.weather.pending.append(item)
        world.loop.at(world.now + seconds + _PENDING * world.weather.chance.random(), lambda: world.weather.let_go(item))
        process.clock.sleep(world.weather.way() + seconds)

    def _send(self, region: str, effect: Callable[[], T], mishap: Mishap | None, seconds: float) -> T | StepError | _Silence:
        """Lets the call travel, and waits for what comes back."""
        process, world = self.process, self.world
        job, until = world.loop.current, world.now + TIMEOUT + seconds
        answers: list[T | StepError] = []

        def arrive() -> None:
            if not world.reaches(process.machine, region, write=True):
                return
            world.settle()
            try:
                answers.append(effect())
            except StepError as error:
                answers.append(error)
            if mishap not in _UNHEARD:
                world.loop.wake(job)

        arrives = world.now + world.weather.way() + seconds + (TIMEOUT + seconds if mishap is Mishap.LATE else 0.0)
        if mishap is not Mishap.LOST:
            world.loop.at(arrives, arrive)
        if mishap is Mishap.TWICE:
            world.loop.at(arrives + _AGAIN, arrive)
        while (not answers or mishap in _UNHEARD) and world.now < until:
            world.loop.wait(until - world.now)
        return answers[0] if answers and mishap not in _UNHEARD else _Silence()


def _expired(what: str, region: str) -> Permanent:
    return Permanent(f"{what} in {region}: the credentials have expired", hint="renew them, then give the command again")
