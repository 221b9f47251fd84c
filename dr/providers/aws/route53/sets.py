"""Which record sets lead where, and what has to change. Pure.

Only A, AAAA and CNAME record sets; what is weighted, failover, latency … is prepared for a purpose and never edited. No record set is ever
removed: one whose type the target has nothing for stays, and is told of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from dr.providers.aws.route53.config import Goal, kind_of, plain

MOST_ELEMENTS, MOST_CHARACTERS = 1000, 32_000
"""Of one batch, an UPSERT counted twice. https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html"""
_ALIAS = "alias"
_KINDS = ("A", "AAAA", "CNAME")

Wire = Mapping[str, Any]
"""A ResourceRecordSet as the API has it."""


@dataclass(frozen=True)
class RecordSet:
    """One record set. ``ttl`` and ``values`` are empty for an alias; ``alias``: the host it is one of; ``wire``: all of it."""

    name: str
    type: str
    ttl: int
    values: tuple[str, ...]
    alias: str
    identifier: str
    wire: Wire = field(repr=False)

    @property
    def key(self) -> str:
        """What tells simple record sets apart: ``a.example.com A``."""
        return f"{self.name} {self.type}"

    @property
    def answer(self) -> tuple[str, ...]:
        """What it leads to, as evidence keeps it: values, or ``alias``, zone, name, whether health is evaluated."""
        if not self.alias:
            return tuple(item["Value"] for item in self.wire["ResourceRecords"])
        target = self.wire["AliasTarget"]
        return (_ALIAS, target["HostedZoneId"], target["DNSName"], str(bool(target["EvaluateTargetHealth"])))


def parsed(wire: Wire) -> RecordSet:
    """A record set of the API."""
    alias = plain(wire["AliasTarget"]["DNSName"]).removeprefix("dualstack.") if "AliasTarget" in wire else ""
    values = tuple(plain(item["Value"]) for item in wire.get("ResourceRecords", ()))
    return RecordSet(plain(wire["Name"]), wire["Type"], int(wire.get("TTL", 0)), values, alias, wire.get("SetIdentifier", ""), wire)


def ours(found: Iterable[RecordSet], names: Iterable[str]) -> list[RecordSet]:
    """Those that the runbook names: exactly, or by a pattern."""
    wanted = [plain(name) for name in names]
    exact, patterns = {name for name in wanted if not _is_pattern(name)}, [name for name in wanted if _is_pattern(name)]
    return [
        item for item in found
        if item.type in _KINDS and (item.name in exact or any(fnmatchcase(item.name, pattern) for pattern in patterns))
    ]  # fmt: skip


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def listed(names: Iterable[str]) -> list[str]:
    """The names that are host names, not patterns."""
    return [name for name in names if not _is_pattern(name)]


def leads(item: RecordSet, goals: Mapping[str, Goal]) -> list[str]:
    """The regions that a record set leads to."""
    return [region for region, goal in goals.items() if _leads(item, goal)]


def _leads(item: RecordSet, goal: Goal) -> bool:
    return (goal.alias is not None and item.alias == goal.alias.host) or bool(set(item.values) & set(goal.values))


@dataclass(frozen=True)
class Leading:
    """Names by the region that all their simple record sets lead to; ``mixed``: to several."""

    regions: Mapping[str, tuple[str, ...]]
    mixed: tuple[str, ...] = ()

    @property
    def only(self) -> str | None:
        """The one region that all names lead to."""
        return next(iter(self.regions)) if len(self.regions) == 1 and not self.mixed else None


def leading(items: Iterable[RecordSet], goals: Mapping[str, Goal]) -> Leading:
    """Sorts names; those that lead to no region of the runbook are nobody's business."""
    found: dict[str, set[str]] = {}
    for item in items:
        found.setdefault(item.name, set()).update(leads(item, goals))
    return sorted_by_region(found)


def sorted_by_region(found: Mapping[str, Iterable[str]]) -> Leading:
    """By name: the regions it leads to."""
    regions: dict[str, list[str]] = {}
    mixed = []
    for name, known in sorted(found.items()):
        there = list(known)
        if len(there) > 1:
            mixed.append(name)
        elif there:
            regions.setdefault(there[0], []).append(name)
    return Leading({region: tuple(names) for region, names in regions.items()}, tuple(mixed))


@dataclass(frozen=True)
class Change:
    """One UPSERT, and what it replaces."""

    old: RecordSet
    wire: Wire


def moved(items: Iterable[RecordSet], source: Goal, target: Goal, ttl: int) -> tuple[list[Change], list[RecordSet]]:
    """What makes simple record sets of the source lead to the target; and those that cannot: the target has nothing of their type.

    Values that belong to no region stay. A TTL stays; ``ttl`` is for what was an alias.
    """
    changes, stuck = [], []
    for item in sorted(items, key=lambda item: (item.name, item.type)):
        if item.identifier or not _leads(item, source):
            continue
        wire = _to(item, source, target, ttl)
        if wire is None:
            stuck.append(item)
        elif wire != item.wire:
            changes.append(Change(item, wire))
    return changes, stuck


def _to(item: RecordSet, source: Goal, target: Goal, ttl: int) -> Wire | None:
    fresh = target.of(item.type)
    stays = [value for value in item.values if value not in (*source.values, *fresh)]
    if item.alias and target.alias is not None:
        return _aliased(item, target)
    if fresh:
        return _valued(item, (*stays, *fresh), item.ttl or ttl)
    if target.alias is not None and item.type in ("A", "AAAA") and not stays:
        return _aliased(item, target)
    return None


def _aliased(item: RecordSet, goal: Goal) -> Wire:
    assert goal.alias is not None
    alias = {"HostedZoneId": goal.alias.zone, "DNSName": goal.alias.name, "EvaluateTargetHealth": goal.alias.evaluate_target_health}
    return {**_without(item.wire), "AliasTarget": alias}


def _valued(item: RecordSet, values: Iterable[str], ttl: int) -> Wire:
    return {**_without(item.wire), "TTL": ttl, "ResourceRecords": [{"Value": value} for value in values]}


def _without(wire: Wire) -> dict[str, Any]:
    return {name: value for name, value in wire.items() if name not in ("TTL", "ResourceRecords", "AliasTarget")}


def restored(items: Iterable[RecordSet], before: Mapping[str, Sequence[str]], ttl: int) -> list[Change]:
    """The old answers put back, by key; record sets that ``before`` does not have stay."""
    changes = []
    for item in items:
        answer = tuple(before.get(item.key, ()))
        if not answer or item.identifier or answer == item.answer:
            continue
        if answer[0] == _ALIAS:
            alias = {"HostedZoneId": answer[1], "DNSName": answer[2], "EvaluateTargetHealth": answer[3] == str(True)}
            changes.append(Change(item, {**_without(item.wire), "AliasTarget": alias}))
        else:
            changes.append(Change(item, _valued(item, answer, item.ttl or ttl)))
    return changes


def retimed(items: Iterable[RecordSet], wanted: Mapping[str, int]) -> list[Change]:
    """The simple record sets that have another TTL than ``wanted`` says for their key, wherever they lead; 0: it was an alias."""
    pairs = [(item, wanted.get(item.key) or item.ttl) for item in items if not item.alias and not item.identifier]
    return [Change(item, {**item.wire, "TTL": ttl}) for item, ttl in pairs if ttl != item.ttl]


def batches(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """As many changes in each as one call takes: 500 addresses; fewer of long values."""
    batch: list[Change] = []
    elements = characters = 0
    for change in changes:
        values = [item["Value"] for item in change.wire.get("ResourceRecords", ())]
        more, longer = 2 * max(1, len(values)), 2 * sum(len(value) for value in values)
        if batch and (elements + more > MOST_ELEMENTS or characters + longer > MOST_CHARACTERS):
            yield batch
            batch, elements, characters = [], 0, 0
        batch.append(change)
        elements, characters = elements + more, characters + longer
    if batch:
        yield batch


def cost(changes: Sequence[Change]) -> int:
    """What they use up of the account's changes a second: an UPSERT counts twice."""
    return 2 * len(changes)


def parameters(zone: str, changes: Iterable[Change], comment: str) -> dict[str, Any]:
    """Of ChangeResourceRecordSets."""
    upserts = [{"Action": "UPSERT", "ResourceRecordSet": dict(change.wire)} for change in changes]
    return {"HostedZoneId": zone, "ChangeBatch": {"Comment": comment, "Changes": upserts}}


def private(value: str) -> bool:
    """An address that no health checker of the world reaches."""
    import ipaddress

    return kind_of(value) != "CNAME" and ipaddress.ip_address(value).is_private
