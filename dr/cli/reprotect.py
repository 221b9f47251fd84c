"""``dr reprotect``: the old primary follows the new one."""

from __future__ import annotations

import click

from dr.cli.moves import carry_out, common_options, guard_option
from dr.cli.options import DrCommand


@click.command(cls=DrCommand)
@common_options
@guard_option
def command(**options: object) -> int:
    """Make the old primary follow the new one.

    Writes that only the old primary has are preserved first, with a manifest.
    """
    from dr.model.words import Intent

    return carry_out(Intent.REPROTECT, options)
