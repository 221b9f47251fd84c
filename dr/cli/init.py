"""``dr init aws``."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.options import DrCommand, application, json_option
from dr.errors import UsageError

if TYPE_CHECKING:
    from dr.model.init import InitReport

_SHOWN = 20


@click.group()
def command() -> None:
    """Write a runbook of what is there, by reading only."""


@command.command(cls=DrCommand)
@click.option("--primary", metavar="REGION", required=True, help="Where the platform is at home: us-west-2.")
@click.option("--secondary", metavar="REGION", required=True, help="Where it moves to: eu-west-1.")
@click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="Only what carries it in the primary; repeatable.")
@click.option("--profile", metavar="NAME", help="Of the AWS configuration, for both regions.")
@click.option("--profile-primary", metavar="NAME", help="For the primary alone.")
@click.option("--profile-secondary", metavar="NAME", help="For the secondary alone.")
@click.option("--name", metavar="NAME", default="platform", show_default=True, help="What the runbook is called.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write it there instead of stdout.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@json_option
def aws(
    primary: str, secondary: str, tags: tuple[str, ...], profile: str | None, profile_primary: str | None, profile_secondary: str | None,
    name: str, output: Path | None, force: bool, as_json: bool,
) -> int:  # fmt: skip
    """A commented runbook of what an AWS account has in two regions: what is replicated, what is not yet, and what no API tells.

    Nothing is changed: every call is a read, and how many there were is said at the end. A service that cannot be asked is named, with the
    permission that is missing, and the others are asked all the same. With --tag, RDS, DynamoDB, S3, ECR, Secrets Manager, Parameter
    Store, KMS, ACM, ECS and Lambda are searched by one question (tag:GetResources); hosted zones, EKS node groups, Auto Scaling groups and
    IAM roles each tell their own tags. What replicates into the secondary need not carry the tag there. Route 53 and IAM are asked in
    us-east-1, routing controls and Multi-Region Access Points in us-west-2, where their APIs live.

    Exit 3: the credentials are refused, FILE is there already, or nothing is replicated at all.
    """
    import re

    from dr.app.init import Wanted
    from dr.app.init import aws as init
    from dr.model.runbook import NAME

    if not re.match(NAME, name):
        raise UsageError(f"--name {name}: not a name of a runbook", hint="small letters, digits and hyphens, a letter first")
    profiles = (profile_primary or profile, profile_secondary or profile)
    wanted = Wanted(primary, secondary, name, _tags(tags), profiles)
    report = init(application(None).state, wanted, output, force=force)
    if as_json:
        from dr.cli.console import emit

        emit(report)
    else:
        if output is None:
            click.echo(report.text, nl=False)
        _say(report)
    return report.exit_code


def _tags(given: tuple[str, ...]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for item in given:
        key, mark, value = item.partition("=")
        if not key or not mark:
            raise UsageError(f"--tag {item}: expected KEY=VALUE", hint="--tag platform=airflow")
        found[key].append(value)
    return dict(found)


def _say(report: InitReport) -> None:
    """What was found, then what a person has to see to. The file says the same in full, beside what it is about."""
    active = [item for item in report.components if item.active]
    kinds = len({item.kind for item in active})
    click.echo(f"found {len(active)} components of {kinds} kinds in account {report.account}, by {report.calls} calls, all reads", err=True)
    gaps = [f"{gap.what}: {gap.why}" for gap in report.not_replicated]
    silent = [f"{item.about}: {item.fact}" + (f" ({item.fix})" if item.fix else "") for item in report.not_asked]
    for title, colour, lines in (
        ("not replicated yet", "yellow", gaps), ("not asked", "red", silent), ("to fill in", "cyan", list(report.unknown)),
    ):  # fmt: skip
        for line in lines[:_SHOWN]:
            click.secho(f"{title}: ", fg=colour, err=True, nl=False)
            click.echo(line, err=True)
        if len(lines) > _SHOWN:
            click.echo(f"{title}: {len(lines) - _SHOWN} more, which stand in the runbook as comments", err=True)
    if not active:
        click.secho("nothing of it is replicated, so there is nothing to move: it is no runbook yet", fg="red", err=True)
    elif report.path is not None:
        click.echo(f"Next: dr runbook check {report.path}", err=True)
