"""``dr failback``: a switchover towards home."""

from __future__ import annotations

import click

from dr.cli.moves import carry_out, common_options, guard_option
from dr.cli.options import DrCommand


@click.command(cls=DrCommand)
@common_options
@guard_option
def command(**options: object) -> int:
    """Go home: a switchover to the runbook's home region.

    Refuses until the home region follows again, healthy and inside the RPO (dr reprotect).
    """
    from dr.model.words import Intent

    return carry_out(Intent.FAILBACK, options)
