"""Options that several commands share, and the command class that turns errors into exit codes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from dr.cli.console import complain
from dr.errors import DrError

if TYPE_CHECKING:
    from dr.app import App
    from dr.app.platform import Platform

F = TypeVar("F", bound=Callable[..., object])


class DrCommand(click.Command):
    """Prints a ``DrError`` as people read it (and as JSON where ``--json`` was given) and returns its exit code."""

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; its return value is the exit code."""
        try:
            return super().invoke(ctx)
        except DrError as error:
            complain(error, as_json=bool(ctx.params.get("as_json")))
            return int(error.exit_code)


class FileName(click.ParamType[Path]):
    """A path. An empty name, as a variable that is not set leaves it, is none: ``Path`` would take it for the current directory."""

    name = "file"

    def convert(self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path. Fails as click does where the name is empty."""
        if not str(value):
            self.fail("the name is empty", param, ctx)
        return Path(value)


def file_argument(name: str) -> Callable[[F], F]:
    """A file, read by ``dr.config`` (whose message is better than click's)."""
    return click.argument(name, type=FileName())


def json_option(function: F) -> F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")(function)


def state_option(function: F) -> F:
    """``--state``; ``DR_STATE`` is read in ``dr.config.settings``."""
    text = "State directory (default: $DR_STATE, else ~/.local/state/dr), or dynamodb://TABLE?region=R, postgresql://USER@HOST/DB to share."
    return click.option("--state", metavar="DIR|ADDRESS", help=text)(function)


def actor_option(function: F) -> F:
    """``--actor``."""
    text = "Who is acting (default: $DR_ACTOR, else the account's name). Claimed, not proven."
    return click.option("--actor", metavar="NAME", help=text)(function)


def reason_option(*, required: bool = False) -> Callable[[F], F]:
    """``--reason``."""
    text = "Why; it is journaled."
    if required:  # a default, even None, would satisfy click
        return click.option("--reason", metavar="TEXT", required=True, help=text)
    return click.option("--reason", metavar="TEXT", default="", help=text)


def acceptance_options(function: F) -> F:
    """What a person may accept, each for itself; ``--yes`` accepts nothing."""
    for option in reversed((
        click.option("--accept-data-loss", metavar="15m|unknown", help="Accept losing at most so much data; unknown needs --reason."),
        click.option("--accept-split", is_flag=True, help="Accept that the old primary may still write: its fence was not acknowledged."),
        click.option("--accept", metavar="GUARD", multiple=True, help="Accept what another guard refuses; needs --reason; repeatable."),
    )):  # fmt: skip
        function = option(function)
    return function


def application(state: str | None) -> App:
    """The application on the chosen state directory; opens nothing yet, and is closed with the command."""
    from dr.app import App
    from dr.config.settings import shared_state, state_directory, world

    app = App(state_directory(state), world(), shared_state(state))
    click.get_current_context().call_on_close(app.close)
    return app


def opened(app: App, runbook: Path) -> Platform:
    """A runbook and its kinds, closed with the command.

    Raises:
        FileError, UsageError: the runbook is wrong.
    """
    platform = app.load(runbook)
    click.get_current_context().call_on_close(platform.close)
    return platform
