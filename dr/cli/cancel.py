"""``dr cancel``: stops a run, and takes back what can be taken back."""

from __future__ import annotations

import click

from dr.cli.options import DrCommand, actor_option, json_option, reason_option, state_option


@click.command(cls=DrCommand)
@click.argument("run_id", metavar="RUN")
@reason_option()
@actor_option
@state_option
@json_option
def command(run_id: str, reason: str, actor: str | None, state: str | None, as_json: bool) -> int:
    """Stop, and undo what can be undone.

    After the point of no return nothing is undone: the run ends where it is and says what is left to be done.
    """
    from dr.cli.answers import answer
    from dr.config.settings import actor as name_of
    from dr.model.events import CancelRequested

    who = name_of(actor)
    return answer(run_id, CancelRequested(actor=who, reason=reason), actor=who, state=state, as_json=as_json, holds=True)
