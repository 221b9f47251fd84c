"""The geometry of the Gantt chart: a run in, coordinates out. Pure; the template draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dr.model.report import FaultReport, RunReport, StepReport
from dr.model.words import StepState
from dr.report.axis import PARTS, WIDTH, Piece, Tick, label, ticks
from dr.report.wording import count, span

LEFT, RIGHT = 218.0, 66.0
ROW, BAR = 21.0, 11.0
LETTER = 6.9
"""About how wide a letter of a marker is."""


@dataclass(frozen=True, slots=True)
class Row:
    """One step in the Gantt chart. ``width`` is None where it never began. ``tone``: critical, plain, failed, skipped, open."""

    component: str
    name: str
    y: float
    x: float
    width: float | None
    tone: str
    text: str
    irreversible: bool
    tip: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment across the Gantt chart. ``lane`` keeps labels from overlapping."""

    x: float
    text: str
    lane: int
    anchor: str
    tone: str


@dataclass(frozen=True, slots=True)
class Gantt:
    """The steps against time. ``before``/``after`` say what lies outside of the picture (a long outage before, the RTO after)."""

    height: float
    top: float
    bottom: float
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    marks: tuple[Mark, ...]
    ribbon: tuple[Piece, ...]
    links: tuple[str, ...]
    before: str
    after: str
    rto: float | None


def gantt(report: RunReport, faults: Sequence[FaultReport] = ()) -> Gantt | None:
    """The steps of a run against time; None where nothing began."""
    begun = [step for step in report.steps if step.started_at is not None]
    if not begun:
        return None
    stamps = report.stamps
    first = min(step.started_at for step in begun if step.started_at is not None)
    ends = [step.finished_at or step.started_at for step in begun] + [stamps.verified]
    last = max(moment for moment in ends if moment is not None)
    zero = stamps.outage_began or stamps.decided or first
    start = min(moment for moment in (stamps.outage_began, stamps.decided, first) if moment is not None)
    before = ""
    decided = min(stamps.decided or first, first)
    if decided - start > 3 * max(last - decided, timedelta(milliseconds=100)):
        before = f"outage began {span((decided - start).total_seconds())} earlier"
        start = decided
    low, high = (start - zero).total_seconds(), (last - zero).total_seconds()
    high = max(low + 1.02 * (high - low), low + 0.05)
    values, _end = ticks(low, high)
    plot = WIDTH - LEFT - RIGHT

    def x(moment: datetime) -> float:
        return round(LEFT + plot * ((moment - zero).total_seconds() - low) / (high - low), 2)

    marks = _marks(report, faults, x, (low, high), zero)
    top = 30.0 + 13.0 * max((mark.lane for mark in marks), default=0)
    rows = _rows(report, x, top + 12)
    bottom = top + 12 + ROW * len(rows)
    rto = report.objectives.rto_seconds
    rto_at = zero + timedelta(seconds=rto) if stamps.outage_began else None
    inside = rto_at is not None and (rto_at - zero).total_seconds() <= high
    widths = count(round(rto / (high - low)))
    return Gantt(
        height=bottom + 26, top=top, bottom=bottom, rows=rows,
        ticks=tuple(Tick(round(LEFT + plot * (value - low) / (high - low), 2), label(value)) for value in values if low <= value <= high),
        marks=marks, ribbon=_ribbon(report, x, low, zero), links=_links(report, rows, x), before=before,
        after="" if inside or not report.intent.moves else f"RTO {span(rto)} lies {widths} times this width further on",
        rto=x(rto_at) if inside and rto_at is not None else None,
    )  # fmt: skip


def _ordered(steps: Sequence[StepReport]) -> list[StepReport]:
    """In the order in which they began; what never began comes last."""
    begun = sorted((step.started_at, number, step) for number, step in enumerate(steps) if step.started_at is not None)
    return [step for _at, _number, step in begun] + [step for step in steps if step.started_at is None]


def _rows(report: RunReport, x: Callable[[datetime], float], top: float) -> tuple[Row, ...]:
    critical = set(report.critical_path.steps)
    rows = []
    for number, step in enumerate(_ordered(report.steps)):
        component, _, name = step.id.partition("/")
        left = x(step.started_at) if step.started_at is not None else LEFT
        width = None
        if step.started_at is not None:
            width = max(2.0, round(x(step.finished_at) - left, 2)) if step.finished_at is not None else 2.0
        rows.append(
            Row(
                component, name or component, top + ROW * number, left, width, _tone(step, critical),
                span(step.duration_seconds) if width is not None else step.state.value, step.irreversible,
                " · ".join(part for part in (step.title, step.state.value, f"{step.attempts} attempts" if step.attempts > 1 else "",
                                             step.reason) if part),
            )
        )  # fmt: skip
    return tuple(rows)


def _tone(step: StepReport, critical: set[str]) -> str:
    if step.state in (StepState.FAILED, StepState.CANCELLED, StepState.UNKNOWN):
        return "failed"
    if step.state in (StepState.SKIPPED, StepState.UNDONE):
        return "skipped"
    if not step.state.satisfied:
        return "open"
    return "critical" if step.id in critical else "plain"


def _links(report: RunReport, rows: Sequence[Row], x: Callable[[datetime], float]) -> tuple[str, ...]:
    """Elbows from the end of each step of the critical path to the start of the next one."""
    by_id = {step.id: step for step in report.steps}
    height = {f"{row.component}/{row.name}": row.y + ROW / 2 for row in rows}
    paths = []
    for one, other in zip(report.critical_path.steps, report.critical_path.steps[1:], strict=False):
        end, begin = by_id[one].finished_at, by_id[other].started_at
        if end is None or begin is None or one not in height or other not in height:
            continue
        paths.append(f"M{x(end)} {height[one]}V{height[other] - BAR / 2 - 1:.1f}")
    return tuple(paths)


def _ribbon(report: RunReport, x: Callable[[datetime], float], low: float, zero: datetime) -> tuple[Piece, ...]:
    moment = report.stamps.outage_began
    pieces = []
    for name in PARTS:
        value = getattr(report.rta_breakdown_seconds, name)
        if moment is None or value is None:
            continue
        begin, moment = moment, moment + timedelta(seconds=value)
        left = max(x(begin), LEFT)
        if (moment - zero).total_seconds() > low and x(moment) > left:
            pieces.append(Piece(name, left, round(x(moment) - left, 2), value))
    return tuple(pieces)


def _marks(
    report: RunReport, faults: Sequence[FaultReport], x: Callable[[datetime], float], domain: tuple[float, float], zero: datetime
) -> tuple[Mark, ...]:
    stamps = report.stamps
    named = [
        (stamps.outage_began, "outage", "stamp"), (stamps.detected, "detected", "stamp"), (stamps.decided, "decided", "stamp"),
        (stamps.promoted, "promoted", "stamp"), (stamps.redirected, "redirected", "stamp"), (stamps.propagated, "propagated", "stamp"),
        (stamps.verified, "verified", "stamp"), (report.point_of_no_return_at, "point of no return", "return"),
        *((fault.observed_at, f"{fault.kind} {fault.target}", "fault") for fault in faults),
    ]  # fmt: skip
    inside = [
        (moment, text, tone)
        for moment, text, tone in named
        if moment is not None and domain[0] - 1e-6 <= (moment - zero).total_seconds() <= domain[1] + 1e-6
    ]
    ends: list[float] = []
    marks = []
    for moment, text, tone in sorted(inside, key=lambda item: item[0]):
        left = x(moment)
        anchor = "end" if left + LETTER * len(text) > WIDTH else "start"
        begin = left - LETTER * len(text) if anchor == "end" else left
        lane = next((number for number, end in enumerate(ends) if end + 6 <= begin), len(ends))
        end = left if anchor == "end" else left + LETTER * len(text)
        ends[lane : lane + 1] = [end]
        marks.append(Mark(left, text, lane, anchor, tone))
    return tuple(marks)
