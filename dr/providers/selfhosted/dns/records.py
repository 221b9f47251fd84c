"""Which names lead where, and what has to change. Pure.

Names are lower-case text without the last dot. Types are ``A`` and ``AAAA``; nothing else is ever changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

Key = tuple[str, str]
"""Name and type of a record set."""


@dataclass(frozen=True)
class RecordSet:
    """All addresses of one name and type."""

    name: str
    type: str
    ttl: int
    addresses: frozenset[str]

    @property
    def key(self) -> Key:
        """What tells record sets apart."""
        return (self.name, self.type)


@dataclass(frozen=True)
class ZoneCopy:
    """The address records of a zone as one server has them.

    soa: the zone's start-of-authority record as text; it changes with every change of the zone. name_servers: names that the zone
    needs to be found itself; they belong to their server and are never moved.
    """

    soa: str
    soa_ttl: int
    sets: Mapping[Key, RecordSet]
    name_servers: frozenset[str] = frozenset()

    def matching(self, patterns: Iterable[str]) -> dict[Key, RecordSet]:
        """The record sets that the runbook's patterns name."""
        wanted = [pattern.rstrip(".").lower() for pattern in patterns]
        return {
            key: records for key, records in self.sets.items()
            if records.name not in self.name_servers and any(fnmatchcase(records.name, pattern) for pattern in wanted)
        }  # fmt: skip


@dataclass(frozen=True)
class Change:
    """What one record set loses and gains, and the TTL of what it gains. A set that loses and gains the same gets another TTL."""

    name: str
    type: str
    ttl: int
    remove: frozenset[str]
    add: frozenset[str]


@dataclass(frozen=True)
class Leads:
    """Where the matching names of one server lead: names by region, and those that hold addresses of several regions."""

    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mixed: tuple[str, ...] = ()

    @property
    def only(self) -> str | None:
        """The one region that all names lead to; None for none or several."""
        return next(iter(self.regions)) if len(self.regions) == 1 and not self.mixed else None


def leads(records: Mapping[Key, RecordSet], addresses: Mapping[str, Iterable[str]]) -> Leads:
    """Sorts names by the region that they lead to; names that lead to no region of the runbook are nobody's business."""
    by_region: dict[str, list[str]] = {}
    mixed = []
    for item in records.values():
        found = [region for region, known in addresses.items() if item.addresses & set(known)]
        if len(found) > 1:
            mixed.append(item.name)
        elif found:
            by_region.setdefault(found[0], []).append(item.name)
    return Leads({region: tuple(sorted(names)) for region, names in by_region.items()}, tuple(sorted(mixed)))


def redirected(records: Mapping[Key, RecordSet], source: Iterable[str], target: Iterable[str]) -> list[Change]:
    """The source's addresses replaced by the target's of the same type; other addresses of a name stay.

    A record set whose type the target has no address of loses the source's: a name must not lead to a lost region.
    """
    changes = []
    for item in records.values():
        remove = item.addresses & frozenset(source)
        if remove:
            add = frozenset(address for address in target if type_of(address) == item.type) - item.addresses
            changes.append(Change(item.name, item.type, item.ttl, remove, add))
    return sorted(changes, key=lambda change: (change.name, change.type))


def restored(records: Mapping[Key, RecordSet], before: Mapping[str, Iterable[str]]) -> list[Change]:
    """The old answers put back: for each name and type that ``before`` has, exactly its addresses."""
    changes = []
    for name, addresses in sorted(before.items()):
        for kind in sorted({type_of(address) for address in addresses}):
            wanted = frozenset(address for address in addresses if type_of(address) == kind)
            now = records.get((name, kind))
            if now is not None and now.addresses != wanted:
                changes.append(Change(name, kind, now.ttl, now.addresses - wanted, wanted - now.addresses))
    return changes


def copied(theirs: Mapping[Key, RecordSet], ours: Mapping[Key, RecordSet], source: Iterable[str], target: Iterable[str]) -> list[Change]:
    """What makes our records equal to theirs. Names that only we have are kept, but must not lead to the source any more."""
    changes = []
    for key, item in sorted(theirs.items()):
        have = ours[key].addresses if key in ours else frozenset()
        if key in ours and ours[key].ttl != item.ttl:
            changes.append(Change(item.name, item.type, item.ttl, have, item.addresses))
        elif have != item.addresses:
            changes.append(Change(item.name, item.type, item.ttl, have - item.addresses, item.addresses - have))
    only_ours = {key: item for key, item in ours.items() if key not in theirs}
    return changes + redirected(only_ours, source, target)


def ttl_key(item: RecordSet) -> str:
    """A record set's name and type as one text: ``a.example.com A``."""
    return f"{item.name} {item.type}"


def lowered(records: Mapping[Key, RecordSet], source: Iterable[str], ttl: int) -> list[Change]:
    """The record sets that lead to the source and live longer than ``ttl`` seconds, with that TTL."""
    known = frozenset(source)
    return _retimed((item, ttl) for item in records.values() if item.addresses & known and item.ttl > ttl)


def with_ttls(records: Mapping[Key, RecordSet], wanted: Mapping[str, int]) -> list[Change]:
    """The record sets that have another TTL than ``wanted`` says for them; wherever they lead now."""
    return _retimed((item, ttl) for item in records.values() if (ttl := wanted.get(ttl_key(item), item.ttl)) != item.ttl)


def _retimed(pairs: Iterable[tuple[RecordSet, int]]) -> list[Change]:
    changes = [Change(item.name, item.type, ttl, item.addresses, item.addresses) for item, ttl in pairs]
    return sorted(changes, key=lambda change: (change.name, change.type))


def type_of(address: str) -> str:
    """``AAAA`` for IPv6, else ``A``."""
    return "AAAA" if ":" in address else "A"


def answers(records: Iterable[RecordSet]) -> dict[str, tuple[str, ...]]:
    """Names with all their addresses, sorted: what evidence keeps for an undo."""
    found: dict[str, set[str]] = {}
    for item in records:
        found.setdefault(item.name, set()).update(item.addresses)
    return {name: tuple(sorted(addresses)) for name, addresses in sorted(found.items())}
