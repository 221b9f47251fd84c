"""What kinds share that only look: a look serves for a minute, and one step before a move blocks on what would make it fail."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

from dr.errors import StepError, Transient
from dr.model.by_hand import Typed
from dr.model.evidence import Evidence, Note
from dr.model.lag import Finding
from dr.model.runbook import KindConfig
from dr.model.words import Guard, Intent, Severity, Verb
from dr.ports import AttemptContext, Look, Seen, Site, Step
from dr.providers.aws.calls import Use
from dr.providers.aws.config import AwsConfig
from dr.providers.aws.kind import AwsKind, AwsStep
from dr.providers.aws.place import Place
from dr.providers.generic.person import MOVES

C = TypeVar("C", bound=AwsConfig)
T = TypeVar("T")

FRESH_SECONDS = 60.0
"""What people configure changes when they change it: a monitor that looks every few seconds asks AWS once a minute."""
_NAMED = 3


class Checked(AwsKind[C, T]):
    """Base of readiness kinds. A kind says what it asks of a region, and what that comes to; ``judge`` takes some of the regions, too.

    Class attributes: ``subject``: what is looked at, in words. ``intents``: those that have the step.
    """

    subject: ClassVar[str]
    intents: ClassVar[tuple[Intent, ...]] = MOVES

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        self._known: dict[str, tuple[float, T]] = {}

    @abstractmethod
    def ask(self, place: Place) -> T:
        """What a region says now; a few calls. Raises StepError."""

    @abstractmethod
    def reads(self, region: str) -> Sequence[Use]:
        """What ``ask`` calls."""

    @abstractmethod
    def by_hand(self, region: str, source: str) -> Typed:
        """What a person types to see it, and to see that it is right."""

    def look(self, place: Place) -> T:
        """As of the last minute. Raises StepError."""
        known = self._known.get(place.region)
        now = self.site.clock.monotonic()
        if known is None or now - known[0] > FRESH_SECONDS:
            known = self._known[place.region] = (now, self.ask(place))
        return known[1]

    def watches(self) -> Sequence[Use]:
        """The reads of each region."""
        return [use for region in self.regions() for use in self.reads(region)]

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """One PREPARE. Planned moves ask both regions; a failover asks the target only."""
        if intent not in self.intents:
            return ()
        asked = (target, source) if intent.planned else (target,)
        return [
            self.step(
                Verb.PREPARE, target, f"{self.subject} {target} will need", Check(self, source, target, asked),
                uses=[use for region in asked for use in self.reads(region)], typed=self.by_hand(target, source),
                estimate=timedelta(seconds=2), budget=timedelta(minutes=2),
            )
        ]  # fmt: skip


class Check(AwsStep["Checked[Any, Any]"]):
    """Looks anew; an error that concerns the target blocks. Changes nothing."""

    def __init__(self, owner: Checked[Any, Any], source: str, target: str, asked: Sequence[str]) -> None:
        super().__init__(owner, source, target)
        self._asked = tuple(asked)

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED names the first errors with the fix of the first; an acceptance of ``prerequisites`` goes on."""
        errors = [item for item in self._findings() if item.severity is Severity.ERROR]
        if not errors:
            return Seen(Look.NEEDED)
        text = "; ".join(item.fact for item in errors[:_NAMED]) + (f" (and {len(errors) - _NAMED} more)" if len(errors) > _NAMED else "")
        text += f"; {errors[0].fix}" if errors[0].fix else ""
        if context.accepted(Guard.PREREQUISITES):
            return Seen(Look.NEEDED, text)
        return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Says what was accepted, and what is worth knowing."""
        return tuple(Note(text=f"{item.severity}: {item.fact}") for item in self._findings() if item.severity is not Severity.INFO)

    def verify(self, context: AttemptContext) -> Seen:
        """What was seen was seen."""
        return Seen(Look.DONE)

    def _findings(self) -> list[Finding]:
        """Of this moment, those that concern the target. Raises Transient: the target does not answer."""
        looks = {region: self._answer(region) for region in self._asked}  # one by one: each of them asks several things at once
        answer = looks[self.target]
        if isinstance(answer, Transient):
            raise answer
        return [item for item in self.owner.judge(looks).findings if item.region in (None, self.target)]

    def _answer(self, region: str) -> Any:
        try:
            return self.owner.ask(self.owner.places[region])
        except StepError as error:
            return error
