"""``dr approve``: a person says yes to a step."""

from __future__ import annotations

import click

from dr.cli.options import DrCommand, actor_option, json_option, reason_option, state_option


@click.command(cls=DrCommand)
@click.argument("run_id", metavar="RUN")
@click.argument("step")
@reason_option()
@actor_option
@state_option
@json_option
def command(run_id: str, step: str, reason: str, actor: str | None, state: str | None, as_json: bool) -> int:
    """Approve a step that waits for a person, or attest a gate (--reason is kept as the attestation).

    The approver's identity is claimed, not proven.
    """
    from dr.cli.answers import answer
    from dr.config.settings import actor as name_of
    from dr.model.events import Approved

    who = name_of(actor)
    return answer(run_id, Approved(step=step, actor=who, text=reason), actor=who, state=state, as_json=as_json)
