"""The kind ``aws.route53-health-check``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar

from dr.errors import StepError, Transient
from dr.model.by_hand import Typed
from dr.model.lag import Finding
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Severity, Verb
from dr.ports import Step
from dr.providers.aws.calls import Use
from dr.providers.aws.everywhere import EverywhereKind, asking, led_to
from dr.providers.aws.health_check.config import HealthCheckConfig
from dr.providers.aws.health_check.steps import Flip
from dr.providers.aws.health_check.switch import Edit, ObjectFlip, State, Switch, made
from dr.providers.aws.kind import Judged
from dr.providers.aws.led import Propagate, followers
from dr.providers.aws.place import Place
from dr.providers.aws.route53.calls import CHECK, CHECKERS, check_arn
from dr.providers.regions import same_regions

_STATUS = re.compile(r"HTTP Status Code:? (\d{3})")
"""How a checker tells that a server answered, and with what."""


@dataclass(frozen=True)
class Seen:
    """One region's check. ``state``: how its switch stands; ``config``: its settings; ``checkers``: what the world's checkers saw last.
    ``refused``: by region whose credentials may not ask for it, why."""

    state: State | StepError
    config: Mapping[str, Any] | StepError
    checkers: tuple[str, ...] = ()
    refused: Mapping[str, StepError] = field(default_factory=dict)


Look = Mapping[str, Seen]
"""By region that has a check."""


class HealthCheck(EverywhereKind[HealthCheckConfig, Look]):
    """Health checks of Route 53 that lead people out of a region and back.

    Best by a switch in the other region, an object or a metric there, which only that region's data plane is needed for; without one the
    check itself is edited: disabled and inverted in one call, in us-east-1. Names hang on the checks as prepared record sets
    (``aws.route53-records`` with ``flipped_by``).
    """

    kind: ClassVar[str] = "aws.route53-health-check"
    Config: ClassVar[type[KindConfig]] = HealthCheckConfig

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        switches = {region: made(self.aws, region, settings) for region, settings in self.config.regions.items()}
        self.switches: Mapping[str, Switch] = {region: switch for region, switch in switches.items() if switch is not None}

    def regions(self) -> Sequence[str]:
        """Both."""
        same_regions(self.name, self.config.regions, self.site)
        return tuple(self.config.regions)

    def place_of(self, switch: Switch, through: str) -> Place:
        """Where a switch is reached: where it lies, else through a region's credentials."""
        return self.places[switch.lies_in or through]

    def look(self, place: Place) -> Look:
        """Both checks at once: switches where they lie, settings through these credentials."""
        jobs = [lambda switch=switch: self._seen(switch, place) for switch in self.switches.values()]
        found = self.aws.many(jobs)
        gone = [item for item in found if isinstance(item, StepError)]
        if gone:
            raise gone[0]
        return {region: item for region, item in zip(self.switches, found, strict=True) if isinstance(item, Seen)}

    def judge(self, looks: Mapping[str, Look | StepError]) -> Judged:
        """Who is led where, by the switches; no roles where that is not known: it must not keep anybody from moving."""
        look = next(iter(looks.values()))
        if isinstance(look, StepError):
            return Judged({}, tuple(self.silent({next(iter(looks)): look})))
        findings = tuple(self._findings(look))
        if any(isinstance(seen.state, StepError) for seen in look.values()):
            return Judged({}, findings)
        return Judged(led_to(tuple(self.places), self._leading(look)), findings)

    def watches(self) -> Sequence[Use]:
        """What the monitor calls."""
        checks = tuple(check_arn(switch.check) for switch in self.switches.values())
        reads = [use for region in self.places for switch in self.switches.values() for use in switch.uses(region)[0]]
        return [*reads, *(Use(call, region, checks) for region in self.places for call in (CHECK, CHECKERS))]

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The target's check, where it has one, leads people there; then the source's leads them away; then caches are waited for.

        A failover leaves alone what lies in the lost region.
        """
        if intent is Intent.REPROTECT:
            return ()
        wanted = [
            (self.switches[region], state) for region, state in ((target, State.HERE), (source, State.AWAY)) if region in self.switches
        ]
        lost = [switch for switch, _ in wanted if switch.lies_in == source and not intent.planned]
        flips = [(switch, state) for switch, state in wanted if switch not in lost]
        reads = [use for switch, _ in flips for use in switch.uses(target)[0]]
        writes = [use for switch, _ in flips for use in switch.uses(target)[1]]
        typed = [switch.typed(self.place_of(switch, target), state) for switch, state in flips]
        if not flips:  # what would lead people there leads them by itself, or nobody can: there is only something to look at
            reads = [Use(CHECKERS, target, tuple(check_arn(switch.check) for switch in self.switches.values()), tried=True)]
            look = [self.typed(self.places[target], CHECKERS, {"HealthCheckId": switch.check}) for switch in self.switches.values()]
            typed = [Typed(item, item) for item in look]
        check = " && ".join(item.check for item in typed)
        how = "" if all(switch.prepared for switch, _ in flips) else ", by an edit in us-east-1"
        waits = self.config.takes + self.config.ttl
        redirect = self.step(
            Verb.REDIRECT, target, f"health leads people to {target}{how}", Flip(self, source, target, flips, lost),
            uses=(*reads, *writes), typed=Typed(" &&\n".join(item.do for item in typed), check),
            estimate=timedelta(seconds=1), budget=timedelta(minutes=30), max_attempts=1_000, undoable=True,
        )  # fmt: skip
        propagate = self.step(
            Verb.PROPAGATE, target, "checkers and caches have seen it", Propagate(self, source, target, self.config.takes, self.config.ttl),
            uses=(), typed=Typed(f"sleep {waits.total_seconds():g}", check), estimate=waits, budget=timedelta(hours=25),
            needs=("redirect",), max_attempts=1_000,
        )  # fmt: skip
        return redirect, asking(propagate, target)

    def _seen(self, switch: Switch, place: Place) -> Seen:
        config: Mapping[str, Any] | StepError
        state: State | StepError
        try:
            answer = self.through(lambda other: self.aws.read(other, CHECK, HealthCheckId=switch.check), place.region)
            config = answer["HealthCheck"]["HealthCheckConfig"]
        except StepError as error:
            config = error
        if isinstance(switch, Edit):
            if isinstance(config, StepError):
                raise config
            away = bool(config.get("Disabled")) and bool(config.get("Inverted"))
            refused = self.refused(lambda other: self.aws.read(other, CHECK, HealthCheckId=switch.check), place.region)
            return Seen(State.AWAY if away else State.HERE, config, refused=refused)
        try:
            state = switch.read(self.place_of(switch, place.region))
        except StepError as error:
            state = error
        return Seen(state, config, self._checkers(switch, place) if isinstance(switch, ObjectFlip) else ())

    def _checkers(self, switch: Switch, place: Place) -> tuple[str, ...]:
        """What they saw; nothing where that cannot be asked."""
        try:
            seen = self.through(lambda other: self.aws.read(other, CHECKERS, HealthCheckId=switch.check), place.region)[
                "HealthCheckObservations"
            ]
        except StepError:
            return ()
        return tuple(str(item.get("StatusReport", {}).get("Status", "")) for item in seen)

    def _leading(self, look: Look) -> str | None:
        """The one region that people are led to."""
        here = [region for region, seen in look.items() if seen.state is State.HERE]
        if here:
            return here[0] if len(here) == 1 else None
        others = [region for region in self.places if region not in look]
        return others[0] if len(others) == 1 else None

    def _findings(self, look: Look) -> Iterator[Finding]:
        for region, seen in look.items():
            switch, away = self.switches[region], self.other(region)
            what = f"health check {switch.check} of {region}"
            if isinstance(seen.state, StepError):
                yield self._unread(switch, seen.state, away)
            yield from self.silent(seen.refused)
            if not switch.prepared:
                text = f"{what} has no switch: a move to {away} edits it in the control plane in us-east-1"
                yield self.finding(Severity.WARNING, text, f"regions.{region}.object or metric: one that lies in {away}", away)
            if isinstance(seen.config, StepError):
                yield self.finding(Severity.WARNING, f"{what} could not be looked at: {seen.config.message}", seen.config.hint)
                continue
            if switch.prepared and seen.config.get("Disabled"):
                fix = f"aws route53 update-health-check --health-check-id {switch.check} --no-disabled --region us-east-1"
                yield self.finding(Severity.ERROR, f"{what} is disabled: whatever its switch says, it does not change any more", fix, away)
            code = self.place_of(switch, region).code
            for severity, fact, fix in switch.flaws(seen.config, code):
                yield self.finding(severity, f"{what} {fact}", fix, away)
            sees = int(seen.config.get("RequestInterval") or 0) * int(seen.config.get("FailureThreshold") or 0)
            if isinstance(switch, ObjectFlip) and sees > self.config.takes.total_seconds() and not followers(self):
                text = f"{what}: checkers need up to {sees} s to see a flip, and takes is {self.config.takes.total_seconds():g} s"
                yield self.finding(Severity.WARNING, text, f"takes: {sees + 10}s, or a faster check", away)
            wrong = sorted({found[1] for text in seen.checkers if (found := _STATUS.search(text)) and not found[1].startswith("2")})
            if wrong:
                text = f"{what}: the checkers get HTTP {', '.join(wrong)} for the object: flipping it would change nothing"
                yield self.finding(Severity.ERROR, text, "let them read it (bucket policy, or CloudFront before it)", away)
        if sum(seen.state is State.HERE for seen in look.values()) > 1:
            text = f"people are led to {' and '.join(look)} at the same time"
            yield self.finding(Severity.WARNING, text, "flip the one that is not the primary, or leave its health_check out")

    def _unread(self, switch: Switch, error: StepError, away: str) -> Finding:
        severity = Severity.WARNING if isinstance(error, Transient) else Severity.ERROR
        put = switch.typed(self.place_of(switch, away), State.HERE).do
        return self.finding(severity, f"the switch of {switch.region} cannot be read: {error.message}", f"write it once: {put}", away)
