"""Makes a story that violates a rule shorter: fewer faults first (delta debugging), then smaller ones, while the rule is still violated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from dr.simulate.play import Played
from dr.simulate.story import Story, Struck, Value

MOST = 200
"""Plays that one shrinking may take."""
_HALVES = 6
"""So often one value is halved."""


@dataclass(frozen=True)
class Shrunk:
    """What is left. ``plays``: how many it took. ``played``: the last one that violated the rule. ``whole``: nothing was left to try."""

    story: Story
    played: Played
    plays: int
    whole: bool


class _Over(Exception):
    """Enough."""


@dataclass
class _Search:
    play: Callable[[Story], Played]
    rule: str
    best: Story
    played: Played
    left: int
    enough: Callable[[], bool]
    plays: int = 0

    def fails(self, story: Story) -> bool:
        """Whether the rule is violated, too; the shortest one that does is kept."""
        if self.plays >= self.left or self.enough():
            raise _Over
        self.plays += 1
        played = self.play(story)
        if not any(item.rule == self.rule for item in played.violations):
            return False
        self.best, self.played = story, played
        return True


def shrink(
    play: Callable[[Story], Played], story: Story, rule: str, *, most: int = MOST, enough: Callable[[], bool] = lambda: False
) -> Shrunk:
    """The shortest story found within so many plays.

    Args:
        play: plays a story in a new world, the same way each time.
        story: one that violates the rule.
        enough: asked before each play but the first; true ends it with what was found by then.

    Raises:
        ValueError: it does not.
    """
    played = play(story)
    if not any(item.rule == rule for item in played.violations):
        raise ValueError(f"seed {story.seed} does not violate {rule}")
    search = _Search(play, rule, story, played, most - 1, enough)
    whole = True
    try:
        _fewer(search)
        _smaller(search)
    except _Over:
        whole = False
    return Shrunk(search.best, search.played, search.plays + 1, whole)


def _fewer(search: _Search) -> None:
    """Leaves out as many faults at once as it can, then fewer and fewer, until none can be left out."""
    if search.best.faults and search.fails(search.best.without(*search.best.faults)):
        return
    parts = 2
    while len(search.best.faults) > 1:
        faults = search.best.faults
        parts = min(parts, len(faults))
        if any(search.fails(search.best.without(*part)) for part in _split(faults, parts)):
            parts = max(2, parts - 1)
        elif parts == len(faults):
            return
        else:
            parts *= 2


def _split(faults: Sequence[Struck], parts: int) -> Iterator[Sequence[Struck]]:
    """The faults in so many groups of about one size."""
    size, rest = divmod(len(faults), parts)
    at = 0
    for number in range(parts):
        end = at + size + (number < rest)
        yield faults[at:end]
        at = end


def _smaller(search: _Search) -> None:
    """Halves the numbers of each fault, and the moment at which it strikes is made round, as long as that changes nothing."""
    for place in range(len(search.best.faults)):
        for name, value in search.best.faults[place].values.items():
            _halve(search, place, name, value)
        struck = search.best.faults[place]
        if struck.at != round(struck.at):
            search.fails(_with(search.best, place, replace(struck, at=float(round(struck.at)))))
    tasks = search.best.tasks
    if tasks:
        search.fails(replace(search.best, tasks=0))


def _halve(search: _Search, place: int, name: str, value: Value) -> None:
    for _ in range(_HALVES):
        if isinstance(value, str) or abs(value) < _LEAST:
            return
        value = round(value / 2, 3)
        struck = search.best.faults[place]
        if not search.fails(_with(search.best, place, replace(struck, values={**struck.values, name: value}))):
            return


def _with(story: Story, place: int, struck: Struck) -> Story:
    """The story with another fault in one place."""
    return replace(story, faults=(*story.faults[:place], struck, *story.faults[place + 1 :]))


_LEAST = 0.01
