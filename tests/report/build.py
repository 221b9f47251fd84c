"""Hand-built journals: the story of a run told in seconds, as records with a real hash chain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from dr.model.events import (
    GENESIS,
    Event,
    Record,
    Resumed,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    chain_hash,
    encode,
)
from dr.model.evidence import Evidence, Fenced, Promoted, RecoveryPoint, Redirected
from dr.model.lag import ComponentView, LagSample, RegionView
from dr.model.plan import Acceptance, GuardResult, Plan, Slack, StepSpec
from dr.model.words import FenceState, Guard, Intent, Known, Outcome, Role, RunOutcome, Verb

ZERO = datetime(2026, 3, 1, 2, 40, tzinfo=UTC)
RUNBOOK = "runbooks/lab.yaml"


def at(second: float) -> datetime:
    """A moment of the story: second 0 is when the outage began."""
    return ZERO + timedelta(seconds=second)


def step(step_id: str, verb: Verb, *needs: str, region: str = "west", **more: object) -> StepSpec:
    """A step spec of the right kind for its component."""
    component = step_id.partition("/")[0]
    kind = {"metadata-db": "postgres", "deployments": "airflow-deployments", "dns": "dns-records"}.get(component, "command")
    values: dict[str, object] = {"estimate": timedelta(milliseconds=200), "title": f"{verb} {component} in {region}", **more}
    return StepSpec.model_validate(
        {"id": step_id, "component": component, "kind": kind, "verb": verb, "region": region, "needs": needs, **values}
    )  # fmt: skip


def usual_steps(*, planned: bool = False) -> tuple[StepSpec, ...]:
    """The chain of a failover (or of a planned move) as the kinds of this project lay it out."""
    freeze = (step("deployments/freeze", Verb.FREEZE, region="east"),) if planned else ()
    return (
        step("deployments/snapshot", Verb.SNAPSHOT),
        step("deployments/prepare", Verb.PREPARE),
        *freeze,
        step("metadata-db/fence", Verb.FENCE, *(item.id for item in freeze), region="east", optional=not planned,
             by_hand="lab-state/east/exec pg_ctl stop -m fast"),
        step("metadata-db/promote", Verb.PROMOTE, "metadata-db/fence", "deployments/snapshot", irreversible=True),
        step("deployments/hold", Verb.HOLD, "metadata-db/promote"),
        step("deployments/verify-inside", Verb.VERIFY_INSIDE, "deployments/hold", "deployments/prepare"),
        step("dns/redirect", Verb.REDIRECT, "deployments/verify-inside", undoable=True),
        step("dns/propagate", Verb.PROPAGATE, "dns/redirect"),
        step("deployments/verify-outside", Verb.VERIFY_OUTSIDE, "dns/propagate"),
        step("deployments/reconcile", Verb.RECONCILE, "metadata-db/promote"),
        step("deployments/start", Verb.START, "deployments/reconcile", "metadata-db/fence"),
    )  # fmt: skip


def plan(steps: Sequence[StepSpec], intent: Intent = Intent.FAILOVER, source: str = "east", target: str = "west", **more: object) -> Plan:
    """A plan with the observations that the lab gives."""
    lag = LagSample(component="metadata-db", at=at(-0.4), state=Known.KNOWN, lag=timedelta(milliseconds=120), recovery_point=at(-0.5))
    view = ComponentView(
        component="metadata-db", kind="postgres", at=at(0.9), lag=lag,
        regions={source: RegionView(role=Role.UNREACHABLE, reason="connection refused"), target: RegionView(role=Role.SECONDARY, epoch=1)},
    )  # fmt: skip
    values: dict[str, object] = {
        "rto": timedelta(hours=1), "rpo": timedelta(minutes=15), "component_rpo": {"metadata-db": timedelta(minutes=5)}, "views": (view,),
        "schedule": {
            item.id: Slack(
                earliest_start=timedelta(), earliest_finish=timedelta(seconds=1), latest_finish=timedelta(minutes=50),
                slack=timedelta(minutes=49), critical=False,
            ) for item in steps
        },
        **more,
    }  # fmt: skip
    fixed = {"runbook": "airflow-lab", "runbook_sha256": "ab" * 32, "intent": intent, "source": source, "target": target, "steps": steps}
    return Plan.model_validate({**fixed, **values})


def acceptance(guard: Guard, **more: object) -> Acceptance:
    """What a person accepted."""
    return Acceptance.model_validate({"guard": guard, "actor": "on-call", "reason": "region lost", "at": at(1), **more})


class Story:
    """The events of one run, in order. Times are seconds after the outage began."""

    def __init__(self, run_id: str = "20260301-024001-failover-7f3a") -> None:
        self.run_id = run_id
        self.events: list[tuple[datetime, Event]] = []
        self.attempts: dict[str, int] = {}

    def add(self, second: float, event: Event) -> Story:
        """One event."""
        self.events.append((at(second), event))
        return self

    def start(self, made: Plan, **more: object) -> Story:
        """The run starts at 1.2: decided then, detected before it, outage began at 0 unless told otherwise."""
        values: dict[str, object] = {
            "document": {"home": "east"}, "runbook_path": RUNBOOK, "actor": "on-call", "holder": "host:1", "epoch": 3,
            "tool_version": "0.1.0", "decided": at(1.2), "outage_began": at(0), "detected": at(0.7), **more,
        }  # fmt: skip
        return self.add(1.2, RunStarted.model_validate({"plan": made, **values}))

    def begin(self, step_id: str, second: float) -> Story:
        """An attempt begins."""
        self.attempts[step_id] = self.attempts.get(step_id, 0) + 1
        return self.add(second, StepStarted(step=step_id, attempt=self.attempts[step_id]))

    def end(self, step_id: str, second: float, *evidence: Evidence, outcome: Outcome = Outcome.DONE, **more: object) -> Story:
        """An attempt ends; its duration is what lies between, less a millisecond that the engine took."""
        began = next(moment for moment, event in reversed(self.events) if isinstance(event, StepStarted) and event.step == step_id)
        values: dict[str, object] = {
            "step": step_id, "attempt": self.attempts[step_id], "outcome": outcome, "acted": outcome is not Outcome.ALREADY,
            "evidence": evidence, "duration": max(at(second) - began - timedelta(milliseconds=1), timedelta()), **more,
        }  # fmt: skip
        return self.add(second, StepEnded.model_validate(values))

    def run(self, step_id: str, first: float, last: float, *evidence: Evidence, outcome: Outcome = Outcome.DONE, **more: object) -> Story:
        """A whole attempt."""
        return self.begin(step_id, first).end(step_id, last, *evidence, outcome=outcome, **more)

    def resume(self, second: float, *, crashed: bool = True, changed: bool = False) -> Story:
        """Another process takes over."""
        return self.add(second, Resumed(actor="second", holder="host:2", epoch=4, crashed=crashed, runbook_changed=changed))

    def over(self, second: float, outcome: RunOutcome = RunOutcome.COMPLETED, reason: str = "") -> Story:
        """The run ends."""
        return self.add(second, RunEnded(outcome=outcome, reason=reason))

    def records(self) -> list[Record]:
        """As the journal would give them back."""
        result: list[Record] = []
        previous = GENESIS
        for seq, (moment, event) in enumerate(sorted(self.events, key=lambda item: item[0]), start=1):
            body, stamp = encode(event), moment.isoformat(timespec="microseconds")
            previous = chain_hash(previous, self.run_id, seq, stamp, body)
            result.append(Record(self.run_id, seq, stamp, body, previous))
        return result


def no_fence() -> Fenced:
    """The region is dead: tried, no answer."""
    return Fenced(component="metadata-db", region="east", state=FenceState.UNACKNOWLEDGED, proof="exec exited 255: no route to host")


def fenced(ended: float | None) -> Fenced:
    """The old primary is proven to be stopped."""
    return Fenced(
        component="metadata-db", region="east", state=FenceState.FENCED, proof="process gone, write refused",
        writes_ended_at=None if ended is None else at(ended), final_position="0/5000148",
    )  # fmt: skip


def point(second: float | None, *, complete: bool = False) -> RecoveryPoint:
    """What the target holds."""
    return RecoveryPoint(
        component="metadata-db", region="west", read_at=at(1.4), position="0/5000148", complete=complete,
        recovery_point=None if second is None else at(second),
    )  # fmt: skip


def promoted(second: float, region: str = "west", component: str = "metadata-db") -> Promoted:
    """The target takes writes."""
    return Promoted(component=component, region=region, epoch=2, promoted_at=at(second), fork_position="0/5000148")


def redirected(second: float, *not_reached: str) -> Redirected:
    """Names lead to the target."""
    return Redirected(
        component="dns", region="west", names=15, at=at(second), old_ttl=timedelta(seconds=1), before={"a.dr.test": ("127.0.10.1",)},
        not_reached=not_reached,
    )  # fmt: skip


def failover(
    *,
    fence: Fenced | None = None,
    recovery: RecoveryPoint | None = None,
    not_reached: Sequence[str] = (),
    ends: bool = True,
    intent: Intent = Intent.FAILOVER,
    run_id: str = "20260301-024001-failover-7f3a",
    **more: object,
) -> Story:
    """A whole failover of the lab: decided at 1.2, redirected at 1.74, verified at 2.9, over at 3.2."""
    story = Story(run_id)
    values: dict[str, object] = {"acceptances": (acceptance(Guard.FENCE), acceptance(Guard.EXPOSURE, bound=timedelta(minutes=15))), **more}
    story.start(plan(usual_steps(), intent), **values)
    story.begin("deployments/snapshot", 1.21).begin("deployments/prepare", 1.21).begin("metadata-db/fence", 1.21)
    story.end("deployments/snapshot", 1.25, outcome=Outcome.ALREADY)
    story.end("metadata-db/fence", 1.29, fence or no_fence())
    story.run("metadata-db/promote", 1.3, 1.46, recovery or point(-0.1), promoted(1.45))
    story.end("deployments/prepare", 1.47, outcome=Outcome.ALREADY)
    story.run("deployments/hold", 1.465, 1.5).begin("deployments/reconcile", 1.47)
    story.run("deployments/verify-inside", 1.505, 1.68, outcome=Outcome.ALREADY)
    story.run("dns/redirect", 1.685, 1.74, redirected(1.73, *not_reached))
    story.run("dns/propagate", 1.745, 2.75, outcome=Outcome.ALREADY)
    story.end("deployments/reconcile", 2.2).run("deployments/start", 2.21, 2.6)
    story.run("deployments/verify-outside", 2.755, 2.9, outcome=Outcome.ALREADY)
    return story.over(3.2) if ends else story


def result(**more: object) -> GuardResult:
    """What a guard said."""
    return GuardResult.model_validate(more)
