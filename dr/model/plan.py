"""The plan: a graph of steps, shown before anything is touched. Static; what happens to it is in ``events``."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Literal

from pydantic import Field

from dr.model.base import Duration, Frozen, Moment
from dr.model.lag import ComponentView
from dr.model.words import Guard, Intent, Stage, Verb, Verdict


class Touch(Frozen):
    """What a step calls: for "does the failover depend on something that is lost?"

    region: of the runbook; or the one place, by its provider's name, where an API lives for everybody (``us-east-1`` for Route 53's).
    tried: the step does without where it does not answer.
    instead: what can be prepared so that a failover needs no such call; empty: nobody knows of anything.
    """

    service: str
    plane: Literal["control", "data"]
    region: str
    tried: bool = False
    instead: str = ""


class Backoff(Frozen):
    """Delays between attempts: drawn from [0, min(cap, base * 2**(attempt-1))] by the host, and journaled."""

    base: Duration = timedelta(milliseconds=100)
    cap: Duration = timedelta(seconds=5)


class StepSpec(Frozen):
    """One act with a check before and a check after. The id is ``component/name``.

    estimate: how long it is expected to take (declared by the kind, then learned: the median of earlier runs).
    budget: the longest it may take over all attempts before it counts as failed.
    settles: once its act has returned it holds within this, or it is looked at afresh and, where needed, done again; None: within the
        budget, as what the far side does by itself for hours.
    needs: ids of steps that must be satisfied first.
    irreversible: cannot be undone; shown with ``!``. ``undoable``: has an undo that a rollback may run.
    optional: its failure is a deviation and does not stop the run (best-effort work such as fencing in a dead region).
    asks_text: an answer counts only with a text: the evidence of a gate.
    stage: of a notification: the moment of the run at which it goes out; the planner places it, and nothing else waits for it.
    by_hand / check_by_hand: what a person would type to do it, and to see that it is done.
    """

    id: str
    component: str
    kind: str
    verb: Verb
    region: str
    title: str
    needs: tuple[str, ...] = ()
    estimate: Duration = timedelta(seconds=1)
    budget: Duration = timedelta(minutes=5)
    settles: Duration | None = None
    max_attempts: int = Field(5, ge=1)
    backoff: Backoff = Backoff()
    irreversible: bool = False
    undoable: bool = False
    optional: bool = False
    approval: bool = False
    asks_text: bool = False
    stage: Stage | None = None
    touches: tuple[Touch, ...] = ()
    permissions: tuple[str, ...] = ()
    by_hand: str = ""
    check_by_hand: str = ""


class Slack(Frozen):
    """Where a step lies in time, from the start of the run: earliest start and finish, latest finish against the RTO.

    The RTO counts from the start of the run; of a planned move from its freeze: until then there is no outage.
    latest_finish, slack: None for steps that come after service is back; negative slack: the RTO cannot be kept.
    """

    earliest_start: Duration
    earliest_finish: Duration
    latest_finish: timedelta | None
    slack: timedelta | None
    critical: bool


class GuardResult(Frozen):
    """What one guard said, and who overrode it. ``accept``: the flags that accept what it refuses; empty where nobody can."""

    name: Guard
    verdict: Verdict
    reason: str
    component: str | None = None
    overridden_by: str | None = None
    accept: tuple[str, ...] = ()


class Acceptance(Frozen):
    """An explicit, bounded, journaled "yes" of a named person to what a guard refuses.

    bound: for the exposure guard, the most data (as time) that may be lost; None with ``unbounded`` means "also when unknown".
    """

    guard: Guard
    actor: str
    reason: str
    at: Moment
    bound: Duration | None = None
    unbounded: bool = False


class Plan(Frozen):
    """Runbook + intent + target + what is observed → a graph of steps."""

    runbook: str
    runbook_sha256: str
    intent: Intent
    source: str
    target: str
    steps: tuple[StepSpec, ...]
    views: tuple[ComponentView, ...] = ()
    guards: tuple[GuardResult, ...] = ()
    schedule: dict[str, Slack] = {}
    critical_path: tuple[str, ...] = ()
    predicted_rta: Duration = timedelta(0)
    rto: Duration
    rpo: Duration
    component_rpo: dict[str, Duration] = {}
    time_limit: Duration = timedelta(hours=24)
    rollback_on_failure: bool = Field(False, description="planned moves: a failure before the point of no return rolls back")

    def to_service(self, step_id: str) -> timedelta | None:
        """How long it takes from the start of a step until service is back, by the estimates; None for what only comes after that."""
        slot = self.schedule.get(step_id)
        ends = [self.schedule[other].earliest_finish for other in self.critical_path[-1:] if other in self.schedule]
        return ends[0] - slot.earliest_start if slot is not None and ends and slot.earliest_start < ends[0] else None

    @property
    def plan_hash(self) -> str:
        """SHA-256 over what will be done: intent, regions and steps without learned estimates; observations left out.

        Without what a person would type, too: it names the folders of one machine, and does nothing by itself.
        """
        rows = [step.model_dump_json(exclude={"estimate", "by_hand", "check_by_hand"}) for step in self.steps]
        text = "\n".join([self.runbook, self.intent, self.source, self.target, *rows])
        return hashlib.sha256(text.encode()).hexdigest()
