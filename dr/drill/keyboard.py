"""What a person would type for an act of a scenario. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dr.model.scenario import Act
from dr.model.words import Intent


def takes_a_run(act: Act) -> bool:
    """The command holds a run until that ends or pauses."""
    return act.intent is not None or act.command == "resume"


def argv(act: Act, runbook: str, run_id: str | None, waiting: Sequence[str] = ()) -> list[str]:
    """The arguments of ``dr`` for an act.

    Args:
        runbook: path of the runbook.
        run_id: the newest run of this drill, for acts that answer one; None where there is none yet.
        waiting: ids of the steps at which a person is asked: ``approve: gate`` may name just the component.

    Raises:
        LookupError: the act answers a run and there is none.
    """
    if act.intent is not None:
        words = [act.intent.value, runbook]
        if act.to is not None and act.intent in (Intent.FAILOVER, Intent.SWITCHOVER):
            words += ["--to", act.to]
        return [*words, "--yes", *_acceptances(act), *_who(act), "--json"]
    if act.command == "status":
        return ["status", runbook, "--json"]
    if run_id is None:
        raise LookupError("there is no run yet to answer")
    if act.approve is not None:
        return ["approve", run_id, _step(act.approve, waiting), *_who(act), "--json"]
    if act.skip is not None:
        return ["skip", run_id, act.skip, *_who(act), "--json"]
    accepting = _acceptances(act) if act.command == "resume" else []
    return [str(act.command), run_id, *accepting, *_who(act), "--json"]


def _acceptances(act: Act) -> list[str]:
    words = ["--accept-data-loss", act.accept_data_loss] if act.accept_data_loss is not None else []
    if act.accept_split:
        words.append("--accept-split")
    for guard in act.accept:
        words += ["--accept", guard]
    return words


def _who(act: Act) -> list[str]:
    return [*(["--reason", act.reason] if act.reason else []), "--actor", act.actor]


def _step(named: str, waiting: Sequence[str]) -> str:
    return next((step for step in waiting if step.partition("/")[0] == named), named)
