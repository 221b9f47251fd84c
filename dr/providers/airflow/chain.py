"""The steps of each intent as data: what they are called, wait for, take and touch. Pure.

Edges to the database and to DNS are the planner's. One edge here is about load, not about truth: what is done for tasks (``hold`` and all
that follows) comes after service is back. No DAG is released before that anyway, and 80 logins, 1,500 decisions and 80 schedulers beside
the clients that come back cost them seconds on a small machine (measured at 80 Deployments, 2 cores: outage 3.3 s, beside them 5 to 7 s).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from dr.model.plan import Backoff, StepSpec, Touch
from dr.model.words import Intent, Verb
from dr.ports import Operation, Step
from dr.providers.airflow.by_hand import ByHand
from dr.providers.airflow.compare import Fingerprint
from dr.providers.airflow.fleet import Fleet
from dr.providers.airflow.hold import Drain, Freeze, Hold, Quiesce, Release, StandBy
from dr.providers.airflow.lock import Lock, Unlock
from dr.providers.airflow.reconcile import Reconcile
from dr.providers.airflow.start import Canary, Start
from dr.providers.airflow.warmup import Prepare, Snapshot
from dr.providers.airflow.writes import VerifyInside, VerifyOutside

KIND = "airflow-deployments"

_CONTROL, _API, _SQL, _DNS = "airflow-runtime", "airflow-api", "database", "dns"
_RIGHTS = {
    _CONTROL: "runtime: the control token",
    _API: "",
    _SQL: "database: SELECT on the platform; SELECT, INSERT, UPDATE on dag, dag_run, task_instance, task_instance_history, job, log,"
    " of every Deployment; SELECT on its connection, variable, slot_pool, xcom",
    _DNS: "",
}
_NORMAL = Backoff()
_OFTEN = Backoff(base=timedelta(milliseconds=50), cap=timedelta(seconds=1))
_PATIENT = Backoff(base=timedelta(milliseconds=500), cap=timedelta(seconds=5))
"""For a region that is just coming back."""


@dataclass(frozen=True)
class Sort:
    """One sort of step: everything about it that no plan changes.

    seconds: estimate, at 80 Deployments on 2 cores. minutes: budget. services: what it calls in its region.
    """

    verb: Verb
    title: str
    make: Callable[[Fleet, str], Operation]
    seconds: float
    services: tuple[str, ...]
    undoable: bool = False
    attempts: int = 20
    backoff: Backoff = _NORMAL
    minutes: int = 5


SORTS: Mapping[str, Sort] = {
    "lock": Sort(Verb.LOCK, "deploys and configuration are locked in {region}", Lock, 0.05, (_CONTROL,), undoable=True, attempts=5),
    "unlock": Sort(Verb.UNLOCK, "deploys are accepted again in {region}", Unlock, 0.05, (_CONTROL,), attempts=10),
    "snapshot": Sort(Verb.SNAPSHOT, "keep who the Deployments in {region} are", Snapshot, 0.6, (_SQL,), attempts=5),
    "prepare": Sort(Verb.PREPARE, "runtime, certificates and connections of {region}", Prepare, 0.3, (_CONTROL, _API, _SQL)),
    "freeze": Sort(Verb.FREEZE, "no writes, no new tasks in {region}", Freeze, 0.2, (_CONTROL, _SQL), undoable=True, attempts=5),
    "drain": Sort(Verb.DRAIN, "running tasks end, schedulers stop in {region}", Drain, 0.1, (_CONTROL,), undoable=True, attempts=5),
    "verify-inside": Sort(
        Verb.VERIFY_INSIDE, "each API takes a write in {region}, by address", VerifyInside, 0.2, (_API, _SQL), attempts=1000, backoff=_OFTEN
    ),
    "hold": Sort(Verb.HOLD, "pause DAGs, remember which were active", Hold, 0.3, (_SQL,)),
    "reconcile": Sort(Verb.RECONCILE, "one fate for each task in flight", Reconcile, 1.0, (_SQL,)),
    "start": Sort(Verb.START, "new schedulers in {region}", Start, 0.5, (_CONTROL, _SQL)),
    "canary": Sort(Verb.CANARY, "a small DAG run succeeds everywhere", Canary, 1.5, (_SQL,)),
    "verify-outside": Sort(
        Verb.VERIFY_OUTSIDE, "each public name takes a write in {region}", VerifyOutside, 0.8, (_API, _DNS, _SQL),
        attempts=1000, backoff=_OFTEN,
    ),
    "release": Sort(Verb.RELEASE, "put the active DAGs back, in waves", Release, 0.5, (_CONTROL, _SQL)),
    "fingerprint": Sort(Verb.FINGERPRINT, "same Deployments as before, no task twice", Fingerprint, 0.6, (_SQL,)),
    "quiesce": Sort(
        Verb.FREEZE, "the runtime of {region} does nothing", Quiesce, 0.2, (_CONTROL,), attempts=200, backoff=_PATIENT, minutes=15
    ),
    "stand-by": Sort(Verb.STAND_BY, "the runtime of {region} stands by, its databases are read-only", StandBy, 0.2, (_CONTROL,)),
}  # fmt: skip

_ARRIVE: Mapping[str, tuple[str, ...]] = {
    "verify-inside": ("prepare",),
    "verify-outside": ("verify-inside",),
    "hold": ("verify-outside",),
    "reconcile": ("hold",),
    "start": ("prepare", "reconcile"),
    "canary": ("start",),
    "release": ("canary", "verify-outside"),
    "fingerprint": ("release",),
}
"""What happens in the target, and after what: the same for every intent that moves."""


def chain(fleet: Fleet, intent: Intent, source: str, target: str) -> tuple[Step, ...]:
    """The steps of an intent. The same arguments give the same ids."""
    if intent is Intent.REPROTECT:
        return _step(fleet, "quiesce", source, ()), _step(fleet, "stand-by", source, ("quiesce",))
    steps = [_step(fleet, "prepare", target, ()), _lock(fleet, source if intent.planned else target, intent)]
    if intent.planned:
        steps += [
            _step(fleet, "snapshot", source, ()),
            _step(fleet, "freeze", source, ("prepare", "snapshot")),
            _step(fleet, "drain", source, ("freeze",)),
        ]
    steps += [_step(fleet, name, target, needs, planned=intent.planned) for name, needs in _ARRIVE.items()]
    if intent.planned:
        behind = _step(fleet, "stand-by", source, ("drain",))
        # the move is done without it: where the old side is gone meanwhile, that is debt
        steps.append(Step(behind.spec.model_copy(update={"optional": True, "max_attempts": 5}), behind.operation))
    steps.append(_optional(_step(fleet, "unlock", target, ("fingerprint",))))  # service is back: what stays locked is debt
    return tuple(steps)


def _lock(fleet: Fleet, region: str, intent: Intent) -> Step:
    """A move that can wait does not begin without the lock; a failover does not wait for it, and does not end for want of it."""
    lock = _step(fleet, "lock", region, ())
    return lock if intent.planned else _optional(lock)


def _optional(step: Step) -> Step:
    return Step(step.spec.model_copy(update={"optional": True}), step.operation)


def _step(fleet: Fleet, name: str, region: str, needs: tuple[str, ...], *, planned: bool = False) -> Step:
    sort = SORTS[name]
    estimate = timedelta(seconds=sort.seconds) + (fleet.config.drain if sort.verb is Verb.DRAIN else timedelta(0))
    budget = timedelta(minutes=sort.minutes) + estimate
    typed = ByHand(fleet, region, planned=planned).typed(name)
    spec = StepSpec(
        id=f"{fleet.name}/{name}", component=fleet.name, kind=KIND, verb=sort.verb, region=region, title=sort.title.format(region=region),
        needs=tuple(f"{fleet.name}/{other}" for other in needs), estimate=estimate, budget=budget, max_attempts=sort.attempts,
        backoff=sort.backoff, undoable=sort.undoable, touches=tuple(_touch(service, region) for service in sort.services),
        permissions=tuple(right for service in sort.services if (right := _RIGHTS[service])), by_hand=typed.do, check_by_hand=typed.check,
    )  # fmt: skip
    return Step(spec, sort.make(fleet, region))


def _touch(service: str, region: str) -> Touch:
    return Touch(service=service, plane="control" if service == _CONTROL else "data", region=region)
