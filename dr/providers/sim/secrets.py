"""A store of secrets in each region. A content is a number, never a value; what leaves this module is a keyed digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

from dr.model.lag import Finding, RegionView
from dr.model.words import Role, Severity
from dr.providers.sim.database import Database
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.sort import Answers, Sort, Told, answered, silent, some
from dr.providers.sim.world import World

Contents = Mapping[str, tuple[int, ...]]
"""By path: everything that it held, oldest first; readers get the last one."""


class Standing(StrEnum):
    """A secret of one side against that of the other."""

    MISSING = "missing"
    OLDER = "older"
    NEWER = "changed"
    DIVERGED = "different"
    EXTRA = "only there"


WRONG = (Standing.MISSING, Standing.OLDER, Standing.NEWER, Standing.DIVERGED)


@dataclass(frozen=True)
class Compared:
    """One side judged. ``complete``: against the other side itself, not against what was kept of it."""

    region: str
    checked: int
    items: Mapping[str, Standing]
    complete: bool

    def of(self, *standings: Standing) -> tuple[str, ...]:
        """The paths of some standings."""
        return tuple(path for path, found in self.items.items() if found in standings)


class Secrets(Sort):
    """``Store`` of one component of secrets.

    needed: what a Deployment cannot start without, with ``{id}``. fernet: where its key is; ``keys``: the content of it with which its
    database is encrypted; ``no_keys``: contents that are no key at all. carried: by region, what ``dr`` copied there. preserved: by
    region, contents of it that were kept elsewhere.
    """

    placed = looked = compared = True

    def __init__(
        self, world: World, name: str, database: Database | None, deployments: Deployments | None, needed: Sequence[str],
        fernet: str | None, regions: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(world, name, regions)
        self.database, self.deployments, self.fernet = database, deployments, fernet
        self.placed = database is not None
        self.needed = tuple(dict.fromkeys((*needed, *((fernet,) if fernet is not None else ()))))
        ids = deployments.ids if deployments is not None else ()
        self.paths = {item: tuple(_filled(template, item) for template in self.needed) for item in ids}
        self.keys = dict.fromkeys(ids, 1)
        self.no_keys: set[int] = set()
        everything = [*(path for paths in self.paths.values() for path in paths), "shared/smtp"]
        self.held: dict[str, dict[str, tuple[int, ...]]] = {region: dict.fromkeys(everything, (1,)) for region in self.regions}
        self.carried: dict[str, set[tuple[str, int]]] = {region: set() for region in self.regions}
        self.preserved: dict[str, set[tuple[str, int]]] = {region: set() for region in self.regions}
        self._numbers = count(2)
        if deployments is not None:
            deployments.prerequisites.append(self)

    # --- what can be done ---------------------------------------------------------------------------------------------

    def write(self, region: str, path: str) -> int:
        """Somebody writes a new content in one region. Its number."""
        number = next(self._numbers)
        self.held[region][path] = (*self.held[region].get(path, ()), number)
        return number

    def rotate(self, region: str, deployment: str) -> None:
        """A Deployment gets a new key in one region, and its database is encrypted with it."""
        assert self.fernet is not None, "there are no keys"
        self.keys[deployment] = self.write(region, _filled(self.fernet, deployment))

    def forget(self, region: str, path: str) -> None:
        """A secret is deleted in one region."""
        self.held[region].pop(path, None)

    def carry(self, one: str, other: str, paths: Iterable[str]) -> int:
        """Copies what readers get; what the other side had stays there as an older version. How many."""
        copied = 0
        for path in paths:
            ours, theirs = self.held[one].get(path, ()), self.held[other].get(path, ())
            if ours and (not theirs or theirs[-1] != ours[-1]):
                self.held[other][path] = (*theirs, *(item for item in ours if item not in theirs and item != ours[-1]), ours[-1])
                self.carried[other].add((path, ours[-1]))
                copied += 1
        return copied

    def preserve(self, region: str, other: str) -> int:
        """Keeps in the other region what only one had. How many contents."""
        left = self.only(region, other)
        self.preserved[region].update(left)
        return len(left)

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def only(self, region: str, other: str) -> list[tuple[str, int]]:
        """Contents that only one region ever had."""
        ours, theirs = self.held[region], self.held[other]
        if ours == theirs:
            return []
        return [(path, item) for path, items in ours.items() for item in items if item not in theirs.get(path, ())]

    def key_of(self, deployment: str) -> str:
        """Where a Deployment's key is; empty where there are no keys."""
        return "" if self.fernet is None else _filled(self.fernet, deployment)

    def lacks(self, region: str) -> dict[str, str]:
        """Deployments that cannot work with what a region has."""
        if region in self.down:
            return dict.fromkeys(self.paths, f"the secrets of {region} do not answer")
        return self.lacking(region, self.held[region])

    def lacking(self, region: str, held: Contents) -> dict[str, str]:
        """The same, by what was read of a region."""
        found = {}
        for item, paths in self.paths.items():
            gone = [path for path in paths if path not in held]
            if gone:
                found[item] = f"secret missing in {region}: {gone[0]}"
            elif self.fernet is not None and held[_filled(self.fernet, item)][-1] in self.no_keys:
                found[item] = f"secret without a Fernet key in {region}: {_filled(self.fernet, item)}"
            elif self.fernet is not None and held[_filled(self.fernet, item)][-1] != self.keys[item]:
                found[item] = f"the Fernet key of {item} does not decrypt in {region}"
        return found

    def look(self, region: str) -> Told:
        """Roles are those of the database: secrets have no primary of their own."""
        self.there(region)
        held = dict(self.held[region])
        if self.database is None:
            return Told(None, held)
        copy = self.database.copies[region]
        if not copy.up or copy.frozen:
            return Told(RegionView(role=Role.SECONDARY, reason=f"the database of {region} does not answer"), held)
        return Told(RegionView(role=Role.PRIMARY if copy.primary else Role.SECONDARY, epoch=copy.timeline), held)

    def findings(self, told: Answers) -> Sequence[Finding]:
        """What keeps a region from being moved to is an error; where we are already it is drift."""
        seen, found = answered(told), []
        for region, error in silent(told).items():
            found.append(self.finding(Severity.WARNING, error.message, f"start the server in {region}", region))
        for region, item in seen.items():
            primary = item.view is not None and item.view.role is Role.PRIMARY
            worst = Severity.WARNING if primary else Severity.ERROR
            lacks = self.lacking(region, item.facts)
            if lacks:
                fact = f"{len(lacks)} Deployments cannot work in {region}: {some(list(lacks.values()))}"
                found.append(self.finding(worst, fact, "write the right value there, or dr reprotect while both sides are there", region))
            for other, theirs in seen.items():
                if other != region:
                    compared = compare(region, theirs.facts, item.facts)
                    for standing in WRONG:
                        if names := compared.of(standing):
                            fact = f"{len(names)} secrets {standing} in {region}: {some(names)}"
                            found.append(self.finding(worst, fact, "dr reprotect copies what is missing or older", region))
        return found

    def unequal(self, told: Answers, primary: str | None) -> str:
        """Secrets that are not the same everywhere."""
        quiet = [error.message for error in silent(told).values()]
        if quiet:
            return "; ".join(quiet)
        first, *others = (account(item.facts) for item in answered(told).values())
        apart = {path for other in others for path in first.keys() | other.keys() if first.get(path) != other.get(path)}
        return f"{len(apart)} secrets not equal" if apart else ""


def account(held: Contents) -> dict[str, str]:
    """Path → keyed digest of what readers get."""
    return {path: f"hmac:{items[-1]}" for path, items in held.items()}


def compare(region: str, original: Contents, copy: Contents) -> Compared:
    """A region's secrets against those of the other side."""
    items: dict[str, Standing] = {}
    if original != copy:
        for path in sorted(original.keys() | copy.keys()):
            ours, theirs = original.get(path, ()), copy.get(path, ())
            if not ours:
                items[path] = Standing.EXTRA
            elif not theirs:
                items[path] = Standing.MISSING
            elif ours[-1] != theirs[-1]:
                was_ours, was_theirs = theirs[-1] in ours, ours[-1] in theirs
                items[path] = Standing.OLDER if was_ours else Standing.NEWER if was_theirs else Standing.DIVERGED
    return Compared(region, len(original), items, complete=True)


def compare_kept(region: str, kept: Mapping[str, str], copy: Contents, carried: set[tuple[str, int]]) -> Compared:
    """A region's secrets against the account that was kept of the other side. ``carried``: what was copied here since."""
    items: dict[str, Standing] = {}
    for path, digest in kept.items():
        theirs = copy.get(path, ())
        if not theirs:
            items[path] = Standing.MISSING
        elif f"hmac:{theirs[-1]}" != digest and (path, theirs[-1]) not in carried:
            items[path] = Standing.NEWER if digest in {f"hmac:{item}" for item in theirs} else Standing.OLDER
    items |= dict.fromkeys(copy.keys() - kept.keys(), Standing.EXTRA)
    return Compared(region, len(kept), items, complete=False)


def _filled(template: str, deployment: str) -> str:
    return template.replace("{id}", deployment).replace("{namespace}", deployment)
