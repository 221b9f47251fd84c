"""``dr failover``: the old primary is lost or given up."""

from __future__ import annotations

import click

from dr.cli.moves import carry_out, common_options, every_acceptance, target_options
from dr.cli.options import DrCommand


@click.command(cls=DrCommand)
@common_options
@target_options
@every_acceptance
def command(**options: object) -> int:
    """Make REGION primary although the old primary is lost or given up.

    Shows the plan and asks for the runbook's name; on a paused or running switchover to the same region it turns that run into a failover.
    Already primary: exit 0, nothing touched.
    """
    from dr.model.words import Intent

    return carry_out(Intent.FAILOVER, options)
