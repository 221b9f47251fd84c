"""Simulated operations on Airflow Deployments: the same claims, refusals and evidence as ``airflow``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from dr.errors import Transient
from dr.model.evidence import Evidence, Fenced, Healthy, Held, Identities, PutBack, RecoveryPoint, TaskCount, Temporary, WriteAccepted
from dr.model.identity import DeploymentIdentity, IdentityDifference, IdentitySnapshot, compare
from dr.model.words import FenceState, Guard, Intent, TaskFate, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.deployments import Deployments, Runtime, Task
from dr.providers.sim.names import Names
from dr.providers.sim.sort import some
from dr.providers.sim.steps.base import SimStep


def snapshot(store: Deployments, region: str, at: datetime, most: int | None = None) -> IdentitySnapshot:
    """Who the Deployments are, as the database of a region says; ``most``: so many of them, which is a first page."""
    items = tuple(
        DeploymentIdentity(
            id=item, name=item, namespace=item, workspace="w", hostnames={"ui": f"{item}.ui", "api": f"{item}.api"},
            image_digest=store.images[item], environment={"configuration": store.configuration[item]},
        )
        for item in store.ids[:most]
    )  # fmt: skip
    return IdentitySnapshot(taken_at=at, read_until=at, region=region, deployments=items)


class _Step(SimStep[Deployments]):
    def runtime(self, region: str) -> Runtime:
        """What runs there."""
        return self.store.runtimes[region]

    def healthy(self, number: int) -> Healthy:
        """So many of them work."""
        return Healthy(component=self.component, total=len(self.store.ids), healthy=number)


_LOCK = "deploys"


class Lock(_Step):
    """Deploys are refused until the run takes the lock away; what stays of it is told as temporary, as the real step tells it."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Locks."""
        self.do(context, self.region, "lock", lambda: setattr(self.runtime(self.region), "locked", True))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """It is locked, and is to be unlocked."""
        text = f"deploys are locked by {context.run_id}"
        fact = Temporary(component=self.component, region=self.region, what=_LOCK, text=text, until=None, by_hand="POST /unlock")
        return Seen(Look.DONE, evidence=(fact,))

    def undo(self, context: AttemptContext) -> None:
        """Unlocks."""
        self.do(context, self.region, "unlock", lambda: setattr(self.runtime(self.region), "locked", False))


class Unlock(Lock):
    """Deploys are accepted again."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Unlocks, on both sides as far as they answer."""
        self.undo(context)
        return (PutBack(component=self.component, region=self.region, what=_LOCK, text="deploys are accepted"),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE."""
        return Seen(Look.DONE)


class Snapshot(_Step):
    """Keeps who they are."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Reads and keeps."""
        site = self.place.site
        kept = self.read(self.region, "identities", lambda: snapshot(self.store, self.region, self.now))
        site.samples.keep_identities(site.runbook, self.component, kept)
        return ()


class Prepare(_Step):
    """The runtime of the target is there."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where it has capacity."""
        ready = self.read(self.region, "status", lambda: self.runtime(self.region).up and self.place.world.now >= self._ready_at())
        if not ready:
            raise Transient(f"the runtime of {self.region} is not ready")
        return Seen(Look.NEEDED, "frozen") if self.read(self.region, "status", self._frozen) else Seen(Look.DONE)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Thaws what an earlier move froze; its databases take no writes yet."""
        self.do(context, self.region, "thaw", lambda: setattr(self.runtime(self.region), "frozen", False))
        return ()

    def _frozen(self) -> bool:
        return self.runtime(self.region).frozen

    def _ready_at(self) -> float:
        return self.runtime(self.region).ready_at


class Freeze(_Step):
    """No writes, no new tasks."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Freezes."""
        self.do(context, self.region, "freeze", lambda: setattr(self.runtime(self.region), "frozen", True), said=lambda: None)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: it is."""
        frozen = self.read(self.region, "status", lambda: self.runtime(self.region).frozen)
        return Seen(Look.DONE) if frozen else Seen(Look.NEEDED, "not frozen")

    def undo(self, context: AttemptContext) -> None:
        """Writes and tasks go on."""
        self.do(context, self.region, "thaw", lambda: setattr(self.runtime(self.region), "frozen", False))


class Drain(_Step):
    """Running tasks end or are cut off, schedulers stop."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Stops the schedulers."""
        runtime = self.runtime(self.region)
        some = self.store.ids[::2]
        self.do(
            context, self.region, "drain", runtime.schedulers.clear, half=lambda: runtime.schedulers.difference_update(some),
            said=lambda: None,
        )  # fmt: skip
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: none runs."""
        left = self.read(self.region, "status", lambda: len(self.runtime(self.region).schedulers))
        return Seen(Look.NEEDED, f"{left} schedulers run") if left else Seen(Look.DONE)

    def undo(self, context: AttemptContext) -> None:
        """They run again."""
        self.do(context, self.region, "start", lambda: self.store.schedule(self.region, self.store.ids))


class Quiesce(Freeze):
    """The old side's runtime does nothing any more."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Freezes, and stops the schedulers."""

        def stop() -> None:
            self.runtime(self.region).frozen = True
            self.runtime(self.region).schedulers.clear()

        self.do(context, self.region, "quiesce", stop, said=lambda: None)
        return ()


class StandBy(_Step):
    """The old side's databases are read-only."""

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: they follow."""
        primary = self.read(self.region, "status", lambda: self.store.database.copies[self.region].primary)
        return Seen(Look.NEEDED, "the database does not follow yet") if primary else Seen(Look.DONE)


class VerifyInside(_Step):
    """Each API takes a write, by address."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Writes."""
        self.do(context, self.region, "write-inside", self._write)
        return self._accepted("inside")

    def _write(self) -> None:
        if not self.store.serves(self.region):
            raise Transient(f"the APIs of {self.region} take no writes")

    def _accepted(self, route: str) -> tuple[Evidence, ...]:
        fact = WriteAccepted.model_validate(
            {
                "component": self.component, "region": self.region, "route": route, "names": tuple(self.store.ids),
                "first_at": self.now, "last_at": self.now,
            }
        )  # fmt: skip
        return fact, self.healthy(len(self.store.ids))


class VerifyOutside(VerifyInside):
    """Each public name takes a write in the target."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Writes through the names, as they are looked up now."""
        zone = next((store for store in self.place.world.stores.values() if isinstance(store, Names)), None)

        def write() -> None:
            for hostname in zone.hostnames if zone is not None else ():
                region = zone.answer(hostname) if zone is not None else None
                if region != self.region:
                    raise Transient(f"{hostname} leads to {region}, not yet to {self.region}")
            self._write()

        # what its estimate is made of is waiting for the names: the write that is accepted is the end of it
        self.do(context, self.region, "write-outside", write, seconds=0.0)
        return self._accepted("outside")


class Hold(_Step):
    """Pauses DAGs, and remembers which were active."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Pauses them."""

        def hold() -> dict[str, tuple[str, ...]]:
            self._writable()
            if not self.store.paused:
                self.store.paused = dict(self.store.active)
            return self.store.paused

        held = self.do(context, self.region, "hold", hold)
        return (Held(component=self.component, region=self.region, active=held),)

    def _writable(self) -> None:
        if not self.store.database.writable(self.region):
            raise Transient(f"the databases of {self.region} take no writes")


class Reconcile(Hold):
    """One fate for each task in flight, recorded once for this run."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Decides and records in one transaction for each Deployment."""
        point = context.found(RecoveryPoint, self.store.database.name)
        complete = point is not None and point.complete
        decided = self.do(context, self.region, "reconcile", lambda: self._decide(context.run_id, complete=complete))
        return (TaskCount(component=self.component, in_flight=sum(decided.values()), fates=dict(decided)),)

    def _decide(self, run: str, *, complete: bool) -> Counter[TaskFate]:
        self._writable()
        counts: Counter[TaskFate] = Counter()
        for task in self.store.in_flight(self.region):
            known = next((fate for by, fate in task.fates if by == run), None)
            if known is None:
                known = self._fate(task)
                task.fates.append((run, known))
            counts[known] += 1
        return counts

    def _fate(self, task: Task) -> TaskFate:
        return TaskFate.FAILED if task.at_most_once else TaskFate.REQUEUED


class Start(_Step):
    """New schedulers in the target, after its database took a write and the source is fenced (I3)."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where all run. BLOCKED where something could run twice."""
        writable, running = self.read(
            self.region, "status", lambda: (self.store.database.writable(self.region), len(self.runtime(self.region).schedulers))
        )
        if not writable:
            return Seen(Look.BLOCKED, f"the databases take no writes in {self.region}: nothing may schedule yet")
        fenced = context.found(Fenced, self.store.database.name)
        known = fenced is not None and fenced.state in (FenceState.FENCED, FenceState.NOT_NEEDED, FenceState.SPLIT_ACCEPTED)
        if not known and not context.accepted(Guard.FENCE):
            way = f"dr resume {context.run_id} --accept-split --reason TEXT"
            return Seen(Look.BLOCKED, f"{context.source} is not known to be fenced: its schedulers may run (try: {way})")
        return Seen(Look.DONE) if running == len(self.store.ids) else Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Thaws, and starts those that find their image and their secrets (I13)."""

        def start(deployments: Sequence[str]) -> None:
            self.runtime(self.region).frozen = False
            lacking = self.store.lacking(self.region)
            self.store.schedule(self.region, [item for item in deployments if item not in lacking])

        ids = self.store.ids
        self.do(
            context, self.region, "start", lambda: start(ids), half=lambda: start(ids[: len(ids) // 2]), said=lambda: None
        )  # fmt: skip
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: all run. BLOCKED: who does not, lacks what somebody has to mend."""
        running, lacking = self.read(self.region, "status", self._status)
        if len(running) == len(self.store.ids):
            return Seen(Look.DONE, f"{len(running)} schedulers run in {self.region}")
        left = {item: reason for item, reason in lacking.items() if item not in running}
        if not left:
            return Seen(Look.NEEDED, f"{len(running)} schedulers run")
        total = len(self.store.ids)
        said = some([f"{item}: {reason}" for item, reason in left.items()])
        reasons = {item: left.get(item, "no new scheduler") for item in self.store.ids if item not in running}
        healthy = Healthy(component=self.component, total=total, healthy=len(running), unhealthy=reasons)
        text = f"{len(left)} of {total} Deployments do not start in {self.region}: {said}"
        return Seen(Look.BLOCKED, f"{text} (try: mend that in {self.region}, then dr resume {context.run_id})", (healthy,))

    def _status(self) -> tuple[set[str], dict[str, str]]:
        running = set(self.runtime(self.region).schedulers)
        return running, self.store.lacking(self.region) if len(running) < len(self.store.ids) else {}


class Canary(_Step):
    """A small DAG run succeeds everywhere."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Queues it."""
        self.do(context, self.region, "canary", lambda: None)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: all are back."""
        back = self.read(self.region, "status", lambda: len(self.runtime(self.region).schedulers))
        facts = (self.healthy(back),)
        return Seen(Look.DONE, evidence=facts) if back == len(self.store.ids) else Seen(Look.NEEDED, f"{back} canaries back", facts)


class Release(_Step):
    """Puts the active DAGs back."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Puts them back."""

        def release() -> None:
            if self.store.paused:
                self.store.active, self.store.paused = self.store.paused, {}

        self.do(context, self.region, "release", release)
        return ()


class Fingerprint(_Step):
    """Same Deployments as before."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Reads, compares, keeps."""
        site, name = self.place.site, self.component
        before = site.samples.identities(site.runbook, name, not_from=self.region)
        page = len(self.store.ids) // 2
        after = self.read(
            self.region, "identities", lambda: snapshot(self.store, self.region, self.now),
            first_page=lambda: snapshot(self.store, self.region, self.now, page),
        )  # fmt: skip
        found = compare(before, after) if before else IdentityDifference(checked=0, changed=(), missing=(), created_later=())
        site.samples.keep_identities(site.runbook, name, after)
        twice = sum(task.at_most_once and len(task.runs) > 1 for task in self.store.tasks)
        tasks = context.found(TaskCount, name)
        return (
            Identities(
                component=name, checked=found.checked, changed=found.changed, missing=found.missing, created_later=found.created_later,
                before_taken_at=before.taken_at if before else None, before_sha256=before.sha256 if before else None,
                after_sha256=after.sha256,
            ),
            *(() if tasks is None else (tasks.model_copy(update={"duplicated": twice}),)),
        )  # fmt: skip

    def verify(self, context: AttemptContext) -> Seen:
        """BLOCKED where an identity is missing or another one, and nobody accepted it."""
        found = context.found(Identities, self.component)
        if found is not None and (found.missing or found.changed) and not context.accepted(Guard.IDENTITIES):
            return Seen(Look.BLOCKED, f"{len(found.missing)} Deployments missing, {len(found.changed)} facts changed")
        return Seen(Look.DONE)


STEPS: Mapping[str, type[_Step]] = {
    "lock": Lock, "unlock": Unlock, "snapshot": Snapshot, "prepare": Prepare, "freeze": Freeze, "drain": Drain, "quiesce": Quiesce,
    "stand-by": StandBy, "verify-inside": VerifyInside, "verify-outside": VerifyOutside, "hold": Hold, "reconcile": Reconcile,
    "start": Start, "canary": Canary, "release": Release, "fingerprint": Fingerprint,
}  # fmt: skip
"""The operation of each step's name."""


def operation(name: str, verb: Verb, intent: Intent) -> type[_Step]:
    """The operation of a step."""
    return STEPS[name]
