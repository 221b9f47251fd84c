"""How the copy of a secret stands to its original. Pure.

Servers number versions by themselves, and clocks of two regions differ: so what counts is which contents the one has seen that the other
has, then the origin that was kept beside a copy. Times decide only where both have seen both (a value that was put back).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from dr.providers.selfhosted.vault.secret import SOURCE_REGION, SOURCE_VERSION, Secret


class Standing(StrEnum):
    """The copy, seen from the original."""

    EQUAL = "equal"
    MISSING = "missing"
    OLDER = "older"
    NEWER = "newer"
    DIVERGED = "diverged"
    EXTRA = "only there"


@dataclass(frozen=True)
class History:
    """A secret in one region with the keyed digests of the versions that can be read, by number."""

    region: str
    secret: Secret
    digests: Mapping[int, str]

    @property
    def current(self) -> str | None:
        """The digest of what readers get."""
        return self.digests.get(self.secret.current)

    @property
    def before(self) -> frozenset[str]:
        """What readers got before that, the same content left out."""
        return frozenset(digest for number, digest in self.digests.items() if number != self.secret.current) - {self.current or ""}


def standing(original: History, copy: History) -> Standing:
    """The copy against the original; both have a current version that can be read."""
    if original.current == copy.current:
        return Standing.EQUAL
    was_ours, was_theirs = copy.current in original.before, original.current in copy.before
    if was_ours and was_theirs:
        return Standing.OLDER if copy.secret.updated < original.secret.updated else Standing.NEWER
    if was_ours or copy.secret.copied_from == original.region:
        return Standing.OLDER
    if was_theirs or original.secret.copied_from == copy.region:
        return Standing.NEWER
    return Standing.DIVERGED


def to_carry(original: History, copy: History | None, most: int = 10) -> tuple[int, ...]:
    """The versions of the original that its copy lacks, oldest first, the current one always last; the newest ``most`` of them."""
    since = 0
    if copy is not None:
        marks = copy.secret.marks
        known = [number for number, digest in original.digests.items() if digest == copy.current and number != original.secret.current]
        if known:
            since = max(known)
        elif marks.get(SOURCE_REGION) == original.region and marks.get(SOURCE_VERSION, "").isdigit():
            since = int(marks[SOURCE_VERSION])
    current = original.secret.current
    newer = [number for number in sorted(original.digests) if since < number < current]
    return (*newer[max(0, len(newer) - most + 1) :], current)


def only_there(old: History, digests_here: frozenset[str]) -> tuple[int, ...]:
    """Versions of the old side whose content the new side never had, oldest first; the same content counts once, with its newest number."""
    newest = {digest: number for number, digest in sorted(old.digests.items())}
    return tuple(sorted(number for digest, number in newest.items() if digest not in digests_here))
