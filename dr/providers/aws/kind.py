"""What all AWS kinds have in common: a bounded look at each region at once, findings, steps made of what they use."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import Any, ClassVar, Generic, TypeVar

from dr.errors import DrError, StepError, Transient, UsageError
from dr.model.by_hand import Typed
from dr.model.evidence import Evidence
from dr.model.lag import Beat, ComponentView, Finding, LagSample, RegionView
from dr.model.plan import Backoff, StepSpec, Touch
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Known, Role, Severity, Verb
from dr.ports import AttemptContext, Seen, Site, Step
from dr.providers.aws.calls import Call, Use, permissions, touches
from dr.providers.aws.config import AwsConfig
from dr.providers.aws.hub import WHO, WHO_ELSE, Answer, Aws
from dr.providers.aws.place import Place
from dr.providers.aws.problems import is_denied, operation_of
from dr.providers.aws.turn import Turn
from dr.providers.aws.typed import cli
from dr.providers.one_way import OneWay
from dr.providers.regions import known_regions

T = TypeVar("T")
C = TypeVar("C", bound=AwsConfig)

VIEW_SECONDS = 1.9
"""One look at both regions."""
SAMPLE_SECONDS = 10.0
"""A sample serves so long: a monitor looks every second, and AWS counts calls."""
PATIENT = Backoff(base=timedelta(seconds=1), cap=timedelta(seconds=10))
"""For what takes minutes."""


@dataclass(frozen=True)
class Judged:
    """What one look at all regions came to.

    regions: roles, where the component has any; empty: it takes no writes, or takes them everywhere. lag: None: nothing is replicated.
    """

    regions: Mapping[str, RegionView] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    lag: LagSample | None = None


class AwsKind(ABC, Generic[C, T]):
    """Base of AWS kinds. A kind says how it looks at one region, what that comes to, and its steps.

    Class attributes: ``watched``: the calls of ``look``, each region's own. ``checked``: whose account it is is asked before its calls,
    where the runbook names one. ``Config`` has a field ``regions``, by region of the runbook.
    """

    kind: ClassVar[str]
    checked: ClassVar[bool] = True
    Config: ClassVar[type[KindConfig]]

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, self.Config), "the registry gives each kind its own Config"
        assert isinstance(config, AwsConfig)
        self.name, self.needs, self.site = name, tuple(needs), site
        self.config: C = config  # type: ignore[assignment]  # checked right above; a type variable cannot be asked
        self.aws = Aws.of(site)
        known_regions(name, self.regions(), site)
        known_regions(name, config.roles, site, "roles")
        self.places: Mapping[str, Place] = {region: self.aws.place(region, config.roles.get(region)) for region in self.regions()}
        self._sampled: tuple[float, LagSample] | None = None
        self._sampling = Lock()
        self._made: set[str] = set()

    @abstractmethod
    def regions(self) -> Sequence[str]:
        """The regions of the runbook in which it is. Raises UsageError: one is not in the runbook."""

    @abstractmethod
    def look(self, place: Place) -> T:
        """What one region says of itself; a few calls. Raises StepError."""

    @abstractmethod
    def judge(self, looks: Mapping[str, T | StepError]) -> Judged:
        """What was seen comes to this. Pure but for metrics that were asked in ``look``; never raises."""

    @abstractmethod
    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent."""

    @abstractmethod
    def watches(self) -> Sequence[Use]:
        """What ``view`` and ``sample`` call: the monitor's permissions."""

    def rights(self) -> Sequence[str]:
        """What the monitor's role must be allowed."""
        return permissions(self.watches())

    def view(self) -> ComponentView:
        """All regions at once. Bounded to about 2 s, never raises."""
        judged = self.judge(self.looks(VIEW_SECONDS))
        return ComponentView(
            component=self.name, kind=self.kind, at=self.site.clock.now(), regions=dict(judged.regions), lag=judged.lag,
            findings=tuple(judged.findings),
        )  # fmt: skip

    def beat(self, region: str) -> Beat | None:
        """None: AWS tells the lag itself."""
        return None

    def sample(self, primary: str | None) -> LagSample:
        """The lag as the last ten seconds' look had it; unknown, with the reason, where there is none. Never raises."""
        with self._sampling:
            now = self.site.clock.monotonic()
            if self._sampled is None or now - self._sampled[0] > SAMPLE_SECONDS:
                found = self.judge(self.looks(VIEW_SECONDS)).lag
                self._sampled = now, found or self.unknown("nothing of it is replicated")
            return self._sampled[1]

    def looks(self, seconds: float) -> dict[str, T | StepError]:
        """Each region's own look, or why there is none; waits so long at most."""
        self.aws.meet(self.places.values())
        clock = self.site.clock
        turns = {region: Turn(clock.monotonic() + seconds) for region in self.places}
        pool = ThreadPoolExecutor(len(self.places), thread_name_prefix=f"{self.name}-view")
        try:
            asked = {region: pool.submit(self._look, place, turns[region], seconds) for region, place in self.places.items()}
            found: dict[str, T | StepError] = {}
            for region, future in asked.items():
                try:
                    found[region] = turns[region].wait(future, clock)
                except FutureTimeout:
                    found[region] = Transient(f"{self.name} in {region}: no answer in time", late=True)
                except StepError as error:
                    found[region] = error
                except DrError as error:  # a credential that is not there
                    found[region] = Transient(f"{self.name} in {region}: {error.message}", hint=error.hint)
            return found
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _look(self, place: Place, turn: Turn, seconds: float) -> T:
        """First whose account it is: a region that does not even say that needs no clients."""
        self.aws.check(place)
        if self.aws.lost(place):
            raise Transient(f"{WHO} in {place}: no answer", hint="is the region there? dr status RUNBOOK", late=True)
        with turn.held_up(self.site.clock, seconds):
            self._make_clients(place.region)
        return self.look(place)

    def _make_clients(self, region: str) -> None:
        if region not in self._made:
            self._made.add(region)
            for use in {use.call.service: use for use in self.watches() if use.region == region}.values():
                with contextlib.suppress(DrError):  # whoever calls is told
                    self.aws.clients.of(self.places[region], use.call.service, act=False, home=use.call.home)

    def warm(self, target: str) -> None:
        """Makes the clients that a run will need there."""
        self.aws.meet(self.places.values())
        moves = [intent for intent in Intent if intent.moves]
        uses = [use for intent in moves for step in self.steps(intent, self.other(target), target) for use in used(step)]
        calls = {(use.call.service, use.call.act): use.call for use in (*self.watches(), *uses) if use.region == target}
        with contextlib.suppress(DrError):
            self.aws.warm(self.places[target], *calls.values())

    def close(self) -> None:
        """Closes connections; safe to call twice."""
        self.aws.close()

    def apart(self, why: str) -> None:
        """Both regions of the component are different ones of AWS, too. Raises UsageError with ``why`` they must be."""
        one, other = self.places.values()
        if one.code == other.code:
            raise UsageError(f"{self.name}: regions: both are {one.code} of AWS", hint=why)

    def expects(self, database: str | None) -> None:
        """The component that says who leads is one of ``needs``. Raises UsageError."""
        if database is not None and database not in self.needs:
            raise UsageError(f"{self.name}: database: {database} is not in needs", hint=f"write needs: [{database}]")

    def other(self, region: str) -> str:
        """The first region that is not this one."""
        return next(name for name in self.places if name != region)

    def unknown(self, reason: str) -> LagSample:
        """Nothing is known of the lag, and why."""
        return LagSample(component=self.name, at=self.site.clock.now(), state=Known.UNKNOWN, reason=reason)

    def finding(self, severity: Severity, fact: str, fix: str, region: str | None = None) -> Finding:
        """A finding of this component."""
        return Finding(component=self.name, severity=severity, fact=fact, fix=fix, region=region)

    def silent(self, looks: Mapping[str, T | StepError]) -> Iterator[Finding]:
        """A warning for each region that did not answer: what is there is not known. An error where it answered, and it was a no:
        a missing permission, another account, a region that is not enabled."""
        for region, look in looks.items():
            if isinstance(look, StepError):
                refuses = not isinstance(look, Transient)
                yield self.finding(Severity.ERROR if refuses else Severity.WARNING, look.message, self._fix(region, look), region)

    def hidden(self, region: str, error: StepError) -> Finding:
        """A warning for what one call did not say, where a region said the rest."""
        return self.finding(Severity.WARNING, f"a part is not known: {error.message}", self._fix(region, error), region)

    def _fix(self, region: str, error: StepError) -> str:
        """Of a missing permission: what to allow, on what, and whom: the API says only what it likes of that."""
        operation, place = operation_of(error), self.places[region]
        uses = [use for use in self.watches() if use.call.operation == operation and use.region == region]
        if not uses or not is_denied(error):
            return error.hint
        whom = place.role.arn if place.role is not None else f"the role of profile {place.profile}" if place.profile else "dr's role"
        actions = ", ".join(dict.fromkeys(action for use in uses for action in use.call.iam))
        on = ", ".join(dict.fromkeys(arn for use in uses for arn in use.resources))
        return f"allow {actions} on {on} to {whom}: dr runbook permissions RUNBOOK --role monitor prints the policy"

    def away(self, look: StepError) -> RegionView:
        """The role of a region that did not say."""
        role = Role.UNREACHABLE if isinstance(look, Transient) else Role.UNKNOWN
        return RegionView(role=role, reason=look.message, late=look.late)

    def step(
        self, verb: Verb, region: str, title: str, operation: AwsStep[Any], *, uses: Sequence[Use], typed: Typed, estimate: timedelta,
        budget: timedelta, name: str = "", needs: Sequence[str] = (), max_attempts: int = 10, backoff: Backoff = PATIENT,
        irreversible: bool = False, undoable: bool = False, optional: bool = False, settles: timedelta | None = None,
    ) -> Step:  # fmt: skip
        """A step of this component. ``name``: where two have one verb. ``needs``: names of steps of this component."""
        spec = StepSpec(
            id=f"{self.name}/{name or verb}", component=self.name, kind=self.kind, verb=verb, region=region, title=title,
            needs=tuple(f"{self.name}/{need}" for need in needs), estimate=estimate, budget=budget, max_attempts=max_attempts,
            backoff=backoff, irreversible=irreversible, undoable=undoable, optional=optional, settles=settles,
            touches=(*touches(uses), *self._whose(uses)),
            permissions=permissions(uses), by_hand=typed.do, check_by_hand=typed.check,
        )  # fmt: skip
        operation.uses = tuple(uses)
        return Step(spec, operation)

    def _whose(self, uses: Sequence[Use]) -> Iterator[Touch]:
        """Whose account it is: asked of the STS of each region where something is called; the step does without, where another one says."""
        for region in dict.fromkeys(use.region for use in uses):
            if self.checked and region in self.places and self.places[region].account:
                yield Touch(service=WHO.service, plane=WHO.plane, region=region, tried=True, instead=WHO_ELSE)

    def typed(self, place: Place, call: Call, parameters: Mapping[str, Any], *, query: str = "", text: bool = False) -> str:
        """A call as a command line."""
        return cli(call, place, parameters, query=query, text=text)


def used(step: Step) -> Sequence[Use]:
    """What a step of an AWS kind calls; nothing of any other."""
    return step.operation.uses if isinstance(step.operation, AwsStep) else ()


K = TypeVar("K", bound=AwsKind[Any, Any])


class AwsStep(OneWay, ABC, Generic[K]):
    """Base of operations: destroys nothing, has no undo. ``owner``: its component."""

    uses: Sequence[Use] = ()

    def __init__(self, owner: K, source: str, target: str) -> None:
        self.owner, self.source, self.target = owner, source, target

    @abstractmethod
    def observe(self, context: AttemptContext) -> Seen:
        """Reads only. See ``ports.Operation``."""

    @abstractmethod
    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The effect, once. See ``ports.Operation``."""

    def verify(self, context: AttemptContext) -> Seen:
        """Asks again; where nothing else is said, what it asks is what it asked before."""
        return self.observe(context)

    def read(self, region: str, call: Call, **parameters: Any) -> Answer:
        """Asks in a region of the runbook. Raises StepError."""
        return self.owner.aws.read(self.owner.places[region], call, **parameters)

    def call(self, context: AttemptContext, region: str, call: Call, *, already: Sequence[str] = (), **parameters: Any) -> Answer:
        """Acts in a region of the runbook, once. Raises StepError."""
        return self.owner.aws.act(context, self.owner.places[region], call, already=already, **parameters)
