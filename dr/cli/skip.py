"""``dr skip``: a person takes responsibility for a step's effect."""

from __future__ import annotations

import click

from dr.cli.options import DrCommand, actor_option, json_option, reason_option, state_option


@click.command(cls=DrCommand)
@click.argument("run_id", metavar="RUN")
@click.argument("step")
@reason_option(required=True)
@actor_option
@state_option
@json_option
def command(run_id: str, step: str, reason: str, actor: str | None, state: str | None, as_json: bool) -> int:
    """Take responsibility for a step's effect and go on without it; counted as a deviation."""
    from dr.cli.answers import answer
    from dr.config.settings import actor as name_of
    from dr.model.events import SkipRequested

    who = name_of(actor)
    return answer(run_id, SkipRequested(step=step, actor=who, reason=reason), actor=who, state=state, as_json=as_json)
