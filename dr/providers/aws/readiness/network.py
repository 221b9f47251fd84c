"""The kind ``aws.network``: ways between the networks that a platform needs, and the addresses that it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, StringConstraints

from dr.errors import StepError
from dr.model.base import Frozen
from dr.model.by_hand import Typed
from dr.model.lag import Finding
from dr.model.runbook import KindConfig
from dr.model.words import Severity
from dr.ports import Site
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.config import AwsConfig
from dr.providers.aws.kind import Judged
from dr.providers.aws.place import Place
from dr.providers.aws.readiness import routes
from dr.providers.aws.readiness.checked import Checked
from dr.providers.aws.typed import cli
from dr.providers.regions import same_regions

VPCS = Call("ec2", "DescribeVpcs", refusals={"InvalidVpcID.NotFound": "correct regions.*.vpcs: aws ec2 describe-vpcs"})
"""VPCs and all their CIDRs. https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeVpcs.html; InvalidVpcID.NotFound."""

TABLES = Call("ec2", "DescribeRouteTables", refusals={"InvalidRouteTableID.NotFound": "correct regions.*.route_tables"})
"""Route tables with each route's state. API_DescribeRouteTables of the same; InvalidRouteTableID.NotFound."""

NATS = Call("ec2", "DescribeNatGateways")
"""NAT gateways of VPCs with their public addresses. API_DescribeNatGateways."""

ADDRESSES = Call("ec2", "DescribeAddresses")
"""Elastic IPs of the account. API_DescribeAddresses."""

TRANSIT = Call("ec2", "SearchTransitGatewayRoutes", refusals={"InvalidRouteTableID.NotFound": "correct transit_gateway_route_tables"})
"""Routes of a transit gateway's route table, 1,000 a call. API_SearchTransitGatewayRoutes; InvalidRouteTableID.NotFound."""


def _cidr(text: str) -> str:
    try:
        return str(routes.network(text))
    except ValueError:
        raise ValueError("expected a network such as 10.1.0.0/16, or an address") from None


Cidr = Annotated[str, AfterValidator(_cidr)]


class RegionNetwork(Frozen):
    """One region's networks.

    vpcs: where the platform runs. reaches: networks that must be reached by a private way (transit gateway, peering, virtual private
    gateway). route_tables: those that must lead there; none: all of the VPCs. transit_gateway_route_tables: likewise.
    egress_allowed: what others let in: every NAT gateway's address must be among them, and each single address must be the account's own.
    """

    vpcs: tuple[Annotated[str, StringConstraints(pattern=r"^vpc-[0-9a-f]+$")], ...] = Field(min_length=1)
    reaches: tuple[Cidr, ...] = ()
    route_tables: tuple[Annotated[str, StringConstraints(pattern=r"^rtb-[0-9a-f]+$")], ...] = ()
    transit_gateway_route_tables: tuple[Annotated[str, StringConstraints(pattern=r"^tgw-rtb-[0-9a-f]+$")], ...] = ()
    egress_allowed: tuple[Cidr, ...] = ()


class NetworkConfig(AwsConfig):
    """Settings of ``aws.network``. overlaps: the regions' VPCs may share addresses; that works as long as nothing connects them."""

    regions: dict[str, RegionNetwork] = Field(min_length=2)
    overlaps: bool = False


@dataclass(frozen=True)
class Side:
    """One region. cidrs: of its VPCs, by VPC. nats: NAT gateway → public address. own: Elastic IPs of the account among those allowed."""

    cidrs: Mapping[str, tuple[routes.Network, ...]]
    tables: tuple[routes.Table, ...]
    transit: tuple[routes.Table, ...]
    nats: Mapping[str, str]
    own: frozenset[str]


class AwsNetwork(Checked[NetworkConfig, Side]):
    """Private ways, networks that must not overlap, and addresses that others let in, in each region.

    Protects what a failover cannot repair: routes and allow-lists of other people. Needs ``ec2`` reads. Security groups, network ACLs and
    what lies behind a gateway are not looked at: that a route is there does not prove that somebody answers.
    """

    kind: ClassVar[str] = "aws.network"
    Config: ClassVar[type[KindConfig]] = NetworkConfig
    subject: ClassVar[str] = "ways and addresses that"

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, NetworkConfig), "the registry gives each kind its own Config"
        same_regions(name, config.regions, site)
        super().__init__(name, config, needs, site)

    def regions(self) -> Sequence[str]:
        """All that the settings name."""
        return tuple(self.config.regions)

    def reads(self, region: str) -> Sequence[Use]:
        """IAM knows no resource for most of them."""
        own = self.config.regions[region]
        calls = [VPCS, TABLES, *([NATS, ADDRESSES] if own.egress_allowed else []), *([TRANSIT] if own.transit_gateway_route_tables else [])]
        return [Use(call, region) for call in calls]

    def ask(self, place: Place) -> Side:
        """Four calls at once, and one for each of a transit gateway's tables. Raises StepError."""
        own = self.config.regions[place.region]
        jobs: list[Callable[[], Any]] = [partial(ask, place, own) for ask in (self._cidrs, self._tables, self._nats, self._own)]
        jobs += [partial(self._transit, place, name) for name in own.transit_gateway_route_tables]
        answers: list[Any] = self.aws.many(jobs)
        for answer in answers:
            if isinstance(answer, StepError):
                raise answer
        cidrs, tables, nats, addresses, *gateways = answers
        return Side(cidrs, tables, tuple(gateways), nats, addresses)

    def _cidrs(self, place: Place, own: RegionNetwork) -> Mapping[str, tuple[routes.Network, ...]]:
        return {
            str(item["VpcId"]): tuple(
                routes.network(one[field])
                for listing, field in (("CidrBlockAssociationSet", "CidrBlock"), ("Ipv6CidrBlockAssociationSet", "Ipv6CidrBlock"))
                for one in item.get(listing, ())
            )
            for page in self.aws.pages(place, VPCS, VpcIds=list(own.vpcs))
            for item in page["Vpcs"]
        }

    def _tables(self, place: Place, own: RegionNetwork) -> tuple[routes.Table, ...]:
        asked: dict[str, Any] = {"Filters": [{"Name": "vpc-id", "Values": list(own.vpcs)}]}
        if own.route_tables:
            asked = {"RouteTableIds": list(own.route_tables)}
        return tuple(routes.table(item) for page in self.aws.pages(place, TABLES, **asked) for item in page["RouteTables"])

    def _transit(self, place: Place, name: str) -> routes.Table:
        known = [{"Name": "state", "Values": ["active", "blackhole"]}]
        return routes.transit(name, self.aws.read(place, TRANSIT, TransitGatewayRouteTableId=name, Filters=known))

    def _nats(self, place: Place, own: RegionNetwork) -> Mapping[str, str]:
        if not own.egress_allowed:
            return {}
        asked = [{"Name": "vpc-id", "Values": list(own.vpcs)}, {"Name": "state", "Values": ["available", "pending"]}]
        return {
            str(item["NatGatewayId"]): str(address["PublicIp"])
            for page in self.aws.pages(place, NATS, Filter=asked)
            for item in page["NatGateways"]
            for address in item.get("NatGatewayAddresses", ())
            if address.get("PublicIp")
        }

    def _own(self, place: Place, own: RegionNetwork) -> frozenset[str]:
        single = [str(one.network_address) for one in map(routes.network, own.egress_allowed) if one.num_addresses == 1]
        if not single:
            return frozenset()
        answer = self.aws.read(place, ADDRESSES, Filters=[{"Name": "public-ip", "Values": single}])
        return frozenset(str(item["PublicIp"]) for item in answer["Addresses"])

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """Findings only."""
        found = list(self.silent(looks))
        sides = {region: side for region, side in looks.items() if not isinstance(side, StepError)}
        for region, side in sides.items():
            found += self._ways(region, side)
            found += self._egress(region, side)
        named = [(f"{vpc} in {region}", one) for region, side in sides.items() for vpc, cidrs in side.cidrs.items() for one in cidrs]
        for one, other in () if self.config.overlaps else routes.overlapping(named):
            fix = "renumber one of them, or write overlaps: true where nothing ever connects them"
            found.append(self.finding(Severity.ERROR, f"{one} and {other} share addresses: no route can lead between them", fix))
        return Judged(findings=found)

    def _ways(self, region: str, side: Side) -> Iterator[Finding]:
        own = self.config.regions[region]
        here = [(vpc, one) for vpc, cidrs in side.cidrs.items() for one in cidrs]
        for wanted in map(routes.network, own.reaches):
            for one, _ in routes.overlapping([*here, ("what is reached,", wanted)]):
                if not one.startswith("what"):
                    fact = f"{wanted} must be reached from {region}, where {one} has the same addresses"
                    yield self.finding(Severity.ERROR, fact, "renumber one of them", region)
            for table in (*side.tables, *side.transit):
                why = routes.unreached(table, wanted)
                if why and table.unread and "no route" in why:
                    yield self.finding(Severity.WARNING, f"{why} among those that were read: it has more", "", region)
                elif why:
                    transit = table.name.startswith("tgw-")
                    command = "create-transit-gateway-route" if transit else "create-route" if "no " in why else "replace-route"
                    yield self.finding(Severity.ERROR, f"{why} ({region})", f"aws ec2 {command}, or correct reaches", region)
        if own.reaches and not side.tables:
            yield self.finding(Severity.ERROR, f"no route table in {region}", "correct vpcs or route_tables", region)

    def _egress(self, region: str, side: Side) -> Iterator[Finding]:
        allowed = self.config.regions[region].egress_allowed
        if not allowed:
            return
        unknown = routes.outside(side.nats.values(), allowed)
        for name, address in side.nats.items():
            if address in unknown:
                fact = f"{name} in {region} sends from {address}, which is not among the addresses that others let in"
                yield self.finding(Severity.ERROR, fact, "have it added to their allow-lists, then to egress_allowed", region)
        single = [str(one.network_address) for one in map(routes.network, allowed) if one.num_addresses == 1]
        for address in sorted(set(single) - side.own - set(side.nats.values())):
            fact = f"{address} is let in by others, and is no Elastic IP of this account in {region}: somebody else may get it"
            yield self.finding(Severity.WARNING, fact, "have it taken off their allow-lists, or correct egress_allowed", region)
        if not side.nats:
            fact = f"no NAT gateway in {region}: what goes out has no known address"
            yield self.finding(Severity.WARNING, fact, "aws ec2 create-nat-gateway with an Elastic IP that others let in", region)

    def by_hand(self, region: str, source: str) -> Typed:
        """The routes and gateways; each network needs an active private route that is just it or holds it by name."""
        place, own = self.places[region], self.config.regions[region]
        asked: dict[str, Any] = {"Filters": [{"Name": "vpc-id", "Values": list(own.vpcs)}]}
        if own.route_tables:
            asked = {"RouteTableIds": list(own.route_tables)}
        tables = f"{cli(TABLES, place, asked)} --output json"
        nats = f"{cli(NATS, place, {'Filter': [{'Name': 'vpc-id', 'Values': list(own.vpcs)}]})} --output json"
        bad = '[.RouteTables[].Routes[]|select(.State=="blackhole")]|length==0'
        private = '.State=="active" and (.TransitGatewayId or .VpcPeeringConnectionId or .CoreNetworkArn)'
        wanted = [f'all(.RouteTables[]; any(.Routes[]; .DestinationCidrBlock=="{one}" and {private}))' for one in own.reaches]
        checks = [f"{tables} | jq -e '{' and '.join([f'({bad})', *(f'({one})' for one in wanted)])}'"]
        single = [one.partition("/")[0] for one in own.egress_allowed if one.endswith("/32")]
        if single and len(single) == len(own.egress_allowed):
            listed = ",".join(f'"{one}"' for one in single)
            checks.append(f"{nats} | jq -e '[.NatGateways[].NatGatewayAddresses[].PublicIp|select(.)]-[{listed}]|length==0'")
        return Typed(" && ".join([tables, *([nats] if own.egress_allowed else [])]), " && ".join(checks))
