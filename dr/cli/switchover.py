"""``dr switchover``: planned, both sides healthy, loses nothing."""

from __future__ import annotations

import click

from dr.cli.moves import carry_out, common_options, guard_option, target_options
from dr.cli.options import DrCommand


@click.command(cls=DrCommand)
@common_options
@target_options
@guard_option
def command(**options: object) -> int:
    """Make REGION primary, planned: freezes, waits for lag zero, loses nothing.

    A failure before the point of no return is rolled back.
    """
    from dr.model.words import Intent

    return carry_out(Intent.SWITCHOVER, options)
