"""One self-contained HTML file for a run or a drill: inline CSS and SVG, no script, no reference to anything outside of it.

The template only places; what is said is decided here, and what is drawn in ``gantt`` and ``pictures``. Everything is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from dr.errors import Refused
from dr.model.lag import LagSample
from dr.model.report import DrillReport, FaultReport, RunReport
from dr.model.words import Intent, Known, RunOutcome
from dr.report import axis, gantt, pictures, wording

if TYPE_CHECKING:
    from jinja2 import Environment

BEFORE = timedelta(minutes=15)
"""How much lag history a picture shows, at most."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The first thing a reader sees. ``tone``: good, bad or warn."""

    tone: str
    word: str
    text: str


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with its pictures."""

    report: RunReport
    heading: str
    verdict: Verdict
    gantt: gantt.Gantt | None
    split: tuple[axis.Piece, ...]
    lag: tuple[pictures.LagChart, ...]
    zero: datetime | None


def render_run(report: RunReport, lag: Sequence[LagSample] = ()) -> str:
    """The report of a run. ``lag``: samples from before the disaster, oldest first (``Samples.history``)."""
    view = _view(report, lag, ())
    return environment().get_template("report.html.j2").render(
        title=f"{report.runbook}: {report.intent} to {report.to_region}", verdict=view.verdict, drill=None, runs=[view], strip=None
    )  # fmt: skip


def render_drill(report: DrillReport, lag: Sequence[LagSample] = ()) -> str:
    """The report of a drill, with every run in it. ``lag``: samples of the whole drill, oldest first."""
    views = [_view(run, lag, report.faults) for run in report.runs]
    strip = pictures.strip(report.truth) if report.truth is not None else None
    return environment().get_template("report.html.j2").render(
        title=report.scenario, verdict=drill_verdict(report), drill=report, runs=views, strip=strip
    )  # fmt: skip


def _view(report: RunReport, lag: Sequence[LagSample], faults: Sequence[FaultReport]) -> RunView:
    stamps = report.stamps
    disaster = stamps.outage_began or stamps.decided
    recent = [sample for sample in lag if disaster is None or disaster - BEFORE <= sample.at <= disaster]
    rpo = {component.id: component.rpo_seconds for component in report.components}
    return RunView(
        report, _heading(report), run_verdict(report), gantt.gantt(report, faults), pictures.split(report),
        pictures.lag_charts(recent, disaster, rpo), disaster,
    )  # fmt: skip


def drill_verdict(report: DrillReport) -> Verdict:
    """Passed or failed, and why in one sentence."""
    unmet = [wording.words(line.name) for line in report.expectations if not line.met]
    if report.verdict == "passed":
        return Verdict("good", "Passed", f"All {len(report.expectations)} expectations are met, and nothing is left over.")
    reasons = [report.error] if report.error else []
    if unmet:
        reasons.append(f"{len(unmet)} of {len(report.expectations)} expectations not met: {', '.join(unmet)}")
    if not report.cleanup.ok:
        reasons.append(f"left over: {', '.join(report.cleanup.leftovers)}")
    return Verdict("bad", "Failed", "; ".join(reasons) + ".")


def run_verdict(report: RunReport) -> Verdict:
    """How a run ended, and why in one sentence."""
    objectives = report.objectives
    if report.outcome is RunOutcome.COMPLETED:
        missed = [name for name, met in (("RTO", objectives.rto_met), ("RPO", objectives.rpo_met)) if met is False]
        if missed:
            unknown = [name for name, state in (("RTA", objectives.rta_state), ("RPA", objectives.rpa_state)) if state is Known.UNKNOWN]
            why = f"; {' and '.join(unknown)} unknown, which counts as missed" if unknown else ""
            return Verdict("bad", "Objective missed", f"Completed, but {' and '.join(missed)} not met{why}.")
        if not report.intent.moves:
            return Verdict("good", "Completed", f"Replication runs again between {report.from_region} and {report.to_region}.")
        return Verdict("good", "Completed", f"Service moved from {report.from_region} to {report.to_region}, within every objective.")
    said = {
        RunOutcome.ALREADY: Verdict("good", "Nothing to do", f"{report.to_region} was primary already."),
        RunOutcome.REFUSED: Verdict("warn", "Refused", "Nothing was touched."),
        RunOutcome.PAUSED: Verdict("warn", "Paused", "It needs a person to go on."),
        RunOutcome.ROLLED_BACK: Verdict("warn", "Rolled back", f"{report.from_region} goes on as before."),
        RunOutcome.CANCELLED: Verdict("warn", "Cancelled", "It ended where it was."),
    }.get(report.outcome, Verdict("bad", "Failed", "It did not come to its end."))
    return said if not report.reason else Verdict(said.tone, said.word, f"{said.text.rstrip('.')}: {report.reason}.")


def _rpa(report: RunReport) -> str:
    """``≤`` where the value is a bound."""
    text = wording.span(report.objectives.rpa_seconds)
    return f"≤ {text}" if report.objectives.rpa_state is Known.BOUND else text


def _intent(intent: Intent) -> str:
    return {Intent.FAILOVER: "Failover", Intent.SWITCHOVER: "Switchover", Intent.FAILBACK: "Failback"}.get(intent, "Re-protect")


def _heading(report: RunReport) -> str:
    if report.intent is Intent.REPROTECT:
        return f"Re-protect: {report.from_region} follows {report.to_region}"
    return f"{_intent(report.intent)} from {report.from_region} to {report.to_region}"


def _since(moment: datetime | None, zero: datetime | None) -> str:
    """A moment counted from the disaster."""
    if moment is None:
        return "not reached"
    if zero is None:
        return wording.clock(moment)
    seconds = (moment - zero).total_seconds()
    return wording.span(seconds) if seconds <= 0 else f"+{wording.span(seconds)}"


def environment() -> Environment:
    """What all pages are rendered with. Raises Refused where the optional part for reports is not installed."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise Refused("HTML reports need Jinja2, which is not installed", hint="pip install 'dr[report]'") from error
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    made.filters.update(
        span=wording.span, moment=wording.moment, clock=wording.clock, day=wording.day, count=wording.count, plain=wording.plain,
        words=wording.words, upper_first=wording.upper_first, rpa=_rpa, intent=_intent,
    )  # fmt: skip
    made.globals.update(
        share=wording.share, since=_since, says=wording.expectation, gantt_row=gantt.ROW, gantt_bar=gantt.BAR, width=axis.WIDTH,
        left=gantt.LEFT, right=gantt.RIGHT, lag_left=pictures.LAG_LEFT, lag_top=pictures.LAG_TOP, lag_height=pictures.LAG_HEIGHT,
    )  # fmt: skip
    return made
