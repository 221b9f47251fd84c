"""What flips a health check: an object, a metric, or the check's own settings. Each can be read, and written once."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from dr.errors import Permanent, Transient
from dr.model.by_hand import Typed
from dr.model.words import Severity
from dr.ports import AttemptContext
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.health_check.config import MetricSwitch, ObjectSwitch, RegionCheck
from dr.providers.aws.metrics import GET
from dr.providers.aws.place import Place
from dr.providers.aws.problems import code_of
from dr.providers.aws.route53.calls import CHECK, FORCE, check_arn
from dr.providers.aws.typed import cli

if TYPE_CHECKING:
    from dr.providers.aws.hub import Aws

READ = Call("s3", "GetObject", plane="data", refusals={"NoSuchKey": "the object is not there: write it once, as the finding says"})
"""The object's content. https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html; NoSuchKey (AccessDenied where it may not be
known whether there is such a key), InvalidObjectState."""

WRITE = Call("s3", "PutObject", act=True, plane="data", refusals={"NoSuchBucket": "no such bucket: correct object.bucket"})
"""Replaces the object's content, seen by the next read. https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html;
NoSuchBucket."""

PUT = Call("cloudwatch", "PutMetricData", act=True, plane="data")
"""Values of a metric, up to two weeks back and two hours ahead; new ones may take two minutes until they are seen.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html; InvalidParameterValue, InvalidParameterCombination,
MissingParameter, InternalServiceFault."""

_MOST_BYTES = 4096
Note = tuple[Severity, str, str]
"""Severity, fact, fix."""


class State(StrEnum):
    """What a switch makes of its region: people are led there, or away."""

    HERE = "here"
    AWAY = "away"


class Switch(ABC):
    """The switch of one region's health check. Threads may use it at once."""

    prepared = True
    """Its own region's data plane is enough to flip it."""
    leads_back = False
    """Where it is lost, its check leads people back by itself."""

    def __init__(self, aws: Aws, region: str, check: str) -> None:
        self.aws, self.region, self.check = aws, region, check

    @property
    @abstractmethod
    def lies_in(self) -> str:
        """The region of the runbook that must be there to flip it; empty: in none of them."""

    @abstractmethod
    def read(self, place: Place) -> State:
        """How it stands. Raises StepError."""

    @abstractmethod
    def write(self, context: AttemptContext, place: Place, state: State) -> None:
        """Flips it, once; the same again changes nothing. Raises StepError."""

    @abstractmethod
    def uses(self, region: str) -> tuple[Sequence[Use], Sequence[Use]]:
        """What reading and writing call, through a region's credentials."""

    @abstractmethod
    def typed(self, place: Place, state: State) -> Typed:
        """What a person types."""

    @abstractmethod
    def flaws(self, config: Mapping[str, Any], code: str) -> Iterator[Note]:
        """What is wrong with the check for this switch. ``config``: HealthCheckConfig of the API; ``code``: AWS's name of where it lies."""


class ObjectFlip(Switch):
    """See ``ObjectSwitch``."""

    leads_back = True

    def __init__(self, aws: Aws, region: str, check: str, settings: ObjectSwitch) -> None:
        super().__init__(aws, region, check)
        self._is = settings
        self._named = {"Bucket": settings.bucket, "Key": settings.key}

    @property
    def lies_in(self) -> str:
        """Where the bucket is."""
        return self._is.in_region

    def read(self, place: Place) -> State:
        """By its content."""
        from botocore.exceptions import BotoCoreError

        answer = self.aws.read(place, READ, **self._named)
        try:
            text = answer["Body"].read(_MOST_BYTES).decode(errors="replace")
        except BotoCoreError:
            text = None
        if text is None:  # outside the handler: nothing of the answer is the cause
            raise Transient(f"{READ} in {place}: the answer broke off", late=True)
        return State.AWAY if self._is.away in text else State.HERE

    def write(self, context: AttemptContext, place: Place, state: State) -> None:
        """The text of the state."""
        content = self._text(state).encode()
        self.aws.act(context, place, WRITE, **self._named, Body=content, ContentType="text/plain", CacheControl="no-store")

    def uses(self, region: str) -> tuple[Sequence[Use], Sequence[Use]]:
        """Of this object only; the credentials are those of where it lies."""
        arn = (f"arn:aws:s3:::{self._is.bucket}/{self._is.key}",)
        return (Use(READ, self.lies_in, arn),), (Use(WRITE, self.lies_in, arn),)

    def typed(self, place: Place, state: State) -> Typed:
        """``aws s3 cp -`` is a PutObject of what comes in."""
        url, rest = shlex.quote(f"s3://{self._is.bucket}/{self._is.key}"), _rest(place)
        do = f"printf %s {shlex.quote(self._text(state))} | aws s3 cp - {url} --content-type text/plain --cache-control no-store{rest}"
        found = f"aws s3 cp {url} -{rest} | grep -Fq {shlex.quote(self._is.away)}"
        return Typed(do, found if state is State.AWAY else f"! {{ {found}; }}")

    def flaws(self, config: Mapping[str, Any], code: str) -> Iterator[Note]:
        """It must read the content, in the sense that leads people back where nothing can be read."""
        kind, update = config["Type"], f"aws route53 update-health-check --health-check-id {self.check} --region us-east-1"
        if not str(kind).endswith("_STR_MATCH"):
            fix = "a new check of type HTTPS_STR_MATCH, inverted, with the text of away: the type of a check cannot be changed"
            yield (
                Severity.ERROR,
                f"is of type {kind}, which sees whether the object is there, not what it says; nothing is ever deleted",
                fix,
            )
            return
        inverted, wanted = bool(config.get("Inverted")), self._is.away if config.get("Inverted") else self._is.here
        if not inverted:
            text = f"is not inverted: with {self.lies_in} lost, it leads people away from {self.region} while that works"
            yield Severity.WARNING, text, f"{update} --inverted --search-string {shlex.quote(self._is.away)}"
        if config.get("SearchString") != wanted:
            text = f"looks for {config.get('SearchString')!r}, and the switch says {self._is.here!r} or {self._is.away!r}"
            yield Severity.ERROR, text, f"{update} --search-string {shlex.quote(wanted)}"
        if self._is.key not in str(config.get("ResourcePath") or ""):
            yield Severity.WARNING, f"asks for {config.get('ResourcePath')}, which does not name {self._is.key}", "correct the path, or key"

    def _text(self, state: State) -> str:
        return self._is.away if state is State.AWAY else self._is.here


class MetricFlip(Switch):
    """See ``MetricSwitch``."""

    def __init__(self, aws: Aws, region: str, check: str, settings: MetricSwitch) -> None:
        super().__init__(aws, region, check)
        self._is = settings
        self._metric = {
            "Namespace": settings.namespace,
            "MetricName": settings.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in settings.dimensions.items()],
        }

    @property
    def lies_in(self) -> str:
        """Where the metric is."""
        return self._is.in_region

    def read(self, place: Place) -> State:
        """By the newest value of the last three hours; none: nobody ever flipped it."""
        now = self.aws.site.clock.now()
        stat = {"Metric": self._metric, "Period": self._is.seconds, "Stat": "Maximum"}
        answer = self.aws.read(
            place, GET, StartTime=now - timedelta(hours=3), EndTime=now + timedelta(minutes=1), ScanBy="TimestampDescending",
            MetricDataQueries=[{"Id": "flip", "MetricStat": stat}],
        )  # fmt: skip
        values = answer["MetricDataResults"][0]["Values"]
        return State.AWAY if values and float(values[0]) == self._is.away else State.HERE

    def write(self, context: AttemptContext, place: Place, state: State) -> None:
        """The value for each period that the alarm looks at: away for those before as well, so that it is seen at once; here for those that
        come, for of a period that has both values the Maximum is away."""
        now, value = context.clock.now(), self._value(state)
        each = {name: value for name, value in self._metric.items() if name != "Namespace"}
        step = timedelta(seconds=self._is.seconds if state is State.HERE else -self._is.seconds)
        moments = [now + step * number for number in range(self._is.periods + (state is State.HERE))]
        data = [{**each, "Timestamp": moment, "Value": value} for moment in moments]
        self.aws.act(context, place, PUT, Namespace=self._is.namespace, MetricData=data)

    def uses(self, region: str) -> tuple[Sequence[Use], Sequence[Use]]:
        """CloudWatch knows no resources for either."""
        return (Use(GET, self.lies_in),), (Use(PUT, self.lies_in),)

    def typed(self, place: Place, state: State) -> Typed:
        """One value now."""
        each = ",".join(f"{name}={value}" for name, value in self._is.dimensions.items())
        named = f"--namespace {shlex.quote(self._is.namespace)} --metric-name {shlex.quote(self._is.name)}"
        do = f"aws cloudwatch put-metric-data {named} --value {self._value(state):g}" + (
            f" --dimensions {shlex.quote(each)}" if each else ""
        )
        pairs = " ".join(shlex.quote(f"Name={name},Value={value}") for name, value in self._is.dimensions.items())
        look = (
            f"aws cloudwatch get-metric-statistics {named}" + (f" --dimensions {pairs}" if pairs else "") + f" --period {self._is.seconds}"
            ' --statistics Maximum --start-time "$(date -u -d -10min +%FT%TZ)" --end-time "$(date -u +%FT%TZ)"'
        )  # fmt: skip
        last = f"sort_by(Datapoints,&Timestamp)[-1].Maximum==`{self._value(state):g}`"
        return Typed(do + _rest(place), f"{look}{_rest(place)} --query {shlex.quote(last)} | grep -qx true")

    def flaws(self, config: Mapping[str, Any], code: str) -> Iterator[Note]:
        """It must look at an alarm over there, and keep its status where no values come."""
        if config["Type"] != "CLOUDWATCH_METRIC":
            yield Severity.ERROR, f"is of type {config['Type']}, and the switch is a metric", "a new check of type CLOUDWATCH_METRIC"
            return
        alarm = config.get("AlarmIdentifier", {})
        if alarm.get("Region") != code:
            text = f"looks at the alarm {alarm.get('Name')} in {alarm.get('Region')}, and the metric is flipped in {code}"
            yield Severity.ERROR, text, f"--alarm-identifier Region={code},Name=ALARM"
        if config.get("InsufficientDataHealthStatus") != "LastKnownStatus":
            text = f"becomes {config.get('InsufficientDataHealthStatus')} again once no values come: people would be led back by themselves"
            fix = f"aws route53 update-health-check --health-check-id {self.check} --insufficient-data-health-status LastKnownStatus"
            yield Severity.ERROR, text, f"{fix} --region us-east-1"
        text = f"hangs on a metric in {self.lies_in}: with that lost, nobody can lead people back to {self.region} by it"
        yield Severity.WARNING, text, f"regions.{self.region}.object: a check that is inverted leads back by itself"

    def _value(self, state: State) -> float:
        return self._is.away if state is State.AWAY else self._is.here


class Edit(Switch):
    """The check's own settings: disabled and inverted in one call is unhealthy for good. Control plane in us-east-1.

    A check that is disabled always counts as healthy, and that, too, can be inverted:
    https://docs.aws.amazon.com/Route53/latest/APIReference/API_UpdateHealthCheck.html (Disabled, Inverted).
    """

    prepared = False

    @property
    def lies_in(self) -> str:
        """In no region of the runbook."""
        return ""

    def read(self, place: Place) -> State:
        """Away only where it is both."""
        config = self.config(place)["HealthCheckConfig"]
        return State.AWAY if config.get("Disabled") and config.get("Inverted") else State.HERE

    def config(self, place: Place) -> Mapping[str, Any]:
        """HealthCheck of the API. Raises StepError."""
        found: Mapping[str, Any] = self.aws.read(place, CHECK, HealthCheckId=self.check)["HealthCheck"]
        return found

    def write(self, context: AttemptContext, place: Place, state: State) -> None:
        """Both settings in one call, if nobody changed the check since it was read."""
        version = self.config(place)["HealthCheckVersion"]
        try:
            self.aws.act(context, place, FORCE, **self.wanted(state), HealthCheckVersion=version)
        except Permanent as error:
            if code_of(error) != "HealthCheckVersionMismatch":
                raise
            changed = error.message
        else:
            return
        raise Transient(f"somebody else changed the check at the same moment: {changed}")

    def wanted(self, state: State) -> dict[str, Any]:
        """Parameters of UpdateHealthCheck: never one of the two settings alone."""
        both = state is State.AWAY
        return {"HealthCheckId": self.check, "Disabled": both, "Inverted": both}

    def uses(self, region: str) -> tuple[Sequence[Use], Sequence[Use]]:
        """Of this check only."""
        arn = (check_arn(self.check),)
        return (Use(CHECK, region, arn),), (Use(CHECK, region, arn), Use(FORCE, region, arn))

    def typed(self, place: Place, state: State) -> Typed:
        """As it is sent, but for the version."""
        is_both = "HealthCheck.HealthCheckConfig.[Disabled,Inverted]==[`true`,`true`]"
        look = cli(CHECK, place, {"HealthCheckId": self.check}, query=is_both)
        return Typed(cli(FORCE, place, self.wanted(state)), f"{look} | grep -qx {str(state is State.AWAY).lower()}")

    def flaws(self, config: Mapping[str, Any], code: str) -> Iterator[Note]:
        """One of the two settings alone, or a check that is not edited so."""
        put_right = cli(FORCE, Place("", code), self.wanted(State.HERE))
        if config["Type"] == "RECOVERY_CONTROL":
            yield Severity.ERROR, "belongs to a routing control", "kind: aws.arc-routing-control"
        elif config.get("Disabled") and not config.get("Inverted"):
            yield Severity.ERROR, f"is disabled: it counts as healthy for ever, and people are led into a dead {self.region}", put_right
        elif config.get("Inverted") and not config.get("Disabled"):
            yield Severity.ERROR, f"is inverted, and not disabled: it sends people back into {self.region} once that is dead", put_right


def made(aws: Aws, region: str, settings: RegionCheck) -> Switch | None:
    """The switch of a region; None: it has no check."""
    if settings.health_check is None:
        return None
    if settings.object is not None:
        return ObjectFlip(aws, region, settings.health_check, settings.object)
    if settings.metric is not None:
        return MetricFlip(aws, region, settings.health_check, settings.metric)
    return Edit(aws, region, settings.health_check)


def _rest(place: Place) -> str:
    return f" --region {place.code}" + (f" --profile {shlex.quote(place.profile)}" if place.profile else "")
