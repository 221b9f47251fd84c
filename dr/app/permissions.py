"""Least privilege out of the runbook: what the monitor reads, and what the steps of every intent, in either direction, call.

Nothing is written down twice: each step declares its calls and the resources it calls them on, and a test drives every intent with a
client that refuses all others.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal
from urllib.parse import urlsplit

from dr.app.platform import Platform
from dr.model.base import Json
from dr.model.permission import OtherPermission, PermissionsReport, Policy
from dr.model.words import Intent
from dr.ports import Watching

Role = Literal["monitor", "drill", "failover"]

MOST_CHARACTERS = 6144
"""Of a managed policy, white space left out (AWS, IAM quotas)."""
DRILL_TAG = "dr-drill"
"""What a drill may act on carries this tag, with the value ``true``."""
_IAM = re.compile(r"^(?P<action>(?P<service>[a-z0-9-]+):[A-Za-z*]+) on (?P<resource>arn:\S+|\*)$")
_READS = re.compile(r":(Get|List|Describe|BatchGet|Head|Query|Lookup|Simulate|Decrypt|GenerateDataKey)")
_DESTROYS: Mapping[str, tuple[str, ...]] = {
    "autoscaling": ("Delete*", "TerminateInstanceInAutoScalingGroup"),
    "ec2": ("Delete*", "Terminate*", "Deregister*"),
    "ecr": ("Delete*", "BatchDelete*"),
    "ecs": ("Delete*", "Deregister*"),
    "kms": ("Delete*", "DisableKey", "ScheduleKeyDeletion"),
    "lambda": ("Delete*", "Remove*"),
    "s3": ("Delete*", "PutLifecycleConfiguration"),
}
"""By service, what destroys; of every other one ``Delete*``."""


def permissions(platform: Platform, shared: str | None = None) -> PermissionsReport:
    """All policies. Pure: nothing is asked.

    Args:
        shared: the address of the shared state, which every role uses.

    Raises:
        UsageError: a move cannot be planned, or the address is none.
    """
    watched = {name: tuple(kind.rights()) for name, kind in platform.kinds.items() if isinstance(kind, Watching)}
    stepped = _stepped(platform)
    reads = {text for rights in watched.values() for text in rights} | set(_state(platform, shared))
    needed = reads | {text for rights in stepped.values() for text in rights}
    policies = (*_policies("monitor", reads), *_policies("drill", needed), *_policies("failover", needed))
    return PermissionsReport(runbook=platform.runbook.name, policies=policies, others=tuple(_others(watched, stepped)))


def _state(platform: Platform, shared: str | None) -> Sequence[str]:
    if shared is None or urlsplit(shared).scheme != "dynamodb":
        return ()
    from dr.providers.aws.state import rights

    return rights(shared, {region.aws.account for region in platform.runbook.regions.values() if region.aws and region.aws.account})


def _stepped(platform: Platform) -> dict[str, tuple[str, ...]]:
    """By component, what all steps of all intents need."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    home = platform.runbook.home
    for away in (region for region in platform.runbook.regions if region != home):
        for intent in Intent:
            for source, target in ((home, away), (away, home)):
                for name, chain in platform.chains(intent, source, target).items():
                    found[name].update({text: None for step in chain for text in step.spec.permissions})
    return {name: tuple(texts) for name, texts in found.items()}


def _policies(role: Role, rights: Iterable[str]) -> Iterator[Policy]:
    """As many documents as they need."""
    allowed = sorted(match.group("action", "resource") for text in rights if (match := _IAM.match(text)))
    if not allowed:
        return
    by_action: dict[str, set[str]] = defaultdict(set)
    for action, resource in allowed:
        by_action[action].add(resource)
    by_resources: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for action, resources in by_action.items():
        by_resources[("*",) if "*" in resources else tuple(sorted(resources))].append(action)
    statements = [statement for resources, actions in sorted(by_resources.items()) for statement in _allow(role, actions, resources)]
    deny = _deny({action.partition(":")[0] for action in by_action}, set(by_action))
    documents: list[list[Json]] = [[deny]]
    for statement in statements:
        if len(documents[-1]) > 1 and _size([*documents[-1], statement]) > MOST_CHARACTERS:
            documents.append([])
        documents[-1].append(statement)
    for number, content in enumerate(documents, 1):
        yield Policy(role=role, number=number, characters=_size(content), document=_document(content))


def _allow(role: Role, actions: Sequence[str], resources: Sequence[str]) -> Iterator[dict[str, Json]]:
    """A drill reads what everybody reads, and acts on what is tagged for it alone."""
    reading = [action for action in actions if _READS.search(action)]
    acting = [action for action in actions if action not in reading]
    groups = ((reading, False), (acting, True)) if role == "drill" else ((list(actions), False),)
    for group, tagged in groups:
        if not group:
            continue
        statement: dict[str, Json] = {"Effect": "Allow", "Action": sorted(group), "Resource": list(resources)}
        if tagged:
            statement["Condition"] = {"StringEquals": {f"aws:ResourceTag/{DRILL_TAG}": "true"}}
        yield statement


def _deny(services: Iterable[str], allowed: Iterable[str]) -> dict[str, Json]:
    """Nothing is destroyed, whoever else would allow it. What ``dr`` itself needs is no destruction, whatever it is called."""
    denied: list[str] = []
    own = set(allowed)
    for service in sorted(services):
        for pattern in _DESTROYS.get(service, ("Delete*",)):
            shape = re.compile(re.escape(f"{service}:{pattern}").replace(r"\*", ".*") + "$")
            if not any(shape.match(action) for action in own):
                denied.append(f"{service}:{pattern}")
    return {"Sid": "NothingIsDestroyed", "Effect": "Deny", "Action": denied, "Resource": "*"}


def _document(statements: Sequence[Json]) -> dict[str, Json]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _size(statements: Sequence[Json]) -> int:
    return len(json.dumps(_document(statements), separators=(",", ":")))


def _others(watched: Mapping[str, Sequence[str]], stepped: Mapping[str, Sequence[str]]) -> Iterator[OtherPermission]:
    for name in dict.fromkeys((*watched, *stepped)):
        reads = watched.get(name, ())
        for text in dict.fromkeys((*reads, *stepped.get(name, ()))):
            if not _IAM.match(text):
                roles = ("monitor", "drill", "failover") if text in reads else ("drill", "failover")
                yield OtherPermission(component=name, text=text, roles=roles)

