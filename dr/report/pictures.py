"""The geometry of the smaller pictures: how the RTA splits, lag before the disaster, the outage of every hostname. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dr.model.lag import LagSample
from dr.model.report import RunReport, TruthReport
from dr.model.words import Known
from dr.report.axis import PARTS, WIDTH, Piece, Tick, label, ticks
from dr.report.wording import count, span

LAG_TOP, LAG_HEIGHT, LAG_LEFT = 12.0, 108.0, 62.0


@dataclass(frozen=True, slots=True)
class LagChart:
    """Replication lag of one component before the disaster. ``gaps``: where lag was not known."""

    component: str
    paths: tuple[str, ...]
    gaps: tuple[tuple[float, float], ...]
    ticks_x: tuple[Tick, ...]
    ticks_y: tuple[Tick, ...]
    rpo: float | None
    note: str
    last: str
    samples: int


@dataclass(frozen=True, slots=True)
class Strip:
    """Every hostname's outage as one dot."""

    dots: tuple[tuple[float, float, str], ...]
    ticks: tuple[Tick, ...]
    height: float
    summary: str
    missing: int


def split(report: RunReport) -> tuple[Piece, ...]:
    """The RTA in its five parts, as one bar. Parts that are not known are left out."""
    values = [(name, getattr(report.rta_breakdown_seconds, name)) for name in PARTS]
    known = [(name, value) for name, value in values if value is not None]
    total = sum(value for _name, value in known)
    pieces: list[Piece] = []
    x = 0.0
    for name, value in known:
        width = WIDTH * value / total if total else 0.0
        pieces.append(Piece(name, round(x, 2), round(width, 2), value))
        x += width
    return tuple(pieces)


def lag_charts(samples: Sequence[LagSample], until: datetime | None, rpo: dict[str, float]) -> tuple[LagChart, ...]:
    """Lag of each component from the samples before ``until`` (the disaster), oldest first."""
    by_component: dict[str, list[LagSample]] = {}
    for sample in samples:
        if until is None or sample.at <= until:
            by_component.setdefault(sample.component, []).append(sample)
    return tuple(
        _lag_chart(component, found, until or found[-1].at, rpo.get(component))
        for component, found in by_component.items()
        if any(sample.lag is not None for sample in found)
    )


def _lag_chart(component: str, samples: Sequence[LagSample], until: datetime, rpo: float | None) -> LagChart:
    lags = [sample.lag.total_seconds() for sample in samples if sample.lag is not None]
    values_y, top = ticks(0.0, max(max(lags), 0.001) * 1.02, 3)
    length = max((until - samples[0].at).total_seconds(), 0.001)
    plot = WIDTH - LAG_LEFT - 8

    def x(moment: datetime) -> float:
        return round(LAG_LEFT + plot * (1 - (until - moment).total_seconds() / length), 2)

    def y(seconds: float) -> float:
        return round(LAG_TOP + LAG_HEIGHT * (1 - seconds / top), 2)

    paths: list[list[str]] = [[]]
    gaps = []
    for number, sample in enumerate(samples):
        following = samples[number + 1].at if number + 1 < len(samples) else until
        if sample.state is Known.UNKNOWN or sample.lag is None:
            gaps.append((x(sample.at), max(1.0, round(x(following) - x(sample.at), 2))))
            paths.append([])
        else:
            paths[-1].append(f"{x(sample.at)} {y(sample.lag.total_seconds())}")
    values_x, _end = ticks(-length, 0.0)
    shown = rpo is not None and rpo <= top
    return LagChart(
        component=component,
        paths=tuple("M" + "L".join(path) for path in paths if len(path) > 1),
        gaps=tuple(gaps),
        ticks_x=tuple(Tick(round(LAG_LEFT + plot * (1 + value / length), 2), label(value)) for value in values_x if value >= -length),
        ticks_y=tuple(Tick(y(value), label(value)) for value in values_y if value <= top),
        rpo=y(rpo) if shown and rpo is not None else None,
        note="" if rpo is None or shown else f"RPO {span(rpo)} lies {count(round(rpo / top))} times this height further up",
        last=span(samples[-1].lag.total_seconds()) if samples[-1].lag is not None else "unknown",
        samples=len(samples),
    )


def strip(truth: TruthReport) -> Strip | None:
    """Each hostname's outage as the client saw it: last to first acknowledged write."""
    found = sorted(
        ((item.first_ok_after - item.last_ok).total_seconds(), item.hostname)
        for item in truth.hostnames
        if item.last_ok is not None and item.first_ok_after is not None
    )
    missing = sum(item.first_fail is not None and item.first_ok_after is None for item in truth.hostnames)
    if not found:
        return None
    values, top = ticks(0.0, max(found[-1][0], 0.001))
    plot = WIDTH - 44
    columns: dict[int, int] = {}
    dots = []
    for value, hostname in found:
        left = 12 + plot * value / top
        column = round(left / 7)
        columns[column] = columns.get(column, 0) + 1
        dots.append((round(left, 1), float(columns[column]), f"{hostname}: {span(value)}"))
    tallest = max(columns.values())
    pitch = min(7.0, 70.0 / tallest)
    height = 14 + pitch * tallest
    middle = found[len(found) // 2][0]
    return Strip(
        dots=tuple((left, round(height - 4 - pitch * (level - 1), 1), tip) for left, level, tip in dots),
        ticks=tuple(Tick(round(12 + plot * value / top, 2), label(value)) for value in values),
        height=height,
        summary=f"shortest {span(found[0][0])}, median {span(middle)}, longest {span(found[-1][0])}",
        missing=missing,
    )
