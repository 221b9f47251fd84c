"""The kinds ``approval`` and ``gate``: a run waits here for a person's word."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field

from dr.model.base import Duration
from dr.model.by_hand import said_yes
from dr.model.evidence import Attested, Evidence
from dr.model.lag import Beat, ComponentView, LagSample
from dr.model.plan import StepSpec
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Known, Verb
from dr.ports import AttemptContext, Look, Seen, Site, Step

MOVES = (Intent.FAILOVER, Intent.SWITCHOVER, Intent.FAILBACK)


class Bystander:
    """What kinds without anything replicated have in common: no region, no lag, nothing to open."""

    kind: ClassVar[str] = ""

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        self.name, self.needs, self.site = name, tuple(needs), site

    def view(self) -> ComponentView:
        """In no region: nothing of it can be primary."""
        return ComponentView(component=self.name, kind=self.kind, at=self.site.clock.now(), regions={})

    def beat(self, region: str) -> Beat | None:
        """None: there is nothing to write."""
        return None

    def sample(self, primary: str | None) -> LagSample:
        """Known, without a lag: it has no data."""
        return LagSample(component=self.name, at=self.site.clock.now(), state=Known.KNOWN, reason="no data of its own")

    def warm(self, target: str) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""


class PersonConfig(KindConfig):
    """What both kinds are told.

    text: what is asked, or what is to be confirmed; shown while the run waits. within: how long it waits at most.
    """

    text: str = Field(min_length=1)
    intents: tuple[Intent, ...] = Field(MOVES, min_length=1)
    within: Duration = timedelta(hours=24)
    estimate: Duration = timedelta(minutes=1)


class ApprovalConfig(PersonConfig):
    """Settings of ``approval``. Who asked for the run never counts; where that is meant, a ``gate`` says so."""


class GateConfig(PersonConfig):
    """Settings of ``gate``.

    evidence: ``required`` asks for a text with the answer: a ticket, a link, what was seen.
    requester: whoever asked for the run may answer, too. Names are claimed unless something proves them.
    """

    evidence: Literal["required", "optional"] = "optional"
    requester: bool = True


class Answered:
    """A person answered. The machine starts this only after somebody did; here it is judged whether that answer counts."""

    def __init__(self, config: PersonConfig) -> None:
        self._requester_counts = isinstance(config, GateConfig) and config.requester
        self._text_wanted = isinstance(config, GateConfig) and config.evidence == "required"

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED while no answer counts: none at all, only the requester's own, or one without the text that the gate wants."""
        how = f"dr approve {context.run_id} {context.step.id}"
        others = self._others(context)
        if not context.approved_by:
            return Seen(Look.BLOCKED, f"nobody answered yet: {how}")
        if not others:
            return Seen(Look.BLOCKED, f"{context.actor} asked for this run, so somebody else must answer: {how}")
        if self._text_wanted and not any(item.text.strip() for item in self._said(context)):
            return Seen(Look.BLOCKED, f"{', '.join(others)} answered without evidence: {how} --reason EVIDENCE")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Keeps who answered, where the host has not done so."""
        known = {item.actor for item in self._said(context)}
        return tuple(Attested(step=context.step.id, actor=name) for name in self._others(context) if name not in known)

    def verify(self, context: AttemptContext) -> Seen:
        """An answer that counts stands."""
        return Seen(Look.DONE, f"answered by {', '.join(self._others(context))}")

    def undo(self, context: AttemptContext) -> None:
        """A word is not taken back."""

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Destroys nothing."""
        return ()

    def _others(self, context: AttemptContext) -> tuple[str, ...]:
        return tuple(name for name in context.approved_by if self._requester_counts or name != context.actor)

    def _said(self, context: AttemptContext) -> list[Attested]:
        """What those who count said at this step; a host that does not keep the step is believed by the name."""
        names = self._others(context)
        return [
            item for item in context.evidence
            if isinstance(item, Attested) and item.actor in names and item.step in ("", context.step.id)
        ]  # fmt: skip

class _Person(Bystander):
    """One step that waits for an answer."""

    verb: ClassVar[Verb]

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, PersonConfig), "the registry gives each kind its own Config"
        super().__init__(name, config, needs, site)
        self._config = config

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """One step for the intents that it is for."""
        if intent not in self._config.intents:
            return ()
        typed = said_yes(f"{self.name}/{self.kind}")
        spec = StepSpec(
            id=f"{self.name}/{self.kind}", component=self.name, kind=self.kind, verb=self.verb, region=target, title=self._config.text,
            approval=True, asks_text=isinstance(self._config, GateConfig) and self._config.evidence == "required",
            estimate=self._config.estimate, budget=self._config.within, max_attempts=5,
            by_hand=typed.do, check_by_hand=typed.check,
        )  # fmt: skip
        return (Step(spec, Answered(self._config)),)


class Approval(_Person):
    """A second person says yes before what needs this component goes on."""

    kind: ClassVar[str] = "approval"
    verb: ClassVar[Verb] = Verb.APPROVAL
    Config: ClassVar[type[KindConfig]] = ApprovalConfig


class Gate(_Person):
    """A person attests something that ``dr`` cannot see: the other team is ready, the customer was told."""

    kind: ClassVar[str] = "gate"
    verb: ClassVar[Verb] = Verb.GATE
    Config: ClassVar[type[KindConfig]] = GateConfig
