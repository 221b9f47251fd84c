"""What comparing two sides, or a side with what was kept of the other, comes to. Pure; names and counts, never contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dr.model.evidence import NAMED, Accounted
from dr.providers.selfhosted.vault.lineage import History, Standing, standing
from dr.providers.selfhosted.vault.secret import Fact, Secret

Held = Mapping[str, Secret]
Facts = Mapping[str, Fact]

PER_REGION = "holds its region's own value"
"""Stands for the digest of a value that differs on purpose: equal on both sides."""


@dataclass(frozen=True)
class Side:
    """One region's protected secrets.

    facts: of current versions, by path. unread: why one could not be read. partial: the time was over before all were read.
    """

    region: str
    secrets: Held
    facts: Facts
    unread: Mapping[str, str] = field(default_factory=dict)
    partial: bool = False

    def usable(self, path: str) -> bool:
        """Readers get a value there."""
        return path in self.facts

    @property
    def account(self) -> dict[str, str]:
        """Path → keyed digest of what readers get."""
        return {path: fact.digest for path, fact in self.facts.items()}


@dataclass(frozen=True)
class Item:
    """One secret that is not equal on both sides. ``own``: each region needs a value of its own, so it is not copied."""

    path: str
    standing: Standing
    why: str = ""
    own: bool = False


@dataclass(frozen=True)
class Compared:
    """A side judged against the other one, or against what was kept of it. ``complete``: the other side itself was asked."""

    region: str
    checked: int
    items: tuple[Item, ...]
    complete: bool

    def of(self, *standings: Standing) -> tuple[Item, ...]:
        """The items of some standings."""
        return tuple(item for item in self.items if item.standing in standings)

    def names(self, *standings: Standing) -> tuple[str, ...]:
        """Their paths."""
        return tuple(item.path for item in self.of(*standings))

    def accounted(self, component: str, at: datetime, *, carried: Sequence[Item] = (), items_path: str | None = None) -> Accounted:
        """As evidence. Secrets that only the judged side has are not counted: they were created later, or deleted on the other side.

        Args:
            carried: what was found and mended before this comparison: counted as found, and as repaired.
        """
        found = Compared(self.region, self.checked, (*self.items, *carried), self.complete)
        missing, differing = found.names(Standing.MISSING), found.names(Standing.OLDER, Standing.DIVERGED)
        conflicts = found.names(Standing.NEWER)
        return Accounted(
            component=component, region=self.region, at=at, checked=self.checked,
            equal=self.checked - len(missing) - len(differing) - len(conflicts), missing=missing[:NAMED], missing_total=len(missing),
            differing=differing[:NAMED], differing_total=len(differing), conflicts=conflicts[:NAMED], conflicts_total=len(conflicts),
            repaired=len(carried), complete=self.complete, items_path=items_path,
        )  # fmt: skip


def unequal(original: Side, copy: Side) -> tuple[str, ...]:
    """Paths whose histories are needed: both sides have a value, and not the same."""
    both = original.facts.keys() & copy.facts.keys()
    return tuple(sorted(path for path in both if original.facts[path].digest != copy.facts[path].digest))


def compare(original: Side, copy: Side, histories: Mapping[str, tuple[History, History]]) -> Compared:
    """The copy judged against the original.

    Args:
        histories: of every path that ``unequal`` named: the original's, the copy's.
    """
    items = []
    for path in sorted(original.secrets):
        if not original.usable(path):
            continue  # deleted at its origin: nobody misses it
        if not copy.usable(path):
            own = original.facts[path].digest == PER_REGION
            items.append(Item(path, Standing.MISSING, why_missing(copy, path), own))
    items += [Item(path, found) for path in unequal(original, copy) if (found := standing(*histories[path])) is not Standing.EQUAL]
    items += [Item(path, Standing.EXTRA) for path in sorted(copy.facts.keys() - original.facts.keys())]
    return Compared(copy.region, len(original.facts), tuple(items), complete=True)


def compare_kept(kept: Mapping[str, str], origin: str, copy: Side, histories: Mapping[str, History]) -> Compared:
    """The copy judged against what was kept of the other side while that could be asked.

    Args:
        kept: path → keyed digest. origin: the region that it was taken in.
        histories: of every path whose digest differs.
    """
    items = []
    for path, digest in sorted(kept.items()):
        if not copy.usable(path):
            items.append(Item(path, Standing.MISSING, why_missing(copy, path)))
        elif copy.facts[path].digest not in (digest, PER_REGION):
            known = digest in histories[path].before
            if not (known and copy.secrets[path].copied_from == origin):  # else it was copied after the account was taken
                items.append(Item(path, Standing.NEWER if known else Standing.OLDER))
    items += [Item(path, Standing.EXTRA) for path in sorted(copy.facts.keys() - kept.keys())]
    return Compared(copy.region, len(kept), tuple(items), complete=False)


def why_missing(side: Side, path: str) -> str:
    """What a reader of a missing secret would meet."""
    if path in side.unread:
        return side.unread[path]
    secret = side.secrets.get(path)
    return "not there" if secret is None or not secret.versions else f"its newest version is {secret.gone or 'empty'}"


def many(count: int, what: str) -> str:
    """``1 secret``, ``2 secrets``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def some(names: Sequence[str], most: int = 3) -> str:
    """The first few, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
