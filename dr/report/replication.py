"""How replication stood over a period: time inside the RPO, above it and unknown, added up from stretches. Pure; no sample is held."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dr.model.lag import Stretch
from dr.model.period import LagSlot, ReplicationReport

SLOTS = 120
"""Into how many equal parts a period is drawn."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_SUMMED = 60 * _SECOND


@dataclass(frozen=True)
class Objective:
    """The RPO of a component, and who says so."""

    rpo: timedelta
    said_by: str


@dataclass(slots=True)
class _Slot:
    samples: int = 0
    known: int = 0
    exposure: int = -1
    lag: int = -1


@dataclass(slots=True)
class _Sum:
    """What is known of one component so far; microseconds, -1 where nothing is."""

    rpo: int | None
    samples: int = 0
    summed: bool = False
    known: int = 0
    inside: int = 0
    exposure: int = -1
    exposure_at: int = 0
    lag: int = -1
    lag_at: int = 0
    slots: list[_Slot] = field(default_factory=lambda: [_Slot() for _ in range(SLOTS)])


def replication(
    runbook: str, found: Iterable[Stretch], begin: datetime, end: datetime, objectives: Mapping[str, Objective]
) -> tuple[ReplicationReport, ...]:
    """One line a component: those with an objective, and those with samples.

    Args:
        found: stretches that touch the period, in any order; read once.
        begin, end: the period as far as it lies in the past; samples from ``begin`` to before ``end``.
    """
    first, last = _micros(begin), max(_micros(end), _micros(begin))
    length = max(1, -(-(last - first) // SLOTS))
    sums = {name: _Sum(rpo=item.rpo // _MICROSECOND) for name, item in objectives.items()}
    for item in found:
        own = sums.get(item.component)
        if own is None:
            own = sums[item.component] = _Sum(rpo=None)
        _add(own, item, first, last, length)
    told = {name: own for name, own in sums.items() if own.samples or own.rpo is not None}
    return tuple(_line(runbook, name, own, first, last, length, objectives.get(name)) for name, own in told.items())


def _add(own: _Sum, item: Stretch, first: int, last: int, length: int) -> None:
    _component, start, stop, samples, known, exposure, exposure_at, lag, lag_at = item
    begin, end = max(start, first), min(stop, last)
    if begin >= end:
        return
    slot = own.slots[(begin - first) // length]
    if start >= first:
        own.samples += samples
        slot.samples += samples
        own.summed = own.summed or stop - start == _SUMMED
    if exposure is None:
        return
    known = min(known, end - begin)
    own.known += known
    _spread(own.slots, begin - first, known, length)
    if own.rpo is not None and exposure <= own.rpo:
        own.inside += known
    _worst(own, slot, first, (exposure, exposure_at or 0), (-1 if lag is None else lag, lag_at or 0))


def _worst(own: _Sum, slot: _Slot, first: int, exposure: tuple[int, int], lag: tuple[int, int]) -> None:
    """Value and moment; one from before the period is not of it."""
    if exposure[0] > slot.exposure and exposure[1] >= first:
        slot.exposure = exposure[0]
        if slot.exposure > own.exposure:
            own.exposure, own.exposure_at = exposure
    if lag[0] > slot.lag and lag[1] >= first:
        slot.lag = lag[0]
        if slot.lag > own.lag:
            own.lag, own.lag_at = lag


def _spread(slots: list[_Slot], begin: int, known: int, length: int) -> None:
    """Known time counts in the slots that it lies in."""
    while known > 0:
        number = min(begin // length, SLOTS - 1)
        part = min(known, (number + 1) * length - begin) if number < SLOTS - 1 else known
        slots[number].known += part
        begin += part
        known -= part


def _line(
    runbook: str, name: str, own: _Sum, first: int, last: int, length: int, objective: Objective | None
) -> ReplicationReport:
    total, judged = last - first, own.rpo is not None

    def share(part: int) -> float | None:
        return round(part / total, 9) if total else None

    return ReplicationReport(
        runbook=runbook, component=name, rpo_seconds=objective.rpo.total_seconds() if objective else None,
        rpo_from=objective.said_by if objective else "", samples=own.samples, summed=own.summed, covered_seconds=total / _SECOND,
        inside_seconds=own.inside / _SECOND if judged else None, above_seconds=(own.known - own.inside) / _SECOND if judged else None,
        unknown_seconds=(total - own.known) / _SECOND, inside_share=share(own.inside) if judged else None,
        above_share=share(own.known - own.inside) if judged else None, unknown_share=share(total - own.known) or 0.0,
        worst_exposure_seconds=_seconds(own.exposure), worst_exposure_at=None if own.exposure < 0 else _moment(own.exposure_at),
        worst_lag_seconds=_seconds(own.lag), worst_lag_at=None if own.lag < 0 else _moment(own.lag_at),
        slots=tuple(_slot(slot, first + number * length, min(last, first + (number + 1) * length)) for number, slot in enumerate(own.slots)
                    if first + number * length < last),
    )  # fmt: skip


def _slot(slot: _Slot, begin: int, end: int) -> LagSlot:
    return LagSlot(
        start=_moment(begin), samples=slot.samples, unknown_seconds=max(0, end - begin - slot.known) / _SECOND,
        worst_exposure_seconds=_seconds(slot.exposure), worst_lag_seconds=_seconds(slot.lag),
    )  # fmt: skip


def _seconds(micros: int) -> float | None:
    return None if micros < 0 else micros / _SECOND


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
