"""Bugs to be planted at run time: what each does to the product (or to the world that it meets), and which rule must find it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any, cast

from dr.app.conduct import Conductor
from dr.app.runs import Runs
from dr.engine import attempt, guards
from dr.errors import LeaseLost, StepError
from dr.model.events import Event, StepStarted
from dr.model.evidence import Fenced
from dr.model.lag import Exposure
from dr.model.words import FenceState, Guard, Intent, Known, TaskFate, Verb
from dr.ports import AttemptContext, Look, Operation, Seen, Step
from dr.providers.sim.database import Database, Span
from dr.providers.sim.kinds import SimKind
from dr.providers.sim.steps import database, deployments
from dr.providers.sim.world import Asked
from dr.report import conclude, debt, recovery, timing
from dr.simulate.stores import MemoryJournal, MemoryLease
from dr.store import lease
from tests.simulate.planting import ALL, Mutation, chains, plants, swap, without_rules

# --- fences and promotions ------------------------------------------------------------------------------------------------


@plants("no fence", "failovers have no fence at all", "I1", "I3", "I4")
def _no_fence(stack: ExitStack) -> None:
    chains(stack, lambda step, intent: None if step.spec.verb is Verb.FENCE and intent is Intent.FAILOVER else step)


@plants("guards asleep", "nobody is asked before a promotion", "I4", "I6")
def _guards_asleep(stack: ExitStack) -> None:
    swap(stack, guards, "before_promote", lambda *_a, **_k: ())


@plants("time-out is a fence", "a fence that nobody answers is said to be one", "I4")
def _timeout_is_a_fence(stack: ExitStack) -> None:
    def act(self: database.FenceLost, context: AttemptContext) -> tuple[Any, ...]:
        found = old(self, context)
        if found[0].state is FenceState.UNACKNOWLEDGED:
            return (self.fenced(FenceState.FENCED, "connection refused"),)
        return found  # type: ignore[no-any-return]  # as it was

    old = swap(stack, database.FenceLost, "act", act)


@plants("split accepted by itself", "an accepted split need not be asked for", "I4")
def _split_by_itself(stack: ExitStack) -> None:
    def before_promote(component: str, fence: Fenced | None, *rest: Any, **more: Any) -> Any:
        return old(component, None if fence is None else fence.model_copy(update={"state": FenceState.NOT_NEEDED}), *rest, **more)

    old = swap(stack, guards, "before_promote", before_promote)


@plants("unconditional promote", "a promotion does not ask whether it is primary already", "I5")
def _unconditional(stack: ExitStack) -> None:
    def promote(self: Database, region: str) -> int:
        copy = self.copies[region]
        if copy.primary and copy.up:
            timeline = max(span.timeline for other in self.copies.values() for span in other.log) + 1
            copy.log.append(Span(timeline, copy.end, self.world.now))
            self.promotions.append((self.world.now, region, timeline))
            return timeline
        return old(self, region)  # type: ignore[no-any-return]  # as it was

    old = swap(stack, Database, "promote", promote)


@plants("any loss will do", "what would be lost is never too much", "I6")
def _any_loss(stack: ExitStack) -> None:
    def at_promote(component: str, *_rest: Any) -> Exposure:
        return Exposure(component=component, state=Known.KNOWN, value=timedelta(0))

    swap(stack, guards, "exposure_at_promote", at_promote)
    swap(stack, guards, "exposure", lambda value, _rpo, _given: guards._passed(Guard.EXPOSURE, "", value.component))


@plants("stale lag trusted", "the recovery point is not read anew: it is what the first look said", "I6")
def _stale_lag(stack: ExitStack) -> None:
    def recovery_point(self: database._Step, context: AttemptContext, asked: Any, *, complete: bool = False) -> Any:
        fresh, known = old(self, context, asked, complete=complete), vars(self.place.world).setdefault("first_points", {})
        return fresh if fresh.complete else known.setdefault(self.component, fresh)

    old = swap(stack, database._Step, "recovery_point", recovery_point)


@plants("planned moves may lose", "a planned promotion does not wait for the last write", "I6")
def _planned_may_lose(stack: ExitStack) -> None:
    def observe(self: database.Promote, context: AttemptContext) -> Seen:
        seen = old(self, context)
        point = self.recovery_point(context, self.now, complete=True)
        return Seen(Look.NEEDED, evidence=(point,)) if seen.look is Look.BLOCKED else seen

    def hand_over(self: Database, region: str) -> float:
        return self.stop(region)

    old = swap(stack, database.Promote, "observe", observe)
    swap(stack, Database, "hand_over", hand_over)


# --- names, schedulers, tasks ---------------------------------------------------------------------------------------------


@plants("DNS first", "names are led away before anything takes writes there", "I2")
def _dns_first(stack: ExitStack) -> None:
    without_rules(stack, after=Verb.REDIRECT)


@plants("DNS without a check", "names are led to what was promoted, verified or not", "I2")
def _dns_unverified(stack: ExitStack) -> None:
    chains(stack, lambda step, _intent: None if step.spec.verb is Verb.VERIFY_INSIDE else step)


@plants("schedulers first", "schedulers do not wait for the database", "I3")
def _schedulers_first(stack: ExitStack) -> None:
    without_rules(stack, after=Verb.START)
    chains(stack, lambda step, _intent: _needless(step) if step.spec.verb is Verb.START else step)
    swap(stack, deployments.Start, "observe", lambda _self, _context: Seen(Look.NEEDED))


def _needless(step: Step) -> Step:
    return Step(step.spec.model_copy(update={"needs": ()}), step.operation)


@plants("whatever is there", "what a Deployment needs is not looked at before it starts", "I13", runbook="platform.yaml")
def _whatever_is_there(stack: ExitStack) -> None:
    servers = ("postgres", "airflow-deployments", "dns-records", "s3-bucket")
    chains(stack, lambda step, _intent: None if step.spec.verb is Verb.PREPARE and step.spec.kind not in servers else step)
    swap(stack, guards, "_prerequisites", lambda *_a: [])
    swap(stack, deployments.Start, "act", _start_all)


def _start_all(self: deployments.Start, context: AttemptContext) -> tuple[Any, ...]:
    self.runtime(self.region).frozen = False
    self.do(context, self.region, "start", lambda: self.store.schedule(self.region, self.store.ids))
    return ()


@plants("at most once, requeued", "every task is requeued", "I18")
def _requeued(stack: ExitStack) -> None:
    swap(stack, deployments.Reconcile, "_fate", lambda _self, _task: TaskFate.REQUEUED)


@plants("fates decided again", "a second attempt records a second fate", "I18")
def _second_fate(stack: ExitStack) -> None:
    def decide(self: deployments.Reconcile, run: str, *, complete: bool) -> Any:
        for task in self.store.in_flight(self.region):
            if any(by == run for by, _ in task.fates):
                task.fates.append((run, TaskFate.FAILED))
        return old(self, run, complete=complete)

    old = swap(stack, deployments.Reconcile, "_decide", decide)


@plants("never released", "DAGs stay held", "I7")
def _never_released(stack: ExitStack) -> None:
    swap(stack, deployments.Release, "act", lambda _self, _context: ())


# --- the way back ---------------------------------------------------------------------------------------------------------


@plants("rewound, not preserved", "the old primary follows, whatever only it has", "I17")
def _rewound(stack: ExitStack) -> None:
    def follow(self: database.Follow, context: AttemptContext) -> tuple[Any, ...]:
        self.do(context, self.source, "follow", lambda: self.store.follow(self.source, self.target))
        return ()

    swap(stack, database.Preserve, "observe", lambda _self, _context: Seen(Look.DONE))
    swap(stack, database.Follow, "observe", lambda _self, _context: Seen(Look.NEEDED))
    swap(stack, database.Follow, "act", follow)


@plants("failback at once", "a planned move does not ask whether replication is healthy", "I14", "I6")
def _failback_at_once(stack: ExitStack) -> None:
    swap(stack, guards, "_replicating", lambda value, _rpo, _given: guards._passed(Guard.REVERSE_REPLICATION, "", value.component))


# --- crashes, leases, the journal -----------------------------------------------------------------------------------------


def _blindly(stack: ExitStack, when: Callable[[bool, AttemptContext], bool]) -> None:
    def acted(operation: Operation, context: AttemptContext, result: Any, look_first: bool) -> Any:
        if not when(look_first, context):
            return old(operation, context, result, look_first)
        result.acted = True
        result.evidence.extend(operation.act(context))
        return context

    old = swap(stack, attempt, "_acted", acted)


@plants("blind retry", "a second attempt acts at once", "I9", "I4", "I6")
def _blind_retry(stack: ExitStack) -> None:
    _blindly(stack, lambda _look_first, context: context.number > 1)


@plants("no read-back on resume", "what was cut off by a crash is done again", "I9")
def _no_read_back(stack: ExitStack) -> None:
    _blindly(stack, lambda look_first, context: look_first and context.step.verb is not Verb.FENCE)


@plants("journal after effect", "that a step begins is written with its end", "I9")
def _journal_after(stack: ExitStack) -> None:
    kept: dict[int, list[tuple[Any, Event]]] = {}

    def append(self: MemoryJournal, run_id: str, events: Sequence[tuple[Any, Event]]) -> Any:
        before = kept.pop(id(self), [])
        now = [row for row in events if not isinstance(row[1], StepStarted)]
        kept[id(self)] = [row for row in events if isinstance(row[1], StepStarted)]
        return old(self, run_id, [*before, *now])

    old = swap(stack, MemoryJournal, "append", append)


@plants("lease ignored", "who holds a lease believes so for ever", "I10")
def _lease_ignored(stack: ExitStack) -> None:
    def renew(self: MemoryLease) -> None:
        with suppress(LeaseLost):
            old(self)

    old = swap(stack, MemoryLease, "renew", renew)
    swap(stack, MemoryLease, "valid", lambda _self: True)
    _no_second_barrier(stack)


def _no_second_barrier(stack: ExitStack) -> None:
    """The journal takes records from whoever writes, whatever it wrote before."""

    def append(self: MemoryJournal, run_id: str, events: Sequence[tuple[Any, Event]]) -> Any:
        self._written.clear()
        return old(self, run_id, events)

    old = swap(stack, MemoryJournal, "append", append)


@plants("lease not asked for", "a lease is taken from whoever holds it", "I10", "L1")
def _lease_not_asked(stack: ExitStack) -> None:
    def attempt_(self: MemoryLease, runbook: str, run_id: str, holder: str, expired: Any) -> Any:
        held = self.look(runbook)
        return old(self, runbook, run_id, holder, expired if held is None else lease.Mark(held.epoch, held.renewal))

    old = swap(stack, MemoryLease, "_attempt", attempt_)
    swap(stack, Conductor, "held", lambda _self, _state: False)
    _no_second_barrier(stack)


@plants("epoch ignored", "a lease that is taken over keeps its epoch", "I10", "I5")
def _epoch_ignored(stack: ExitStack) -> None:
    def attempt_(self: MemoryLease, runbook: str, run_id: str, holder: str, expired: Any) -> Any:
        before = self._disk.leases.get(runbook)
        taken = old(self, runbook, run_id, holder, expired)
        if isinstance(taken, int) and before is not None:
            self._disk.leases[runbook] = self._disk.leases[runbook]._replace(epoch=before.epoch)
            return before.epoch
        return taken

    old = swap(stack, MemoryLease, "_attempt", attempt_)


@plants("tail dropped", "who takes a run over drops its last record", "I8", "I9", "I10")
def _tail_dropped(stack: ExitStack) -> None:
    def attempt_(self: MemoryLease, runbook: str, run_id: str, holder: str, expired: Any) -> Any:
        taken = old(self, runbook, run_id, holder, expired)
        run = self._disk.runs.get(run_id)
        if isinstance(taken, int) and run is not None and len(run.records) > 1:
            del run.records[-1]
            run.end = run.end.__class__(run.records[-1].seq, run.records[-1].hash)
            run.trusted = 0
        return taken

    old = swap(stack, MemoryLease, "_attempt", attempt_)


@plants("errors told in full", "the message of an unexpected error is journaled", "I15")
def _errors_in_full(stack: ExitStack) -> None:
    def act(self: database.Promote, context: AttemptContext) -> tuple[Any, ...]:
        if context.number == 1:
            raise RuntimeError(f"could not log in with {self.place.world.secrets[0]}")
        return old(self, context)  # type: ignore[no-any-return]  # as it was

    old = swap(stack, database.Promote, "act", act)
    swap(stack, attempt, "_fault", lambda error, _operation: str(error))


# --- what is asked of whom ------------------------------------------------------------------------------------------------


@plants("asks the dead", "a failover counts what is left in the lost region", "I11")
def _asks_the_dead(stack: ExitStack) -> None:
    def act(self: deployments.Hold, context: AttemptContext) -> tuple[Any, ...]:
        with suppress(StepError):
            self.do(context, context.source, "count", lambda: None, seconds=0.0)
        return old(self, context)  # type: ignore[no-any-return]  # as it was

    old = swap(stack, deployments.Hold, "act", act)


@plants("another world", "a simulated step asks the real servers", "I12")
def _another_world(stack: ExitStack) -> None:
    def operation(self: SimKind, step: Step, intent: Intent, source: str, target: str) -> Operation:
        made: Operation = old(self, step, intent, source, target)
        if step.spec.verb is Verb.PREPARE and self.kind == "dns-records":
            return cast(Operation, _Outside(made))
        return made

    old = swap(stack, SimKind, "_operation", operation)


class _Outside:
    """An operation that asks a name server of the lab first, whether or not one is there."""

    def __init__(self, made: Operation) -> None:
        self._made = made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)

    def observe(self, context: AttemptContext) -> Seen:
        with suppress(OSError):
            socket.create_connection(("127.0.20.1", 15353), timeout=1).close()
        return self._made.observe(context)


@plants("refused, and touched", "guards are asked when the run is over", "I12")
def _refused_and_touched(stack: ExitStack) -> None:
    def only_said(self: Conductor, platform: Any, request: Any, *rest: Any) -> Any:
        kind = platform.kinds["deployments"]
        step = next(item for item in kind.steps(Intent.FAILOVER, "east", "west") if item.spec.verb is Verb.LOCK)
        world, process = kind.world, kind.process
        place: Any = step.operation
        world.asked.append(_asked(world, process, place.component, "west"))
        return old(self, platform, request, *rest)

    old = swap(stack, Conductor, "_only_said", only_said)


def _asked(world: Any, process: Any, component: str, region: str) -> Any:
    return Asked(world.now, f"{component}.lock", component, region, process.name, "", f"{component}/lock", 0, True, -1.0)


@plants("same again", "what is there already is done again", "L2", "I12")
def _same_again(stack: ExitStack) -> None:
    swap(stack, Runs, "already", lambda *_a, **_k: False)


# --- what is said ---------------------------------------------------------------------------------------------------------


@plants("nothing was lost", "an RPA is zero", "I16")
def _nothing_lost(stack: ExitStack) -> None:
    def loss(history: Any, component: str) -> recovery.Loss:
        return recovery.Loss(component, Known.KNOWN, timedelta(0), None)

    swap(stack, recovery, "_loss", loss)


@plants("began when decided", "the RTA begins with the command", "I16")
def _began_when_decided(stack: ExitStack) -> None:
    swap(stack, timing, "outage_began", lambda history: history.started.decided)


@plants("fence forgotten", "nobody owes a fence", "I1")
def _fence_forgotten(stack: ExitStack) -> None:
    def owed(book: Any) -> Any:
        return tuple(item for item in old(book) if item.kind.value != "fence")

    old = swap(stack, debt.Book, "owed", owed)


@plants("no word", "a run that waits does not say for what", "L1")
def _no_word(stack: ExitStack) -> None:
    swap(stack, conclude, "outcome", lambda history, old=conclude.outcome: (old(history)[0], ""))


NAMES: Mapping[str, Mutation] = {item.name: item for item in ALL}
"""By name."""
