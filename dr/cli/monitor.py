"""``dr monitor``: the daemon that watches replication."""

from __future__ import annotations

from pathlib import Path

import click

from dr.cli.options import DrCommand, application, file_argument, json_option, opened, state_option


@click.command(cls=DrCommand)
@file_argument("runbook")
@click.option("--interval", metavar="DURATION", default="1s", show_default=True, help="Between two samples, such as 1s or 500ms.")
@click.option("--port", type=click.IntRange(0, 65535), default=9642, show_default=True, help="Of /metrics on this machine; 0: no endpoint.")
@click.option("--fence/--no-fence", default=True, show_default=True, help="Retry the fence of a lost region that comes back (debt).")
@state_option
@json_option
def command(runbook: Path, interval: str, port: int, fence: bool, state: str | None, as_json: bool) -> int:
    """Sample lag, write heartbeats, keep identity snapshots and serve Prometheus metrics until stopped.

    Run it outside the source region: its samples are what a failover decides by. Where a failover could not fence the region that
    was lost, the fence is tried again as soon as that answers.
    """
    import signal
    import threading
    from datetime import timedelta
    from types import FrameType

    from dr.cli.console import daemon
    from dr.errors import ExitCode, UsageError
    from dr.model.base import parse_duration
    from dr.model.outputs import MonitorReport

    try:
        every = parse_duration(interval)
    except ValueError as error:
        raise UsageError(f"--interval {interval}: {error}", hint="--interval 1s") from None
    if not isinstance(every, timedelta) or every <= timedelta(0):
        raise UsageError(f"--interval {interval}: expected more than nothing", hint="--interval 1s")
    stop = threading.Event()
    heard: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        heard.append(number)
        stop.set()

    app = application(state)
    platform = opened(app, runbook)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    where = f"http://127.0.0.1:{port}/metrics" if port else "no metrics endpoint"
    say = daemon(platform.runbook.name)
    say(f"watching {platform.runbook.name}, every {interval}, {where}; Ctrl-C ends it")
    if as_json:
        click.echo(MonitorReport(runbook=platform.runbook.name, metrics=where if port else None).model_dump_json(by_alias=True))
    app.monitor(platform, interval=every, port=port or None, stop=stop, fence=fence, say=say)
    return ExitCode.INTERRUPTED if signal.SIGINT in heard else ExitCode.DONE
