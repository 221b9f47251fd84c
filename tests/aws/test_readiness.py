"""``aws.iam-trust``, ``aws.quota``, ``aws.network``: what is found beforehand, and the step that blocks, against the emulated AWS."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dr.errors import Transient
from dr.model.evidence import Note
from dr.model.plan import Acceptance
from dr.model.words import Guard, Intent, Severity, Verb
from dr.ports import Look
from dr.providers import registry
from dr.providers.aws.readiness import routes
from dr.providers.aws.readiness.checked import Checked
from dr.providers.aws.readiness.iam_trust import IamTrust
from dr.providers.aws.readiness.network import AwsNetwork
from dr.providers.aws.readiness.quota import ServiceQuota
from dr.providers.aws.readiness.trust import trusts
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig

EAST, WEST = CODES["east"], CODES["west"]
Found = list[tuple[Severity, str | None, str]]


def found(kind: Checked[Any, Any]) -> Found:
    """All findings, looked at anew."""
    kind._known.clear()
    return [(item.severity, item.region, item.fact) for item in kind.view().findings]


def errors(kind: Checked[Any, Any], region: str | None = None) -> list[str]:
    """Facts of errors that concern a region."""
    return [fact for severity, where, fact in found(kind) if severity is Severity.ERROR and where == region]


def check(rig: Rig, kind: Checked[Any, Any], intent: Intent = Intent.FAILOVER) -> Any:
    """The step of a move, one attempt."""
    return rig.perform(rig.step(kind, intent, Verb.PREPARE), intent)


def accept(rig: Rig) -> None:
    """Somebody says yes to what is missing."""
    rig.acceptances = (Acceptance(guard=Guard.PREREQUISITES, actor="lead", reason="known", at=rig.clock.now()),)


def parses(kind: Checked[Any, Any], intent: Intent) -> None:
    """bash takes what people are told to type."""
    for step in kind.steps(intent, "east", "west"):
        for text in (step.spec.by_hand, step.spec.check_by_hand):
            assert text and not subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).stderr


def declared(rig: Rig, kind: Checked[Any, Any], emulator: Emulator) -> None:
    """Every call of every intent was declared."""
    for intent in Intent:
        emulator.clear_calls()
        rig.run(kind, intent)
        assert not rig.undeclared(kind.steps(intent, "east", "west"), emulator.calls()), intent
        parses(kind, intent)


# trust policies, pure

HERE, THERE = "oidc.eks.us-west-2.amazonaws.com/id/AAAA", "oidc.eks.us-east-1.amazonaws.com/id/BBBB"


def policy(*issuers: str, keys: Sequence[str] | None = None, **changes: object) -> dict[str, object]:
    """One statement for each issuer, with a condition on its own subject."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity",
                "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}"},
                "Condition": {"StringEquals": {f"{key}:sub": "system:serviceaccount:airflow:worker"}}, **changes,
            }
            for issuer, key in zip(issuers, keys or issuers, strict=True)
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (policy(HERE), ""),
        (policy(THERE, HERE), ""),
        (policy(THERE), "does not trust"),
        (policy(HERE, keys=[THERE]), "under a condition on"),
        (policy(HERE, keys=[THERE])["Statement"], None),
        (policy(HERE, Effect="Deny"), "does not trust"),
        (policy(HERE, Action="sts:AssumeRole"), "does not trust"),
        (policy(HERE, Action=["sts:TagSession", "sts:AssumeRoleWithWebIdentity"]), ""),
        ({"Statement": {"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"}, "Action": "sts:AssumeRole"}}, ""),
        ({"Statement": []}, "does not trust"),
    ],
)
def test_whom_a_policy_trusts(held: Any, why: str | None) -> None:
    """By provider and condition; a statement copied with the other cluster's condition lets nobody in."""
    if why is None:
        held, why = {"Statement": held}, "under a condition on"
    told = trusts(held, f"https://{HERE}")
    assert told == "" if why == "" else why in told


# aws.iam-trust


class Roles:
    """Clusters in both regions, and roles."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.name = emulator, f"r{uuid4().hex[:8]}"
        self.issuers = {}
        for region in (EAST, WEST):
            arn = f"arn:aws:iam::{ACCOUNT}:role/eks"
            client = emulator.client("eks", region)
            made = client.create_cluster(name=self.name, roleArn=arn, resourcesVpcConfig={"subnetIds": ["subnet-1"]})
            self.issuers[region] = made["cluster"]["identity"]["oidc"]["issuer"]
        self.iam = emulator.client("iam", EAST)
        for issuer in self.issuers.values():
            with contextlib.suppress(self.iam.exceptions.EntityAlreadyExistsException):  # moto's clusters of a region share one
                self.iam.create_open_id_connect_provider(Url=issuer, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["0" * 40])

    def bare(self, region: str) -> str:
        return str(self.issuers[region]).removeprefix("https://")

    def role(self, word: str, *regions: str) -> str:
        name = f"{word}-{self.name}"
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(policy(*map(self.bare, regions))))
        return name

    def settings(self, *names: str) -> dict[str, object]:
        return {"regions": {"east": {"cluster": self.name}, "west": {"cluster": self.name}}, "trusted": list(names)}


@pytest.fixture
def roles(emulator: Emulator) -> Roles:
    return Roles(emulator)


def test_a_role_must_trust_both_clusters(rig: Rig, roles: Roles, emulator: Emulator) -> None:
    """One that names east's issuer only is an error for moves to west, and blocks a planned one; named, it goes."""
    both, east_only = roles.role("both", EAST, WEST), roles.role("east", EAST)
    assert rig.make(IamTrust, "pathed", roles.settings(f"team/{both}")).view().findings == ()
    good = rig.make(IamTrust, "good", roles.settings(both))
    assert found(good) == []
    assert check(rig, good, Intent.SWITCHOVER).look is Look.DONE
    kind = rig.make(IamTrust, "trust", roles.settings(both, east_only))
    (fact,) = errors(kind, "west")
    assert east_only in fact and roles.bare(WEST) in fact and errors(kind, "east") == []
    seen = check(rig, kind, Intent.SWITCHOVER)
    assert seen.look is Look.BLOCKED and "--accept prerequisites" in seen.reason
    accept(rig)
    assert check(rig, kind, Intent.SWITCHOVER).look is Look.DONE
    assert [item.text for item in rig.evidence if isinstance(item, Note) and east_only in item.text]
    declared(rig, kind, emulator)


def test_a_failover_asks_iam_nothing(rig: Rig, roles: Roles, emulator: Emulator) -> None:
    """Its control plane lives in us-east-1: looked at beforehand, never in a failover."""
    kind = rig.make(IamTrust, "trust", roles.settings(roles.role("both", EAST, WEST)))
    assert kind.steps(Intent.FAILOVER, "east", "west") == () and kind.steps(Intent.REPROTECT, "east", "west") == ()
    (step,) = kind.steps(Intent.SWITCHOVER, "east", "west")
    assert {touch.region for touch in step.spec.touches if touch.service == "iam"} == {"us-east-1"}
    emulator.lose(EAST)
    assert {severity for severity, _, _ in found(kind)} == {Severity.WARNING}, "IAM and east do not say; nothing is known to be wrong"


def test_a_role_or_provider_that_is_not_there(rig: Rig, roles: Roles) -> None:
    """Each is an error; an issuer may be given instead of a cluster."""
    kind = rig.make(IamTrust, "trust", roles.settings("never-made"))
    assert len(errors(kind, "west")) == 1 and "there is no such role" in errors(kind, "west")[0]
    unknown = "oidc.eks.us-west-2.amazonaws.com/id/CCCC"
    roles.iam.create_role(RoleName=f"c-{roles.name}", AssumeRolePolicyDocument=json.dumps(policy(unknown, roles.bare(EAST))))
    own = {"east": {"cluster": roles.name}, "west": {"issuer": f"https://{unknown}"}}
    given = rig.make(IamTrust, "given", {"regions": own, "trusted": [f"c-{roles.name}"]})
    assert [fact for fact in errors(given, "west") if "no identity provider" in fact] and errors(given, "east") == []


def test_many_roles_are_listed(rig: Rig, roles: Roles, emulator: Emulator) -> None:
    """Twelve roles: no call for each; a second look within a minute calls nothing at all."""
    names = [roles.role(f"n{number}", EAST, WEST) for number in range(12)]
    kind = rig.make(IamTrust, "trust", roles.settings(*names))
    with emulator.counted() as made:
        assert kind.view().findings == ()
        kind.view()
    calls = [call.operation for call in made if call.service in ("iam", "eks")]
    assert set(calls) == {"DescribeCluster", "ListRoles", "ListOpenIDConnectProviders"}
    assert calls.count("DescribeCluster") == 2 and calls.count("ListOpenIDConnectProviders") == 1


# aws.quota

VCPUS = {"service": "ec2", "code": "L-1216C47A"}
DIMENSIONS = {"Service": "EC2", "Class": "Standard/OnDemand"}
METRIC = {"namespace": "AWS/Usage", "name": "ResourceCount", "dimensions": DIMENSIONS}


@pytest.fixture
def quota_of(emulator: Emulator) -> Any:
    """Sets the quota of vCPUs in a region, and how much of it is in use."""

    def set_it(region: str, value: float, used: float | None = None) -> None:
        emulator.control("set_quota", region=region, service="ec2", code="L-1216C47A", value=value)
        if used is not None:
            emulator.set_metric(region, "AWS/Usage", "ResourceCount", DIMENSIONS, used)

    return set_it


def quota(rig: Rig, *needs: Mapping[str, object], name: str = "quota") -> ServiceQuota:
    return rig.make(ServiceQuota, name, {"regions": {"east": {}, "west": {}}, "quotas": [dict(need) for need in needs]})


def test_a_quota_against_a_number(rig: Rig, emulator: Emulator, quota_of: Any) -> None:
    """Too small: an error with the command that asks for more; the step blocks."""
    quota_of(EAST, 256)
    quota_of(WEST, 64)
    kind = quota(rig, {**VCPUS, "at_least": 128})
    (fact,) = errors(kind, "west")
    assert "64" in fact and "128" in fact and errors(kind, "east") == []
    fixes = [item.fix for item in kind.view().findings]
    assert fixes[0].endswith("--quota-code L-1216C47A --desired-value 128")
    assert check(rig, kind).look is Look.BLOCKED
    quota_of(WEST, 128)
    assert check(rig, kind).look is Look.DONE and found(kind) == []
    declared(rig, kind, emulator)


def test_a_quota_against_what_the_other_region_uses(rig: Rig, emulator: Emulator, quota_of: Any) -> None:
    """By CloudWatch while east is there; remembered once it is gone; a failover asks west only."""
    quota_of(EAST, 256, used=100)
    quota_of(WEST, 90, used=20)
    kind = quota(rig, {**VCPUS, "as_used": METRIC})
    assert "90" in errors(kind, "west")[0] and "east uses 100" in errors(kind, "west")[0]
    emulator.lose(EAST)
    emulator.clear_calls()
    seen = check(rig, kind)
    assert seen.look is Look.BLOCKED and "east uses 100, as seen" in seen.reason
    assert {call.region for call in emulator.calls()} == {WEST}
    quota_of(WEST, 110)
    assert check(rig, kind).look is Look.DONE
    assert [item for item in found(kind) if item[0] is Severity.WARNING and "20 are in use" in item[2]], (
        "beside what runs there it is tight"
    )


def test_a_quota_that_is_not_there_and_use_that_nobody_knows(rig: Rig, quota_of: Any) -> None:
    """The first is an error, the second a warning; never seen is not zero."""
    quota_of(EAST, 256)
    quota_of(WEST, 256)
    kind = quota(rig, {**VCPUS, "at_least": 1}, {"service": "ec2", "code": "L-FFFFFFFF", "at_least": 1})
    assert any("NoSuchResourceException" in fact for fact in errors(kind, "west"))
    unknown = quota(rig, {**VCPUS, "as_used": True}, name="unknown")
    assert [severity for severity, _, fact in found(unknown) if "is not known" in fact] == [Severity.WARNING] * 2


def test_several_quotas_of_a_service_are_listed(rig: Rig, emulator: Emulator) -> None:
    """One listing a region instead of four calls."""
    codes = ["L-1216C47A", *(f"L-0000000{number}" for number in range(3))]
    for region in (EAST, WEST):
        for code in codes[1:]:
            emulator.control("set_quota", region=region, service="ec2", code=code, value=5)
    kind = quota(rig, *({"service": "ec2", "code": code, "at_least": 1} for code in codes))
    with emulator.counted() as made:
        assert found(kind) == []
    assert sorted(call.operation for call in made if call.service == "service-quotas") == ["ListServiceQuotas"] * 2


# aws.network


def table(*items: Mapping[str, object]) -> routes.Table:
    return routes.table({"RouteTableId": "rtb-1", "Routes": items})


LOCAL = {"DestinationCidrBlock": "10.2.0.0/16", "GatewayId": "local", "State": "active"}
WAY = {"DestinationCidrBlock": "10.1.0.0/16", "TransitGatewayId": "tgw-1", "State": "active"}
INTERNET = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1", "State": "active"}


@pytest.mark.parametrize(
    ("held", "why"),
    [
        ((LOCAL, WAY), ""),
        ((LOCAL,), "no route"),
        ((LOCAL, INTERNET), "only reached by 0.0.0.0/0 through nat-1"),
        ((INTERNET, {**WAY, "DestinationCidrBlock": "10.0.0.0/8"}), ""),
        ((WAY, {**WAY, "State": "blackhole"}), ""),
        (({**WAY, "State": "blackhole"},), "blackhole"),
        ((WAY, {**WAY, "DestinationCidrBlock": "10.1.2.0/24", "State": "blackhole"}), "10.1.2.0/24, a part of"),
        (({**WAY, "DestinationCidrBlock": "10.0.0.0/8"}, {**WAY, "State": "blackhole"}), "blackhole"),
        (({"DestinationCidrBlock": "10.1.0.0/16", "GatewayId": "igw-1", "State": "active"},), "through igw-1"),
        (({"DestinationCidrBlock": "10.1.0.0/16", "GatewayId": "vgw-1", "State": "active"},), ""),
        (({"DestinationIpv6CidrBlock": "::/0", "TransitGatewayId": "tgw-1", "State": "active"},), "no route"),
    ],
)
def test_which_way_a_packet_takes(held: tuple[Mapping[str, object], ...], why: str) -> None:
    """The narrowest route that holds a network decides; a private way, and no blackhole."""
    told = routes.unreached(table(*held), routes.network("10.1.0.0/16"))
    assert told == "" if why == "" else why in told


def test_networks_that_share_addresses() -> None:
    """Of different owners only, each pair once; addresses against an allow-list."""
    named = [
        (owner, routes.network(text)) for owner, text in (("a", "10.0.0.0/16"), ("a", "10.0.1.0/24"), ("b", "10.0.2.0/24"), ("b", "::/0"))
    ]
    assert list(routes.overlapping(named)) == [("a 10.0.0.0/16", "b 10.0.2.0/24")]
    assert routes.outside(["203.0.113.7", "198.51.100.1"], ["203.0.113.0/24"]) == ["198.51.100.1"]


class Vpcs:
    """A VPC in each region, with a route table of its own."""

    def __init__(self, emulator: Emulator, east: str = "10.41.0.0/16", west: str = "10.42.0.0/16") -> None:
        self.emulator = emulator
        self.ids: dict[str, str] = {}
        self.tables: dict[str, str] = {}
        for region, cidr in ((EAST, east), (WEST, west)):
            client = emulator.client("ec2", region)
            self.ids[region] = client.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
            self.tables[region] = client.create_route_table(VpcId=self.ids[region])["RouteTable"]["RouteTableId"]

    def nat(self, region: str) -> str:
        """A NAT gateway; its public address."""
        client = self.emulator.client("ec2", region)
        subnet = client.create_subnet(VpcId=self.ids[region], CidrBlock="10.42.1.0/24")["Subnet"]["SubnetId"]
        address = client.allocate_address(Domain="vpc")
        client.create_nat_gateway(SubnetId=subnet, AllocationId=address["AllocationId"])
        return str(address["PublicIp"])

    def settings(self, **west: object) -> dict[str, object]:
        return {
            "regions": {
                "east": {"vpcs": [self.ids[EAST]]},
                "west": {"vpcs": [self.ids[WEST]], "route_tables": [self.tables[WEST]], **west},
            }
        }


def test_a_network_that_must_be_reached(rig: Rig, emulator: Emulator) -> None:
    """No route: an error, and the step blocks; through a transit gateway it goes; its own table counts, too."""
    vpcs, ec2 = Vpcs(emulator), emulator.client("ec2", WEST)
    gateway = ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
    known = ec2.create_transit_gateway_route_table(TransitGatewayId=gateway)["TransitGatewayRouteTable"]["TransitGatewayRouteTableId"]
    more = {"reaches": ["10.9.0.0/16"], "transit_gateway_route_tables": [known]}
    kind = rig.make(AwsNetwork, "network", vpcs.settings(**more))
    assert len(errors(kind, "west")) == 2 and errors(kind, "east") == []
    seen = check(rig, kind)
    assert seen.look is Look.BLOCKED and "no route to 10.9.0.0/16" in seen.reason
    ec2.create_route(RouteTableId=vpcs.tables[WEST], DestinationCidrBlock="10.0.0.0/8", TransitGatewayId=gateway)
    ec2.create_transit_gateway_route(DestinationCidrBlock="10.9.0.0/16", TransitGatewayRouteTableId=known, Blackhole=True)
    (fact,) = errors(kind, "west")
    assert known in fact and "blackhole" in fact
    ec2.delete_transit_gateway_route(DestinationCidrBlock="10.9.0.0/16", TransitGatewayRouteTableId=known)
    plain = rig.make(AwsNetwork, "plain", vpcs.settings(reaches=["10.9.0.0/16"]))
    assert check(rig, plain).look is Look.DONE and found(plain) == []
    declared(rig, kind, emulator)


def test_regions_that_share_addresses(rig: Rig, emulator: Emulator) -> None:
    """An error for every move, unless nothing ever connects them."""
    vpcs = Vpcs(emulator, east="10.42.0.0/16", west="10.42.128.0/20")
    kind = rig.make(AwsNetwork, "network", vpcs.settings())
    assert len(errors(kind)) == 1 and "share addresses" in errors(kind)[0]
    assert check(rig, kind, Intent.SWITCHOVER).look is Look.BLOCKED
    assert errors(rig.make(AwsNetwork, "apart", {**vpcs.settings(), "overlaps": True})) == []


def test_addresses_that_others_let_in(rig: Rig, emulator: Emulator) -> None:
    """A gateway that sends from another address is an error; an address that is not ours any more, a warning."""
    vpcs = Vpcs(emulator)
    address = vpcs.nat(WEST)
    kind = rig.make(AwsNetwork, "network", vpcs.settings(egress_allowed=["203.0.113.9"]))
    (fact,) = errors(kind, "west")
    assert address in fact
    assert [item for item in found(kind) if item[0] is Severity.WARNING and "203.0.113.9" in item[2]]
    good = rig.make(AwsNetwork, "good", vpcs.settings(egress_allowed=[address]))
    assert found(good) == [] and check(rig, good).look is Look.DONE
    declared(rig, good, emulator)


def test_a_target_that_does_not_answer_is_asked_again(rig: Rig, emulator: Emulator) -> None:
    """Transient: nothing is known to be wrong there. A missing permission is an error that names the action."""
    vpcs = Vpcs(emulator)
    kind = rig.make(AwsNetwork, "network", vpcs.settings())
    emulator.deny("ec2:DescribeVpcs", WEST)
    assert any("DescribeVpcs" in fact for fact in errors(kind, "west"))
    assert "ec2:DescribeVpcs" in next(item.fix for item in kind.view().findings)
    emulator.lose(WEST)
    with pytest.raises(Transient):
        check(rig, kind)


def test_settings_of_readiness(rig: Rig) -> None:
    """Refused with the field, before anything is called; the registry knows the kinds."""
    regions: dict[str, object] = {"east": {}, "west": {}}
    for kind, settings in (
        (ServiceQuota, {"regions": regions, "quotas": [VCPUS]}),
        (ServiceQuota, {"regions": regions, "quotas": []}),
        (IamTrust, {"regions": regions, "trusted": ["a"]}),
        (AwsNetwork, {"regions": {"east": {"vpcs": ["vpc-1"], "reaches": ["10.300.0.0/16"]}, "west": {"vpcs": ["vpc-2"]}}}),
    ):
        with pytest.raises(ValidationError):
            rig.make(kind, "x", settings)
    for one in (IamTrust, ServiceQuota, AwsNetwork):
        assert registry.find(one.kind) is one
