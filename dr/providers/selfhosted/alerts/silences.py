"""Silence before the first thing that alerts would ring for, expire it at the end. Only the target's Alertmanager counts.

The other region's may be lost: it is asked at the same time, no longer than for one request, and what it does not answer is said. A
silence is found again by its comment, which names runbook and run: neither a resumed run nor a second Alertmanager of the same cluster
makes a second one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from dr.errors import StepError
from dr.model.base import show_duration
from dr.model.evidence import Evidence, Note, PutBack, Temporary
from dr.ports import AttemptContext, Look, Seen
from dr.providers.one_way import OneWay
from dr.providers.selfhosted.alerts.api import Alertmanagers, Silence
from dr.providers.selfhosted.alerts.config import AlertsConfig

T = TypeVar("T")


@dataclass(frozen=True)
class Desk:
    """What both steps share. ``by_hand``: the command that expires one silence, by region and id."""

    component: str
    runbook: str
    config: AlertsConfig
    managers: Alertmanagers
    by_hand: Callable[[str, str], str]

    @property
    def start(self) -> str:
        """What the comment of every silence of this runbook begins with."""
        return f"dr {self.runbook} run "

    def own(self, context: AttemptContext) -> str:
        """What the comment of this run's silences begins with."""
        return f"{self.start}{context.run_id}:"

    def everywhere(self, ask: Callable[[str], T]) -> dict[str, T | StepError]:
        """Asks every region at once: a dead one delays nobody by more than its own time-out. Never raises."""

        def one(region: str) -> T | StepError:
            try:
                return ask(region)
            except StepError as error:
                return error

        with ThreadPoolExecutor(len(self.config.regions), thread_name_prefix="dr-alerts") as pool:
            return dict(zip(self.config.regions, pool.map(one, self.config.regions), strict=True))

    def what(self, region: str) -> str:
        """The name of a region's silence among what is temporary."""
        return f"alerts in {region}"


class _Step(OneWay):
    """Base of both."""

    def __init__(self, desk: Desk, target: str) -> None:
        self.desk, self.target = desk, target

    def required(self, found: Mapping[str, T | StepError]) -> T | None:
        """What the target's Alertmanager answered; None where it has none. Raises what went wrong there."""
        answer = found.get(self.target)
        if isinstance(answer, StepError):
            raise answer
        return answer

    def silent(self, found: Mapping[str, object]) -> Iterator[Note]:
        """Who did not answer."""
        for problem in found.values():
            if isinstance(problem, StepError):
                yield Note(text=f"not silenced, not waited for: {problem.message}")


class MakeSilence(_Step):
    """Every Alertmanager that answers is silent about the platform, until the end of the run or the expiry."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where the target's has a silence of this run."""
        return self.verify(context)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One silence in each region that has none of this run yet."""

        def make(region: str) -> str | None:
            if self.desk.managers.silences(region, self.desk.own(context)):
                return None
            context.still_ours()
            now = context.clock.now()
            why = f"{context.intent} from {context.source} to {context.target}, asked for by {context.actor}"
            return self.desk.managers.create(region, f"{self.desk.own(context)} {why}", now, now + self.desk.config.expires)

        made = self.desk.everywhere(make)
        self.required(made)
        return tuple(self.silent(made))

    def verify(self, context: AttemptContext) -> Seen:
        """The target's Alertmanager names it; where the target has none, the act was all."""
        found = self.desk.everywhere(lambda region: self.desk.managers.silences(region, self.desk.own(context)))
        mine = self.required(found)
        if mine is not None and not mine:
            return Seen(Look.NEEDED, f"alerts ring in {self.target}")
        facts = tuple(self._facts(found))
        if not facts:
            return Seen(Look.NEEDED, "no Alertmanager is silent")
        left = show_duration(self.desk.config.expires)
        return Seen(Look.DONE, f"silent for {left} at most: {', '.join(fact.region for fact in facts)}", facts)

    def undo(self, context: AttemptContext) -> None:
        """Expires them where there is an answer; one that does not answer ends by itself, and holds up no rollback."""
        gone = self.desk.everywhere(lambda region: self._expire(region))
        for problem in gone.values():
            if isinstance(problem, StepError):
                context.say(f"ends by itself: {problem.message}")

    def _expire(self, region: str) -> int:
        ours = self.desk.managers.silences(region, self.desk.start)
        self.desk.managers.expire(region, ours)
        return len(ours)

    def _facts(self, found: Mapping[str, tuple[Silence, ...] | StepError]) -> Iterator[Temporary]:
        for region, silences in found.items():
            if not isinstance(silences, StepError) and silences:
                until, text = silences[0].until, f"alerts of {self.desk.runbook} are silenced in {region}"
                yield Temporary(
                    component=self.desk.component, region=region, what=self.desk.what(region), text=text, until=until,
                    by_hand=self.desk.by_hand(region, silences[0].id),
                )  # fmt: skip


class EndSilence(_Step):
    """Alerts ring again: no silence of this runbook is left where there is an answer."""

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED: the act looks for what is to be expired, and finds none the second time."""
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Expires them, and those that an earlier run left."""

        def expire(region: str) -> int:
            ours = self.desk.managers.silences(region, self.desk.start)
            context.still_ours()
            self.desk.managers.expire(region, ours)
            return len(ours)

        ended = self.desk.everywhere(expire)
        self.required(ended)
        facts: list[Evidence] = []
        for region, count in ended.items():
            if isinstance(count, StepError):
                facts.append(Note(text=f"not asked to ring again, ends by itself: {count.message}"))
            else:
                text = f"{count} silences expired"
                facts.append(PutBack(component=self.desk.component, region=region, what=self.desk.what(region), text=text))
        return tuple(facts)

    def verify(self, context: AttemptContext) -> Seen:
        """The target's Alertmanager names none."""
        left = self.required(self.desk.everywhere(lambda region: self.desk.managers.silences(region, self.desk.start)))
        return Seen(Look.NEEDED, f"alerts are still silenced in {self.target}") if left else Seen(Look.DONE)
