"""The kind ``alert-silence``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from dr.errors import StepError
from dr.model.base import show_duration
from dr.model.by_hand import Typed
from dr.model.lag import ComponentView, Finding
from dr.model.plan import StepSpec, Touch
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Severity, Verb
from dr.ports import Operation, Site, Step
from dr.providers.generic.person import Bystander
from dr.providers.regions import known_regions
from dr.providers.selfhosted.alerts.api import Alertmanagers
from dr.providers.selfhosted.alerts.by_hand import ByHand
from dr.providers.selfhosted.alerts.config import AlertsConfig
from dr.providers.selfhosted.alerts.silences import Desk, EndSilence, MakeSilence

KIND = "alert-silence"


class AlertSilence(Bystander):
    """The Alertmanagers of the regions say nothing about the platform while it moves: everybody knows already.

    Protects the people on call from a hundred messages that are one. Needs the API of an Alertmanager (0.22 or newer) in the target; the
    source's is silenced, too, where it answers. A silence always has an end of its own, and no Alertmanager holds up a move: what cannot
    be silenced is a deviation.
    """

    kind: ClassVar[str] = KIND
    Config: ClassVar[type[KindConfig]] = AlertsConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, AlertsConfig), "the registry gives each kind its own Config"
        super().__init__(name, config, needs, site)
        known_regions(name, config.regions, site)
        self._config = config
        managers = Alertmanagers(name, config, site.secrets, site.base)
        self._by_hand = ByHand(site.runbook, config, site.base)
        self._desk = Desk(name, site.runbook, config, managers, self._by_hand.expire)

    def view(self) -> ComponentView:
        """In no region, so that none keeps a move from happening; findings name who does not answer, and what is silent."""
        found: list[Finding] = []
        for region, answer in self._desk.everywhere(lambda region: self._desk.managers.silences(region, self._desk.start)).items():
            if isinstance(answer, StepError):
                fix = answer.hint or f"start the Alertmanager of {region}"
                found.append(Finding(component=self.name, severity=Severity.WARNING, fact=answer.message, fix=fix))
            elif answer:
                fact = f"alerts are silenced in {region} until {answer[0].until:%Y-%m-%d %H:%M} UTC: {answer[0].comment}"
                fix = self._by_hand.expire(region, answer[0].id)
                found.append(Finding(component=self.name, severity=Severity.INFO, fact=fact, fix=fix))
        return ComponentView(component=self.name, kind=self.kind, at=self.site.clock.now(), regions={}, findings=tuple(found))

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """Silence and its end, for every intent that moves. Neither is needed to go on."""
        if not intent.moves or not {source, target} & self._config.regions.keys():
            return ()
        where = target if target in self._config.regions else source
        silence = self._spec(
            Verb.SILENCE, target, f"alerts are silenced, {show_duration(self._config.expires)} at most", (), attempts=3, undoable=True,
            typed=self._by_hand.silence(where),
        )  # fmt: skip
        end = self._spec(
            Verb.UNSILENCE, target, "alerts ring again", ("silence",), attempts=5, undoable=False,
            typed=self._by_hand.end(where),
        )  # fmt: skip
        steps: tuple[tuple[StepSpec, Operation], ...] = (
            (silence, MakeSilence(self._desk, target)), (end, EndSilence(self._desk, target)),
        )  # fmt: skip
        return tuple(Step(spec, operation) for spec, operation in steps)

    def _spec(
        self, verb: Verb, region: str, title: str, needs: tuple[str, ...], *, attempts: int, undoable: bool, typed: Typed
    ) -> StepSpec:
        return StepSpec(
            id=f"{self.name}/{verb}", component=self.name, kind=KIND, verb=verb, region=region, title=title,
            needs=tuple(f"{self.name}/{need}" for need in needs), estimate=timedelta(milliseconds=60), budget=timedelta(seconds=30),
            max_attempts=attempts, optional=True, undoable=undoable, permissions=("Alertmanager: silences",),
            touches=tuple(Touch(service="alertmanager", plane="data", region=name) for name in self._config.regions),
            by_hand=typed.do, check_by_hand=typed.check,
        )  # fmt: skip
