"""What is said at each stage, from the state of the run. Pure. No secret can get in: only the facts of ``WORDS`` are used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from dr.model.base import show_duration
from dr.model.evidence import Healthy, WriteAccepted
from dr.model.words import Stage
from dr.ports import AttemptContext

WORDS = ("runbook", "run", "intent", "source", "target", "actor", "now", "began", "away", "eta", "names", "healthy")
"""What a text may name. began, away: when the outage began and how long it has lasted; eta: when service is expected back, by the plan;
names: public names seen to accept writes; healthy: Deployments that work. Unknown facts read "unknown"."""

_LOST: Mapping[Stage, str] = {
    Stage.INVESTIGATING: "{runbook}: {source} does not serve (since {began}). {actor} has started a failover to {target}; run {run}.",
    Stage.FAILING_OVER: "{runbook}: failing over from {source} to {target}; service is expected back at {eta}. Run {run}.",
    Stage.RESTORED: "{runbook}: service is restored in {target} at {now}, after {away}; {names} public names accept writes. Run {run}.",
    Stage.RESOLVED: "{runbook}: the failover to {target} is done; Deployments that work: {healthy}. Run {run}.",
}
_PLANNED: Mapping[Stage, str] = {
    Stage.INVESTIGATING: "{runbook}: {actor} has started a planned {intent} from {source} to {target}; run {run}.",
    Stage.FAILING_OVER: "{runbook}: the planned {intent} to {target} takes over now; service is expected back at {eta}. Run {run}.",
    Stage.RESTORED: "{runbook}: service is in {target} since {now}; {names} public names accept writes. Run {run}.",
    Stage.RESOLVED: "{runbook}: the planned {intent} to {target} is done; Deployments that work: {healthy}. Run {run}.",
}
_UNKNOWN = "unknown"


def facts(runbook: str, context: AttemptContext) -> dict[str, str]:
    """Everything that a text may name."""
    now = context.clock.now()
    began = context.outage_began
    found = [item for item in context.evidence if isinstance(item, WriteAccepted) and item.route == "outside"]
    names = {name for item in found if item.region == context.target for name in item.names}
    healthy = context.found(Healthy)
    return {
        "runbook": runbook, "run": context.run_id, "intent": str(context.intent), "source": context.source, "target": context.target,
        "actor": context.actor, "now": _moment(now), "began": _moment(began), "away": show_duration(None if began is None else now - began),
        "eta": _moment(None if context.to_service is None else now + context.to_service),
        "names": str(len(names)) if names else _UNKNOWN,
        "healthy": _UNKNOWN if healthy is None else f"{healthy.healthy} of {healthy.total}",
    }  # fmt: skip


def text(stage: Stage, own: Mapping[Stage, str], runbook: str, context: AttemptContext) -> str:
    """The message of a stage in one line, in the runbook's words where it has some."""
    usual = (_PLANNED if context.intent.planned else _LOST)[stage]
    return " ".join(own.get(stage, usual).format(**facts(runbook, context)).split())


def shown(stage: Stage, own: Mapping[Stage, str], known: Mapping[str, str], *, planned: bool) -> str:
    """The message as far as it is known ahead; other words stay as they are, for the person who fills them in."""
    said = own.get(stage, (_PLANNED if planned else _LOST)[stage])
    return " ".join(said.format(**{word: known.get(word, word.upper()) for word in WORDS}).split())


def _moment(value: datetime | None) -> str:
    """To the second, in UTC: nobody has to know where this machine stands."""
    return _UNKNOWN if value is None else f"{_rounded(value):%Y-%m-%d %H:%M:%S} UTC"


def _rounded(value: datetime) -> datetime:
    return (value + timedelta(milliseconds=500)).replace(microsecond=0)
