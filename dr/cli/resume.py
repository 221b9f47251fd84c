"""``dr resume``: goes on with a run, here."""

from __future__ import annotations

import click

from dr.cli.options import DrCommand, acceptance_options, actor_option, application, json_option, reason_option, state_option


@click.command(cls=DrCommand)
@click.argument("run_id", metavar="RUN")
@acceptance_options
@reason_option()
@actor_option
@state_option
@json_option
def command(
    run_id: str,
    accept_data_loss: str | None,
    accept_split: bool,
    accept: tuple[str, ...],
    reason: str,
    actor: str | None,
    state: str | None,
    as_json: bool,
) -> int:
    """Go on with a paused run, or with one whose process died.

    Steps that may have taken effect are looked at before anything is repeated; steps that failed are tried again.
    """
    from dr.cli.acceptances import acceptances
    from dr.cli.host import hold
    from dr.config.settings import actor as name_of

    app = application(state)
    who = name_of(actor)
    given = acceptances(
        data_loss=accept_data_loss, split=accept_split, guards=accept, reason=reason, actor=who, at=app.state.clock.now()
    )  # fmt: skip
    return hold(app, lambda hooks: app.resume(run_id, actor=who, acceptances=given, hooks=hooks), as_json=as_json)
