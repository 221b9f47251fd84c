"""Values that are compared and never shown (secrets, parameters): which regions they lead into, which names are meant. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dr.providers.aws.place import Place

Words = Mapping[str, re.Pattern[str]]
"""Region of the runbook → what in a text leads into it."""


class Fact(NamedTuple):
    """What is kept of a value once it was read. digest: keyed. leads_into: regions of the runbook that it names."""

    digest: str
    leads_into: frozenset[str] = frozenset()


def words(places: Mapping[str, Place], given: Mapping[str, Sequence[str]]) -> Words:
    """The runbook's words as they are written, else AWS's name of the region where it stands alone, availability zones included:
    ``db.us-east-1.rds.amazonaws.com``, ``us-east-1b``; not ``my-us-east-1-copy``."""
    found = {}
    for region, place in places.items():
        if region in given:
            found[region] = re.compile("|".join(map(re.escape, given[region])) or r"(?!)", re.IGNORECASE)
        else:
            found[region] = re.compile(rf"(?<![A-Za-z0-9-]){re.escape(place.code)}[a-f]?(?![A-Za-z0-9-])")
    return found


def leads_into(text: str, known: Words) -> frozenset[str]:
    """The regions that a value leads into."""
    return frozenset(region for region, pattern in known.items() if pattern.search(text))


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns (``team/*/cache``) means this name."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def many(count: int, what: str) -> str:
    """``1 secret``, ``2 secrets``."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def some(names: Iterable[str], most: int = 3) -> str:
    """The first few, and how many more there are."""
    named = list(names)
    more = len(named) - most
    return ", ".join(named[:most]) + (f" and {more} more" if more > 0 else "")


def chunks(items: Sequence[str], most: int) -> list[list[str]]:
    """So many at a time."""
    return [list(items[first : first + most]) for first in range(0, len(items), most)]
