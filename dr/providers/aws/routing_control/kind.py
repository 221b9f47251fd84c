"""The kind ``aws.arc-routing-control``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from dr.errors import DrError, StepError, Transient, UsageError
from dr.model.by_hand import Typed
from dr.model.lag import Finding
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Severity, Verb
from dr.ports import Step
from dr.providers.aws.calls import Use
from dr.providers.aws.everywhere import EverywhereKind, asking, led_to
from dr.providers.aws.kind import Judged
from dr.providers.aws.led import Propagate
from dr.providers.aws.place import Place
from dr.providers.aws.routing_control.cluster import FLIP, STATE, Cluster
from dr.providers.aws.routing_control.config import RoutingControlConfig
from dr.providers.aws.routing_control.steps import Flip
from dr.providers.regions import same_regions

ALL, ENOUGH = 5, 3
"""Endpoints that a cluster has; so many are always there."""
ON = "On"


@dataclass(frozen=True)
class Look:
    """``states``: by region, On or Off. ``silent``: by AWS region, what an endpoint said that does not work now.
    ``refused``: by region whose credentials may not ask, why."""

    states: Mapping[str, str]
    silent: Mapping[str, StepError]
    refused: Mapping[str, StepError]


class RoutingControl(EverywhereKind[RoutingControlConfig, Look]):
    """Two routing controls, one for each region, on a cluster of Application Recovery Controller.

    Data plane only: five endpoints in five AWS regions, rotated; both controls flipped in one call. Names hang on the controls by health
    checks of type RECOVERY_CONTROL (``aws.route53-records`` with ``flipped_by``).
    """

    kind: ClassVar[str] = "aws.arc-routing-control"
    checked: ClassVar[bool] = False
    Config: ClassVar[type[KindConfig]] = RoutingControlConfig

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        one, other = (region.control for region in self.config.regions.values())
        if one == other:
            raise UsageError(f"{self.name}: regions: both have {one}", hint="a control for each region")
        self.cluster = Cluster(self.config.endpoints)

    def regions(self) -> Sequence[str]:
        """Both."""
        same_regions(self.name, self.config.regions, self.site)
        return tuple(self.config.regions)

    def control(self, region: str) -> str:
        """The ARN of a region's control."""
        return self.config.regions[region].control

    def entries(self, source: str, target: str) -> dict[str, Any]:
        """Parameters of UpdateRoutingControlStates."""
        pairs = ((target, ON), (source, "Off"))
        entries = [{"RoutingControlArn": self.control(region), "RoutingControlState": state} for region, state in pairs]
        return {"UpdateRoutingControlStateEntries": entries}

    def state(self, region: str, through: str, lost: str) -> str:
        """On or Off, by whichever endpoint answers; that in the lost region last. Raises StepError."""
        return self.cluster.ask(self.places[through], lambda place: self._state(place, region), self.places[lost].code)

    def look(self, place: Place) -> Look:
        """All endpoints at once, for one control; the other one is asked of who answered."""
        one, other = self.config.regions
        codes = self.cluster.codes
        asked = [lambda code=code: self._state(self.cluster.place(code, place), one) for code in codes]
        found = dict(zip(codes, self.aws.many(asked), strict=True))
        silent = {code: answer for code, answer in found.items() if isinstance(answer, StepError)}
        said = {code: answer for code, answer in found.items() if not isinstance(answer, StepError)}
        if not said:
            raise next((error for error in silent.values() if not isinstance(error, Transient)), next(iter(silent.values())))
        first = next(iter(said))
        refused = self.refused(lambda through: self._state(self.cluster.place(first, through), one), place.region)
        return Look({one: said[first], other: self._state(self.cluster.place(first, place), other)}, silent, refused)

    def judge(self, looks: Mapping[str, Look | StepError]) -> Judged:
        """Roles by the controls; none where no endpoint answers: that must not keep anybody from moving."""
        look = next(iter(looks.values()))
        if isinstance(look, StepError):
            return Judged({}, tuple(self.silent({next(iter(looks)): look})))
        on = [region for region, state in look.states.items() if state == ON]
        return Judged(led_to(tuple(self.places), on[0] if len(on) == 1 else None), tuple(self._findings(look, on)))

    def watches(self) -> Sequence[Use]:
        """What the monitor calls: each endpoint."""
        return [Use(STATE, code, self._arns()) for code in self.cluster.codes]

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """Flip, then wait until everybody sees it; nothing for a re-protect. Each endpoint is tried: whichever answers is enough."""
        if intent is Intent.REPROTECT:
            return ()
        uses = [Use(call, code, self._arns(), tried=True) for code in self.cluster.codes for call in (STATE, FLIP)]
        typed = self._by_hand(source, target)
        waits = self.config.takes + self.config.ttl
        redirect = self.step(
            Verb.REDIRECT, target, f"routing controls let traffic into {target} only", Flip(self, source, target), uses=uses, typed=typed,
            estimate=timedelta(seconds=1), budget=timedelta(minutes=30), max_attempts=1_000, undoable=True,
        )  # fmt: skip
        propagate = self.step(
            Verb.PROPAGATE, target, "name servers and caches have seen it",
            Propagate(self, source, target, self.config.takes, self.config.ttl), uses=(),
            typed=Typed(f"sleep {waits.total_seconds():g}", typed.check), estimate=waits, budget=timedelta(hours=25),
            needs=("redirect",), max_attempts=1_000,
        )  # fmt: skip
        return redirect, asking(propagate, target)

    def warm(self, target: str) -> None:
        """Clients of the endpoint that is asked first; those of another one take milliseconds when it is their turn."""
        code = self.cluster.order(self.places[self.other(target)].code)[0]
        with contextlib.suppress(DrError):  # whoever calls is told
            self.aws.warm(self.cluster.place(code, self.places[target]), STATE, FLIP)

    def _make_clients(self, region: str) -> None:
        for code in self.cluster.codes:
            with contextlib.suppress(DrError):
                self.aws.warm(self.cluster.place(code, self.places[region]), STATE)

    def _state(self, place: Place, region: str) -> str:
        return str(self.aws.read(place, STATE, RoutingControlArn=self.control(region))["RoutingControlState"])

    def _arns(self) -> tuple[str, ...]:
        return tuple(region.control for region in self.config.regions.values())

    def _by_hand(self, source: str, target: str) -> Typed:
        """Through the first endpoint that takes it."""
        places = [self.cluster.place(code, self.places[target]) for code in self.cluster.order(self.places[source].code)]
        entries = self.entries(source, target)
        flips = [self.typed(place, FLIP, entries) for place in places]
        asks = [" ".join(f"$({self._asked(place, region)})" for region in (target, source)) for place in places]
        check = " || ".join(f'[ "{ask}" = "On Off" ]' for ask in asks)
        return Typed(" ||\n".join(flips), check)

    def _asked(self, place: Place, region: str) -> str:
        return self.typed(place, STATE, {"RoutingControlArn": self.control(region)}, query="RoutingControlState", text=True)

    def _findings(self, look: Look, on: Sequence[str]) -> Iterator[Finding]:
        yield from self.silent(look.refused)
        count, answering = len(self.config.endpoints), len(self.config.endpoints) - len(look.silent)
        if count < ALL:
            severity = Severity.WARNING if count >= ENOUGH else Severity.ERROR
            fix = (
                "aws route53-recovery-control-config describe-cluster --cluster-arn CLUSTER --region us-west-2: name all five in endpoints"
            )
            yield self.finding(severity, f"{count} of the cluster's five endpoints are named; three of five are always there", fix)
        if look.silent:
            named = "; ".join(error.message for error in look.silent.values())
            refuses = any(not isinstance(error, Transient) for error in look.silent.values())
            severity = Severity.ERROR if refuses and answering < ENOUGH else Severity.WARNING
            yield self.finding(severity, f"{answering} of {count} endpoints answer: {named}", next(iter(look.silent.values())).hint)
        if len(on) != 1:
            text = "no routing control is On: nobody is led anywhere on purpose" if not on else f"both are On: {' and '.join(on)}"
            yield self.finding(Severity.WARNING, text, "flip them to the primary: dr runbook render")
        if self.config.override_safety_rules:
            text = f"{len(self.config.override_safety_rules)} safety rules may be overridden by who accepts prerequisites in a run"
            yield self.finding(Severity.INFO, text, "")
