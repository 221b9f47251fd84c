"""``dr plan``: what would be done, in which order, how long it would take. Touches nothing."""

from __future__ import annotations

from pathlib import Path

import click

from dr.cli.options import DrCommand, application, file_argument, json_option, opened, state_option


@click.command(cls=DrCommand)
@file_argument("runbook")
@click.option(
    "--intent",
    type=click.Choice(["failover", "switchover", "failback", "reprotect"]),
    default="failover",
    show_default=True,
    help="What the run would be for.",
)
@click.option("--to", metavar="REGION", help="The region that would become primary.")
@click.option("--only", metavar="COMPONENT", multiple=True, help="Only this component; repeatable.")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="The graph as a Mermaid flow chart.")
@json_option
@state_option
def command(runbook: Path, intent: str, to: str | None, only: tuple[str, ...], as_mermaid: bool, as_json: bool, state: str | None) -> int:
    """The graph of a run, its critical path and predicted RTA against the RTO.

    Reads the world; touches nothing.
    """
    from dr.cli import console
    from dr.cli.plan_view import mermaid, show_plan
    from dr.model.status import plan_report
    from dr.model.words import Intent

    app = application(state)
    plan = app.plan(opened(app, runbook), Intent(intent), to, only=only)
    if as_json:
        console.emit(plan_report(plan))
    elif as_mermaid:
        click.echo(mermaid(plan))
    else:
        show_plan(plan, console.picture())
    return 0
