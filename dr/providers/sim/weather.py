"""What goes wrong with single calls: throttling, time-outs with and without effect, duplicates, stale answers. Drawn call by call."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from dr.model.words import Word


class Mishap(Word):
    """What can happen to one call."""

    THROTTLED = "throttled"
    REFUSED = "server-error"
    SLOW = "slow"
    LOST = "timeout-without-effect"
    UNHEARD = "timeout-with-effect"
    LATE = "effect-after-timeout"
    TWICE = "delivered-twice"
    STALE = "stale-read"
    SAYS_DONE = "says-done-and-is-not"
    PENDING = "stuck-pending"
    HALF = "half-done"
    ALREADY = "already-in-that-state"
    PAGE = "lost-page"
    EXPIRED = "credentials-expired"


READS = frozenset({Mishap.THROTTLED, Mishap.REFUSED, Mishap.SLOW, Mishap.LOST, Mishap.STALE, Mishap.PAGE, Mishap.EXPIRED})
"""What can happen to a call that changes nothing."""
WRITES = frozenset(Mishap) - {Mishap.STALE, Mishap.PAGE}
"""What can happen to a call that changes something."""


class Call(NamedTuple):
    """One call as the weather sees it. ``what``: for example ``metadata-db.promote``; ``write``: it is meant to change something."""

    machine: str
    region: str
    what: str
    write: bool


class Pending(NamedTuple):
    """An operation that was accepted and has not been done yet."""

    region: str
    component: str
    happens: Callable[[], None]


class Spell(NamedTuple):
    """A time in which some calls go wrong. ``share``: of those that fit, from 0 to 1. ``fits``: which calls are meant.

    chance: decides which; its own, so that a spell less changes nothing for the others. None: the weather's.
    """

    mishap: Mishap
    begin: float
    end: float
    share: float
    fits: Callable[[Call], bool]
    chance: random.Random | None = None


@dataclass
class Weather:
    """Fair, unless spells say otherwise.

    latency: seconds of one way of a call, least and most. pending: effects that were accepted and have not happened yet, with their
    region and component, which takes nothing else meanwhile.
    """

    chance: random.Random
    latency: tuple[float, float] = (0.002, 0.02)
    spells: list[Spell] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)

    def way(self) -> float:
        """How long one way of a call takes, in seconds."""
        low, high = self.latency
        return low + (high - low) * self.chance.random()

    def mishap(self, call: Call, now: float) -> Mishap | None:
        """What goes wrong with this call."""
        for spell in self.spells:
            possible = spell.mishap in (WRITES if call.write else READS)
            meant = possible and spell.begin <= now < spell.end and spell.fits(call)
            if meant and (spell.chance or self.chance).random() < spell.share:
                return spell.mishap
        return None

    def let_go(self, *only: Pending) -> None:
        """Everything that was accepted and is pending happens now; or only this, where it still is."""
        for item in only or tuple(self.pending):
            if item in self.pending:
                self.pending.remove(item)
                item.happens()
