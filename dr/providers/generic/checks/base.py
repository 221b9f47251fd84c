"""What all checks have in common: settings, the one step, and how it is tried again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from pydantic import Field

from dr.errors import CredentialMissing, Permanent, Transient
from dr.model.base import Duration
from dr.model.evidence import Evidence, Note
from dr.model.lag import ComponentView, Finding
from dr.model.plan import Backoff, StepSpec, Touch
from dr.model.runbook import KindConfig, SecretRef
from dr.model.words import Intent, Severity, Verb
from dr.ports import AttemptContext, Look, Seen, Site, Step
from dr.providers.generic.person import MOVES, Bystander
from dr.providers.one_way import OneWay

_SLICE_SECONDS = 0.1
_FIRST_RETRY = timedelta(milliseconds=250)
_ENDLESS = 1_000_000
"""The budget ends a check, not a number of tries."""


class HeaderSecret(SecretRef):
    """The value of a header that is nobody's business, from a file or an environment variable, after ``prefix``."""

    prefix: str = Field("", description='written before the value, for example "Bearer "')


Headers = dict[str, str | HeaderSecret]


class CheckConfig(KindConfig):
    """What every check is told."""

    intents: tuple[Intent, ...] = Field(MOVES, description="the intents that it is a step of; none: only where a soak names it")
    successes: int = Field(1, ge=1, description="so many looks in a row must hold")
    every: Duration = Field(timedelta(seconds=1), description="time between two looks, and the longest between two tries")
    timeout: Duration = Field(timedelta(seconds=5), description="for the answer to one look")
    within: Duration = Field(timedelta(minutes=5), description="for so long it is tried again; then the step has failed")
    optional: bool = Field(False, description="where it fails, the run says so and goes on")
    estimate: Duration = Field(timedelta(seconds=1), description="how long it is expected to take, before there are earlier runs")


@runtime_checkable
class Looker(Protocol):
    """A component that can look once, for who repeats it (a soak)."""

    def look(self, context: AttemptContext) -> str:
        """What was seen, in one line, where it holds.

        Reads only; takes at most the component's own time-out; safe to call from several threads.

        Raises:
            Transient: it does not hold, or could not be asked, with what was seen.
            Permanent: it cannot be asked at all as it is written.
        """


def rest(context: AttemptContext, seconds: float, left: str) -> None:
    """Waits, and notices within a moment that nobody wants that any more.

    Raises:
        Transient: cancelled, or a person asked for a pause; says what is ``left``.
    """
    until = context.clock.monotonic() + seconds
    while True:
        if context.cancelled() or context.pausing():
            raise Transient(f"{'cancelled' if context.cancelled() else 'paused'} before its end: {left}")
        now = context.clock.monotonic()
        if now >= until:
            return
        context.clock.sleep(min(_SLICE_SECONDS, until - now))


class LookStep(OneWay):
    """The step of a check. The look is its act: it changes nothing and may be repeated by anybody."""

    def __init__(self, check: Looker, config: CheckConfig) -> None:
        self._check, self._config = check, config

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED: what held a while ago says nothing about now."""
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Looks until it has held as often in a row as it must. Raises Transient where one look does not hold: from the start, then."""
        for number in range(1, self._config.successes + 1):
            try:
                seen = self._check.look(context)
            except Transient as error:
                context.say(error.message)
                raise
            if number < self._config.successes:
                text = f"{number} of {self._config.successes} looks in a row: {seen}"
                context.say(text)
                rest(context, self._config.every.total_seconds(), text)
        return (Note(text=f"{context.step.component}: {seen}"),)

    def verify(self, context: AttemptContext) -> Seen:
        """What was seen was seen."""
        return Seen(Look.DONE)


class Check(Bystander, ABC):
    """Base of the kinds. A subclass says what it looks at (``look``), what it is called, touches and needs, and how to do it by hand."""

    kind: ClassVar[str] = ""
    service: ClassVar[str] = ""

    def __init__(self, name: str, config: CheckConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        self._common = config

    def view(self) -> ComponentView:
        """In no region. Findings: what it will need and is not there, so that this is known before the day."""
        severity = Severity.WARNING if self._common.optional else Severity.ERROR
        found = tuple(Finding(component=self.name, severity=severity, fact=fact, fix=fix) for fact, fix in self.missing())
        return super().view().model_copy(update={"findings": found})

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """One step for the intents that it is for."""
        if intent not in self._common.intents:
            return ()
        command = self.by_hand(source, target)
        spec = StepSpec(
            id=f"{self.name}/check", component=self.name, kind=self.kind, verb=Verb.CHECK, region=target, title=self.title(target),
            estimate=self._common.estimate + self._common.every * (self._common.successes - 1), budget=self._common.within,
            max_attempts=_ENDLESS, backoff=Backoff(base=min(_FIRST_RETRY, self._common.every), cap=self._common.every),
            optional=self._common.optional, touches=self.touches(target), permissions=self.permissions(target),
            by_hand=command, check_by_hand=command,
        )  # fmt: skip
        return (Step(spec, LookStep(self, self._common)),)

    @abstractmethod
    def look(self, context: AttemptContext) -> str:
        """See ``Looker``."""

    @abstractmethod
    def title(self, target: str) -> str:
        """What the plan shows."""

    @abstractmethod
    def by_hand(self, source: str, target: str) -> str:
        """The command that looks the same; exit status 0 exactly where it holds. No secret in it."""

    @abstractmethod
    def permissions(self, target: str) -> tuple[str, ...]:
        """What it must be allowed to do over there, or to reach from here. Where a secret lies at most, never the secret."""

    def touches(self, target: str) -> tuple[Touch, ...]:
        """What it asks."""
        return (Touch(service=self.service, plane="data", region=target),)

    def missing(self) -> Iterator[tuple[str, str]]:
        """Facts and fixes: files and credentials that are not there. Reads this machine only."""
        return iter(())

    def file(self, path: str | None) -> Path | None:
        """A path of the runbook: relative ones start at its folder."""
        return None if path is None else self.site.base / path

    def missing_file(self, field: str, path: str | None) -> Iterator[tuple[str, str]]:
        """The file of a setting, where it is not there."""
        file = self.file(path)
        if file is not None and not file.is_file():
            yield f"{field}: {file} is not there", f"put it there, or change {field} of {self.name}"

    def headers(self, written: Mapping[str, str | HeaderSecret]) -> dict[str, str]:
        """Headers with their values. Raises Permanent where a credential is missing."""
        try:
            return {
                name: value if isinstance(value, str) else value.prefix + self.site.secrets.get(value) for name, value in written.items()
            }
        except CredentialMissing as error:
            raise Permanent(error.message, hint=error.hint) from error

    def header_permissions(self, written: Mapping[str, str | HeaderSecret]) -> tuple[str, ...]:
        """The headers whose credential must be allowed to ask."""
        return tuple(f"the credential in the header {name}: to ask there" for name, value in written.items() if not isinstance(value, str))

    def missing_headers(self, written: Mapping[str, str | HeaderSecret]) -> Iterator[tuple[str, str]]:
        """Headers whose value is not there."""
        for name, value in written.items():
            if not isinstance(value, str):
                try:
                    self.site.secrets.get(value)
                except CredentialMissing as error:
                    yield f"header {name}: {error.message}", error.hint
