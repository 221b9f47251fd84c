"""What happens in a run, as journaled events. The state of a run is a fold over them (``dr.engine.machine``); reports read nothing else.

A record is one event with its place in the chain::

    hash = SHA-256(previous hash + "\\n" + run id + "\\n" + seq + "\\n" + at + "\\n" + event JSON)
"""

from __future__ import annotations

import functools
import hashlib
from datetime import timedelta
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from dr.model.base import Duration, Frozen, Json, Moment, compile_models
from dr.model.evidence import Evidence
from dr.model.plan import Acceptance, GuardResult, Plan
from dr.model.words import ClockKind, Intent, Outcome, RunOutcome

OutageKnownFrom = Literal["", "monitor", "late-heartbeat", "operator", "recovery-point", "cut-short"]
BOUNDS: tuple[OutageKnownFrom, ...] = ("late-heartbeat", "recovery-point", "cut-short")
"""What says no more than that the outage did not begin before."""


class RunStarted(Frozen):
    """The first event. ``document`` is the runbook as it was parsed (references to secrets, never values): the run keeps it."""

    event: Literal["run-started"] = "run-started"
    plan: Plan
    document: Json
    runbook_path: str
    actor: str
    holder: str
    epoch: int
    tool_version: str
    acceptances: tuple[Acceptance, ...] = ()
    reason: str = ""
    outage_began: Moment | None = None
    detected: Moment | None = None
    decided: Moment
    samples_from: OutageKnownFrom = Field(
        "", description="who says when the outage began; of a late heartbeat, a recovery point or a move that was cut short: not before it"
    )
    only: tuple[str, ...] = ()
    asked: Intent | None = Field(None, description="what was typed, where the rest of a planned move is done with a failover's steps")


class StepStarted(Frozen):
    """Written before the effect. ``look_first``: an earlier attempt may have taken effect; observed, not repeated blindly. ``owed``: a
    fence that was not acknowledged is tried again, after the promotion that went ahead without it; nothing waits for that."""

    event: Literal["step-started"] = "step-started"
    step: str
    attempt: int
    look_first: bool = False
    owed: bool = False


class StepEnded(Frozen):
    """Written after the effect. ``acted``: the act was called in this attempt. ``guards``: all that were asked right before it. ``owed``:
    as its attempt was started."""

    event: Literal["step-ended"] = "step-ended"
    step: str
    attempt: int
    outcome: Outcome
    acted: bool = False
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()
    guard: str | None = Field(None, description="the guard that refused, where one did")
    guards: tuple[GuardResult, ...] = ()
    duration: timedelta
    clock: ClockKind = ClockKind.MONOTONIC
    owed: bool = False


class RetryScheduled(Frozen):
    """The delay was drawn by the host."""

    event: Literal["retry-scheduled"] = "retry-scheduled"
    step: str
    delay: Duration


class RetryDue(Frozen):
    """The delay is over."""

    event: Literal["retry-due"] = "retry-due"
    step: str


class PauseRequested(Frozen):
    """Start nothing new."""

    event: Literal["pause-requested"] = "pause-requested"
    actor: str
    reason: str = ""


class Resumed(Frozen):
    """A process took the run over again. Steps that were under way are of unknown effect and are observed first."""

    event: Literal["resumed"] = "resumed"
    actor: str
    holder: str
    epoch: int
    runbook_changed: bool = False
    crashed: bool = Field(False, description="the earlier process ended without saying so")
    dropped: tuple[str, ...] = Field((), description="asked of the earlier process, not taken up by it, and not obeyed now")
    tool_version: str = Field("", description="of the process that took it over; empty where an older one wrote the record")


class CancelRequested(Frozen):
    """Stop; undo what can be undone where the point of no return has not been passed."""

    event: Literal["cancel-requested"] = "cancel-requested"
    actor: str
    reason: str = ""


class Approved(Frozen):
    """A person approved a step or attested a gate."""

    event: Literal["approved"] = "approved"
    step: str
    actor: str
    proven: bool = False
    text: str = ""


class SkipRequested(Frozen):
    """A person takes responsibility for a step's effect; counted as a deviation."""

    event: Literal["skip-requested"] = "skip-requested"
    step: str
    actor: str
    reason: str


class Accepted(Frozen):
    """An acceptance given while the run was under way or paused."""

    event: Literal["accepted"] = "accepted"
    acceptance: Acceptance


class Turned(Frozen):
    """The run goes on with another intent (a switchover becomes a failover). Done steps of the same id stay done."""

    event: Literal["turned"] = "turned"
    plan: Plan
    actor: str
    reason: str = ""
    outage_began: Moment | None = None
    samples_from: OutageKnownFrom = Field("", description="as of the start of a run; empty where an older dr wrote the record")
    look_again: bool = Field(False, description="the run was going back: a fence on which nothing was promoted yet is looked at again")


class TimedOut(Frozen):
    """The run used up its time: nothing new starts, a person is asked."""

    event: Literal["timed-out"] = "timed-out"


class UndoStarted(Frozen):
    """Written before an undo."""

    event: Literal["undo-started"] = "undo-started"
    step: str


class UndoEnded(Frozen):
    """Written after an undo. ``ok`` False pauses the run."""

    event: Literal["undo-ended"] = "undo-ended"
    step: str
    ok: bool
    reason: str = ""


class Observed(Frozen):
    """A fact that the host observed beside the steps (an independent probe saw writes end, a prediction)."""

    event: Literal["observed"] = "observed"
    evidence: Evidence


class RunEnded(Frozen):
    """The last event of a run."""

    event: Literal["run-ended"] = "run-ended"
    outcome: RunOutcome
    reason: str = ""


Event = Annotated[
    RunStarted | StepStarted | StepEnded | RetryScheduled | RetryDue | PauseRequested | Resumed | CancelRequested | Approved
    | SkipRequested | Accepted | Turned | TimedOut | UndoStarted | UndoEnded | Observed | RunEnded,
    Field(discriminator="event"),
]  # fmt: skip


@functools.cache
def _adapter() -> TypeAdapter[Event]:
    """Compiled at the first use: it takes 0.1 s."""
    return TypeAdapter(Event)



def get_ready() -> None:
    """Compiles all models that are loaded, and what reads events back, ahead of a run (0.1 s)."""
    compile_models()
    _adapter()


def encode(event: Event) -> str:
    """One event as JSON; ``decode`` gives it back equal. ``null`` stays: it says "unknown" in fields that must be given."""
    return event.model_dump_json()


def decode(text: str) -> Event:
    """The event that ``encode`` wrote.

    Raises:
        pydantic.ValidationError: the text is not an event of this version.
    """
    return _adapter().validate_json(text)


GENESIS = "0" * 64


class Record(NamedTuple):
    """One durable journal record. ``seq`` counts from 1 within a run; ``at`` is UTC, ISO 8601 with microseconds."""

    run_id: str
    seq: int
    at: str
    body: str
    hash: str

    @property
    def event(self) -> Event:
        """The decoded event."""
        return decode(self.body)


def chain_hash(previous: str, run_id: str, seq: int, at: str, body: str) -> str:
    """The hash of a record, given the hash before it (``GENESIS`` for the first one of a run)."""
    return hashlib.sha256(f"{previous}\n{run_id}\n{seq}\n{at}\n{body}".encode()).hexdigest()
