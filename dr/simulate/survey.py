"""Statistics over many stories: counts that can be added, whoever counted which stories in which order, and the report made of them."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dr.model.simulation import (
    Bin,
    DecisionSurvey,
    Distribution,
    FaultSurvey,
    GroupSurvey,
    GuardSurvey,
    PlotSurvey,
    SeedReport,
    Share,
    StepSurvey,
    ViolationReport,
)  # fmt: skip
from dr.simulate.outcome import Record
from dr.simulate.story import Group

KEPT = 5
"""So many of the worst stories are told about, and of the violations ``_VIOLATIONS``."""
_VIOLATIONS = 20
FEW = 5
"""With fewer stories of a fault nothing is said about it."""
_FIRST_BINS, _BINS = 0.5, 24
_UNKNOWN = -1
_LOST = ("lost", "round-trip")
_LAGS = {Group.DATA.value, Group.DATABASE.value, Group.NETWORK.value}
"""Faults of these groups keep changes from arriving."""
Key = tuple[str, ...]


def short(milliseconds: int) -> int:
    """Rounded to four digits, so that a million stories have ten thousand different values and not a million."""
    digits = len(str(milliseconds))
    return milliseconds if digits <= 4 else round(milliseconds, 4 - digits)


def sets(record: Record) -> list[Key]:
    """The sets that a story belongs to."""
    groups = sorted({group for _name, group in record.faults}) or ["none"]
    return [("group", "all"), ("plot", record.plot), *(("group", group) for group in groups)]


@dataclass
class Tally:
    """What was counted of some stories; tallies of different stories can be added, in any order.

    counts: by what is counted. values: how many stories of a set had a value, in milliseconds; -1 where it was unknown.
    worst: the worst stories. broken: stories with a violation, the first by number.
    """

    counts: Counter[Key] = field(default_factory=Counter)
    values: dict[Key, Counter[int]] = field(default_factory=dict)
    worst: list[Record] = field(default_factory=list)
    broken: list[Record] = field(default_factory=list)

    @property
    def stories(self) -> int:
        """How many."""
        return self.counts["set", "group", "all"]

    @property
    def violations(self) -> int:
        """How many stories had one."""
        return self.counts["violation",]

    def add(self, record: Record) -> None:
        """One more story."""
        count = self.counts
        for of in sets(record):
            count[("set", *of)] += 1
            count[("completed", *of)] += record.completed
            count[("rto", *of)] += record.rto_met
            count[("rpo", *of)] += record.rpo_met
            count[("both", *of)] += record.rto_met and record.rpo_met
            count[("told-unknown", *of)] += record.told_unknown
            self._value(("rta", *of), record.rta)
            self._value(("rpa", *of), record.rpa)
        self._faults(record)
        self._people(record)
        count["paths",] += bool(record.path)
        count.update(("path", step) for step in record.path)
        if record.plot in _LOST and record.completed and not _LAGS & {group for _name, group in record.faults}:
            count["calm-loss",] += 1
            count.update(("calm-loss-over", component) for component in record.over_by_lag)
        count["violation",] += record.violation is not None
        self.worst = _worst([*self.worst, record])
        if record.violation is not None:
            self.broken = _first([*self.broken, record])

    def _faults(self, record: Record) -> None:
        """Each fault for itself; the empty one is in every story."""
        count = self.counts
        for fault in ["", *dict.fromkeys(name for name, _group in record.faults)]:
            key = ("fault", fault, record.plot)
            count[(*key, "stories")] += 1
            count[(*key, "missed")] += not record.rto_met
            if record.rta is not None:
                count[(*key, "known")] += 1
                count[(*key, "sum")] += record.rta
        count.update(("group-of", name, group) for name, group in record.faults)

    def _people(self, record: Record) -> None:
        """What refused, what was decided, how long somebody's word was waited for."""
        count = self.counts
        for guard, times in record.guards:
            count["guard", guard, "stories"] += 1
            count["guard", guard, "times"] += times
        count.update(("decision", decision, "times") for decision in record.decisions)
        count.update(("decision", decision, "stories") for decision in dict.fromkeys(record.decisions))
        for step, waited in record.waited:
            self._value(("waited", step), waited)

    def _value(self, key: Key, value: int | None) -> None:
        self.values.setdefault(key, Counter())[_UNKNOWN if value is None else short(value)] += 1

    def merge(self, other: Tally) -> None:
        """All stories of another tally, too."""
        self.counts.update(other.counts)
        for key, values in other.values.items():
            self.values.setdefault(key, Counter()).update(values)
        self.worst = _worst([*self.worst, *other.worst])
        self.broken = _first([*self.broken, *other.broken])


def tally(records: Iterable[Record]) -> Tally:
    """The tally of some stories."""
    found = Tally()
    for record in records:
        found.add(record)
    return found


def _badness(record: Record) -> tuple[int, int, int, int]:
    """What a person would want to see first; of two alike the one with the smaller number."""
    kind = 3 if record.violation is not None else 2 if not record.completed else 1 if not (record.rto_met and record.rpo_met) else 0
    return kind, record.rta if record.rta is not None else 0, record.rpa or 0, -record.number


def _worst(records: Sequence[Record]) -> list[Record]:
    return heapq.nlargest(KEPT, records, key=_badness)


def _first(records: Sequence[Record]) -> list[Record]:
    return heapq.nsmallest(_VIOLATIONS, records, key=lambda record: record.number)


# --- what is made of it -----------------------------------------------------------------------------------------------


def percentile(values: Mapping[int, int], share: float) -> int | None:
    """Nearest rank: the smallest value that at least this share of all known ones does not exceed. None where none is known."""
    known = sorted((value, times) for value, times in values.items() if value != _UNKNOWN)
    rank, seen = math.ceil(share * sum(times for _value, times in known)), 0
    for value, times in known:
        seen += times
        if seen >= rank:
            return value
    return None


def distribution(values: Mapping[int, int]) -> Distribution:
    """Percentiles of what is known, and how much is not."""
    unknown = values.get(_UNKNOWN, 0)
    worst = max((value for value in values if value != _UNKNOWN), default=None)
    return Distribution(
        known=sum(values.values()) - unknown, unknown=unknown, p50_seconds=_seconds(percentile(values, 0.5)),
        p95_seconds=_seconds(percentile(values, 0.95)), p99_seconds=_seconds(percentile(values, 0.99)), worst_seconds=_seconds(worst),
    )  # fmt: skip


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds / 1000, 3)


def share(found: Tally, *of: str) -> Share:
    """How the stories of a set ended."""
    count = found.counts
    return Share(
        stories=count[("set", *of)], completed=count[("completed", *of)], within_rto=count[("rto", *of)], within_rpo=count[("rpo", *of)],
        within_both=count[("both", *of)], told_unknown=count[("told-unknown", *of)],
    )  # fmt: skip


def _names(found: Tally, *first: str) -> list[str]:
    """What stands after these words in the keys of the counts, once each, in order."""
    return sorted({key[len(first)] for key in found.counts if key[: len(first)] == first})


def plots(found: Tally) -> tuple[PlotSurvey, ...]:
    """By plot."""
    return tuple(
        PlotSurvey(
            plot=name, share=share(found, "plot", name), rta=values(found, "rta", "plot", name), rpa=values(found, "rpa", "plot", name)
        )
        for name in _names(found, "set", "plot")
    )


def groups(found: Tally) -> tuple[GroupSurvey, ...]:
    """By group of faults: all stories, those without any fault, then the groups."""
    names = _names(found, "set", "group")
    order = sorted(names, key=lambda name: (name != "all", name != "none", name))
    return tuple(
        GroupSurvey(
            group=name, share=share(found, "group", name), rta=values(found, "rta", "group", name), rpa=values(found, "rpa", "group", name)
        )
        for name in order
    )


def values(found: Tally, *key: str) -> Distribution:
    """One distribution."""
    return distribution(found.values.get(key, Counter()))


def histogram(counted: Mapping[int, int]) -> tuple[Bin, ...]:
    """Bars that are each half as wide again as the one before, from the first that holds anything to the last."""
    bounds = [0.0, *(round(_FIRST_BINS * 1.5**number, 3) for number in range(_BINS)), 1e9]
    totals = [0] * (len(bounds) - 1)
    for value, times in counted.items():
        if value != _UNKNOWN:
            totals[next(number for number, end in enumerate(bounds[1:]) if value / 1000 < end)] += times
    used = [number for number, total in enumerate(totals) if total]
    if not used:
        return ()
    return tuple(
        Bin(from_seconds=bounds[number], to_seconds=bounds[number + 1], stories=totals[number]) for number in range(used[0], used[-1] + 1)
    )


def critical_steps(found: Tally) -> tuple[StepSurvey, ...]:
    """Which step was on the critical path how often, the most frequent first."""
    of = found.counts["paths",]
    rows = sorted((-found.counts["path", step], step) for step in _names(found, "path"))
    return tuple(StepSurvey(step=step, stories=-less, of=of, share=round(-less / of, 4)) for less, step in rows)


def faults(found: Tally) -> tuple[FaultSurvey, ...]:
    """Each fault against the stories of the same plots without it, what hurts most first: by stories that missed the RTO, then by time.

    Those of which there are too few stories to tell come last.
    """
    group = {key[1]: key[2] for key in found.counts if key[0] == "group-of"}
    rows = [_fault(found, name, group.get(name, "")) for name in _names(found, "fault") if name]

    def harm(row: FaultSurvey) -> tuple[bool, float, float, str]:
        return row.stories < FEW, row.missed_without - row.missed_with, -(row.rta_difference_seconds or 0.0), row.fault

    return tuple(sorted(rows, key=harm))


def _fault(found: Tally, name: str, group: str) -> FaultSurvey:
    """Weighted by how often the fault is in which plot: it must not look bad for being drawn where moves take long anyway."""
    count, stories, missed, missed_else, known, longer = found.counts, 0, 0, 0.0, 0, 0.0
    for plot in _names(found, "fault", name):
        own = {what: count["fault", name, plot, what] for what in ("stories", "missed", "known", "sum")}
        rest = {what: count["fault", "", plot, what] - own[what] for what in own}
        stories += own["stories"]
        missed += own["missed"]
        missed_else += own["stories"] * (rest["missed"] / rest["stories"] if rest["stories"] else 0.0)
        if own["known"] and rest["known"]:
            known += own["known"]
            longer += own["known"] * (own["sum"] / own["known"] - rest["sum"] / rest["known"])
    return FaultSurvey(
        fault=name, group=group, stories=stories, rta_difference_seconds=round(longer / known / 1000, 3) if known else None,
        missed_with=round(missed / stories, 4), missed_without=round(missed_else / stories, 4),
    )  # fmt: skip


def guards(found: Tally) -> tuple[GuardSurvey, ...]:
    """Which guard refused how often, the most frequent first."""
    rows = (
        GuardSurvey(guard=name, stories=found.counts["guard", name, "stories"], times=found.counts["guard", name, "times"])
        for name in _names(found, "guard")
    )
    return tuple(sorted(rows, key=lambda row: (-row.stories, row.guard)))


def decisions(found: Tally) -> tuple[DecisionSurvey, ...]:
    """What people had to decide, the most frequent first."""
    rows = (
        DecisionSurvey(decision=name, stories=found.counts["decision", name, "stories"], times=found.counts["decision", name, "times"])
        for name in _names(found, "decision")
    )
    return tuple(sorted(rows, key=lambda row: (-row.stories, row.decision)))


def worst(found: Tally, command: Mapping[str, str]) -> tuple[SeedReport, ...]:
    """The worst stories. ``command``: tells each again, by its seed."""
    return tuple(
        SeedReport(
            seed=item.seed, plot=item.plot, why=why(item), rta_seconds=_seconds(item.rta), rpa_seconds=_seconds(item.rpa),
            faults=tuple(name for name, _group in item.faults), command=command[item.seed],
        )
        for item in found.worst
    )  # fmt: skip


def why(record: Record) -> str:
    """What is bad about a story, in a few words."""
    if record.violation is not None:
        return f"violation of {record.violation.rule}"
    if not record.completed:
        asked = [step for step, took in record.waited if took is None]
        return f"needs a person at {', '.join(asked)}" if asked else "the move did not come to its end"
    said = [] if record.rto_met else ["RTO missed" if record.rta is not None else "RTA unknown"]
    split = any(name not in record.over_by_lag for name in record.over_rpo)
    over = f": {', '.join(record.over_rpo)}{', by what an old primary took after the disaster' if split else ''}" if record.over_rpo else ""
    said += [] if record.rpo_met else [f"RPO missed{over}"]
    return "; ".join(said) or "within both objectives"


class Shorter(NamedTuple):
    """A violation with as few faults as it takes, None where that is not known; and how that goes, told."""

    faults: tuple[str, ...] | None
    told: str


def violations(found: Tally, command: Mapping[str, str], shorter: Mapping[str, Shorter]) -> tuple[ViolationReport, ...]:
    """The first ones, by the number of their story. ``shorter``: of some, by seed."""
    unknown = Shorter(None, "")
    return tuple(
        ViolationReport(
            rule=item.violation.rule, seed=item.seed, plot=item.plot, text=item.violation.text, at_seconds=item.violation.at,
            faults=tuple(name for name, _group in item.faults), command=command[item.seed],
            enough=shorter.get(item.seed, unknown).faults, told=shorter.get(item.seed, unknown).told,
        )
        for item in found.broken
        if item.violation is not None
    )  # fmt: skip
