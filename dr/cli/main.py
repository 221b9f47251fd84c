"""The ``dr`` command: names and one line of help for each command; a command's file is loaded when it is asked for."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from dr import __version__
from dr.cli import streams
from dr.errors import DrError, ExitCode, UsageError

SECTIONS: dict[str, dict[str, str]] = {
    "Look": {
        "status": "Who is primary, lag and exposure, runs in flight, debt; can we fail over now.",
        "plan": "The graph of a run, its critical path and predicted RTA; touches nothing.",
        "lag": "Replication lag and exposure of each component against its RPO.",
        "runs": "All runs, or one in full.",
        "runbook": "Check a runbook, render it for people to do by hand, or print its JSON Schema.",
        "init": "Write a commented runbook of what an account has in two regions.",
    },
    "Move": {
        "failover": "Make REGION primary although the old primary is lost or given up.",
        "switchover": "Make REGION primary, planned: waits for lag zero and loses nothing.",
        "failback": "Go home: a switchover to the home region.",
        "reprotect": "Make the old primary follow the new one.",
    },
    "Answer a run": {
        "resume": "Go on with a paused or interrupted run.",
        "pause": "Start nothing new; what is under way ends.",
        "cancel": "Stop, and undo what can be undone before the point of no return.",
        "approve": "Approve a step that waits for a person.",
        "skip": "Take responsibility for a step's effect and go on without it.",
    },
    "Prove and watch": {
        "drill": "Play a scenario against real servers on this machine, or in virtual time, and judge it.",
        "simulate": "Try a runbook against simulated disasters: what is met, what hurts, what is wrong with it.",
        "lab": "The two regions on this machine: start, stop, look, break.",
        "monitor": "Sample lag, write heartbeats and serve metrics until stopped.",
        "report": "Every run and drill of a period, lag history against the objectives, open debt.",
    },
}


class LazyGroup(click.Group):
    """A group whose commands stand in ``dr/cli/NAME.py`` as ``command``; its help needs none of those files."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help."""
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Loads one command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f"dr.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The sections of the help."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done, objectives met · 1 failed · 2 usage · 3 refused, nothing touched · 4 paused, needs an operator · "
    "5 done, an objective missed · 130 interrupted",
)
@click.version_option(__version__, prog_name="dr")
def cli() -> None:
    """Moves a data platform out of a lost (or healthy) region into another one, and proves that it did."""


def run(argv: Sequence[str]) -> int:
    """One command line, to the end. Returns the exit code; prints errors as people read them, with the next thing to type."""
    try:
        _all_text(argv)
        result = cli.main(list(argv), prog_name="dr", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        if "--json" in argv:
            from dr.cli.console import emit_error

            context = getattr(error, "ctx", None)
            emit_error(UsageError(error.format_message(), hint=f"{context.command_path if context else 'dr'} --help"))
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        # click would exit 1, which means "failed" here
        click.echo("interrupted", err=True)
        return ExitCode.INTERRUPTED
    except DrError as error:
        from dr.cli.console import complain

        complain(error, as_json="--json" in argv)
        return error.exit_code
    return int(result or 0)


def _all_text(argv: Sequence[str]) -> None:
    """What stands on the command line is journaled, and shown.

    Raises:
        UsageError: a word is not UTF-8; Python hands such bytes over as halves of surrogate pairs, which nothing can write.
    """
    for number, word in enumerate(argv, start=1):
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = word.encode("utf-8", "backslashreplace").decode()
            raise UsageError(f"word {number} of the command line is not UTF-8 text: {shown}", hint="write it in UTF-8") from None


def main() -> NoReturn:
    """The console script."""
    # loading a command, and what botocore knows of AWS's services, makes a few hundred thousand objects that all stay: looking through them
    # for garbage is a tenth of a status, and of the time to a failover's first act
    gc.set_threshold(200_000, 10, 10)
    streams.steady()
    code = run(sys.argv[1:])
    streams.finish()
    sys.exit(code)
