"""The kind ``aws.quota``: what an account may have in the region that is moved to, against what is needed there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from dr.errors import StepError
from dr.model.base import Frozen, show_duration
from dr.model.by_hand import Typed
from dr.model.lag import Finding
from dr.model.runbook import KindConfig
from dr.model.words import Severity
from dr.ports import Site
from dr.providers.aws.calls import Use
from dr.providers.aws.config import AwsConfig, Nothing
from dr.providers.aws.kind import Judged
from dr.providers.aws.memory import Memory
from dr.providers.aws.metrics import GET as METRICS
from dr.providers.aws.metrics import Metrics, Question
from dr.providers.aws.place import Place
from dr.providers.aws.readiness import quotas
from dr.providers.aws.readiness.checked import Checked
from dr.providers.aws.readiness.quotas import Quota
from dr.providers.aws.typed import cli
from dr.providers.regions import same_regions

_LISTED = 3
"""From so many quotas of one service on, all of it are listed: 100 a call, where single ones are five a second."""


class Metric(Frozen):
    """A metric of CloudWatch that says how much is in use; of ``AWS/Usage`` most of the time."""

    namespace: str = "AWS/Usage"
    name: str = "ResourceCount"
    dimensions: dict[str, str] = {}
    stat: str = "Maximum"

    def question(self) -> Question:
        """As CloudWatch is asked."""
        return Question(self.namespace, self.name, tuple(sorted(self.dimensions.items())), self.stat, 300)


class Need(Frozen):
    """One quota.

    service, code: as ``aws service-quotas list-service-quotas`` has them: ec2 L-1216C47A (vCPUs of standard instances), L-0263D0A3 (Elastic
    IPs), elasticloadbalancing L-B22855CB (target groups). at_least: its value must be. as_used: it must hold what the other region uses:
    ``true`` by the quota's own metric, or by this one.
    """

    service: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9-]{1,63}$")]
    code: Annotated[str, StringConstraints(pattern=r"^L-[0-9A-F]{8}$")]
    at_least: float | None = Field(None, ge=0)
    as_used: bool | Metric = False

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.at_least is None and not self.as_used:
            raise ValueError("expected at_least: NUMBER, or as_used: true")
        return self

    def __str__(self) -> str:
        return f"{self.service} {self.code}"


class QuotaConfig(AwsConfig):
    """Settings of ``aws.quota``."""

    regions: dict[str, Nothing] = Field(min_length=2)
    quotas: tuple[Need, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Held:
    """One quota of a region and how much of it is in use; None: nobody tells."""

    quota: Quota
    used: float | None


Side = Mapping[str, Held | StepError]
"""By service and code; an error is that of one quota."""


class ServiceQuota(Checked[QuotaConfig, Side]):
    """Service quotas of each region, against a number or what the other region uses.

    Protects capacity: a quota that is too small shows on the day only, and raising it takes hours to days. What the other region used is
    remembered outside of it. Needs ``servicequotas`` reads and CloudWatch.
    """

    kind: ClassVar[str] = "aws.quota"
    Config: ClassVar[type[KindConfig]] = QuotaConfig
    subject: ClassVar[str] = "quotas that"

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, QuotaConfig), "the registry gives each kind its own Config"
        same_regions(name, config.regions, site)
        super().__init__(name, config, needs, site)
        self.memory = Memory(site, name)
        metrics = Metrics.of(self.aws)
        for place in self.places.values():
            metrics.register(place, *(need.as_used.question() for need in self.config.quotas if isinstance(need.as_used, Metric)))

    def regions(self) -> Sequence[str]:
        """All that the settings name."""
        return tuple(self.config.regions)

    def reads(self, region: str) -> Sequence[Use]:
        """IAM knows no resource for any of them."""
        return [Use(call, region) for call in (quotas.APPLIED, quotas.ALL_APPLIED, quotas.DEFAULT, METRICS)]

    def ask(self, place: Place) -> Side:
        """Quotas of one service at once where there are several; use by CloudWatch, all in one call. Raises StepError."""
        by_service: dict[str, list[Need]] = {}
        for need in self.config.quotas:
            by_service.setdefault(need.service, []).append(need)
        listing = [service for service, needs in by_service.items() if len(needs) >= _LISTED]
        listed = dict(zip(listing, self.aws.many([partial(quotas.quotas, self.aws, place, one) for one in listing]), strict=True))
        found: dict[str, Quota | StepError] = {}
        for service, all_of_it in listed.items():
            if isinstance(all_of_it, StepError):
                raise all_of_it
            found |= {f"{service} {code}": item for code, item in all_of_it.items()}
        single = [need for need in self.config.quotas if str(need) not in found]
        asked = self.aws.many([partial(quotas.quota, self.aws, place, need.service, need.code) for need in single])
        found |= dict(zip(map(str, single), asked, strict=True))
        if all(isinstance(found[str(need)], StepError) for need in self.config.quotas):
            raise next(error for error in found.values() if isinstance(error, StepError))
        side = self._used(place, found)
        known = {key: held.used for key, held in side.items() if isinstance(held, Held)}
        self.memory.keep(place.region, {key: f"{value:g}" for key, value in known.items() if value is not None})
        return side

    def _used(self, place: Place, found: Mapping[str, Quota | StepError]) -> Side:
        metrics, side = Metrics.of(self.aws), {}
        questions = {str(need): self._question(need, found[str(need)]) for need in self.config.quotas}
        metrics.register(place, *(question for question in questions.values() if question is not None))
        for key, question in questions.items():
            item = found[key]
            value = None if question is None or isinstance(item, StepError) else quotas.used(self.aws, place, question)
            side[key] = item if isinstance(item, StepError) else Held(item, value)
        return side

    def _question(self, need: Need, item: Quota | StepError) -> Question | None:
        if isinstance(need.as_used, Metric):
            return need.as_used.question()
        return item.usage if need.as_used and isinstance(item, Quota) else None

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """Each region against a number, and against what the other uses, or used when it was last seen."""
        found = list(self.silent(looks))
        for region, side in looks.items():
            if isinstance(side, StepError):
                continue
            source = self.other(region)
            there = looks.get(source)
            for need in self.config.quotas:
                own, other = side[str(need)], None if there is None or isinstance(there, StepError) else there[str(need)]
                if isinstance(own, StepError):
                    found.append(self.finding(Severity.ERROR, own.message, own.hint, region))
                else:
                    found += self._findings(need, region, own, source, other)
        return Judged(findings=found)

    def _findings(self, need: Need, region: str, own: Held, source: str, other: Held | StepError | None) -> Iterator[Finding]:
        quota = own.quota
        fix = f"aws service-quotas request-service-quota-increase --region {self.places[region].code}"
        fix += f" --service-code {need.service} --quota-code {need.code} --desired-value"
        if need.at_least is not None and quota.value < need.at_least:
            fact = f"{quota} is {quota.value:g} in {region}, and {need.at_least:g} are needed"
            yield self.finding(Severity.ERROR, fact, f"{fix} {need.at_least:g}", region)
        if not need.as_used:
            return
        used, when = (other.used, "") if isinstance(other, Held) else self._remembered(need, source)
        if used is None:
            fact = f"how much of {quota} {source} uses is not known"
            yield self.finding(Severity.WARNING, fact, "name its metric in as_used, or write at_least", region)
        elif quota.value < used:
            fact = f"{quota} is {quota.value:g} in {region}, and {source} uses {used:g}{when}"
            yield self.finding(Severity.ERROR, fact, f"{fix} {used:g}", region)
        elif own.used is not None and quota.value < own.used + used:
            fact = f"{quota} is {quota.value:g} in {region}, where {own.used:g} are in use; {source} uses {used:g}{when}"
            yield self.finding(Severity.WARNING, fact, f"{fix} {own.used + used:g}", region)

    def _remembered(self, need: Need, region: str) -> tuple[float | None, str]:
        kept = self.memory.last(region)
        if kept is None or str(need) not in kept.items:
            return None, ""
        return float(kept.items[str(need)]), f", as seen {show_duration(self.site.clock.now() - kept.taken_at)} ago"

    def by_hand(self, region: str, source: str) -> Typed:
        """Each value; against the number, or a variable of the shell that must be set."""
        place = self.places[region]
        shown = [
            cli(quotas.APPLIED, place, {"ServiceCode": need.service, "QuotaCode": need.code}, query="Quota.Value", text=True)
            for need in self.config.quotas
        ]  # fmt: skip
        wanted = [
            f"{need.at_least:g}" if need.at_least is not None
            else f'"${{{need.code.replace("-", "_")}:?how much of {need} is in use in {source}}}"'
            for need in self.config.quotas
        ]  # fmt: skip
        checks = [f"{show} | jq -e --argjson n {number} '. >= $n'" for show, number in zip(shown, wanted, strict=True)]
        return Typed(" && ".join(shown), " && ".join(checks))
