"""What discovery gives: components as plain data, what is missing, and what nobody could be asked. No service is known here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_MOST = 63


@dataclass(frozen=True)
class Gap:
    """Something that is not protected yet. what: ``bucket airflow-logs``. why: one sentence without a full stop. fix: a command or a
    setting."""

    what: str
    why: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True)
class Found:
    """A component as it could stand in a runbook.

    name: what it would be called; made unique later. settings: as the kind's ``Config`` takes them. comments: sentences above it.
    after: lines of YAML below it that a person may take out of the comment. gaps: what of it is missing. active: False: as it is it would
    protect nothing, or a setting is missing that nobody knows here; it is written as a comment.
    key, flipped_by: a component that flips names says which checks it flips; names say by which they are flipped.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    comments: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    active: bool = True
    key: str = ""
    flipped_by: str = ""


@dataclass(frozen=True)
class Refusal:
    """A question that got no answer: which call, where, why, and what a person does about it."""

    about: str
    fact: str
    fix: str


def plain_name(text: str, *codes: str) -> str:
    """A name of AWS's as a runbook may have it: small letters, digits and hyphens; names of regions taken out."""
    for code in codes:
        text = re.sub(rf"(^|[-_./]){re.escape(code)}(?=$|[-_./])", "", text)
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return (words if words[:1].isalpha() else f"x-{words}".rstrip("-"))[:_MOST].rstrip("-")


def unique(wanted: str, others: Iterable[str], more: str) -> str:
    """The name, or with a word more, or with a number, so that nobody else has it."""
    taken = set(others)
    numbers = (f"{wanted[:50]}-{more}-{number}" for number in range(2, len(taken) + 3))
    return next(name for name in (wanted, f"{wanted[:50]}-{more}", *numbers) if name not in taken)


def last(arn: str) -> str:
    """The name in an ARN: what stands after its last colon or slash."""
    return re.split(r"[:/]", arn)[-1]


def prefixes(chosen: Iterable[str], all_names: Iterable[str], separator: str = "/") -> tuple[list[str], list[str]]:
    """Beginnings (``airflow/``) of which all names are chosen, and what is chosen beside them."""
    picked, whole = sorted(set(chosen)), set(all_names)
    begins = sorted({begin for name in picked if (begin := _begin(name, separator))})
    kept = [begin for begin in begins if all(name in picked for name in whole if name.startswith(begin))]
    return kept, [name for name in picked if not name.startswith(tuple(kept) or ("\0",))]


def _begin(name: str, separator: str) -> str:
    lead = separator if name.startswith(separator) else ""
    first, mark, _ = name.removeprefix(lead).partition(separator)
    return f"{lead}{first}{separator}" if mark else ""
