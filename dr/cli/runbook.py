"""``dr runbook check`` and ``dr runbook schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.options import DrCommand, application, file_argument, json_option, opened, state_option

if TYPE_CHECKING:
    from dr.model.lag import ComponentView, Finding


@click.group()
def command() -> None:
    """Check a runbook, or print its JSON Schema."""


@command.command(cls=DrCommand)
@file_argument("runbook")
@click.option("--offline", is_flag=True, help="Only the file: ask nothing of the network.")
@state_option
@json_option
def check(runbook: Path, offline: bool, state: str | None, as_json: bool) -> int:
    """Read RUNBOOK and look whether a failover would find what it needs.

    Exit 2: the file is wrong. Exit 3: a finding of severity error. A region that cannot be asked from here is a warning.
    """
    from dr.cli.console import emit
    from dr.errors import ExitCode
    from dr.model.status import CheckReport
    from dr.model.words import Severity

    app = application(state)
    platform = opened(app, runbook)
    found = [] if offline else findings(app.views(platform))
    order = list(Severity)
    found.sort(key=lambda item: order.index(item.severity))
    code = ExitCode.REFUSED if any(item.severity is Severity.ERROR for item in found) else ExitCode.DONE
    report = CheckReport(runbook=platform.runbook.name, sha256=platform.runbook.sha256, findings=tuple(found), exit_code=code)
    if as_json:
        emit(report)
        return code
    for item in found:
        click.secho(f"{item.severity}: ", fg={"error": "red", "warning": "yellow"}.get(item.severity, "cyan"), nl=False)
        click.echo(f"{item.component}: {item.fact}" + (f"\n  Try: {item.fix}" if item.fix else ""))
    names = ", ".join(f"{name} ({item.kind})" for name, item in platform.runbook.components.items())
    click.echo(f"{runbook}: {'not ready' if code else 'good'}; {names}")
    return code


def findings(views: tuple[ComponentView, ...]) -> list[Finding]:
    """What the kinds found, and a warning for each region that could not be asked."""
    from dr.model.lag import Finding
    from dr.model.words import Role, Severity

    found: list[Finding] = []
    for view in views:
        found += view.findings
        for region, seen in view.regions.items():
            if seen.role in (Role.UNREACHABLE, Role.UNKNOWN):
                fact = f"{region} is {seen.role}, so nothing there was checked" + (f": {seen.reason}" if seen.reason else "")
                found.append(Finding(component=view.component, severity=Severity.WARNING, fact=fact))
    return found


@command.command(cls=DrCommand)
@json_option
def schema(as_json: bool) -> int:
    """The JSON Schema of runbooks with all installed kinds, for editors."""
    from dr.config.schema import schema as whole

    click.echo(json.dumps(whole(), indent=None if as_json else 2))
    return 0
