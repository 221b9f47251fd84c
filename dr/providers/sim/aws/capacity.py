"""What runs things in AWS: groups of instances and tasks, event source mappings. What is asked for comes minutes later, or not at all.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshooting-launch.html#troubleshooting-launch-capacity (no capacity left in a
zone), https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html (Enabling, Disabling).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from dr.errors import Transient
from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.sim.sort import Answers, Sort, Told, answered, silent
from dr.providers.sim.world import World

FAR = 1e9
"""Seconds: later than any story ends."""
Share = Callable[[str, int | None], int | None]
"""How many of a group a region must have, by what the primary has; None: nobody knows."""


class Group(NamedTuple):
    """One group in one region. had: how many were ready when it was given its size at ``since``; ``least``, ``most``: its owner allows no
    fewer, and no more. leaving: how many were taken away then, and go on for a while."""

    desired: int
    had: int
    since: float
    most: int | None = None
    least: int = 0
    leaving: int = 0


class Groups(Sort):
    """``Store`` of the groups of one component: node groups, Auto Scaling groups, services.

    sizes: by region and the runbook's word. each: seconds until the first of what was asked for is ready. no_room: by region, until when
    AWS has none left. zones: by region, in how many availability zones it starts something. seen: by region, what it had when somebody
    looked last, kept outside of it. writers: its members write; a planned move takes them down.
    """

    looked = True
    watched = True
    lagless = "nothing of it is replicated"

    def __init__(
        self, world: World, name: str, home: str, words: Sequence[str], regions: Sequence[str], *, size: int, resting: int, each: float,
        wanted: Share, zones: int = 2, stand_by: int | None = None, writers: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(world, name, regions)
        self.writers = writers
        self.words, self.each, self.wanted, self.least_zones, self.stand_by = tuple(words), each, wanted, zones, stand_by
        self.sizes = {
            region: {word: Group(count, count, 0.0) for word in words}
            for region in self.regions
            for count in (size if region == home else resting,)
        }
        self.no_room: dict[str, float] = {}
        self.zones = dict.fromkeys(self.regions, max(2, zones))
        self.seen: dict[str, dict[str, int]] = {}
        self._pace = world.pace(f"{name}/scale")

    def ready(self, region: str, word: str) -> int:
        """How many work now: they come one after the other, as long as AWS has some left."""
        group, now = self.sizes[region][word], self.world.now
        if not self.world.regions[region].alive:
            return 0
        begun = max(group.since, min(self.no_room.get(region, 0.0), FAR))
        if group.desired <= group.had:
            return group.desired
        took = self.each * self._pace
        come = 0 if now < begun + took else 1 + math.floor((now - begun - took) / (took / 10 + 0.1))
        return min(group.desired, group.had + come)

    def running(self, region: str, word: str) -> int:
        """How many run, those included that are stopping: they write until they are gone."""
        group = self.sizes[region][word]
        going = self.world.regions[region].alive and self.world.now < group.since + self.each * self._pace / 3
        return self.ready(region, word) + (group.leaving if going else 0)

    def frozen(self, region: str) -> bool:
        """Nothing is to run there, and nothing does."""
        return not any(self.desired(region).values()) and not any(self.running(region, word) for word in self.words)

    def idle(self, region: str) -> str:
        """A group that has nothing ready; empty: each has."""
        return next((word for word in self.words if self.ready(region, word) == 0), "")

    def spread(self, region: str, wanted: int) -> bool:
        """What is ready is in enough zones."""
        return self.zones[region] >= min(self.least_zones, wanted)

    def resize(self, region: str, sizes: Mapping[str, int]) -> None:
        """Groups are given sizes; what has the size already is left alone."""
        for word, size in sizes.items():
            group = self.sizes[region][word]
            if group.desired != size:
                ready = self.ready(region, word)
                leaving = max(0, self.running(region, word) - size)
                self.sizes[region][word] = Group(size, min(ready, size), self.world.now, group.most, group.least, leaving)

    def desired(self, region: str) -> dict[str, int]:
        """By the runbook's word."""
        return {word: group.desired for word, group in self.sizes[region].items()}

    def keep(self, region: str) -> None:
        """What a region has is kept outside of it; what a planned move took down, as it was before."""
        self.seen[region] = self.before_freeze(region, self.desired(region))

    def before_freeze(self, region: str, sizes: Mapping[str, int]) -> dict[str, int]:
        """Sizes with those last seen of groups that have none."""
        known = self.seen.get(region, {}) if self.writers else {}
        return {word: size or known.get(word, 0) for word, size in sizes.items()}

    def look(self, region: str) -> Told:
        """Sizes, and how many are ready. What was seen is kept."""
        self.keep(region)
        return Told(None, {word: (group.desired, self.ready(region, word), group.most) for word, group in self.sizes[region].items()})

    def findings(self, told: Answers) -> Sequence[Finding]:
        """What a move would stumble over."""
        found = [self.finding(Severity.WARNING, error.message, "", region) for region, error in silent(told).items()]
        for region, item in answered(told).items():
            if self.zones[region] < self.least_zones:
                fact = f"it starts something in {self.zones[region]} zones of {region} only, and {self.least_zones} are wanted"
                found.append(self.finding(Severity.ERROR, fact, "give it subnets in more zones, or write zones: 1", region))
            for word, (desired, ready, _most) in item.facts.items():
                least = self.sizes[region][word].least
                if self.writers and least:
                    fact = f"{word} in {region} keeps at least {least}, and a planned move takes all of them down"
                    other = next((name for name in self.regions if name != region), None)
                    found.append(self.finding(Severity.ERROR, fact, "lower its minimum to 0", other))
                if ready < desired:
                    found.append(self.finding(Severity.WARNING, f"{word} in {region}: {ready} of {desired} ready", "", region))
        return found


class Mappings(Sort):
    """``Store`` of event source mappings. polls: by region and word, whether it takes events, or is about to. settled: by region, when what
    was asked for last has come to its end: until then they are Enabling or Disabling."""

    looked = True
    lagless = "nothing of it is replicated"

    def __init__(self, world: World, name: str, home: str, words: Mapping[str, Sequence[str]]) -> None:
        super().__init__(world, name, tuple(words))
        self.polls = {region: dict.fromkeys(own, region == home) for region, own in words.items()}
        self.settled: dict[str, float] = {}
        self.slow = 1.0

    def switch(self, region: str, *, enabled: bool) -> None:
        """All of a region, on or off.

        Raises:
            Transient: it is being changed now.
        """
        if all(state is enabled for state in self.polls[region].values()):
            return
        if self.world.now < self.settled.get(region, 0.0):
            raise Transient(f"{self.name} in {region}: ResourceInUseException: it is being changed")
        self.polls[region] = dict.fromkeys(self.polls[region], enabled)
        takes = self.world.chance(f"{self.name}/{region}/{self.world.now:.3f}").uniform(3.0, 30.0)
        self.settled[region] = self.world.now + takes * self.slow

    def state(self, region: str) -> dict[str, str]:
        """By word, as Lambda says it."""
        done = self.world.now >= self.settled.get(region, 0.0)
        names = {True: "Enabled" if done else "Enabling", False: "Disabled" if done else "Disabling"}
        return {word: names[polls] for word, polls in self.polls[region].items()}

    def look(self, region: str) -> Told:
        """Which of them take events."""
        return Told(None, dict(self.polls[region]))

    def findings(self, told: Answers) -> Sequence[Finding]:
        """What is taken twice, or by nobody."""
        found = [self.finding(Severity.WARNING, error.message, "", region) for region, error in silent(told).items()]
        seen = {region: item.facts for region, item in answered(told).items()}
        for word in sorted({word for own in self.polls.values() for word in own}):
            polling = [region for region, own in seen.items() if own.get(word)]
            if len(polling) > 1:
                fact = f"{word} is enabled in {' and '.join(polling)}: events are taken in both"
                found.append(self.finding(Severity.WARNING, fact, "disable it where the data takes no writes"))
            if not polling and len(seen) == len(self.regions):
                fix = "enable it where the data takes writes"
                found.append(self.finding(Severity.WARNING, f"{word} is enabled nowhere", fix))
        return found
