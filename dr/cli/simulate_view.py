"""What ``dr simulate`` shows at a terminal: the answer first, then what hurts, who had to decide, what is wrong with the runbook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dr.cli.console import span
from dr.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from dr.model.simulation import Distribution, Share, SimulateReport

_SHOWN = 8
FEW = 5
"""Of a fault with fewer stories nothing is said."""
_TONES = {
    "fault": "yellow", "violation": "bold red", "guard": "yellow", "decision": "cyan", "person": "bold", "answer": "bold", "effect": "dim",
    "end": "bold",
}  # fmt: skip


def show_simulation(report: SimulateReport, console: Console) -> None:
    """The survey."""
    share = report.share
    tone = "bold red" if report.violations_total else "bold green" if share.within_both == share.stories else "bold yellow"
    console.print(
        f"{report.runbook}: {share.within_both} of {share.stories} simulated disasters ended within RTO {span(report.rto_seconds)} and"
        f" RPO {span(report.rpo_seconds)} ({per_cent(share.within_both, share.stories)})",
        style=tone, soft_wrap=True,
    )  # fmt: skip
    for item in report.violations:
        console.print(f"VIOLATION of {item.rule}, seed {item.seed} ({item.plot}): {item.text}", style="bold red", soft_wrap=True)
        enough = "" if item.enough is None else f"; enough for it: {', '.join(item.enough) or 'none at all'}"
        console.print(f"  faults: {', '.join(item.faults) or 'none'}{enough}; commit {report.commit or 'unknown'}", soft_wrap=True)
        console.print(f"  {item.command}", style="cyan", soft_wrap=True)
    for item in report.violations[:1]:
        console.print(item.told, style="dim", soft_wrap=True)
    if report.violations_total > len(report.violations):
        console.print(f"  and {report.violations_total - len(report.violations)} more with a violation", style="red")
    _outcomes(report, console)
    _hurts(report, console)
    _people(report, console)
    _flaws(report, console)
    if report.worst:
        console.print("worst:", style="bold")
    for seed in report.worst:
        took, faults = f"RTA {span(seed.rta_seconds)}, RPA {span(seed.rpa_seconds)}", ", ".join(seed.faults) or "no fault"
        console.print(f"  {seed.plot}, {seed.why}: {took}; {faults}", soft_wrap=True)
        console.print(f"    {seed.command}", style="cyan", soft_wrap=True)
    _last(report, console)


def _last(report: SimulateReport, console: Console) -> None:
    learned = f"{report.learned_steps} steps take what they took before" if report.learned_steps else "all steps take about their estimates"
    whole = "" if report.complete else "; INTERRUPTED, this is what there is so far"
    console.print(
        f"{report.seeds} stories from seed {report.first_seed} on, {report.deployments} Deployments, {report.faults_known} sorts of faults,"
        f" {report.checkers} checkers; {learned}; {report.timing.stories_per_second:g} a second{whole}",
        style="dim" if report.complete else "bold yellow", soft_wrap=True,
    )  # fmt: skip


def per_cent(part: int, whole: int) -> str:
    """Never rounded up to all, nor down to nothing."""
    if not whole or part in (0, whole):
        return f"{100 if part else 0} %"
    return f"{min(max(100 * part / whole, 0.1), 99.9):.1f} %"


def _table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=not number)
    return table


def _outcomes(report: SimulateReport, console: Console) -> None:
    table = _table(
        "stories", "number", "both met", "RTO", "RPO", "RTA p50", "p95", "p99", "worst", "RPA p50", "p95", "p99", "worst", "unknown"
    )
    rows: list[tuple[str, Share, Distribution, Distribution]] = []
    rows += [(item.group, item.share, item.rta, item.rpa) for item in report.groups if item.group == "all"]
    rows += [(item.plot, item.share, item.rta, item.rpa) for item in report.plots]
    rows += [(group_name(item.group), item.share, item.rta, item.rpa) for item in report.groups if item.group != "all"]
    for name, share, rta, rpa in rows:
        table.add_row(
            name, str(share.stories), *(per_cent(part, share.stories) for part in (share.within_both, share.within_rto, share.within_rpo)),
            *_spans(rta), *_spans(rpa), str(rta.unknown), style="bold" if name == "all" else None,
        )  # fmt: skip
    console.print(table)
    if report.share.told_unknown:
        text = f"in {report.share.told_unknown} of them the run itself could not tell its RTA or RPA, and would report an objective missed"
        console.print(text, style="yellow", soft_wrap=True)


def group_name(group: str) -> str:
    """As a row is called."""
    return "no fault" if group == "none" else f"{group} faults"


def _spans(item: Distribution) -> tuple[str, ...]:
    values = (item.p50_seconds, item.p95_seconds, item.p99_seconds, item.worst_seconds)
    return tuple("-" if value is None else span(value) for value in values)


def _hurts(report: SimulateReport, console: Console) -> None:
    telling = [item for item in report.faults if item.stories >= FEW and item.missed_with > item.missed_without]
    slower = [item for item in report.faults if item.stories >= FEW and item not in telling and (item.rta_difference_seconds or 0) > 0]
    telling += sorted(slower, key=lambda item: -(item.rta_difference_seconds or 0))
    if telling:
        table = _table("what hurts most", "stories", "RTO missed with it", "without", "RTA longer by")
        for item in telling[:_SHOWN]:
            longer = "-" if item.rta_difference_seconds is None else span(item.rta_difference_seconds)
            table.add_row(item.fault, str(item.stories), f"{100 * item.missed_with:.0f} %", f"{100 * item.missed_without:.0f} %", longer)
        console.print(table)
    if report.critical_steps:
        table = _table("on the critical path", "stories", "share")
        for step in report.critical_steps[:_SHOWN]:
            table.add_row(step.step, str(step.stories), per_cent(step.stories, step.of))
        console.print(table)


def _people(report: SimulateReport, console: Console) -> None:
    for title, rows in (
        ("refused:", [(item.guard, item.stories, item.times) for item in report.guards]),
        ("a person had to decide:", [(item.decision, item.stories, item.times) for item in report.decisions]),
    ):
        if rows:
            text = ", ".join(f"{name} in {stories} stories ({times} times)" for name, stories, times in rows)
            console.print(f"{title} {text}", soft_wrap=True)


def _flaws(report: SimulateReport, console: Console) -> None:
    if report.flaws:
        console.print("flaws of the runbook:", style="bold yellow")
    for item in report.flaws:
        lost = f", {span(item.lost_seconds)} lost on the median" if item.lost_seconds is not None else ""
        seen = f" (showed in {item.stories} of {item.of} stories{lost})" if item.of else ""
        console.print(f"  {item.name}: {item.text}{seen}", style="yellow", soft_wrap=True)
        console.print(f"    {item.fix}", style="cyan", soft_wrap=True)


def show_story(report: SimulateReport, console: Console) -> None:
    """One story, told: times from the disaster."""
    for line in report.story:
        console.print(f"{_moment(line.at_seconds):>10}  {line.what:<9}  {line.text}", style=_TONES.get(line.what), soft_wrap=True)
    if report.exit_code == ExitCode.FAILED:
        console.print(f"commit {report.commit or 'unknown'}; again: {report.worst[0].command}", style="cyan", soft_wrap=True)


def _moment(seconds: float) -> str:
    """Like ``+1:02.5``."""
    size = abs(seconds)
    return f"{'-' if seconds < 0 else '+'}{int(size // 60)}:{size % 60:04.1f}"
