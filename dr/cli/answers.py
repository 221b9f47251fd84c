"""What pause, cancel, approve and skip share: one event, put to the run wherever it is held."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dr.cli.console import emit, say
from dr.cli.options import application
from dr.errors import ExitCode

if TYPE_CHECKING:
    from dr.app.conduct import Hooks
    from dr.model.events import Event
    from dr.model.report import RunReport


def answer(run_id: str, event: Event, *, actor: str, state: str | None, as_json: bool, holds: bool = False) -> int:
    """Delivers a person's answer to a run.

    Args:
        holds: this process may have to carry it out (a cancel undoes steps); then its exit code is the run's. Other answers are 0
            once they are noted.

    Raises:
        NotThere, Refused: no such run or step, or it makes no sense for it now.
    """
    from dr.cli.host import hold
    from dr.model.outputs import RequestReport

    app = application(state)
    handed_over: list[bool] = []

    def go(hooks: Hooks) -> RunReport | None:
        report = app.request(run_id, event, actor=actor, hooks=hooks)
        handed_over.append(report is None)
        return report

    code = hold(app, go, as_json=as_json)
    if handed_over[-1]:
        say(f"the process that holds run {run_id} takes it up; watch it: dr runs {run_id} --watch")
        if as_json:
            emit(RequestReport(run_id=run_id, event=event.event, actor=actor))
    return code if holds else ExitCode.DONE
