"""Where words go: results to stdout, progress, questions and errors to stderr. ``rich`` is loaded only where there is a picture to draw."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from dr.errors import DrError, GuardsRefused

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console


def picture(*, err: bool = False) -> Console:
    """A console that prints text as it is: what comes from files and servers is never read as markup."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    # without a terminal rich would cut tables at 80 columns
    width = None if stream.isatty() else 140
    return Console(file=stream, markup=False, highlight=False, emoji=False, width=width, soft_wrap=False)


def emit(model: BaseModel) -> None:
    """A result as JSON on stdout."""
    click.echo(model.model_dump_json(by_alias=True, indent=2))


def say(text: str) -> None:
    """One line of progress."""
    click.echo(text, err=True)


def daemon(runbook: str) -> Callable[[str], None]:
    """How a process speaks that nobody sits in front of: lines on a terminal, else one JSON object a line, for whoever collects logs."""
    if sys.stderr.isatty():
        return say
    import structlog

    steps = structlog.processors
    logger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr), [steps.add_log_level, steps.TimeStamper("iso", utc=True), steps.JSONRenderer()], runbook=runbook
    )
    return lambda text: logger.info(text)


def complain(error: DrError, *, as_json: bool = False) -> None:
    """An error: what and where on stderr, then what to type. With ``--json`` also ``dr.error/1`` on stdout."""
    if isinstance(error, GuardsRefused):
        click.secho("refused, nothing was touched:", fg="red", err=True)
        for name, reason in error.verdicts:
            click.echo(f"  {name}: {reason}", err=True)
    else:
        click.secho("error: ", fg="red", err=True, nl=False)
        click.echo(error.message, err=True)
    if error.hint:
        click.secho("Try: ", fg="cyan", err=True, nl=False)
        click.echo(error.hint, err=True)
    if as_json:
        emit_error(error)


def emit_error(error: DrError) -> None:
    """``dr.error/1`` on stdout."""
    click.echo(error_text(error))


def error_text(error: DrError) -> str:
    """``dr.error/1``, without loading the models; a test compares it with ``ErrorReport``."""
    verdicts = error.verdicts if isinstance(error, GuardsRefused) else ()
    body = {
        "schema": "dr.error/1",
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "exit_code": int(error.exit_code),
        "guards": [{"name": str(name), "reason": reason} for name, reason in verdicts],
    }
    return json.dumps(body, indent=2)


def clock_time(moment: datetime | None) -> str:
    """``02:41:07`` in UTC, with the date where a table shows more than one day; ``-`` for None."""
    return "-" if moment is None else f"{moment:%H:%M:%S}Z"


def date_time(moment: datetime | None) -> str:
    """``2026-03-01 02:41:07Z``; ``-`` for None."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def span(seconds: float | None) -> str:
    """Seconds as a person reads them; ``unknown`` for None."""
    from datetime import timedelta

    from dr.model.base import show_duration

    return show_duration(None if seconds is None else timedelta(seconds=seconds))
