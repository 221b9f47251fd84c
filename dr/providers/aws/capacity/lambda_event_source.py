"""The kind ``aws.lambda-event-source``: who polls a queue or stream for a function, in one region at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from dr.errors import Permanent, StepError, Transient
from dr.model.base import Frozen
from dr.model.by_hand import Typed
from dr.model.evidence import Evidence, Note, PutBack, Sized, Temporary
from dr.model.lag import Finding
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Severity, Verb
from dr.ports import AttemptContext, Look, Seen, Site, Step
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.capacity.sized import sized, written_down
from dr.providers.aws.config import AwsConfig
from dr.providers.aws.kind import AwsKind, AwsStep, Judged
from dr.providers.aws.names import arn
from dr.providers.aws.place import Place
from dr.providers.aws.problems import code_of
from dr.providers.aws.typed import cli
from dr.providers.regions import same_regions

_GONE = {"ResourceNotFoundException": "no such event source mapping: aws lambda list-event-source-mappings"}

LIST = Call("lambda", "ListEventSourceMappings")
"""All mappings of a region, 100 a page.

https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html; InvalidParameterValueException,
ResourceNotFoundException, ServiceException, TooManyRequestsException."""

GET = Call("lambda", "GetEventSourceMapping", refusals=_GONE)
"""One mapping: Creating, Enabling, Enabled, Disabling, Disabled, Updating or Deleting.

https://docs.aws.amazon.com/lambda/latest/api/API_GetEventSourceMapping.html; refusals as ListEventSourceMappings."""

UPDATE = Call("lambda", "UpdateEventSourceMapping", act=True, refusals=_GONE)
"""``Enabled``: whether the source is polled.

https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html; InvalidParameterValueException,
ResourceConflictException and ResourceInUseException (it is being changed: that passes), ResourceNotFoundException, ServiceException,
TooManyRequestsException."""

CONCURRENCY = Call("lambda", "GetFunctionConcurrency", refusals={"ResourceNotFoundException": "the function is gone"})
"""Reserved concurrency of a function; none: it shares the account's.

https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConcurrency.html; refusals as ListEventSourceMappings."""

SETTINGS = Call("lambda", "GetAccountSettings")
"""How many functions of the account may run at once in the region.

https://docs.aws.amazon.com/lambda/latest/api/API_GetAccountSettings.html; ServiceException, TooManyRequestsException."""

_BUSY = ("ResourceConflictException", "ResourceInUseException")
_POLLS = ("Enabled", "Enabling", "Updating")
_ON, _OFF = "Enabled", "Disabled"
_OWED = "event sources of a lost region"
_SETTLES = timedelta(minutes=1)
"""Enabling and disabling take Lambda half a minute, in which it refuses every other change: an undo waits as long."""
_SLOW_SECONDS = 300.0
"""What limits functions changes when people change it: asked every five minutes."""

Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F-]{36}$")]


class RegionMappings(Frozen):
    """One region's event source mappings: the runbook's word → UUID."""

    mappings: dict[str, Uuid] = Field(min_length=1)


class EventSourceConfig(AwsConfig):
    """Settings of ``aws.lambda-event-source``. A word may be in one region only: what has no counterpart is only disabled or enabled."""

    regions: dict[str, RegionMappings] = Field(min_length=2)


@dataclass(frozen=True)
class Mapped:
    """One mapping. function: its ARN. reserved: concurrency reserved for it; None: shared, or not asked."""

    word: str
    uuid: str
    state: str
    why: str = ""
    function: str = ""
    reserved: int | None = None

    @property
    def polls(self) -> bool:
        """It takes events, or is about to."""
        return self.state in _POLLS


@dataclass(frozen=True)
class Side:
    """One region. absent: words whose mapping is not there. limit: concurrent executions of the account; None: not known.

    unseen: calls that only tell what limits the functions, and were refused.
    """

    mapped: Mapping[str, Mapped]
    absent: tuple[str, ...]
    limit: int | None
    unseen: tuple[StepError, ...] = ()


class LambdaEventSource(AwsKind[EventSourceConfig, Side]):
    """Event source mappings of Lambda: disabled in the region that is left, enabled in the target once its data takes writes.

    Protects events from being taken twice, or by nobody. A lost region's mappings are disabled as well as that goes: what is not
    acknowledged is debt, and re-protect does it.
    """

    kind: ClassVar[str] = "aws.lambda-event-source"
    Config: ClassVar[type[KindConfig]] = EventSourceConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, EventSourceConfig), "the registry gives each kind its own Config"
        same_regions(name, config.regions, site)
        super().__init__(name, config, needs, site)
        self.limits: dict[str, tuple[float, int, Mapping[str, int]]] = {}

    def regions(self) -> Sequence[str]:
        """All that the settings name."""
        return tuple(self.config.regions)

    def watches(self) -> Sequence[Use]:
        """A listing, what limits the functions."""
        functions = {region: (arn(place, "lambda", "function:*"),) for region, place in self.places.items()}
        calls = [(Use(LIST, region), Use(SETTINGS, region), Use(CONCURRENCY, region, names)) for region, names in functions.items()]
        return [use for uses in calls for use in uses]

    def look(self, place: Place) -> Side:
        """One listing, the account's limit, and each polled function's own. Raises StepError."""
        wanted = {uuid: word for word, uuid in self.config.regions[place.region].mappings.items()}
        listed = (item for page in self.aws.pages(place, LIST) for item in page["EventSourceMappings"])
        found = [mapped(wanted[str(item["UUID"])], item) for item in listed if str(item["UUID"]) in wanted]
        (limit, reserved), unseen = self._limited(place, sorted({item.function for item in found}))
        return Side(
            {item.word: Mapped(item.word, item.uuid, item.state, item.why, item.function, reserved.get(item.function)) for item in found},
            tuple(sorted(set(wanted.values()) - {item.word for item in found})), limit, unseen,
        )  # fmt: skip

    def _limited(self, place: Place, functions: Sequence[str]) -> tuple[tuple[int | None, Mapping[str, int]], tuple[StepError, ...]]:
        """The account's limit, and what is reserved for functions, as of the last five minutes; and what of it was refused, which is asked
        for again the next time. Raises StepError: no answer."""
        now, known = self.site.clock.monotonic(), self.limits.get(place.region)
        if known is not None and now - known[0] <= _SLOW_SECONDS:
            return (known[1], known[2]), ()
        limit, *reserved = self.aws.many([partial(self._limit, place), *(partial(self._reserved, place, name) for name in functions)])
        refused: list[StepError] = []
        for answer in (limit, *reserved):
            if isinstance(answer, StepError):
                if not isinstance(answer, Permanent):
                    raise answer
                refused.append(answer)
        whole = limit if isinstance(limit, int) else None
        own = {name: value for name, value in zip(functions, reserved, strict=True) if isinstance(value, int)}
        if whole is not None and not refused:
            self.limits[place.region] = (now, whole, own)
        return (whole, own), tuple(refused)

    def _limit(self, place: Place) -> int | None:
        return int(self.aws.read(place, SETTINGS)["AccountLimit"]["ConcurrentExecutions"])

    def _reserved(self, place: Place, function: str) -> int | None:
        return self.aws.read(place, CONCURRENCY, FunctionName=function).get("ReservedConcurrentExecutions")

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """Findings only."""
        found = list(self.silent(looks))
        sides = {region: side for region, side in looks.items() if not isinstance(side, StepError)}
        for region, side in sides.items():
            found += self._alone(region, side)
            limits = [other.limit for name, other in sides.items() if name != region and other.limit is not None]
            if limits and side.limit is not None and side.limit < max(limits):
                fact = f"{region} runs at most {side.limit} functions at once, and {max(limits)} may run elsewhere"
                fix = "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384"
                found.append(self.finding(Severity.WARNING, fact, fix, region))
        for word in sorted({word for side in sides.values() for word in side.mapped}):
            polling = [region for region, side in sides.items() if word in side.mapped and side.mapped[word].polls]
            if len(polling) > 1:
                fact = f"{word} is enabled in {' and '.join(polling)}: events are taken in both"
                found.append(self.finding(Severity.WARNING, fact, "disable it where the data takes no writes"))
            if not polling and len(sides) == len(looks):
                found.append(self.finding(Severity.WARNING, f"{word} is enabled nowhere", "enable it where the data takes writes"))
        return Judged(findings=found)

    def _alone(self, region: str, side: Side) -> Iterator[Finding]:
        yield from (self.hidden(region, error) for error in {error.message: error for error in side.unseen}.values())
        for word in side.absent:
            fact = f"{word}: no event source mapping {self.config.regions[region].mappings[word]} in {region}"
            yield self.finding(Severity.ERROR, fact, "create it, or correct the UUID", region)
        for item in side.mapped.values():
            if item.reserved == 0:
                fact = f"{item.word}: {item.function} has a reserved concurrency of 0: nothing of it would run"
                yield self.finding(Severity.ERROR, fact, "aws lambda put-function-concurrency, or delete-function-concurrency", region)

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """Planned: off in the source, then on in the target. Failover: on in the target; off in the source as well as that goes, beside
        everything else. Re-protect: off in the region that came back."""
        if intent is Intent.REPROTECT:
            return [self._switch(Verb.STAND_BY, source, Switch(self, source, target, source, enabled=False))]
        on = self._switch(Verb.START, target, Switch(self, source, target, target, enabled=True), undoable=intent.planned)
        if intent.planned:
            return [self._switch(Verb.FREEZE, source, Switch(self, source, target, source, enabled=False), undoable=True), on]
        # nobody waits for this verb: a region that does not answer costs the way to service nothing
        return [self._switch(Verb.STAND_BY, source, SwitchLost(self, source, target, source, enabled=False), optional=True), on]

    def _switch(self, verb: Verb, region: str, operation: Switch, *, undoable: bool = False, optional: bool = False) -> Step:
        place, mappings = self.places[region], self.config.regions[region].mappings
        arns = tuple(arn(place, "lambda", f"event-source-mapping:{uuid}") for uuid in mappings.values())
        word = "enable" if operation.enabled else "disable"
        return self.step(
            verb, region, f"{word} {', '.join(mappings)} in {region}", operation,
            uses=[Use(call, region, arns, tried=optional) for call in (GET, UPDATE)],
            typed=_typed(place, mappings, enabled=operation.enabled), estimate=timedelta(seconds=5 if optional else 15),
            budget=timedelta(seconds=10) if optional else timedelta(minutes=5), max_attempts=1 if optional else 10, undoable=undoable,
            optional=optional, settles=None if optional else _SETTLES,
        )  # fmt: skip


class Switch(AwsStep[LambdaEventSource]):
    """All mappings of a region, on or off."""

    def __init__(self, owner: LambdaEventSource, source: str, target: str, region: str, *, enabled: bool) -> None:
        super().__init__(owner, source, target)
        self.region, self.enabled = region, enabled

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where all of them are. BLOCKED: one is not there."""
        found = self._now()
        absent = [f"{word}: {item.message}" for word, item in found.items() if isinstance(item, StepError)]
        if absent:
            return Seen(Look.BLOCKED, f"{'; '.join(absent)} (try: dr skip {context.run_id} {context.step.id} --reason TEXT)")
        seen = self._told(context, found)
        if seen.look is Look.DONE or self._before(context) is not None:
            return seen
        before = {word: int(item.polls) for word, item in found.items() if isinstance(item, Mapped)}
        wanted = dict.fromkeys(before, int(self.enabled))
        return replace(seen, evidence=(Sized(component=self.owner.name, region=self.region, before=before, wanted=wanted),))

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """How they were is journaled before they are switched, where an undo goes back to it. Raises Transient: the next attempt acts."""
        return written_down(context, self._before(context))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Switches those that are not so, and are not on their way there."""
        found = self._now()
        wrong = {word: item for word, item in found.items() if isinstance(item, Mapped) and item.polls != self.enabled}
        self._switch(context, [item.uuid for item in wrong.values()], enabled=self.enabled)
        state = "enabled" if self.enabled else "disabled"
        return tuple(Note(text=f"{word} {state} in {self.region}") for word in wrong)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE once each is Enabled, or Disabled: not while it is on its way."""
        return self._told(context, self._now())

    def undo(self, context: AttemptContext) -> None:
        """Those that were the other way round before this run, and are not now."""
        kept = self._before(context)
        if kept is not None:
            now = {word: item for word, item in self._now().items() if isinstance(item, Mapped)}
            back = [
                item.uuid for word, item in now.items() if kept.before.get(word) == int(not self.enabled) and item.polls == self.enabled
            ]
            self._switch(context, back, enabled=not self.enabled)

    def _before(self, context: AttemptContext) -> Sized | None:
        """What this run found first."""
        return next(sized(context, self.owner.name, self.region), None)

    def _now(self) -> Mapping[str, Mapped | StepError]:
        """Each mapping; only one that is not there stays an error. Raises StepError."""
        wanted = self.owner.config.regions[self.region].mappings
        asked = self.owner.aws.many([partial(self.read, self.region, GET, UUID=uuid) for uuid in wanted.values()])
        found: dict[str, Mapped | StepError] = {}
        for word, answer in zip(wanted, asked, strict=True):
            if isinstance(answer, StepError) and code_of(answer) != "ResourceNotFoundException":
                raise answer
            found[word] = answer if isinstance(answer, StepError) else mapped(word, answer)
        return found

    def _told(self, context: AttemptContext, found: Mapping[str, Mapped | StepError]) -> Seen:
        state = _ON if self.enabled else _OFF
        there = [item for item in found.values() if isinstance(item, Mapped)]
        wrong = [f"{item.word} is {item.state}" + (f" ({item.why})" if item.why else "") for item in there if item.state != state]
        if wrong:
            return Seen(Look.NEEDED, "; ".join(wrong))
        return Seen(Look.DONE, evidence=() if context.intent.moves else (self._put_back(),))

    def _put_back(self) -> PutBack:
        """What a failover could not do there is not owed any more."""
        return PutBack(component=self.owner.name, region=self.region, what=_OWED, text=f"disabled in {self.region}")

    def _switch(self, context: AttemptContext, uuids: Sequence[str], *, enabled: bool) -> None:
        acts = [partial(self.call, context, self.region, UPDATE, UUID=uuid, Enabled=enabled) for uuid in uuids]
        problems = [
            Transient(result.message, hint="it is being changed: that passes") if code_of(result) in _BUSY else result
            for result in self.owner.aws.many(acts) if isinstance(result, StepError)
        ]  # fmt: skip
        for error in sorted(problems, key=lambda item: isinstance(item, Transient)):
            raise error


class SwitchLost(Switch):
    """In a region that may be gone: asked once, without a look before, and not waited for. What is not acknowledged is owed."""

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED: a look would cost as much as the act, which does no harm where it is so already."""
        words = ", ".join(self.owner.config.regions[self.region].mappings)
        owed = Temporary(
            component=self.owner.name, region=self.region, what=_OWED, by_hand=context.step.by_hand,
            text=f"{words} in {self.region} may be enabled, and take events as soon as the region is back",
        )  # fmt: skip
        return Seen(Look.NEEDED, evidence=(owed,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Raises Permanent where nobody answers: no reason to wait."""
        try:
            self._switch(context, list(self.owner.config.regions[self.region].mappings.values()), enabled=False)
        except StepError as error:
            text = f"not disabled in {self.region}: {error.message}; it may take events as soon as it is back"
            raise Permanent(text, hint=f"dr reprotect, or by hand: {context.step.by_hand}") from None
        return (self._put_back(),)

    def verify(self, context: AttemptContext) -> Seen:
        """AWS has taken it; nobody waits for the rest."""
        return Seen(Look.DONE)


def mapped(word: str, item: Mapping[str, Any]) -> Mapped:
    """A mapping as the API describes it."""
    why = str(item.get("StateTransitionReason", "")).replace("USER_INITIATED", "").replace("User action", "")
    return Mapped(word, str(item["UUID"]), str(item.get("State", "")), why, str(item.get("FunctionArn", "")))


def _typed(place: Place, mappings: Mapping[str, str], *, enabled: bool) -> Typed:
    state = _ON if enabled else _OFF
    acts = [cli(UPDATE, place, {"UUID": uuid, "Enabled": enabled}) for uuid in mappings.values()]
    looks = [cli(GET, place, {"UUID": uuid}, query="State", text=True) for uuid in mappings.values()]
    return Typed(" && ".join(acts), " && ".join(f'[ "$({look})" = {state} ]' for look in looks))
