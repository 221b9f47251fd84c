"""``dr lag``: replication lag and exposure, once or as they change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.options import DrCommand, application, file_argument, json_option, opened, state_option

if TYPE_CHECKING:
    from rich.table import Table

    from dr.app import App
    from dr.app.platform import Platform
    from dr.model.status import LagLine, LagReport


@click.command(cls=DrCommand)
@file_argument("runbook")
@click.option("--watch", is_flag=True, help="Again and again until Ctrl-C; with --json one line a look.")
@click.option("--interval", type=click.FloatRange(min=0.1), default=1.0, show_default=True, help="Seconds between two looks of --watch.")
@state_option
@json_option
def command(runbook: Path, watch: bool, interval: float, state: str | None, as_json: bool) -> int:
    """Replication lag and exposure of each component against its RPO, sampled now."""
    from dr.cli.console import emit, picture

    app = application(state)
    platform = opened(app, runbook)
    if watch:
        _watch(app, platform, interval, as_json=as_json)
        return 0
    report = app.lag(platform)
    if as_json:
        emit(report)
    else:
        picture().print(table(report))
    return 0


def _watch(app: App, platform: Platform, interval: float, *, as_json: bool) -> None:
    """Ends with Ctrl-C, which is how a watch is meant to end, or when nobody reads it any more."""
    import contextlib
    import sys

    from dr.cli.streams import gone

    clock = app.state.clock
    with contextlib.suppress(KeyboardInterrupt):
        if as_json or not sys.stdout.isatty():
            while not gone():
                report = app.lag(platform)
                click.echo(report.model_dump_json(by_alias=True) if as_json else lines(report))
                clock.sleep(interval)
            return
        from rich.live import Live

        from dr.cli.console import picture

        with Live(table(app.lag(platform)), console=picture(), auto_refresh=False) as live:
            while not gone():
                clock.sleep(interval)
                live.update(table(app.lag(platform)), refresh=True)


def table(report: LagReport) -> Table:
    """One row a component."""
    from rich import box
    from rich.table import Table

    from dr.cli.console import clock_time, span

    grid = Table(box=box.SIMPLE, pad_edge=False, title=f"{report.runbook} at {clock_time(report.at)}", title_justify="left")
    for name in ("component", "lag", "would be lost", "RPO", "against RPO", "behind", "failed", "kept for the secondary", "why"):
        grid.add_column(name, overflow="fold")
    for item in report.components:
        word, style = {True: ("within", "green"), False: ("ABOVE", "red"), None: ("unknown", "yellow")}[item.rpo_met]
        grid.add_row(
            item.component, span(item.lag_seconds), span(item.exposure_seconds), span(item.rpo_seconds), word, behind(item),
            objects(item.failed_items), size(item.retained_bytes), item.reason + _named(item), style=style,
        )  # fmt: skip
    return grid


def lines(report: LagReport) -> str:
    """Plain lines for logs and pipes."""
    from dr.cli.console import clock_time, span

    return "\n".join(
        f"{clock_time(report.at)}  {item.component}  lag {span(item.lag_seconds)}  would lose {span(item.exposure_seconds)}  "
        f"RPO {span(item.rpo_seconds)}  {item.reason}{_named(item)}".rstrip()
        for item in report.components
    )


def behind(item: LagLine) -> str:
    """What is on its way: objects where they are counted, and bytes."""
    return size(item.behind_bytes) if item.behind_items is None else f"{objects(item.behind_items)}, {size(item.behind_bytes)}"


def objects(count: int | None) -> str:
    """``-`` for None."""
    return "-" if count is None else f"{count} object{'' if count == 1 else 's'}"


def _named(item: LagLine) -> str:
    """The first of those that failed."""
    more = (item.failed_items or 0) - len(item.failed_named)
    return f": {', '.join(item.failed_named)}{f' and {more} more' if more else ''}" if item.failed_named else ""


def size(count: int | None) -> str:
    """Bytes as a person reads them; ``-`` for None."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
