"""Objects of two buckets compared by what listings tell: key, ETag, size, time of the last change. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum


@dataclass(frozen=True, slots=True)
class Item:
    """One object as a listing shows it. ``etag`` without quotes; ``modified`` by the store's clock."""

    key: str
    etag: str
    size: int
    modified: datetime


def same(one: Item, other: Item) -> bool:
    """Whether both have the same content as far as a listing can tell.

    The ETag of an object that was put in one piece is its MD5. One that was put in parts has an ETag of another form, with a dash, which
    depends on the parts: there equal sizes have to do.
    """
    if one.size != other.size:
        return False
    return one.etag == other.etag or "-" in one.etag or "-" in other.etag


@dataclass(frozen=True)
class Difference:
    """What comparing the source with the target found, by key; ``differing`` as (source's, target's)."""

    checked: int
    only_source: tuple[Item, ...] = ()
    only_target: tuple[Item, ...] = ()
    differing: tuple[tuple[Item, Item], ...] = ()

    @property
    def unequal(self) -> int:
        """How many keys are not equal on both sides."""
        return len(self.only_source) + len(self.only_target) + len(self.differing)

    @property
    def equal(self) -> int:
        """How many keys are."""
        return self.checked - self.unequal

    @property
    def keys(self) -> frozenset[str]:
        """The keys that are not equal."""
        pairs = (theirs.key for theirs, _ in self.differing)
        return frozenset([*(item.key for item in (*self.only_source, *self.only_target)), *pairs])


def compare(source: Mapping[str, Item], target: Mapping[str, Item], control_prefix: str) -> Difference:
    """Every key of both sides, but those under the control prefix."""
    keys = sorted(key for key in source.keys() | target.keys() if not key.startswith(control_prefix))
    return Difference(
        checked=len(keys),
        only_source=tuple(source[key] for key in keys if key not in target),
        only_target=tuple(target[key] for key in keys if key not in source),
        differing=tuple(
            (source[key], target[key]) for key in keys if key in source and key in target and not same(source[key], target[key])
        ),
    )


class Way(Enum):
    """Which side's version of an object is the newer one."""

    TO_TARGET = "to-target"
    TO_SOURCE = "to-source"
    CONFLICT = "conflict"


def way(source: Item, target: Item, promoted_at: datetime | None) -> Way:
    """Where to copy an object that both sides hold with different contents; the target was promoted, the source is the old primary.

    The target's version was written there since the promotion: it is the newer one (direction by epoch), unless the source's is younger
    still, which an old primary that went on writing makes: a conflict, and neither overwrites the other. The target's version is from
    before the promotion: it came from the source, so a younger one there is a write that never arrived.

    Args:
        promoted_at: None where the target was primary all the time.
    """
    if source.modified == target.modified:
        return Way.CONFLICT
    if source.modified < target.modified:
        return Way.TO_SOURCE
    if promoted_at is None or target.modified > promoted_at:
        return Way.CONFLICT
    return Way.TO_TARGET


@dataclass(frozen=True)
class Repair:
    """What to do about a difference: what to put where, and what to leave alone. Pairs are (copied, what it replaces or None)."""

    to_target: tuple[tuple[Item, Item | None], ...] = ()
    to_source: tuple[tuple[Item, Item | None], ...] = ()
    conflicts: tuple[tuple[Item, Item], ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """What is copied."""
        return frozenset(item.key for item, _ in (*self.to_target, *self.to_source))


def repair(found: Difference, promoted_at: datetime | None) -> Repair:
    """Missing objects are put again, on either side; of differing ones the newer counts, see ``way``."""
    ways = [(source, target, way(source, target, promoted_at)) for source, target in found.differing]
    return Repair(
        to_target=(*((item, None) for item in found.only_source), *((s, t) for s, t, course in ways if course is Way.TO_TARGET)),
        to_source=(*((item, None) for item in found.only_target), *((t, s) for s, t, course in ways if course is Way.TO_SOURCE)),
        conflicts=tuple((s, t) for s, t, course in ways if course is Way.CONFLICT),
    )


def only_on_the_old_side(found: Difference) -> tuple[Item, ...]:
    """What the source holds and nobody else: objects that the target lacks, and contents that differ there, whichever is newer."""
    return (*found.only_source, *(source for source, _ in found.differing))


def overtaken(behind: Iterable[Item], arrived: datetime | None, by: timedelta) -> tuple[Item, ...]:
    """Those of some missing items that the replication has given up, oldest first: what was written ``by`` later is there, they are not.

    Nothing is given up while nothing arrives: a replication that stands still has all of it to send.

    Args:
        arrived: when the newest thing was written that has arrived; None where nothing has, or nobody knows.
    """
    if arrived is None:
        return ()
    return tuple(sorted((item for item in behind if arrived - item.modified > by), key=lambda item: (item.modified, item.key)))


def oldest(items: Iterable[Item]) -> datetime | None:
    """When the oldest was changed; None of none."""
    return min((item.modified for item in items), default=None)
