"""What failover, switchover, failback and reprotect share: options, the question, the start."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from dr.cli.console import clock_time, picture, say
from dr.cli.options import acceptance_options, actor_option, application, file_argument, json_option, opened, reason_option, state_option
from dr.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from dr.app.conduct import Hooks
    from dr.app.platform import Platform
    from dr.model.plan import Plan
    from dr.model.report import RunReport
    from dr.model.words import Intent

F = TypeVar("F", bound=Callable[..., object])


@dataclass(frozen=True)
class Wanted:
    """What stood on the command line; the names are those of the options."""

    runbook: Path
    yes: bool
    reason: str
    as_json: bool
    actor: str | None = None
    state: str | None = None
    to: str | None = None
    accept: tuple[str, ...] = ()
    accept_data_loss: str | None = None
    accept_split: bool = False
    outage_began: str | None = None
    only: tuple[str, ...] = ()


def common_options(function: F) -> F:
    """``RUNBOOK --yes --reason --actor --state --json``."""
    for option in (
        file_argument("runbook"),
        click.option("--yes", is_flag=True, help="Do not ask. Accepts nothing: data loss and splits have their own flags."),
        reason_option(),
        actor_option,
        state_option,
        json_option,
    ):
        function = option(function)
    return function


def target_options(function: F) -> F:
    """``--to`` and ``--only``."""
    function = click.option("--only", metavar="COMPONENT", multiple=True, help="Only this component; repeatable.")(function)
    return click.option("--to", metavar="REGION", help="The region that becomes primary; asked for on a terminal.")(function)


def every_acceptance(function: F) -> F:
    """``--accept-data-loss``, ``--accept-split``, ``--accept``, ``--outage-began``."""
    text = "When the outage began: 02:40 (UTC), 2026-03-01T02:40:00Z, or 5m ago. Starts the RTA; exposure follows evidence."
    return click.option("--outage-began", metavar="TIME", help=text)(acceptance_options(function))


def guard_option(function: F) -> F:
    """``--accept`` alone, for moves that never lose data."""
    text = "Accept what a guard refuses; needs --reason; repeatable."
    return click.option("--accept", metavar="GUARD", multiple=True, help=text)(function)


def carry_out(intent: Intent, options: Mapping[str, object]) -> int:
    """Plans, asks, runs to the end or a pause; the exit code.

    Raises:
        UsageError: the command line is wrong, or there is nobody to ask.
        Refused: the world says no, or the person did.
    """
    wanted = Wanted(**options)  # type: ignore[arg-type]  # click's parameters have these names and types
    if not wanted.yes and not terminal():
        raise UsageError("there is no terminal to ask on", hint="add --yes; what a guard refuses must still be accepted by its own flag")
    from dr.cli.acceptances import acceptances, moment
    from dr.cli.host import hold
    from dr.config.settings import actor

    app = application(wanted.state)
    who, now = actor(wanted.actor), app.state.clock.now()
    given = acceptances(
        data_loss=wanted.accept_data_loss, split=wanted.accept_split, guards=wanted.accept, reason=wanted.reason, actor=who, at=now
    )  # fmt: skip
    began = None if wanted.outage_began is None else moment(wanted.outage_began, now)
    platform = opened(app, wanted.runbook)
    to = wanted.to
    if to is None and intent.value in ("failover", "switchover"):
        to = _ask_region(platform, asked=not wanted.yes)

    def go(hooks: Hooks) -> RunReport:
        return app.start(
            platform, intent, to, actor=who, reason=wanted.reason, acceptances=given, outage_began=began, only=wanted.only, hooks=hooks
        )  # fmt: skip

    def tell() -> None:
        for trouble in platform.site.samples.troubles():
            say(f"shared state: {trouble}")

    def confirm(plan: Plan, since: datetime | None) -> bool:
        tell()
        return wanted.yes or _ask(plan, since)

    code = hold(app, go, as_json=wanted.as_json, confirm=confirm)
    tell()  # a refusal comes before the question
    return code


def terminal() -> bool:
    """Somebody can be asked."""
    return sys.stdin.isatty()


def _ask_region(platform: Platform, *, asked: bool) -> str:
    regions = list(platform.runbook.regions)
    if not asked:
        raise UsageError("--to is required", hint=f"--to {'|'.join(regions)}")
    answer: str = click.prompt("to which region", type=click.Choice(regions), err=True)
    return answer


def _ask(plan: Plan, since: datetime | None) -> bool:
    """Shows the plan and asks for the runbook's name typed in full; False for anything else."""
    from dr.cli.plan_view import show_plan

    show_plan(plan, picture(err=True))
    say("")
    say(question(plan, since))
    typed: str = click.prompt(f"type the runbook's name, {plan.runbook}, to go on", default="", show_default=False, err=True)
    return typed.strip() == plan.runbook


def question(plan: Plan, since: datetime | None = None) -> str:
    """``failover of airflow-lab: from east, unreachable since 02:40:11Z, to west, whose newest data is of 02:40:09Z``.

    since: since when writes fail there, as the monitor or the operator says; None where nobody knows.
    """
    points = [view.lag.recovery_point for view in plan.views if view.lag is not None and view.lag.recovery_point is not None]
    data = f", whose newest data is of {clock_time(min(points))}" if points else ""
    return f"{plan.intent} of {plan.runbook}: from {plan.source}, {_seen(plan, since)}, to {plan.target}{data}"


def _seen(plan: Plan, since: datetime | None) -> str:
    """How the source looks: the worst role that any component has there, and since when."""
    from dr.model.words import Role

    roles = {view.regions[plan.source].role for view in plan.views if plan.source in view.regions}
    when = f" since {clock_time(since)}" if since is not None else ""
    if Role.UNREACHABLE in roles:
        return f"unreachable{when}"
    if Role.STOPPED in roles:
        return f"stopped{when}"
    if Role.PRIMARY in roles:
        return "which is up and primary"
    return "which follows" if Role.SECONDARY in roles else "of unknown state"
