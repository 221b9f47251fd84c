"""The kinds ``wait`` and ``soak``: time passes; and time passes while checks hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from pydantic import Field

from dr.errors import Permanent, Transient
from dr.model.base import Duration, show_duration
from dr.model.evidence import Evidence, WaitsUntil
from dr.model.plan import Backoff, StepSpec, Touch
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Verb
from dr.ports import AttemptContext, Look, Seen, Site, Step
from dr.providers.generic.checks import by_hand
from dr.providers.generic.checks.base import Check, CheckConfig, Looker, rest
from dr.providers.generic.person import MOVES, Bystander
from dr.providers.one_way import OneWay

_SAID_EVERY = 1.0
_MARGIN = timedelta(minutes=1)


class WaitConfig(KindConfig):
    """Settings of ``wait``."""

    duration: Duration = Field(description="how long, from the moment at which the step begins")
    intents: tuple[Intent, ...] = Field(MOVES, min_length=1, description="the intents that it is a step of")


class Waiting(OneWay):
    """Waits. A person may pause or cancel the run meanwhile; after a pause only what was left is waited for."""

    def __init__(self, duration: timedelta) -> None:
        self._duration = duration

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the time is over. Else it is journaled until when, once."""
        until = self._until(context)
        if until is None:
            until = context.clock.now() + self._duration
            return Seen(Look.NEEDED, evidence=(WaitsUntil(step=context.step.id, until=until),))
        return Seen(Look.NEEDED) if context.clock.now() < until else Seen(Look.DONE, "the time is over")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Waits and says what is left. Raises Transient when it is to end before its time."""
        until = self._until(context)
        assert until is not None, "observe has said it"
        while (left := (until - context.clock.now()).total_seconds()) > 0:
            text = f"{show_duration(timedelta(seconds=left))} left"
            context.say(text)
            rest(context, min(left, _SAID_EVERY), text)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """It is over."""
        return Seen(Look.DONE, f"waited for {show_duration(self._duration)}")

    def _until(self, context: AttemptContext) -> datetime | None:
        mine = [item for item in context.evidence if isinstance(item, WaitsUntil) and item.step == context.step.id]
        return mine[-1].until if mine else None


class Wait(Bystander):
    """Some time passes before what needs it goes on."""

    kind: ClassVar[str] = "wait"
    Config: ClassVar[type[KindConfig]] = WaitConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, WaitConfig), "the registry gives each kind its own Config"
        super().__init__(name, config, needs, site)
        self._config = config

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """One step for the intents that it is for."""
        if intent not in self._config.intents:
            return ()
        duration = self._config.duration
        command = f"sleep {duration.total_seconds():g}"
        spec = StepSpec(
            id=f"{self.name}/wait", component=self.name, kind=self.kind, verb=Verb.WAIT, region=target,
            title=f"wait for {show_duration(duration)}", estimate=duration, budget=duration + _MARGIN, max_attempts=1000,
            backoff=Backoff(base=timedelta(milliseconds=50), cap=timedelta(milliseconds=50)), by_hand=command,
            check_by_hand="true  # the time is over",
        )  # fmt: skip
        return (Step(spec, Waiting(duration)),)


class SoakConfig(CheckConfig):
    """Settings of ``soak``: checks are repeated, and all of them must hold all the time. One that does not starts the time anew.

    ``within`` should be longer than ``duration``; what is left of it is what may go wrong before the step has failed.
    """

    checks: tuple[str, ...] = Field(min_length=1, description="components of kinds http-check, sql-check, dns-check or metric-check")
    duration: Duration = Field(description="for so long all must hold")
    every: Duration = Field(timedelta(seconds=5), description="time between two rounds")
    within: Duration = Field(timedelta(hours=1), description="for so long it is tried again; then the step has failed")


class Soak(Check):
    """Checks hold for a while, not just once: what comes back broken after a minute is not back."""

    kind: ClassVar[str] = "soak"
    Config: ClassVar[type[KindConfig]] = SoakConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, SoakConfig), "the registry gives each kind its own Config"
        super().__init__(name, config.model_copy(update={"estimate": config.duration}), needs, site)
        self._config = config

    def look(self, context: AttemptContext) -> str:
        """Rounds of looks until all have held for the whole time. Raises Transient with the first that does not."""
        clock, config = context.clock, self._config
        checks = [self._check(name) for name in config.checks]
        began, rounds = clock.monotonic(), 0
        while True:
            for name, check in zip(config.checks, checks, strict=True):
                try:
                    check.look(context)
                except Transient as error:
                    held = timedelta(seconds=clock.monotonic() - began)
                    raise Transient(f"{name} did not hold after {show_duration(held)}: {error.message}") from None
            rounds += 1
            left = config.duration.total_seconds() - (clock.monotonic() - began)
            if left <= 0:
                return f"{', '.join(config.checks)} held {rounds} times in {show_duration(config.duration)}"
            text = f"{show_duration(timedelta(seconds=left))} left, all held {rounds} times"
            context.say(text)
            rest(context, min(left, config.every.total_seconds()), text)

    def _check(self, name: str) -> Looker:
        peer = self.site.peers.get(name)
        if not isinstance(peer, Looker) or peer is self:
            raise Permanent(f"{self.name}: checks: {name} is no component that checks", hint="name components of kinds such as http-check")
        return peer

    def title(self, target: str) -> str:
        """Which checks, and for how long."""
        return f"{', '.join(self._config.checks)} hold for {show_duration(self._config.duration)}"

    def permissions(self, target: str) -> tuple[str, ...]:
        """Those of the checks."""
        return tuple(dict.fromkeys(text for peer in self._peers() for text in peer.permissions(target)))

    def touches(self, target: str) -> tuple[Touch, ...]:
        """What the checks ask."""
        return tuple(dict.fromkeys(touch for peer in self._peers() for touch in peer.touches(target)))

    def _peers(self) -> list[Check]:
        peers: list[object] = [self.site.peers.get(name) for name in self._config.checks]
        return [peer for peer in peers if isinstance(peer, Check)]

    def by_hand(self, source: str, target: str) -> str:
        """The checks' own commands, again and again."""
        commands = [peer.by_hand(source, target) for peer in self._peers()]
        return by_hand.soaked(commands, self._config.duration, self._config.every)
