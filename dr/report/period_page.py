"""A period as one self-contained HTML file, in the style of the run report: inline CSS and SVG, no script, nothing from outside.

What is drawn is decided here, the template places it. Every value is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.model.period import LagSlot, PeriodReport, PeriodRun, ReplicationReport
from dr.model.words import Known, RunOutcome
from dr.report.axis import WIDTH, Piece, Tick
from dr.report.html import Verdict, environment
from dr.report.wording import count, span

LEFT, TOP, HEIGHT, LANE = 62.0, 10.0, 96.0, 9.0
_PLOT = WIDTH - LEFT - 8
_DECADES = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0)
_NAMES = dict(zip(_DECADES, ("10 ms", "0.1 s", "1 s", "10 s", "1 min", "10 min", "1 h", "6 h", "1 d"), strict=True))


@dataclass(frozen=True, slots=True)
class Bar:
    """The worst exposure of one part of the period. ``tone``: inside, above."""

    x: float
    width: float
    y: float
    height: float
    tone: str
    tip: str


@dataclass(frozen=True, slots=True)
class History:
    """Lag history of one component: bars on a logarithmic scale, and below them what is not known. ``parts``: the shares as one bar."""

    line: ReplicationReport
    parts: tuple[Piece, ...]
    bars: tuple[Bar, ...]
    unknown: tuple[tuple[float, float], ...]
    ticks_x: tuple[Tick, ...]
    ticks_y: tuple[Tick, ...]
    rpo: float | None


def render_period(report: PeriodReport) -> str:
    """The page of ``dr.report/1``. Raises Refused where Jinja2 is not installed."""
    made = environment()
    made.filters.update(share=share, seconds_of=_seconds_of)
    return made.get_template("period.html.j2").render(
        report=report, verdict=verdict(report), histories=[history(item) for item in report.replication], met=_met(report),
        chart_left=LEFT, chart_top=TOP, chart_height=HEIGHT, chart_lane=LANE,
    )  # fmt: skip


def verdict(report: PeriodReport) -> Verdict:
    """The first sentence: what cannot be trusted, else what was missed, else that nothing was."""
    problems = len(report.journal.problems) + len(report.unreadable)
    if problems:
        return Verdict("bad", "Not to be trusted", f"{count(problems)} of its sources cannot be trusted; they are named below.")
    missed = [run for run in report.runs if False in (run.objectives.rto_met, run.objectives.rpo_met)]
    above = [item.component for item in report.replication if item.above_seconds]
    failed = [item for item in report.drills if item.verdict == "failed"]
    said = [f"{count(len(missed))} of {count(len(report.runs))} runs missed an objective"] if missed else []
    said += [f"replication was above the RPO at times ({', '.join(above)})"] if above else []
    said += [f"{count(len(failed))} of {count(len(report.drills))} drills failed"] if failed else []
    if said:
        return Verdict("bad", "Objectives missed", "; ".join(said)[:1].upper() + "; ".join(said)[1:] + ".")
    unknown = [item.component for item in report.replication if item.unknown_seconds]
    if unknown or not report.replication:
        what = f"replication is unknown at times ({', '.join(unknown)})" if unknown else "there is no lag sample"
        return Verdict("warn", "Not all is known", f"No objective was missed as far as is known; {what}.")
    return Verdict("good", "Within every objective", "No run missed an objective, and replication was inside the RPO all the time.")


def _met(report: PeriodReport) -> str:
    """How many of the moves that completed met both objectives."""
    moves = [run for run in report.runs if run.intent.moves and run.outcome is RunOutcome.COMPLETED]
    met = sum(_both(run) for run in moves)
    return f"{met} of {len(moves)}" if moves else "–"


def _both(run: PeriodRun) -> bool:
    return run.objectives.rto_met is True and run.objectives.rpo_met is not False


def share(value: float | None) -> str:
    """A share in per cent, never rounded up to all of it nor down to nothing."""
    if value is None:
        return "unknown"
    if value <= 0 or value >= 1:
        return f"{100 * min(max(value, 0), 1):.0f} %"
    return f"{min(max(100 * value, 0.001), 99.999):.3f} %"


def _seconds_of(value: float | None, state: Known) -> str:
    """An actual with ``≤`` where it is a bound."""
    return f"≤ {span(value)}" if state is Known.BOUND else span(value)


def history(line: ReplicationReport) -> History:
    """The picture of one component."""
    exposures = [slot.worst_exposure_seconds for slot in line.slots if slot.worst_exposure_seconds is not None]
    known = [*exposures, *([line.rpo_seconds] if line.rpo_seconds else [])]
    low = max((value for value in _DECADES if value <= max(min(exposures, default=1.0), _DECADES[0])), default=_DECADES[0])
    high = next((value for value in _DECADES if value >= max(known, default=1.0) and value > low), _DECADES[-1])
    begin = line.slots[0].start if line.slots else None
    length = timedelta(seconds=line.covered_seconds or 1)

    def x(moment: datetime) -> float:
        return round(LEFT + _PLOT * ((moment - begin) / length if begin else 0.0), 2)

    def y(value: float) -> float:
        part = (math.log(max(value, low)) - math.log(low)) / (math.log(high) - math.log(low))
        return round(TOP + HEIGHT * (1 - min(part, 1.0)), 2)

    starts = [x(slot.start) for slot in line.slots]
    ends = [*starts[1:], LEFT + _PLOT]
    bars, unknown = [], []
    for slot, left, right in zip(line.slots, starts, ends, strict=True):
        if slot.worst_exposure_seconds is not None:
            bars.append(_bar(slot, left, right, y, line.rpo_seconds))
        seconds = (right - left) / _PLOT * line.covered_seconds
        hidden = slot.unknown_seconds / seconds if seconds else 0.0
        if hidden > 1e-6:
            unknown.append((left, round(max(1.0, (right - left) * min(1.0, hidden)), 2)))
    return History(
        line, _parts(line), tuple(bars), tuple(unknown), tuple(_days(line, x)),
        tuple(Tick(y(value), _NAMES[value]) for value in _DECADES if low <= value <= high),
        y(line.rpo_seconds) if line.rpo_seconds else None,
    )  # fmt: skip


def _bar(slot: LagSlot, left: float, right: float, y: Callable[[float], float], rpo: float | None) -> Bar:
    value = slot.worst_exposure_seconds or 0.0
    top = min(y(value), TOP + HEIGHT - 1.5)
    tip = f"from {slot.start:%Y-%m-%d %H:%M} UTC: worst exposure {span(value)}, {count(slot.samples)} samples"
    tone = "above" if rpo is not None and value > rpo else "inside"
    return Bar(left, round(max(1.0, right - left - 0.8), 2), top, round(TOP + HEIGHT - top, 2), tone, tip)


def _parts(line: ReplicationReport) -> tuple[Piece, ...]:
    """Inside, above and unknown as one bar that adds up; what there is at all is at least a hair wide."""
    values = [("inside", line.inside_seconds), ("above", line.above_seconds), ("unknown", line.unknown_seconds)]
    there = [(name, value) for name, value in values if value]
    total = sum(value for _name, value in there)
    widths = [max(1.5, WIDTH * value / total) for _name, value in there]
    scale = WIDTH / sum(widths) if widths else 1.0
    pieces: list[Piece] = []
    at = 0.0
    for (name, value), width in zip(there, widths, strict=True):
        pieces.append(Piece(name, round(at, 2), round(width * scale, 2), value))
        at += width * scale
    return tuple(pieces)


def _days(line: ReplicationReport, x: Callable[[datetime], float]) -> list[Tick]:
    """Round moments along the period, at most eight."""
    if not line.slots:
        return []
    begin, end = line.slots[0].start, line.slots[0].start + timedelta(seconds=line.covered_seconds)
    hours = next((value for value in (1, 3, 6, 12, 24, 72, 168, 336, 720, 1440) if line.covered_seconds / 3600 / value <= 8), 2880)
    if line.covered_seconds < 2 * 3600:
        return [Tick(x(begin), f"{begin:%d %b %H:%M:%S}")]
    step, midnight = timedelta(hours=hours), begin.replace(hour=0, minute=0, second=0, microsecond=0)
    moments = [midnight + number * step for number in range(-(-(begin - midnight) // step), (end - midnight) // step + 1)]
    form = "%d %b" if hours >= 24 else "%d %b %H:%M"
    return [Tick(x(moment), f"{moment:{form}}") for moment in moments if begin <= moment <= end - step / 4]
