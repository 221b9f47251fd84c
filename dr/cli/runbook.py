"""``dr runbook check``, ``render``, ``permissions`` and ``schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.options import DrCommand, application, file_argument, json_option, opened, state_option
from dr.config.outputs import NAMES

if TYPE_CHECKING:
    from dr.model.status import CheckReport


@click.group()
def command() -> None:
    """Check a runbook, render it for people, or print its JSON Schema."""


@command.command(cls=DrCommand)
@file_argument("runbook")
@click.option("--offline", is_flag=True, help="Only the file: no credential, no network, nothing remembered.")
@click.option("--lost", metavar="REGION", help="Also list what a failover would call in that region, or where an API lives alone.")
@state_option
@json_option
def check(runbook: Path, offline: bool, lost: str | None, state: str | None, as_json: bool) -> int:
    """The readiness report: would a failover find what it needs, what does not fit, what to do about it.

    Looks at the file, at credentials, at both regions as they are now, and at how old what we know is. Exit 2: the file is wrong.
    Exit 3: a finding of severity error; where nothing can be reached from here, ask with --offline.
    """
    app = application(state)
    report = app.check(opened(app, runbook), offline=offline, lost=lost)
    if as_json:
        from dr.cli.console import emit

        emit(report)
    else:
        _show(runbook, report)
    return report.exit_code


def _show(runbook: Path, report: CheckReport) -> None:
    """Findings, most severe first, then what was looked at, then the answer."""
    colours = {"error": "red", "warning": "yellow", "info": "cyan"}
    for severity, colour in colours.items():
        found = [item for item in report.findings if item.severity == severity]
        if found:
            click.secho(f"{severity} ({len(found)})", fg=colour, bold=True)
        for item in found:
            named = not item.component or item.component in item.fact
            click.secho("  " if named else f"  {item.component}: ", fg=colour, nl=False)
            click.echo(item.fact + (f"\n    Try: {item.fix}" if item.fix else ""))
    click.echo("checked:")
    for group in report.groups:
        count = group.reason or f"{group.passed} of {group.checked} checks passed"
        click.echo(f"  {group.name:<12} {count}; {group.about}" if not group.reason else f"  {group.name:<12} {count}")
    errors, warnings = (sum(item.severity == severity for item in report.findings) for severity in ("error", "warning"))
    verdict = "not ready" if errors else f"ready, with {warnings} warning{'s' if warnings > 1 else ''}" if warnings else "ready"
    way = f" from {report.from_region} to {report.to_region}" if report.to_region else ""
    if any(group.reason for group in report.groups):
        verdict += ", as far as the file tells"
    click.secho(f"{runbook}: a failover{way} is {verdict}", fg="red" if errors else "yellow" if warnings else "green")


@command.command(cls=DrCommand)
@file_argument("runbook")
@click.option(
    "--intent",
    type=click.Choice(["failover", "switchover", "failback", "reprotect"]),
    default="failover",
    show_default=True,
    help="What is to be done by hand.",
)
@click.option("--to", metavar="REGION", help="The region that is to be primary (default: the one that is not home; failback: home).")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write it there instead of stdout.")
@state_option
@json_option
def render(runbook: Path, intent: str, to: str | None, output: Path | None, state: str | None, as_json: bool) -> int:
    """The command and the check for every step, as Markdown, for the day the tool is gone.

    Needs neither region: nothing is asked. The same file gives the same text.
    """
    from dr.app.by_hand import sheet
    from dr.errors import UsageError
    from dr.model.words import Intent
    from dr.report.by_hand import fields, markdown

    page = sheet(opened(application(state), runbook), Intent(intent), to)
    if output is not None:
        try:
            output.write_text(markdown(page), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{output} cannot be written: {error.strerror}", hint="-o FILE, in a folder that is there") from error
    if as_json:
        from dr.cli.console import emit

        emit(fields(page))
    elif output is None:
        click.echo(markdown(page), nl=False)
    return 0


@command.command(cls=DrCommand)
@file_argument("runbook")
@click.option("--role", type=click.Choice(["monitor", "drill", "failover"]), help="Only this role's policies.")
@state_option
@json_option
def permissions(runbook: Path, role: str | None, state: str | None, as_json: bool) -> int:
    """What each role must be allowed: IAM policies of this runbook's resources only, and what IAM knows nothing of.

    monitor reads; drill acts on what carries the tag dr-drill=true; failover does what the steps do. All of them are denied to destroy.
    Nothing is asked: the same file gives the same policies. Give regions.*.aws.account, or they hold for any account.
    """
    from dr.app.permissions import permissions as made

    app = application(state)
    report = made(opened(app, runbook), app.state.shared)
    if role is not None:
        kept = tuple(policy for policy in report.policies if policy.role == role)
        report = report.model_copy(update={"policies": kept, "others": tuple(item for item in report.others if role in item.roles)})
    if as_json:
        from dr.cli.console import emit

        emit(report)
        return 0
    for policy in report.policies:
        click.secho(f"# {policy.role}, policy {policy.number} ({policy.characters:,} characters)", fg="cyan")
        click.echo(json.dumps(policy.document, indent=2))
    for item in report.others:
        click.echo(f"# {item.component} ({', '.join(item.roles)}): {item.text}")
    return 0


@command.command(cls=DrCommand)
@click.argument("name", metavar="[NAME]", type=click.Choice(NAMES), default="runbook")
@json_option
def schema(name: str, as_json: bool) -> int:
    """The JSON Schema of what people write, for editors, or of what a command prints with --json.

    NAME is runbook (the default, with all installed kinds), scenario, or the schema of an output, such as dr.run/1; a name that is
    not there lists all.
    """
    from dr.config.outputs import schema_of

    document = schema_of(name)
    if as_json:
        from dr.cli.console import emit
        from dr.model.outputs import SchemaReport

        emit(SchemaReport(name=name, document=document))
    else:
        click.echo(json.dumps(document, indent=2))
    return 0
