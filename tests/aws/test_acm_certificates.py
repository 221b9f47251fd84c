"""``aws.acm-certificates`` against the emulated AWS: every public name is covered by an issued certificate in each region."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dr.errors import Transient
from dr.model.evidence import Accounted
from dr.model.plan import Acceptance
from dr.model.words import Guard, Intent, Severity
from dr.ports import Look
from dr.providers import registry
from dr.providers.aws.acm_certificates import AcmCertificates
from tests.aws.emulator import Emulator
from tests.aws.rig import CODES, Rig

EAST, WEST = CODES["east"], CODES["west"]


class Deployments:
    """A component that knows the public names; a lost region lists none."""

    def __init__(self, *hostnames: str, lost: str = "") -> None:
        self.listed, self.lost = hostnames, lost

    def hostnames(self, region: str) -> tuple[str, ...]:
        if region == self.lost:
            raise Transient(f"{region} is gone")
        return self.listed


class Made:
    """Certificates of one test, below a domain of their own."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.domain = emulator, f"t{uuid4().hex[:8]}.example.com"

    def issue(self, name: str, *regions: str, **fields: Any) -> list[str]:
        arns = []
        for region in regions or (EAST, WEST):
            name_there = f"{name}.{self.domain}"
            arns.append(str(self.emulator.client("acm", region).request_certificate(DomainName=name_there)["CertificateArn"]))
            self.set(arns[-1], **{"Status": "ISSUED", "RenewalEligibility": "ELIGIBLE", "InUseBy": ["alb"], **fields})
        return arns

    def set(self, arn: str, **fields: Any) -> None:
        self.emulator.control("set_certificate", arn=arn, **fields)

    def name(self, label: str) -> str:
        return f"{label}.{self.domain}"


@pytest.fixture
def made(emulator: Emulator) -> Made:
    return Made(emulator)


def make(rig: Rig, *hostnames: str, **changes: object) -> AcmCertificates:
    return rig.make(AcmCertificates, "certificates", {"hostnames": hostnames, "regions": {"east": {}, "west": {}}, **changes})


def facts(kind: AcmCertificates) -> list[tuple[Severity, str | None, str]]:
    return [(item.severity, item.region, item.fact) for item in kind.view().findings]


def test_a_wildcard_serves_all_names_with_one_call(rig: Rig, made: Made, emulator: Emulator) -> None:
    """Whatever the number of names; a failover asks the target only."""
    made.issue("*")
    kind = make(rig, *(made.name(f"d{number}") for number in range(240)))
    with emulator.counted() as calls:
        assert facts(kind) == []
    assert Counter(call.operation for call in calls if call.service == "acm") == {"ListCertificates": 2}
    emulator.lose(EAST)
    with emulator.counted() as calls:
        assert [seen.look for seen in rig.run(kind, Intent.FAILOVER)] == [Look.DONE]
    assert {call.proxy for call in calls} == {WEST}
    assert not rig.undeclared(kind.steps(Intent.FAILOVER, "east", "west"), calls)
    [account] = [item for item in rig.evidence if isinstance(item, Accounted)]
    assert (account.checked, account.equal) == (240, 240)


def test_a_name_without_a_certificate_refuses_the_move(rig: Rig, made: Made) -> None:
    """A wildcard stands for one label; a certificate of the other region does not help; a person may accept it."""
    made.issue("*")
    made.issue("x.deep", EAST)
    kind = make(rig, made.name("a"), made.name("x.deep"))
    assert facts(kind) == [(Severity.ERROR, "west", f"1 public name without a certificate in west: {made.name('x.deep')}")]
    [seen] = rig.run(kind, Intent.SWITCHOVER)
    assert seen.look is Look.BLOCKED and "aws acm request-certificate" in seen.reason
    rig.acceptances = (Acceptance(guard=Guard.PREREQUISITES, actor="lead", reason="unused", at=rig.clock.now()),)
    assert [seen.look for seen in rig.run(kind, Intent.SWITCHOVER)] == [Look.DONE]


@pytest.mark.parametrize(
    ("fields", "severity", "fact"),
    [
        ({"Status": "PENDING_VALIDATION"}, Severity.ERROR, "is PENDING_VALIDATION"),
        ({"Status": "FAILED", "FailureReason": "CAA_ERROR"}, Severity.ERROR, "is FAILED (CAA_ERROR)"),
        ({"NotAfter": -1}, Severity.ERROR, "expired on "),
        ({"NotAfter": 5}, Severity.WARNING, "expires in 4 days"),
        (
            {"NotAfter": 50, "RenewalEligibility": "INELIGIBLE", "Type": "IMPORTED"},
            Severity.WARNING, "expires in 49 days and is not renewed by ACM",
        ),
        (
            {"NotAfter": 50, "RenewalSummary": {"RenewalStatus": "PENDING_VALIDATION", "RenewalStatusReason": "CAA_ERROR"}},
            Severity.WARNING, "expires in 49 days and is not renewed: PENDING_VALIDATION (CAA_ERROR)",
        ),
        ({"InUseBy": []}, Severity.WARNING, "is used by nothing, that of the other region is"),
        ({"KeyAlgorithm": "EC_prime256v1"}, Severity.WARNING, "has the key algorithm EC_prime256v1, that of the other region RSA_2048"),
    ],
)  # fmt: skip
def test_what_is_found_beforehand(rig: Rig, made: Made, fields: dict[str, Any], severity: Severity, fact: str) -> None:
    """Errors are what clients would meet now; warnings what they will meet, or may; each with a fix, for moves to that region."""
    _, west = made.issue("a")
    if "NotAfter" in fields:
        fields = {**fields, "NotAfter": (rig.clock.now() + timedelta(days=fields["NotAfter"])).timestamp()}
    made.set(west, **fields)
    found = [item for item in make(rig, made.name("a")).view().findings if item.region == "west"]
    assert [item.severity for item in found] == [severity]
    assert fact in found[0].fact and found[0].fix


def test_certificates_by_arn(rig: Rig, made: Made, emulator: Emulator) -> None:
    """Only those count, and only those may be looked at; one that is not there is an error."""
    east, west = made.issue("a")
    regions = {"east": {"arns": [east]}, "west": {"arns": [west]}}
    kind = make(rig, made.name("a"), regions=regions)
    with emulator.counted() as calls:
        assert facts(kind) == []
    assert Counter(call.operation for call in calls if call.service == "acm") == {"DescribeCertificate": 2}
    assert kind.steps(Intent.FAILOVER, "east", "west")[0].spec.permissions == (f"acm:DescribeCertificate on {west}",)
    kind = make(rig, made.name("a"), regions={"east": {"arns": [east]}, "west": {"arns": [east.replace(EAST, WEST)]}})
    [found] = kind.view().findings
    assert (found.severity, found.region) == (Severity.ERROR, "west") and "ResourceNotFoundException" in found.fact


def test_names_of_another_component(rig: Rig, made: Made) -> None:
    """The other component lists them; where one region does not answer, the other's list counts."""
    made.issue("a")
    rig.peers["deployments"] = cast("Any", Deployments(made.name("a"), made.name("b"), lost="east"))
    kind = make(rig, deployments="deployments")
    found = [fact for _, region, fact in facts(kind) if region == "west"]
    assert found == [f"1 public name without a certificate in west: {made.name('b')}"]
    assert [seen.look for seen in rig.run(kind, Intent.FAILOVER)] == [Look.BLOCKED]
    rig.peers["deployments"] = cast("Any", object())
    assert any("is no component with public names" in fact for _, _, fact in facts(kind))


def test_re_protect_looks_at_the_old_side_and_blocks_nothing(rig: Rig, made: Made) -> None:
    """A flaw in a region that only stands by is debt."""
    kind = make(rig, made.name("a"))
    [step] = kind.steps(Intent.REPROTECT, "east", "west")
    assert (step.spec.region, step.spec.optional) == ("east", True)
    assert [seen.look for seen in rig.run(kind, Intent.REPROTECT)] == [Look.DONE]
    assert [item.missing_total for item in rig.evidence if isinstance(item, Accounted)] == [1]


def test_settings_and_by_hand(rig: Rig) -> None:
    """Names must come from somewhere; what is typed asks for all key types, as the API wants it."""
    with pytest.raises(ValidationError, match="deployments or hostnames"):
        make(rig)
    [step] = make(rig, "a.example.com").steps(Intent.FAILOVER, "east", "west")
    assert "EC_secp521r1" in step.spec.by_hand and step.spec.check_by_hand.endswith("--args a.example.com")
    assert registry.find("aws.acm-certificates") is AcmCertificates
