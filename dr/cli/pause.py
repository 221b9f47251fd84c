"""``dr pause``: starts nothing new."""

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
    """Start nothing new; what is under way ends. Go on with dr resume."""
    from dr.cli.answers import answer
    from dr.config.settings import actor as name_of
    from dr.model.events import PauseRequested

    who = name_of(actor)
    return answer(run_id, PauseRequested(actor=who, reason=reason), actor=who, state=state, as_json=as_json)
