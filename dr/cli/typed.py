"""Command lines of a simulated drill: read by the commands' own parsers, obeyed by the application of a simulated process.

The commands themselves would not do: they watch the terminal and its signals, and print, and here many of them go on at once in one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

import click

from dr.app import App
from dr.cli.acceptances import acceptances, moment
from dr.cli.console import error_text
from dr.cli.moves import Wanted
from dr.errors import DrError, ExitCode, UsageError
from dr.model.base import Frozen
from dr.model.events import Approved, CancelRequested, Event, PauseRequested, SkipRequested
from dr.model.outputs import RequestReport
from dr.model.words import Intent

Options = Mapping[str, object]
Answer = tuple[int, str]


def obey(app: App, argv: Sequence[str]) -> Answer:
    """One command line, to its end: exit status and what it prints on stdout with ``--json``. Raises nothing that a command handles."""
    name, *rest = argv
    try:
        with import_module(f"dr.cli.{name}").command.make_context(name, list(rest), resilient_parsing=False) as context:
            options = dict(context.params)
    except click.ClickException as error:
        return ExitCode.USAGE, error_text(UsageError(error.format_message(), hint=f"dr {name} --help"))
    try:
        return _COMMANDS[name](app, options) if name in _COMMANDS else _move(app, Intent(name), options)
    except DrError as error:
        return error.exit_code, error_text(error)


def _move(app: App, intent: Intent, options: Options) -> Answer:
    wanted = Wanted(**options)  # type: ignore[arg-type]  # click's parameters have these names and types
    now, who = app.state.clock.now(), wanted.actor or ""
    given = acceptances(
        data_loss=wanted.accept_data_loss, split=wanted.accept_split, guards=wanted.accept, reason=wanted.reason, actor=who, at=now
    )  # fmt: skip
    began = None if wanted.outage_began is None else moment(wanted.outage_began, now)
    platform = app.load(wanted.runbook)
    report = app.start(
        platform, intent, wanted.to, actor=who, reason=wanted.reason, acceptances=given, outage_began=began, only=wanted.only
    )
    return report.exit_code, _json(report)


def _resume(app: App, options: Options) -> Answer:
    who = _text(options, "actor")
    loss, guards = options["accept_data_loss"], options["accept"]
    assert isinstance(loss, str | None) and isinstance(guards, tuple), "click's parameters have these types"
    given = acceptances(
        data_loss=loss, split=bool(options["accept_split"]), guards=guards, reason=_text(options, "reason"), actor=who,
        at=app.state.clock.now(),
    )  # fmt: skip
    report = app.resume(_text(options, "run_id"), actor=who, acceptances=given)
    return report.exit_code, _json(report)


def _status(app: App, options: Options) -> Answer:
    runbook = options["runbook"]
    return ExitCode.DONE, _json(app.status(app.load(runbook) if isinstance(runbook, Path) else None))


def _answering(event: Callable[[Options], Event], *, holds: bool = False) -> Callable[[App, Options], Answer]:
    """A person's answer to a run. ``holds``: this process may have to carry it out; then its exit status is the run's."""

    def answer(app: App, options: Options) -> Answer:
        run_id, who, made = _text(options, "run_id"), _text(options, "actor"), event(options)
        report = app.request(run_id, made, actor=who)
        if report is None:
            return ExitCode.DONE, _json(RequestReport(run_id=run_id, event=made.event, actor=who))
        return report.exit_code if holds else ExitCode.DONE, _json(report)

    return answer


_COMMANDS: Mapping[str, Callable[[App, Options], Answer]] = {
    "status": _status,
    "resume": _resume,
    "pause": _answering(lambda given: PauseRequested(actor=_text(given, "actor"), reason=_text(given, "reason"))),
    "cancel": _answering(lambda given: CancelRequested(actor=_text(given, "actor"), reason=_text(given, "reason")), holds=True),
    "approve": _answering(lambda given: Approved(step=_text(given, "step"), actor=_text(given, "actor"), text=_text(given, "reason"))),
    "skip": _answering(lambda given: SkipRequested(step=_text(given, "step"), actor=_text(given, "actor"), reason=_text(given, "reason"))),
}


def _text(options: Options, name: str) -> str:
    """An option; empty where it was not given."""
    value = options.get(name)
    return value if isinstance(value, str) else ""


def _json(model: Frozen) -> str:
    return model.model_dump_json(by_alias=True, indent=2) + "\n"
