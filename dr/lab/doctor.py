"""Everything that the lab needs on this machine: its spine and every extra part, found or missing, and how to get it."""

from __future__ import annotations

from collections.abc import Callable

from dr.lab import fetch, hand_tools, parts
from dr.lab.account import servers_account
from dr.lab.extras.all import EXTRAS
from dr.lab.parts import Part


def doctor() -> list[Part]:
    """Every part, found or missing. Reads only."""
    account = servers_account()
    return [*parts.doctor(), *hand_tools.doctor(), *(part for extra in EXTRAS for part in extra.doctor(account))]


def fix(say: Callable[[str], None] = lambda _text: None) -> list[Part]:
    """Gets what can be got without root and without installing anything; returns what ``doctor`` finds afterwards.

    Raises:
        LabError: a download failed; the hint is the command to try by hand.
    """
    parts.fix(say)
    account, place = servers_account(), fetch.make_cache(parts.cache())
    hand_tools.fix(place, say)
    for extra in EXTRAS:
        if not all(part.found for part in extra.doctor(account)):
            extra.fix(place, account, say)
    return doctor()
