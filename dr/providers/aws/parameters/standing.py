"""How a copy stands to its original, by the contents that each side has ever had; clocks decide only where both have seen both. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from dr.providers.aws.parameters.config import Copy, ParametersConfig
from dr.providers.aws.place import Place
from dr.providers.aws.values import Fact


class Standing(StrEnum):
    """The copy, seen from the original."""

    MISSING = "missing"
    OLDER = "with an older value"
    NEWER = "changed after it was copied"
    DIVERGED = "with another value and no common history"
    TYPE = "of another type"
    DIFFERS = "with another value"  # the histories were not asked


@dataclass(frozen=True)
class Parameter:
    """One parameter without its value. type: ``String``, ``StringList`` or ``SecureString``."""

    name: str
    type: str
    version: int
    changed: datetime
    fact: Fact


@dataclass(frozen=True)
class Side:
    """One region's parameters, by name."""

    place: Place
    held: Mapping[str, Parameter]


History = Mapping[int, str]
"""Version → keyed digest."""


@dataclass(frozen=True)
class Compared:
    """The copy's side judged against the original's, or against what was kept of it (then ``complete`` is false).

    items: what is not equal. leads: those whose value leads into the original's region. extra: only there.
    """

    checked: int
    items: Mapping[str, Standing]
    leads: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    complete: bool = True

    def of(self, *standings: Standing) -> tuple[str, ...]:
        """The names of some standings."""
        return tuple(name for name, found in self.items.items() if found in standings)


@dataclass(frozen=True)
class Both:
    """What comparing needs of two sides: them, and the histories of those that differ, the original's and the copy's."""

    original: Side
    copy: Side
    histories: Mapping[str, tuple[History, History]] = field(default_factory=dict)


def unequal(config: ParametersConfig, original: Side, copy: Side) -> list[str]:
    """Names on both sides with other values."""
    both = sorted(original.held.keys() & copy.held.keys())
    return [name for name in both if not config.own(name) and original.held[name].fact.digest != copy.held[name].fact.digest]


def compare(config: ParametersConfig, both: Both, source: str) -> Compared:
    """Judges the copy. ``source``: the original's region in the runbook."""
    original, copy = both.original.held, both.copy.held
    items = {}
    for name in sorted({*config.names, *original}):
        if name not in copy:
            items[name] = Standing.MISSING
        elif name in original and not config.own(name):
            if original[name].type != copy[name].type:
                items[name] = Standing.TYPE
            elif original[name].fact.digest != copy[name].fact.digest:
                histories = both.histories.get(name)
                items[name] = _standing(original[name], copy[name], *histories) if histories is not None else Standing.DIFFERS
    extra = tuple(sorted(copy.keys() - original.keys()))
    return Compared(len({*config.names, *original}), items, _leads(config, both.copy, source), extra)


def compare_kept(config: ParametersConfig, kept: Mapping[str, str], copy: Side, source: str) -> Compared:
    """Judges the copy by names alone: a value that differs may be newer on either side, and nobody can be asked."""
    wanted = sorted({*config.names, *kept})
    items = {name: Standing.MISSING for name in wanted if name not in copy.held}
    return Compared(len(wanted), items, _leads(config, copy, source), complete=False)


def allowed(config: ParametersConfig, compared: Compared, original: Side, *, leading: bool = False) -> list[str]:
    """What may be written into the copy's region. leading: the original's region leads: the copy's newer values give way, and stay in its
    history."""
    standings = {
        Copy.NEVER: (), Copy.MISSING: (Standing.MISSING,),
        Copy.NEWER: (Standing.MISSING, Standing.OLDER, *((Standing.NEWER, Standing.DIVERGED) if leading else ())),
    }[config.copies]  # fmt: skip
    return [name for name in compared.of(*standings) if name in original.held and not config.own(name)]


def _standing(original: Parameter, copy: Parameter, theirs: History, ours: History) -> Standing:
    was_theirs = copy.fact.digest in {digest for version, digest in theirs.items() if version != original.version}
    was_ours = original.fact.digest in {digest for version, digest in ours.items() if version != copy.version}
    if was_theirs and was_ours:
        return Standing.OLDER if copy.changed < original.changed else Standing.NEWER
    if was_theirs:
        return Standing.OLDER
    return Standing.NEWER if was_ours else Standing.DIVERGED


def _leads(config: ParametersConfig, copy: Side, source: str) -> tuple[str, ...]:
    return tuple(name for name, item in sorted(copy.held.items()) if source in item.fact.leads_into and not config.own(name))
