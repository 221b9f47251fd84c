"""A registry in each region. All that is needed is there, unless a region's sets say otherwise: what is fine takes no room and no time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dr.model.lag import Finding, RegionView
from dr.model.words import Role, Severity
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.sort import Answers, Sort, Told, answered, silent, some
from dr.providers.sim.world import World


class Held(NamedTuple):
    """What is not as it should be in one registry. tags: those that name another image than the one that runs."""

    missing: frozenset[str]
    broken: frozenset[str]
    tags: dict[str, str]


def version(digest: str) -> int:
    """Images of one Deployment are numbered as they were made."""
    number = digest.rpartition("@")[2]
    return int(number) if number.isdigit() else 0


class Images(Sort):
    """``Store`` of one registry component.

    rollback: how many earlier images of each Deployment are needed. whole: images that are needed whoever uses them.
    missing, broken: by region, digests that are not there, or lack a part. tags: by region and Deployment, a digest that its tag names
    instead of the image that runs. repository, called: how people call it, and the tag of a Deployment; only for what they read.
    """

    placed = looked = compared = True

    def __init__(
        self, world: World, name: str, deployments: Deployments | None, rollback: int, whole: Sequence[str] = (),
        regions: Sequence[str] = (),
    ) -> None:  # fmt: skip
        super().__init__(world, name, regions)
        self.deployments, self.rollback, self.whole = deployments, rollback, tuple(whole)
        self.placed = deployments is not None
        self.repository, self.called = "images", dict[str, str]()
        self.missing: dict[str, set[str]] = {region: set() for region in self.regions}
        self.broken: dict[str, set[str]] = {region: set() for region in self.regions}
        self.tags: dict[str, dict[str, str]] = {region: {} for region in self.regions}
        if deployments is not None:
            deployments.prerequisites.append(self)

    # --- what is needed -----------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How many images are needed."""
        return len(self.deployments.ids if self.deployments is not None else ()) * (1 + self.rollback) + len(self.whole)

    def running(self, digest: str) -> list[str]:
        """The Deployments that run an image."""
        return [] if self.deployments is None else [item for item, image in self.deployments.images.items() if image == digest]

    def needed(self, digest: str) -> bool:
        """It runs, somebody may go back to it, or its repository is needed whole."""
        if digest in self.whole or self.running(digest):
            return True
        base = digest.rpartition("@")[0]
        live = "" if self.deployments is None else self.deployments.images.get(base.removeprefix("sha256:"), "")
        return bool(live) and 0 < version(live) - version(digest) <= self.rollback

    def urgent(self, digest: str) -> bool:
        """It has to be there before a Deployment starts."""
        return digest in self.whole or bool(self.running(digest))

    def lacking(self, held: Held) -> list[str]:
        """Needed images that are not there, whole."""
        return [digest for digest in sorted(held.missing | held.broken) if self.needed(digest)]

    def lacks(self, region: str) -> dict[str, str]:
        """Deployments whose image cannot be pulled in a region."""
        if self.deployments is None:
            return {}
        if region in self.down:
            return dict.fromkeys(self.deployments.ids, f"the registry of {region} does not answer")
        bad = self.missing[region] | self.broken[region]
        if not bad:
            return {}
        why = f"is not in the registry of {region}"
        return {item: f"image {self.repository} {image} {why}" for item, image in self.deployments.images.items() if image in bad}

    # --- what can be done ---------------------------------------------------------------------------------------------

    def push(self, region: str, deployment: str) -> str:
        """A Deployment runs a new image, which was pushed to one region only. Its digest."""
        assert self.deployments is not None, "nobody runs what is pushed here"
        base, _, number = self.deployments.images[deployment].rpartition("@")
        digest = f"{base}@{int(number) + 1}"
        for other in self.regions:
            if other != region:
                self.missing[other].add(digest)
                self.tags[other].setdefault(deployment, self.deployments.images[deployment])
        self.deployments.images[deployment] = digest
        return digest

    def bring(self, one: str, other: str, digests: Iterable[str]) -> int:
        """Copies images as far as the first region has them, whole. How many."""
        copied = [item for item in digests if item not in self.missing[one] | self.broken[one]]
        self.missing[other].difference_update(copied)
        self.broken[other].difference_update(copied)
        return len(copied)

    def retag(self, one: str, other: str) -> int:
        """Tags of the other region name what they name in the first, but where the other's image is the newer one. How many changed."""
        change, _ = self.tags_apart(self.held(one), self.held(other))
        for tag, digest in change.items():
            if digest == self.live(tag):
                self.tags[other].pop(tag, None)
            else:
                self.tags[other][tag] = digest
        return len(change)

    # --- what can be seen ---------------------------------------------------------------------------------------------

    def live(self, tag: str) -> str:
        """The image that a Deployment runs, which its tag should name."""
        return "" if self.deployments is None else self.deployments.images.get(tag, "")

    def tags_apart(self, one: Held, other: Held) -> tuple[dict[str, str], list[str]]:
        """Tags to be made as they are in ``one``, with their digest; and those that name a newer image in ``other``."""
        change, conflicts = dict[str, str](), []
        for tag in sorted(one.tags.keys() | other.tags.keys()):
            ours, theirs = one.tags.get(tag, self.live(tag)), other.tags.get(tag, self.live(tag))
            if ours != theirs and version(theirs) < version(ours):
                change[tag] = ours
            elif ours != theirs:
                conflicts.append(tag)
        return change, conflicts

    def held(self, region: str) -> Held:
        """What is not as it should be in a region."""
        return Held(frozenset(self.missing[region]), frozenset(self.broken[region]), dict(self.tags[region]))

    def look(self, region: str) -> Told:
        """Roles are those of the Deployments' database: a registry takes pushes everywhere. Facts: ``Held``, None where it is silent."""
        held = None if region in self.down else self.held(region)
        if self.deployments is None:
            return Told(None, held)
        copy = self.deployments.database.copies[region]
        why = "" if held is not None else f"the registry of {region} does not answer"
        if not copy.up or copy.frozen:
            return Told(RegionView(role=Role.UNREACHABLE, reason=f"the database of {region} does not answer"), held)
        primary = copy.primary
        role = Role.PRIMARY if primary else Role.SECONDARY
        return Told(RegionView(role=role, epoch=copy.timeline if primary else None, reason=why), held)

    def findings(self, told: Answers) -> Sequence[Finding]:
        """What keeps a region from starting the Deployments (error), and what is to be mended before that day (warning)."""
        found = []
        quiet = {region: error.message for region, error in silent(told).items()}
        quiet |= {region: f"the registry of {region} does not answer" for region, item in answered(told).items() if item.facts is None}
        for region, why in quiet.items():
            fact = f"the registry of {region} cannot be asked: {why}"
            found.append(self.finding(Severity.ERROR, fact, f"start the registry of {region}", region))
        for region, item in answered(told).items():
            if item.facts is not None:
                found += self._contents(region, item.facts)
        return found

    def _contents(self, region: str, held: Held) -> list[Finding]:
        found = []
        for digests, word in ((held.missing, "not in"), (held.broken, "not whole in")):
            for severity, urgent in ((Severity.ERROR, True), (Severity.WARNING, False)):
                items = [item for item in sorted(digests) if self.needed(item) and self.urgent(item) is urgent]
                if items:
                    names = some([f"{item} (used by {', '.join(self.running(item)) or 'nobody now'})" for item in items])
                    fact = f"image {names} is {word} {region}" if len(items) == 1 else f"{len(items)} images are {word} {region}: {names}"
                    found.append(self.finding(severity, fact, "dr reprotect copies what is missing", region))
        for tag, digest in sorted(held.tags.items()):
            fact = f"tag {tag} names {digest} in {region}, not {self.live(tag)}"
            fix = "dr reprotect mends it where the primary's is the newer image; else push the tag again"
            found.append(self.finding(Severity.WARNING, fact, fix, region))
        return found

    def unequal(self, told: Answers, primary: str | None) -> str:
        """What the secondary lacks."""
        reasons = []
        for region, item in told.items():
            if region != primary and (not isinstance(item, Told) or item.facts is None):
                reasons.append(f"the registry of {region} cannot be asked")
            elif region != primary and isinstance(item, Told) and (left := self.lacking(item.facts)):
                reasons.append(f"{len(left)} images are not in {region}: {some(left)}")
        return "; ".join(reasons)
