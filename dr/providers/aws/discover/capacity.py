"""What runs: EKS node groups, ECS services, Auto Scaling groups, event sources of Lambda; each with its namesake in the other region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from dr.errors import StepError
from dr.providers.aws.calls import Call
from dr.providers.aws.capacity.autoscaling_groups import GROUPS
from dr.providers.aws.capacity.ecs_services import SERVICES
from dr.providers.aws.capacity.eks_nodegroups import NODEGROUP
from dr.providers.aws.capacity.lambda_event_source import LIST as MAPPINGS
from dr.providers.aws.config import region_of
from dr.providers.aws.discover.ask import Ask, pairs
from dr.providers.aws.discover.found import Found, Gap, last, plain_name
from dr.providers.aws.hub import Answer
from dr.providers.aws.place import Place
from dr.providers.aws.values import chunks

EKS_CLUSTERS = Call("eks", "ListClusters")
"""Names of all clusters, 100 a page. https://docs.aws.amazon.com/eks/latest/APIReference/API_ListClusters.html; ServerException."""

NODEGROUPS = Call("eks", "ListNodegroups")
"""Names of a cluster's managed node groups. https://docs.aws.amazon.com/eks/latest/APIReference/API_ListNodegroups.html;
ResourceNotFoundException, ServerException."""

ECS_CLUSTERS = Call("ecs", "ListClusters")
"""ARNs of all clusters, 100 a page. https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListClusters.html; ServerException."""

ECS_SERVICES = Call("ecs", "ListServices")
"""ARNs of a cluster's services, 100 a page. https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListServices.html;
ClusterNotFoundException, ServerException."""

_OWNED = ("eks:nodegroup-name", "eks:cluster-name")
"""Tags of Auto Scaling groups that a node group manages."""


def nodegroups(ask: Ask) -> Iterator[Found]:
    """One component for each cluster: two listings, one for each cluster, one call for each node group here."""
    mine, theirs = ask.both(EKS_CLUSTERS, "clusters")
    for cluster in sorted(mine):
        own = sorted(_nodegroups(ask, ask.primary, cluster))
        asked = ask.each(own, partial(_nodegroup, ask, cluster))
        sizes = {name: _answered(answer)["nodegroup"] for name, answer in asked}
        meant = {name: int(item.get("scalingConfig", {}).get("desiredSize", 0)) for name, item in sizes.items()
                 if not ask.tags or ask.has(item.get("tags", {}))}  # fmt: skip
        other = namesake(ask, cluster, theirs)
        there = _nodegroups(ask, ask.secondary, other) if other and meant else []
        if meant:
            word = "nodes" if len(mine) == 1 else f"{plain_name(cluster, *ask.codes)}-nodes"
            yield _sized(ask, (word, "aws.eks-nodegroups", "node group", "nodegroups"), (cluster, other), meant, there)


def _nodegroup(ask: Ask, cluster: str, name: str) -> Answer:
    return ask.read(ask.primary, NODEGROUP, clusterName=cluster, nodegroupName=name)


def _nodegroups(ask: Ask, place: Place, cluster: str) -> list[str]:
    return ask.pages(place, NODEGROUPS, "nodegroups", clusterName=cluster)


def _answered(answer: Mapping[str, Any] | StepError) -> Mapping[str, Any]:
    if isinstance(answer, StepError):
        raise answer
    return answer


def services(ask: Ask) -> Iterator[Found]:
    """One component for each cluster: two listings, one for each cluster, and 10 services a call for their sizes."""
    mine, theirs = ([last(arn) for arn in side] for side in ask.both(ECS_CLUSTERS, "clusterArns"))
    for cluster in sorted(mine):
        own = [arn for arn in _listed(ask, ask.primary, cluster) if ask.picks(arn)]
        parts = ask.each([tuple(part) for part in chunks(own, 10)], partial(_services, ask, cluster))
        meant = {name: size for _, answer in parts for name, size in _answered(answer).items()}
        if meant:
            other = namesake(ask, cluster, theirs)
            listed = _listed(ask, ask.secondary, other) if other else []
            word = "services" if len(mine) == 1 else f"{plain_name(cluster, *ask.codes)}-services"
            named = (word, "aws.ecs-services", "service", "services")
            yield _sized(ask, named, (cluster, other), meant, [last(arn) for arn in listed])


def _listed(ask: Ask, place: Place, cluster: str) -> list[str]:
    return ask.pages(place, ECS_SERVICES, "serviceArns", cluster=cluster, PaginationConfig={"PageSize": 100})


def _services(ask: Ask, cluster: str, arns: Sequence[str]) -> dict[str, int]:
    answer = ask.read(ask.primary, SERVICES, cluster=cluster, services=list(arns))
    return {str(item["serviceName"]): int(item["desiredCount"]) for item in answer["services"] if item.get("status") == "ACTIVE"}


def groups(ask: Ask) -> Iterator[Found]:
    """One component for all Auto Scaling groups that no node group manages; their own listing tells their tags. Two listings."""
    mine, theirs = ask.both(GROUPS, "AutoScalingGroups", MaxRecords=100)
    tags = {item["AutoScalingGroupName"]: pairs(item.get("Tags", ())) for item in mine}
    sizes = {item["AutoScalingGroupName"]: int(item["DesiredCapacity"]) for item in mine}
    meant = {name: sizes[name] for name in sorted(sizes) if ask.has(tags[name]) and not any(mark in tags[name] for mark in _OWNED)}
    if meant:
        there = [item["AutoScalingGroupName"] for item in theirs]
        yield _sized(ask, ("instances", "aws.autoscaling-groups", "Auto Scaling group", "groups"), ("", ""), meant, there)


def namesake(ask: Ask, name: str, others: Sequence[str]) -> str:
    """Who is called the same in the other region, or the same but for the region's name; empty: nobody."""
    alike = [other for other in others if plain_name(other, *ask.codes) == plain_name(name, *ask.codes)]
    return name if name in others else min(alike, default="")


def _sized(ask: Ask, named: tuple[str, str, str, str], clusters: tuple[str, str], meant: Mapping[str, int], there: Sequence[str]) -> Found:
    """Groups of a cluster with their namesakes in the other region.

    Args:
        named: what the component is called, its kind, what a group is called, the field that names them.
    """
    name, kind, what, field = named
    partners = {item: namesake(ask, item, there) for item in meant}
    ready = {item: partner for item, partner in partners.items() if partner} or {item: item for item in meant}
    fix = f"create it there under the same name, or name its counterpart: {field}: {{WORD: NAME}} in both regions"
    of = f" of cluster {clusters[0]}" if clusters[0] else ""
    gaps = tuple(Gap(f"{what} {item}{of}", f"{ask.codes[1]} has none of this name", fix) for item in meant if not partners[item])
    both = (list(ready), list(ready.values()))
    words = [plain_name(item, *ask.codes) for item in ready]
    sides = {
        code: ({"cluster": cluster or clusters[0]} if clusters[0] else {})
        | {field: side if both[0] == both[1] else dict(zip(words, side, strict=True))}
        for code, cluster, side in zip(ask.codes, clusters, both, strict=True)
    }
    settings = {"size": "primary", "if_unknown": max(meant[item] for item in ready), "regions": sides}
    sizes = ", ".join(f"{item} {meant[item]}" for item in ready)
    comments = (f"size now in {ask.codes[0]}: {sizes}; if_unknown counts where the primary is silent and nobody watched it",)
    after = ("stand_by: 1     # what a region that only stands by is scaled back to",)
    return Found(name, kind, settings, comments, after, gaps, active=any(partners.values()))


def event_sources(ask: Ask) -> Iterator[Found]:
    """One component for all event source mappings; a mapping is meant where its function or itself is. Two listings."""
    listed = ask.both(MAPPINGS, "EventSourceMappings")
    mine = [item for item in listed[0] if ask.picks(_function(item), str(item.get("EventSourceMappingArn", "")))]
    if not mine:
        return
    here, there = ask.codes
    others = {_source(item): item["UUID"] for item in listed[1]}
    words: dict[str, Mapping[str, Any]] = {}
    for item in sorted(mine, key=_source):
        function, source = _source(item)
        short = plain_name(function)
        words[short if short not in words else plain_name(f"{function}-{source}-{len(words)}")] = item
    ready = {word: item for word, item in words.items() if _source(item) in others}
    fix = f"aws lambda create-event-source-mapping --region {there} --no-enabled: the same function and source there"
    gaps = tuple(Gap(f"event source {' from '.join(_source(item))}", f"{there} has no such mapping", fix) for word, item in words.items()
                 if word not in ready)  # fmt: skip
    away = {word: others[_source(item)] for word, item in ready.items()}
    sides = {here: {word: item["UUID"] for word, item in words.items()}, there: away}
    settings = {"regions": {code: {"mappings": side or {"none": "00000000-0000-0000-0000-000000000000"}} for code, side in sides.items()}}
    yield Found("events", "aws.lambda-event-source", settings, (), (), gaps, active=bool(ready))


def _function(item: Mapping[str, Any]) -> str:
    """The ARN of the function, without version or alias."""
    return ":".join(str(item["FunctionArn"]).split(":")[:7])


def _source(item: Mapping[str, Any]) -> tuple[str, str]:
    """What has its namesake in the other region: the function, and where its events come from."""
    arn = str(item.get("EventSourceArn", ""))
    resource = arn.split(":", 5)[-1] if arn else "a cluster of its own"
    code = region_of(arn) if arn else ""
    parts = resource.split("/")
    name = parts[1] if len(parts) > 2 and parts[2] == "stream" else parts[-1]
    return _function(item).rpartition(":")[2], plain_name(name, code) if code else name
