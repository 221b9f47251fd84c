"""All faults by name, and which of them strike in the story of a seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dr.model.runbook import Runbook
from dr.providers.sim.process import Chance, chance
from dr.simulate.faults import aws, calls, capacity, clock, data, database, local, network, people, process
from dr.simulate.faults.base import Fault
from dr.simulate.story import Group, Story, Struck

CATALOGUE: Mapping[str, Fault] = {
    fault.name: fault
    for module in (process, calls, network, data, database, clock, people, local, capacity, aws)
    for fault in module.FAULTS
}  # fmt: skip
"""Every named fault."""

_CALM, _STORM = 0.08, 0.12
"""So many of all seeds have no fault at all, and so many a dozen."""


def fitting(runbook: Runbook) -> list[Fault]:
    """The faults that can happen to what a runbook describes."""
    return [fault for fault in CATALOGUE.values() if fault.fits(runbook)]


def draw(story: Story, runbook: Runbook) -> Story:
    """The story with the faults of its seed: typically up to six, sometimes a dozen, of some groups more than of others.

    All of it is drawn once, here; so a story less one of its faults is the same story in everything else.
    """
    chances = chance(story.seed, "faults")
    groups: dict[Group, list[Fault]] = {}
    for fault in fitting(runbook):
        groups.setdefault(fault.group, []).append(fault)
    weights = {group: chances.random() ** 2 for group in groups}
    struck = [_one(chances, groups, weights, story, runbook) for _ in range(_count(chances))]
    return replace(story, faults=tuple(sorted(struck, key=lambda item: (item.at, item.name))))


def _count(chances: Chance) -> int:
    sort = chances.random()
    if sort < _CALM:
        return 0
    return chances.randrange(8, 13) if sort > 1.0 - _STORM else 1 + int(6 * chances.random() ** 1.5)


def _one(chances: Chance, groups: Mapping[Group, list[Fault]], weights: Mapping[Group, float], story: Story, runbook: Runbook) -> Struck:
    (group,) = chances.choices(list(groups), weights=[weights[item] + 0.05 for item in groups])
    return chances.choice(groups[group]).draw(chances, story, runbook)
