"""The kind ``aws.lambda``: a function of the user's own as a step of a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.model.base import Duration, Frozen
from dr.model.by_hand import MARK, Typed
from dr.model.evidence import Evidence, Note
from dr.model.lag import Finding
from dr.model.runbook import InWorlds, KindConfig
from dr.model.words import Intent, Severity, Verb
from dr.ports import AttemptContext, Look, Seen, Site, Step
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.config import AwsConfig
from dr.providers.aws.hub import Answer
from dr.providers.aws.kind import AwsKind, AwsStep, Judged
from dr.providers.aws.names import arn
from dr.providers.aws.place import Place
from dr.providers.aws.problems import code_of
from dr.providers.aws.typed import cli
from dr.providers.generic.person import MOVES
from dr.providers.regions import same_regions

_REFUSED = {
    "ResourceNotFoundException": "no such function, version or alias: correct function",
    "InvalidRequestContentException": "the payload is no JSON that the function takes",
    "RequestTooLargeException": "payload: shorter texts",
    "KMSAccessDeniedException": "the function's key cannot be used: see its policy",
    "KMSDisabledException": "the function's key is disabled: aws kms enable-key",
    "KMSNotFoundException": "the function's key is gone",
    "InvalidRuntimeException": "the function's runtime is not supported any more",
    "RecursiveInvocationException": "Lambda found a loop and stopped it",
}
"""What is left of the long list of API_Invoke: those that trying again does not change. ENINotReadyException, ResourceNotReadyException,
SnapStartNotReadyException and the like pass; ServiceException, EC2UnexpectedException are HTTP 5xx."""

INVOKE = Call("lambda", "Invoke", act=True, plane="data", action="lambda:InvokeFunction", refusals=_REFUSED)
"""Runs a function and waits for what it returns; with an error of the function the call itself is good and says ``FunctionError``.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html; data plane:
https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/"""

ASK = Call("lambda", "Invoke", plane="data", action="lambda:InvokeFunction", refusals=_REFUSED)
"""The same function, asked whether it is done. API_Invoke."""

CONFIGURATION = Call("lambda", "GetFunctionConfiguration", refusals={"ResourceNotFoundException": _REFUSED["ResourceNotFoundException"]})
"""State (Pending, Active, Inactive, Failed) and time-out of a function.

https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html; InvalidParameterValueException,
ResourceNotFoundException, ServiceException, TooManyRequestsException."""

_PASSES = frozenset({"ENINotReadyException", "ResourceNotReadyException", "SnapStartNotReadyException", "ResourceConflictException"})
LONGEST = timedelta(seconds=28)
"""Answers that take longer are not waited for (``clients.ACT_SECONDS``): such a function starts its work, and says so when it is asked."""
_NOTE = 200
_MINE = frozenset({"do", "intent", "source", "target", "run_id", "epoch", "key"})


class RegionFunction(Frozen):
    """One region's function: name, name:alias, or ARN."""

    function: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9:_-]{1,170}$")]


class LambdaConfig(AwsConfig, InWorlds):
    """Settings of ``aws.lambda``.

    A function is invoked in the region that a run moves to, and does the same in every intent that it is for; what tells intents apart is
    in its payload: ``{"do": "run", "intent", "source", "target", "run_id", "epoch", "key"}``. It must return ``{"ok": true}``, or
    ``{"ok": false, "note": TEXT}``; ``note`` is kept in the journal and must hold no secret.

    check: the function also answers ``{"do": "check"}``, which changes nothing, with ``ok`` for "it is done"; asked before and after.
    repeatable: run twice with one ``key``, it does its work once. Without this and without a check, an unknown outcome waits for a person.
    worlds: where it may really run; anywhere else the step does nothing and says so. A drill touches nothing outside its world.
    irreversible: after it, a planned move is not rolled back any more. payload: further texts for the function; no secrets.
    """

    regions: dict[str, RegionFunction] = Field(min_length=2)
    intents: tuple[Intent, ...] = Field(MOVES, min_length=1)
    payload: dict[str, str] = {}
    check: bool = False
    repeatable: bool = False
    irreversible: bool = False
    estimate: Duration = timedelta(seconds=5)
    within: Duration = Field(timedelta(minutes=15), description="until a check says that it is done")

    @model_validator(mode="after")
    def _own_words(self) -> Self:
        if taken := sorted(_MINE & self.payload.keys()):
            raise ValueError(f"payload.{taken[0]}: dr says that itself")
        return self


@dataclass(frozen=True)
class Function:
    """A function as a region shows it."""

    state: str
    why: str
    timeout: timedelta


class LambdaFunction(AwsKind[LambdaConfig, Function | None]):
    """A function of the user's own as one step, in the region that is moved to: warm a cache, tell a partner, flip a flag.

    Protects nothing by itself; ``needs`` of this and of other components say before and after what it runs.
    """

    kind: ClassVar[str] = "aws.lambda"
    Config: ClassVar[type[KindConfig]] = LambdaConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, LambdaConfig), "the registry gives each kind its own Config"
        same_regions(name, config.regions, site)
        super().__init__(name, config, needs, site)

    def regions(self) -> Sequence[str]:
        """All that the settings name."""
        return tuple(self.config.regions)

    def function(self, region: str) -> str:
        """The function of a region."""
        return self.config.regions[region].function

    def watches(self) -> Sequence[Use]:
        """Each function's configuration."""
        return [Use(CONFIGURATION, region, self._arns(region)) for region in self.regions()]

    def look(self, place: Place) -> Function | None:
        """Its configuration; None: there is no such function. Raises StepError."""
        try:
            found = self.aws.read(place, CONFIGURATION, FunctionName=self.function(place.region))
        except StepError as error:
            if code_of(error) == "ResourceNotFoundException":
                return None
            raise
        why = str(found.get("StateReason", ""))
        return Function(str(found.get("State", "Active")), why, timedelta(seconds=int(found.get("Timeout", 3))))

    def judge(self, looks: Mapping[str, Function | StepError | None]) -> Judged:
        """Findings only."""
        found = list(self.silent(looks))
        for region, item in looks.items():
            if not isinstance(item, StepError):
                found += self._findings(region, item)
        return Judged(findings=found)

    def _findings(self, region: str, item: Function | None) -> Iterator[Finding]:
        name = f"function {self.function(region)} in {region}"
        if item is None:
            yield self.finding(Severity.ERROR, f"{name} is not there", "create it, or correct the runbook", region)
        elif item.state == "Failed":
            yield self.finding(Severity.ERROR, f"{name} cannot run: {item.why}", f"aws lambda get-function --function-name {name}", region)
        elif item.timeout > LONGEST and not self.config.check:
            fact = f"{name} may take {item.timeout.total_seconds():g} s, and an answer is waited for {LONGEST.total_seconds():g} s"
            yield self.finding(Severity.WARNING, fact, "let it start its work and return, and write check: true", region)

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """One step for the intents that it is for, the same in each."""
        if intent not in self.config.intents:
            return ()
        calls = (INVOKE, ASK) if self.config.check else (INVOKE,)
        name = self.function(target)
        return [
            self.step(
                Verb.COMMAND, target, f"invoke {name} (the same in every intent)", Invoke(self, source, target),
                uses=[Use(call, target, self._arns(target)) for call in calls], typed=self._typed(intent, source, target),
                estimate=self.config.estimate, budget=max(self.config.within, 3 * LONGEST), name="run",
                max_attempts=3 if self.config.repeatable or self.config.check else 1, irreversible=self.config.irreversible,
            )
        ]  # fmt: skip

    def request(self, do: Literal["run", "check"], context: AttemptContext) -> Mapping[str, Any]:
        """The payload of an attempt."""
        return self._payload(do, context.intent, context.source, context.target, context.run_id, context.epoch, context.key)

    def _payload(self, do: str, intent: Intent, source: str, target: str, run_id: str, epoch: int, key: str) -> Mapping[str, Any]:
        own = {"do": do, "intent": str(intent), "source": source, "target": target, "run_id": run_id, "epoch": epoch, "key": key}
        return {**self.config.payload, **own}

    def _arns(self, region: str) -> tuple[str, ...]:
        name = self.function(region)
        return (name if name.startswith("arn:") else arn(self.places[region], "lambda", f"function:{name}"),)

    def _typed(self, intent: Intent, source: str, target: str) -> Typed:
        place, name = self.places[target], self.function(target)

        def asked(do: str) -> str:
            payload = self._payload(do, intent, source, target, MARK, 0, MARK)
            sent = cli(INVOKE, place, {"FunctionName": name, "Payload": json.dumps(payload, separators=(",", ":"))})
            return f"{sent} --cli-binary-format raw-in-base64-out {do}.json && jq -e .ok {do}.json"

        return Typed(asked("run"), asked("check") if self.config.check else "jq -e .ok run.json")


class Invoke(AwsStep[LambdaFunction]):
    """Invokes it once; the answer must say that it is ok."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE outside its worlds, and where the check says so. BLOCKED where it may have run and nothing tells."""
        config, world = self.owner.config, self.owner.site.world
        if world not in config.worlds:
            text = f"not invoked: declared for {', '.join(config.worlds)}, and this is {world}"
            return Seen(Look.DONE, text, (Note(text=text),))
        if config.check:
            return self._checked(context)
        if context.number > 1 and not config.repeatable:
            return Seen(
                Look.BLOCKED,
                f"it may have run before and there is no check: look, then dr skip {context.run_id} {context.step.id} --reason TEXT"
                " (or set repeatable or check in the runbook)",
            )
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Invokes it.

        Raises:
            EffectUnknown: no answer in time. Transient: it was not run, and may be later.
            Permanent: it failed, or says that it is not ok.
        """
        name = self.owner.function(self.target)
        payload = json.dumps(self.owner.request("run", context)).encode()
        try:
            answer = self.call(context, self.target, INVOKE, FunctionName=name, Payload=payload)
        except StepError as error:
            if code_of(error) in _PASSES:
                raise Transient(error.message, hint="it is being made ready") from error
            raise
        ok, note = _said(name, answer)
        if not ok:
            raise Permanent(f"{name} in {self.target} says that it is not ok" + (f": {note}" if note else ""), hint="its log in CloudWatch")
        return (Note(text=f"{name} in {self.target}: ok" + (f": {note}" if note else "")),)

    def verify(self, context: AttemptContext) -> Seen:
        """The check, where there is one; else the answer was the proof."""
        return self._checked(context) if self.owner.config.check else Seen(Look.DONE)

    def _checked(self, context: AttemptContext) -> Seen:
        name = self.owner.function(self.target)
        payload = json.dumps(self.owner.request("check", context)).encode()
        try:
            ok, note = _said(name, self.read(self.target, ASK, FunctionName=name, Payload=payload))
        except EffectUnknown as error:
            raise Transient(error.message) from error
        return Seen(Look.DONE if ok else Look.NEEDED, note)


def _said(name: str, answer: Answer) -> tuple[bool, str]:
    """What the function returned: whether it is ok, and its note. Nothing else of it is kept: it may hold secrets.

    Raises:
        Permanent: it failed, or its answer is not as documented. EffectUnknown: the answer broke off.
    """
    from botocore.exceptions import BotoCoreError

    try:
        body = answer["Payload"].read()
    except BotoCoreError as error:
        raise EffectUnknown(f"{name}: the answer broke off ({type(error).__name__})") from None
    try:
        said = json.loads(body or b"null")
    except ValueError:
        said = None
    if answer.get("FunctionError"):
        kind = said.get("errorType", "") if isinstance(said, Mapping) else ""
        raise Permanent(f"{name} failed ({answer['FunctionError']}{f', {kind}' if kind else ''})", hint="its log in CloudWatch")
    if not isinstance(said, Mapping) or not isinstance(said.get("ok"), bool):
        raise Permanent(f'{name}: expected {{"ok": true}} or {{"ok": false}}; what it returned is not kept', hint="correct the function")
    return bool(said["ok"]), str(said.get("note", ""))[:_NOTE]
