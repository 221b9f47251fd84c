"""AWS Certificate Manager: every public name has an issued certificate in each region. A certificate belongs to one region for ever."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from dr.errors import Permanent, StepError
from dr.model.base import Duration, Frozen
from dr.model.by_hand import Typed
from dr.model.evidence import NAMED, Accounted, Evidence
from dr.model.runbook import KindConfig
from dr.model.words import Guard, Intent, Severity, Verb
from dr.ports import AttemptContext, Look, Seen, Step
from dr.providers.artefacts import keep_lines
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.config import Arn, AwsConfig
from dr.providers.aws.kind import AwsKind, AwsStep, Judged
from dr.providers.aws.names import arn
from dr.providers.aws.place import Place
from dr.providers.aws.together import together
from dr.providers.aws.values import many, some
from dr.providers.regions import same_regions
from dr.providers.selfhosted.certificates.judge import covers
from dr.providers.selfhosted.certificates.kind import Named

LIST = Call("acm", "ListCertificates")
"""All certificates with their first hundred names, state and validity, a thousand a page. IAM knows no resource for it.

https://docs.aws.amazon.com/acm/latest/APIReference/API_ListCertificates.html: without ``keyTypes`` only RSA of 1024 and 2048 bits;
ValidationException, InvalidArgsException."""

DESCRIBE = Call("acm", "DescribeCertificate", refusals={
    "ResourceNotFoundException": "no such certificate there: correct regions.*.arns, or aws acm request-certificate",
    "InvalidArnException": "correct regions.*.arns",
})  # fmt: skip
"""One certificate: all names, how its renewal and validation stand. Asked for those that are named, and those in trouble.

https://docs.aws.amazon.com/acm/latest/APIReference/API_DescribeCertificate.html; ResourceNotFoundException, InvalidArnException."""

KEY_TYPES = ("RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1")
_RENEWED = timedelta(days=60)
"""ACM begins to renew so long before the end: https://docs.aws.amazon.com/acm/latest/userguide/managed-renewal.html"""
_MOST_DESCRIBED = 20


class RegionCertificates(Frozen):
    """One region. arns: the certificates that count there; none: every one of the account there."""

    arns: tuple[Arn, ...] = ()


class AcmConfig(AwsConfig):
    """Settings of the kind ``aws.acm-certificates``.

    hostnames: that need a certificate in each region. deployments: the component whose public names all need one, of kind
    ``airflow-deployments``. min_validity: one that ends sooner is a warning; ACM renews its own 60 days (1440h) before.
    """

    hostnames: tuple[str, ...] = ()
    deployments: str | None = None
    min_validity: Duration = timedelta(days=30)
    regions: dict[str, RegionCertificates] = Field(min_length=2)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.deployments is None and not self.hostnames:
            raise ValueError("expected deployments or hostnames, or both")
        return self


@dataclass(frozen=True)
class Certificate:
    """What ACM says of one. renewal: of the last attempt; empty: none. why: why it was not issued."""

    arn: str
    names: frozenset[str]
    status: str
    until: datetime | None
    algorithm: str
    type: str
    renewable: bool
    used: bool
    renewal: str = ""
    why: str = ""

    def good(self, now: datetime) -> bool:
        """Whether it serves now."""
        return self.status == "ISSUED" and (self.until is None or self.until > now)


@dataclass(frozen=True)
class Side:
    """One region. hostnames: those that need one, as the region lists them; problem: why its list is not whole."""

    place: Place
    certificates: tuple[Certificate, ...]
    hostnames: tuple[str, ...]
    problem: str = ""

    def best(self, hostname: str, now: datetime) -> Certificate | None:
        """The one that serves a name: good ones first, then whichever lasts longest."""
        fitting = [item for item in self.certificates if covers(item.names, hostname)]
        return max(fitting, key=lambda item: (item.good(now), item.until.timestamp() if item.until else 0.0), default=None)


class AcmCertificates(AwsKind[AcmConfig, Side]):
    """Certificates of AWS Certificate Manager for all public names, in each region.

    Protects clients from a region that nobody can talk to. Changes nothing: certificates are requested beforehand.
    """

    kind: ClassVar[str] = "aws.acm-certificates"
    Config: ClassVar[type[KindConfig]] = AcmConfig

    def regions(self) -> Sequence[str]:
        """All. Raises UsageError: not those of the runbook."""
        same_regions(self.name, self.config.regions, self.site)
        return tuple(self.config.regions)

    def look(self, place: Place) -> Side:
        """One region's certificates, and the names that it lists. Raises StepError."""
        problem = ""
        try:
            hostnames = self.hostnames(place.region)
        except StepError as error:
            hostnames, problem = self.config.hostnames, error.message
        return self.side(place.region, hostnames, problem)

    def side(self, region: str, hostnames: tuple[str, ...], problem: str = "") -> Side:
        """One region's certificates, for these names. Raises StepError."""
        place = self.places[region]
        return Side(place, tuple(self._certificates(place, hostnames)), hostnames, problem)

    def hostnames(self, region: str) -> tuple[str, ...]:
        """The names that need a certificate, as a region lists them. Raises StepError."""
        if self.config.deployments is None:
            return self.config.hostnames
        peer = self.site.peers.get(self.config.deployments)
        if not isinstance(peer, Named):
            text = f"{self.name}: deployments: {self.config.deployments} is no component with public names"
            raise Permanent(text, hint="name a component of kind airflow-deployments")
        return tuple(dict.fromkeys((*peer.hostnames(region), *self.config.hostnames)))

    def _certificates(self, place: Place, hostnames: Collection[str]) -> Iterator[Certificate]:
        now, named = self.site.clock.now(), self.config.regions[place.region].arns
        if named:
            yield from self._described(place, named)
            return
        pages = self.aws.pages(place, LIST, Includes={"keyTypes": list(KEY_TYPES)}, MaxItems=1000)
        listed = {item["CertificateArn"]: item for page in pages for item in page["CertificateSummaryList"]}
        found = {name: _certificate(item) for name, item in listed.items()}
        more = [name for name, item in listed.items() if item.get("HasAdditionalSubjectAlternativeNames")]
        more += [
            name for name, item in found.items()
            if name not in more and any(covers(item.names, host) for host in hostnames)
            and (item.status != "ISSUED" or (item.until is not None and item.until - now < _RENEWED))
        ]  # fmt: skip
        found |= {item.arn: item for item in self._described(place, more[:_MOST_DESCRIBED])}
        yield from found.values()

    def _described(self, place: Place, names: Sequence[str]) -> Iterator[Certificate]:
        asked = [partial(self.aws.read, place, DESCRIBE, CertificateArn=name) for name in names]
        yield from (_certificate(answer["Certificate"]) for answer in together(self.aws, asked))

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """Findings only."""
        sides = {region: side for region, side in looks.items() if isinstance(side, Side)}
        names = tuple(dict.fromkeys(name for side in sides.values() for name in side.hostnames))
        found = list(self.silent(looks))
        problems = [side.problem for side in sides.values() if side.problem]
        if problems and len(problems) == len(sides):
            found.append(self.finding(Severity.WARNING, f"not all public names are known: {problems[0]}", "dr status RUNBOOK"))
        for region, side in sides.items():
            others = [other for name, other in sides.items() if name != region]
            found += [self.finding(severity, fact, fix, region) for severity, fact, fix in self.flaws(side, names, others)]
        return Judged(findings=found)

    def flaws(self, side: Side, names: Collection[str], others: Sequence[Side] = ()) -> Iterator[tuple[Severity, str, str]]:
        """What is wrong in a region, with the fix: what clients would meet (error), what they will meet (warning)."""
        now, region, code = self.site.clock.now(), side.place.region, side.place.code
        best = {name: side.best(name, now) for name in names}
        missing = [name for name, item in best.items() if item is None]
        if missing:
            fix = f"aws acm request-certificate --validation-method DNS --domain-name {missing[0]} --region {code}"
            yield Severity.ERROR, f"{many(len(missing), 'public name')} without a certificate in {region}: {some(missing)}", fix
        for item in dict.fromkeys(item for item in best.values() if item is not None):
            served = [name for name, one in best.items() if one == item]
            for severity, fact, fix in self._of_one(item, code, now):
                yield severity, f"the certificate of {some(served)} in {region} {fact}", fix
            elsewhere = [one for other in others for name in served if (one := other.best(name, now)) is not None and one.good(now)]
            if item.good(now) and not item.used and any(one.used for one in elsewhere):
                fact = "is used by nothing, that of the other region is"
                yield Severity.WARNING, f"the certificate of {some(served)} in {region} {fact}", f"attach {item.arn} to the listener there"
            algorithms = {one.algorithm for one in elsewhere} - {item.algorithm}
            if item.good(now) and algorithms:
                fact = f"has the key algorithm {item.algorithm}, that of the other region {some(sorted(algorithms))}"
                yield Severity.WARNING, f"the certificate of {some(served)} in {region} {fact}", "request one with the same --key-algorithm"

    def _of_one(self, item: Certificate, code: str, now: datetime) -> Iterator[tuple[Severity, str, str]]:
        show = f"aws acm describe-certificate --certificate-arn {item.arn} --region {code}"
        validate, new = f"write the CNAME records of its DomainValidationOptions: {show}", "request or import a new one"
        why = f" ({item.why})" if item.why else ""
        left = timedelta.max if item.until is None else item.until - now
        ends = f"expires in {many(left.days, 'day')}"
        if left <= timedelta(0):
            yield Severity.ERROR, f"expired on {item.until:%Y-%m-%d %H:%M} UTC", new
        elif item.status != "ISSUED":
            yield Severity.ERROR, f"is {item.status}{why}", validate if item.status == "PENDING_VALIDATION" else new
        elif item.renewal in ("FAILED", "PENDING_VALIDATION") and left < _RENEWED:
            yield Severity.WARNING, f"{ends} and is not renewed: {item.renewal}{why}", validate
        elif left < _RENEWED and not item.renewable:
            how = new if item.type == "IMPORTED" else "attach it to a load balancer: ACM renews what is used"
            yield Severity.WARNING, f"{ends} and is not renewed by ACM", how
        elif left < self.config.min_validity:
            yield Severity.WARNING, ends, show

    def watches(self) -> Sequence[Use]:
        """What the monitor calls."""
        return [use for region in self.places for use in self.reads(region)]

    def reads(self, region: str) -> tuple[Use, ...]:
        """A whole look at one region."""
        named = self.config.regions[region].arns
        described = Use(DESCRIBE, region, named or (arn(self.places[region], "acm", "certificate/*"),))
        return (described,) if named else (Use(LIST, region), described)

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """Before a move: the target's certificates, and a flaw blocks. Re-protect: those of the other side, and a flaw is debt."""
        region, strict = (target, True) if intent.moves else (source, False)
        command = self._by_hand(region)
        step = self.step(
            Verb.PREPARE, region, f"every public name has an issued certificate in {region}",
            Account(self, source, target, region, strict=strict), uses=self.reads(region), typed=Typed(command, command),
            estimate=timedelta(milliseconds=300), budget=timedelta(minutes=2), optional=not strict,
        )  # fmt: skip
        return (step,)

    def _by_hand(self, region: str) -> str:
        """Every name is covered by an issued certificate; the names stand in NAMES where another component has them."""
        parameters: dict[str, Any] = {"CertificateStatuses": ["ISSUED"], "Includes": {"keyTypes": list(KEY_TYPES)}}
        query = "CertificateSummaryList[].SubjectAlternativeNameSummaries[]"
        names = "${NAMES:?set NAMES to the public names}" if self.config.deployments is not None else " ".join(self.config.hostnames)
        test = '. as $have | all($ARGS.positional[]; . as $it | any($have[]; . == $it or . == "*." + ($it | split(".")[1:] | join("."))))'
        return f"{self.typed(self.places[region], LIST, parameters, query=query)} | jq -e '{test}' --args {names}"


class Account(AwsStep[AcmCertificates]):
    """Looks at one region and accounts for every name. strict: a flaw blocks, as before a move; else it is debt."""

    def __init__(self, owner: AcmCertificates, source: str, target: str, region: str, *, strict: bool) -> None:
        super().__init__(owner, source, target)
        self._region, self._strict = region, strict

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED: clients would meet something wrong, and nobody accepted that. Raises StepError: it could not be looked at."""
        owner, now = self.owner, context.clock.now()
        names = owner.hostnames(self.target)  # while both are there they list the same; what may be lost is not asked
        side = owner.side(self._region, names)
        wrong = [(fact, fix) for severity, fact, fix in owner.flaws(side, names) if severity is Severity.ERROR]
        best = {name: side.best(name, now) for name in names}
        missing = tuple(name for name, item in best.items() if item is None)
        bad = tuple(name for name, item in best.items() if item is not None and not item.good(now))
        path = owner.site.artefacts / context.run_id / f"{context.step.id.replace('/', '-')}.jsonl"
        if wrong:
            keep_lines(path, [{"fact": fact, "fix": fix} for fact, fix in wrong])
        account: Evidence = Accounted(
            component=owner.name, region=self._region, at=now, checked=len(names), equal=len(names) - len(missing) - len(bad),
            missing=missing[:NAMED], missing_total=len(missing), differing=bad[:NAMED], differing_total=len(bad),
            items_path=str(path) if wrong else None,
        )  # fmt: skip
        told = "; ".join(fact for fact, _ in wrong[:3])
        if wrong and self._strict and not context.accepted(Guard.PREREQUISITES):
            text = f"{told}; {wrong[0][1]} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)"
            return Seen(Look.BLOCKED, text, (account,))
        return Seen(Look.DONE, told, (account,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing."""
        return ()


def _certificate(item: Mapping[str, Any]) -> Certificate:
    """Out of a summary or a description."""
    names = {item.get("DomainName", ""), *item.get("SubjectAlternativeNameSummaries", ()), *item.get("SubjectAlternativeNames", ())}
    renewal = item.get("RenewalSummary", {})
    return Certificate(
        item["CertificateArn"], frozenset(name.lower() for name in names if name), item.get("Status", "UNKNOWN"), item.get("NotAfter"),
        item.get("KeyAlgorithm", "").replace("-", "_"), item.get("Type", ""), item.get("RenewalEligibility") == "ELIGIBLE",
        bool(item.get("InUse") or item.get("InUseBy")), renewal.get("RenewalStatus", ""),
        renewal.get("RenewalStatusReason") or item.get("FailureReason", ""),
    )  # fmt: skip
