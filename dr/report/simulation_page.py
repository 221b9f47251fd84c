"""A survey of simulated disasters as one self-contained HTML file, in the style of the run report: inline CSS and SVG.

What is drawn is decided here, the template places it. Every value is escaped.
"""

from __future__ import annotations

from dataclasses import dataclass

from dr.model.simulation import Distribution, Share, SimulateReport
from dr.report.axis import WIDTH, Tick, label
from dr.report.html import Verdict, environment
from dr.report.wording import count, span

TOP, HEIGHT, GAP = 18.0, 120.0, 3.0
FEW = 5
"""Of a fault with fewer stories nothing is said."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the histogram. ``tone``: inside, above (the RTO lies below it)."""

    x: float
    width: float
    y: float
    height: float
    tone: str
    tip: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """RTAs of all stories in which service came back. ``rto``: where the RTO lies; None where it is beyond the picture."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    rto: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of outcomes."""

    name: str
    share: Share
    rta: Distribution
    rpa: Distribution


def render_simulation(report: SimulateReport) -> str:
    """The page of ``dr.simulate/1``. Raises Refused where Jinja2 is not installed."""
    made = environment()
    made.filters.update(signed=_signed)
    return made.get_template("simulation.html.j2").render(
        report=report, verdict=verdict(report), rows=rows(report), histogram=histogram(report), chart_top=TOP, chart_height=HEIGHT,
        telling=[item for item in report.faults if item.stories >= FEW], few=FEW,
    )  # fmt: skip


def verdict(report: SimulateReport) -> Verdict:
    """The first sentence: what must never happen, else what was missed, else that nothing was."""
    share = report.share
    so_far = "" if report.complete else " It was interrupted."
    if report.violations_total:
        text = f"In {count(report.violations_total)} of {count(report.seeds)} stories something happened that must never happen."
        return Verdict("bad", "Violation", text + so_far)
    missed = share.stories - share.within_both
    if missed:
        return Verdict("bad", "Objectives missed", f"{count(missed)} of {count(share.stories)} stories missed an objective.{so_far}")
    if not share.stories:
        return Verdict("warn", "Nothing played", "No story was played.")
    return Verdict("good", "Within every objective", f"All {count(share.stories)} stories ended within RTO and RPO.{so_far}")


def rows(report: SimulateReport) -> list[Row]:
    """All stories, by plot, by group of faults."""
    found = [Row("all stories", item.share, item.rta, item.rpa) for item in report.groups if item.group == "all"]
    found += [Row(item.plot, item.share, item.rta, item.rpa) for item in report.plots]
    for item in report.groups:
        if item.group != "all":
            found.append(Row("no fault at all" if item.group == "none" else f"{item.group} faults", item.share, item.rta, item.rpa))
    return found


def histogram(report: SimulateReport) -> Histogram | None:
    """Bars side by side, each for times half as long again as the one before; None where no service came back."""
    bins = report.rta_histogram
    if not bins:
        return None
    width, most = WIDTH / len(bins), max(item.stories for item in bins)
    bars, rto = [], None
    for number, item in enumerate(bins):
        height = round(max(HEIGHT * item.stories / most, 1.5 if item.stories else 0.0), 2)
        tone = "above" if item.from_seconds >= report.rto_seconds else "inside"
        tip = f"{span(item.from_seconds)} to {span(item.to_seconds)}: {count(item.stories)} stories"
        bars.append(Bar(round(number * width, 2), round(width - GAP, 2), round(TOP + HEIGHT - height, 2), height, tone, tip))
        if item.from_seconds <= report.rto_seconds < item.to_seconds:
            part = (report.rto_seconds - item.from_seconds) / (item.to_seconds - item.from_seconds)
            rto = round((number + part) * width, 2)
    every = -(-len(bins) // 10)
    ticks = (Tick(round(number * width, 2), label(_round(item.from_seconds))) for number, item in enumerate(bins) if number % every == 0)
    return Histogram(tuple(bars), tuple(ticks), rto)


def _round(seconds: float) -> float:
    return round(seconds, 1) if seconds < 10 else float(round(seconds))


def _signed(seconds: float | None) -> str:
    """A difference."""
    return "–" if seconds is None else f"+{span(seconds)}" if seconds > 0 else span(seconds)
