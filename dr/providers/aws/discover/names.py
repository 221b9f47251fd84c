"""What Route 53 has: zones, the record sets of each name, which region each leads to, and what flips them.

Route 53's API lives in us-east-1, that of routing controls in us-west-2: both are asked there, now, so that nobody has to on the day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dr.errors import StepError
from dr.providers.aws.acm_certificates import KEY_TYPES
from dr.providers.aws.acm_certificates import LIST as CERTIFICATES
from dr.providers.aws.calls import Call
from dr.providers.aws.discover.ask import Ask, pairs
from dr.providers.aws.discover.found import Found, Gap
from dr.providers.aws.route53.calls import HOME, RECORDS
from dr.providers.aws.route53.config import plain
from dr.providers.aws.values import chunks
from dr.providers.selfhosted.certificates.judge import covers

ZONES = Call("route53", "ListHostedZones", home=HOME)
"""All hosted zones of the account, 100 a page. https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHostedZones.html"""

ZONE_TAGS = Call("route53", "ListTagsForResources", home=HOME)
"""The tags of 10 zones. https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListTagsForResources.html; NoSuchHostedZone,
PriorRequestNotComplete, ThrottlingException."""

CHECKS = Call("route53", "ListHealthChecks", home=HOME)
"""All health checks of the account, 100 a page. https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHealthChecks.html"""

ARC_HOME = "us-west-2"
CLUSTERS = Call("route53-recovery-control-config", "ListClusters", home=ARC_HOME)
"""Clusters of routing controls with their five endpoints. Lives in us-west-2.

https://docs.aws.amazon.com/recovery-cluster/latest/api/cluster.html; AccessDenied, InternalServer, Throttling, Validation."""

PANELS = Call("route53-recovery-control-config", "ListControlPanels", home=ARC_HOME)
"""Control panels, each with its cluster. https://docs.aws.amazon.com/recovery-cluster/latest/api/controlpanels.html"""

CONTROLS = "aws.arc-routing-control"
CHECKED = "aws.route53-health-check"
RECORDS_KIND = "aws.route53-records"
_TYPES = ("A", "AAAA", "CNAME")
_EDIT = "editing record sets lives in us-east-1 and may be away on the day: failover record sets under routing controls need no edit"


@dataclass(frozen=True)
class Goal:
    """Where a name leads in a region: addresses or a host, or an alias (zone, name, evaluate target health)."""

    values: tuple[str, ...] = ()
    alias: tuple[str, str, bool] | None = None

    def settings(self) -> dict[str, Any]:
        """As ``regions.*`` has it."""
        found: dict[str, Any] = {"values": list(self.values)} if self.values else {}
        if self.alias is not None:
            zone, name, evaluate = self.alias
            found["alias"] = {"zone": zone, "name": name} | ({} if evaluate else {"evaluate_target_health": False})
        return found


@dataclass(frozen=True)
class Way:
    """What all names of one group share: the zone, both goals, both checks, and why they cannot be flipped (empty: they can)."""

    zone: str
    private: bool
    goals: tuple[Goal, Goal]
    checks: tuple[str, str]
    why: str


def look(ask: Ask) -> Iterator[Found]:
    """Names by what they have in common, and what flips them; then certificates for those names."""
    hostnames: list[str] = []
    try:
        for found in _records(ask):
            hostnames += found.settings.get("names", ())
            yield found
    except StepError as error:
        ask.refuse("Route 53: names, health checks, routing controls", error)
    try:
        yield from _certificates(ask, hostnames)
    except StepError as error:
        ask.refuse("certificates", error)


def _records(ask: Ask) -> Iterator[Found]:
    zones = _zones(ask)
    checks = {item["Id"]: item["HealthCheckConfig"] for item in ask.pages(ask.primary, CHECKS, "HealthChecks")} if zones else {}
    ways: dict[Way, list[str]] = defaultdict(list)
    ttls: dict[tuple[str, str], int] = defaultdict(int)
    for zone in zones:
        number, private = zone["Id"].rpartition("/")[2], bool(zone["Config"].get("PrivateZone"))
        sets: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for item in ask.pages(ask.primary, RECORDS, "ResourceRecordSets", HostedZoneId=number):
            if item["Type"] in _TYPES and not item["Name"].startswith("_"):
                sets[plain(item["Name"])].append(item)
        for name, items in sorted(sets.items()):
            way = _way(ask, number, private, items, checks)
            ways[way].append(name)
            ttls[way.checks] = max(ttls[way.checks], *(int(item.get("TTL", 60)) for item in items))
    clusters = _clusters(ask, checks, [way.checks for way in ways if not way.why])
    flips: dict[tuple[str, str], Found | None] = {}
    for way in ways:
        if way.checks not in flips and not way.why:
            flips[way.checks] = made = _flip(ask, way, checks, clusters, ttls[way.checks])
            if made is not None:
                yield made
    for way, names in ways.items():
        yield _named(ask, way, names, None if way.why else flips[way.checks])


def _zones(ask: Ask) -> list[Mapping[str, Any]]:
    zones = sorted(ask.pages(ask.primary, ZONES, "HostedZones"), key=lambda zone: str(zone["Name"]))
    if not ask.tags:
        return zones
    meant: set[str] = set()
    for part in chunks([zone["Id"].rpartition("/")[2] for zone in zones], 10):
        answer = ask.read(ask.primary, ZONE_TAGS, ResourceType="hostedzone", ResourceIds=part)
        meant |= {item["ResourceId"] for item in answer["ResourceTagSets"] if ask.has(pairs(item.get("Tags", ())))}
    return [zone for zone in zones if zone["Id"].rpartition("/")[2] in meant]


def _way(ask: Ask, zone: str, private: bool, items: Sequence[Mapping[str, Any]], checks: Mapping[str, Any]) -> Way:
    """How one name is led."""
    routed = [item for item in items if "Failover" in item or "Weight" in item]
    if len(routed) < len(items):
        why = "it has one record set, for one region only"
        if any("SetIdentifier" in item for item in items):
            why = f"its record sets are neither failover nor weighted ({_policy(items)})"
        return Way(zone, private, (_goal(items), Goal()), ("", ""), why)
    sides = {code: [item for item in items if _side(ask, item) == code] for code in ask.codes}
    goals = (_goal(sides[ask.primary.code]), _goal(sides[ask.secondary.code]))
    found = [{str(item.get("HealthCheckId", "")) for item in sides[code]} for code in ask.codes]
    why = ""
    if sum(map(len, sides.values())) < len(items) or not all(sides.values()):
        why = f"which of its record sets leads to {' and which to '.join(ask.codes)} is not told by their identifiers or targets"
    elif any(len(side) > 1 for side in found) or not any(any(side) for side in found):
        why = "its record sets have no health check in common, so nothing flips them"
    one = (min(found[0], default=""), min(found[1], default=""))
    return Way(zone, private, goals, ("", "") if why else one, why)


def _policy(items: Sequence[Mapping[str, Any]]) -> str:
    words = {"Region": "latency", "GeoLocation": "geolocation", "MultiValueAnswer": "multivalue", "CidrRoutingConfig": "by address"}
    return ", ".join(word for field, word in words.items() if any(field in item for item in items)) or "mixed"


def _side(ask: Ask, item: Mapping[str, Any]) -> str:
    """The region of a record set: by what it is called and where it leads; else a failover primary leads to the primary."""
    text = " ".join((str(item.get("SetIdentifier", "")), str(item.get("AliasTarget", {}).get("DNSName", ""))))
    named = [code for code in ask.codes if code in text]
    if len(named) == 1:
        return named[0]
    return {"PRIMARY": ask.primary.code, "SECONDARY": ask.secondary.code}.get(str(item.get("Failover", "")), "")


def _goal(items: Sequence[Mapping[str, Any]]) -> Goal:
    values = sorted({plain(record["Value"]) for item in items for record in item.get("ResourceRecords", ())})
    aliases = sorted({(alias["HostedZoneId"], plain(alias["DNSName"]), bool(alias["EvaluateTargetHealth"]))
                      for item in items if (alias := item.get("AliasTarget"))})  # fmt: skip
    return Goal(tuple(values), aliases[0] if aliases else None)


def _clusters(ask: Ask, checks: Mapping[str, Any], used: Sequence[tuple[str, str]]) -> dict[str, Mapping[str, str]]:
    """Control panel → its cluster's endpoints by region; asked only where routing controls flip something."""
    if not any("RoutingControlArn" in checks.get(check, {}) for pair in used for check in pair):
        return {}
    try:
        endpoints = {
            item["ClusterArn"]: {one["Region"]: one["Endpoint"] for one in item.get("ClusterEndpoints", ())}
            for item in ask.pages(ask.primary, CLUSTERS, "Clusters")
        }
        panels = ask.pages(ask.primary, PANELS, "ControlPanels")
    except StepError as error:
        ask.refuse("routing controls' endpoints", error)
        return {}
    return {item["ControlPanelArn"]: endpoints.get(item["ClusterArn"], {}) for item in panels}


def _flip(ask: Ask, way: Way, checks: Mapping[str, Any], clusters: Mapping[str, Mapping[str, str]], ttl: int) -> Found | None:
    """The component that flips the checks of some names; None: there are routing controls, and nobody tells their endpoints."""
    own = [checks.get(check, {}) for check in way.checks]
    arns = [str(check.get("RoutingControlArn", "")) for check in own]
    more: dict[str, Any] = {} if ttl == 60 else {"ttl": f"{ttl}s"}
    key = " ".join(way.checks)
    if all(arns):
        endpoints = clusters.get(arns[0].partition("/routingcontrol/")[0], {})
        if not endpoints:
            return None
        settings = {"endpoints": dict(sorted(endpoints.items())), **more,
                    "regions": {code: {"control": arn} for code, arn in zip(ask.codes, arns, strict=True)}}  # fmt: skip
        comments = (f"all endpoints, asked in {ARC_HOME}, where their configuration lives and may be away on the day: keep them here",)
        return Found("traffic", CONTROLS, settings, comments, key=key)
    sides: dict[str, Any] = {code: {"health_check": check} if check else {} for code, check in zip(ask.codes, way.checks, strict=True)}
    comments = ("without a switch the checks are edited, in us-east-1, which may be away on the day: prepare object: or metric:",)
    return Found("traffic", CHECKED, {**more, "regions": sides}, comments, key=key)


def _named(ask: Ask, way: Way, names: Sequence[str], flip: Found | None) -> Found:
    """Names that are led the same way."""
    why = way.why or ("" if flip is not None else "what flips them was not told")
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    sides = {code: goal.settings() or {"values": ["192.0.2.1"]} for code, goal in zip(ask.codes, way.goals, strict=True)}
    settings: dict[str, Any] = {"zone": way.zone, "names": list(names), "mode": "edit" if way.why else "prepared", "regions": sides}
    gaps: tuple[Gap, ...] = ()
    comments = ("a private zone: dr must ask from inside",) if way.private else ()
    if any("*" in name for name in names):
        comments = (*comments, "a name with * is a pattern here: which names it means is looked up in Route 53's API, in us-east-1")
    if why:
        fix = f"failover record sets for both regions, each under a health check of a routing control: {_EDIT}"
        gaps = (Gap(f"names {shown}", why, fix),)
        comments = (*comments, "where it leads there has to be filled in") if way.why else comments
    after = ('probe: {url: "https://{name}/health"}     # proves service from outside; say what answers there',
             "name_servers: []     # addresses of two of the zone's own: aws route53 get-hosted-zone")  # fmt: skip
    return Found("names", RECORDS_KIND, settings, comments, after, gaps, active=not why, flipped_by="" if why else " ".join(way.checks))


def _certificates(ask: Ask, hostnames: Sequence[str]) -> Iterator[Found]:
    """Public names that a certificate here covers; without such names, those that certificates are for. Two listings."""
    listed = ask.both(CERTIFICATES, "CertificateSummaryList", Includes={"keyTypes": list(KEY_TYPES)}, CertificateStatuses=["ISSUED"])
    mine = [_names(item) for item in listed[0] if ask.picks(item["CertificateArn"])]
    theirs = [_names(item) for item in listed[1]]
    if not mine:
        return
    wanted = sorted(name for name in set(hostnames) if any(covers(side, name) for side in mine))
    wanted = wanted or sorted({name.replace("*.", "any.", 1) for side in mine for name in side})
    ready = [name for name in wanted if any(covers(side, name) for side in theirs)]
    here, there = ask.codes
    fix = f"aws acm request-certificate --region {there} --validation-method DNS --domain-name"
    gaps = tuple(Gap(f"certificate for {name}", f"none that is issued in {there}", f"{fix} {name}") for name in wanted if name not in ready)
    settings = {"hostnames": ready or wanted, "regions": {here: {}, there: {}}}
    yield Found("certificates", "aws.acm-certificates", settings, (), (), gaps, active=bool(ready))


def _names(item: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(str(name).lower() for name in (item["DomainName"], *item.get("SubjectAlternativeNameSummaries", ())))
