"""I7, I14, I17: Deployments stay who they are, nobody hands over to a copy that is behind, nothing is lost on the way back."""

from __future__ import annotations

import math

from dr.model.events import Event, RunEnded, StepEnded
from dr.model.evidence import Identities
from dr.model.lag import STALE_AFTER
from dr.model.words import Guard, Outcome, RunOutcome, Verb
from dr.providers.sim.aws.moving import Moving
from dr.providers.sim.database import Database, Span, missing
from dr.providers.sim.database import seconds as length
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.images import Images
from dr.providers.sim.objects import Objects
from dr.providers.sim.secrets import Secrets
from dr.providers.sim.world import Effect
from dr.simulate.checks.witness import Rule, Told
from dr.simulate.disk import StoredRecord


class SameAsBefore(Rule):
    """I7, after every effect of a process: ids, configurations, images and public names are the sets that they were; only what people or
    faults change changes. When a run that moves is over, the same DAGs are active as before it and none is held. What a fingerprint finds
    missing or changed is not passed over without an acceptance, and it looks at every Deployment.
    """

    name = "I7"

    def begun(self) -> None:
        """Who they are."""
        self._struck = 0
        self._is = self._facts()
        self._active = {store.name: dict(store.active) for store in self.witness.deployments}

    def _facts(self) -> list[object]:
        found: list[object] = []
        for store in self.witness.deployments:
            found += [tuple(store.ids), dict(store.configuration), dict(store.images)]
        found += [tuple(zone.leads[server]) for zone in self.witness.names for server in sorted(zone.leads)]
        return found

    def effect(self, effect: Effect) -> None:
        """Compares."""
        told = self.witness.stage.world.told
        struck = any(line.text.startswith("fault ") for line in told[self._struck :])
        self._struck = len(told)
        if struck or not effect.process or effect.component not in self._looked():
            self._is = self._facts()
            return
        now = self._facts()
        if now != self._is:
            self.broken(f"{effect.what} in {effect.region} changed who the Deployments are")

    def _looked(self) -> set[str]:
        return {store.name for store in (*self.witness.deployments, *self.witness.names)}

    def record(self, told: Told, record: StoredRecord, event: Event) -> None:
        """Fingerprints, and the end of a run."""
        match event:
            case StepEnded(outcome=Outcome.DONE | Outcome.ALREADY):
                for item in event.evidence:
                    if isinstance(item, Identities):
                        self._compared(told, item)
            case RunEnded(outcome=RunOutcome.COMPLETED) if told.plan is not None and told.plan.intent.moves:
                self._active_again(told)

    def _compared(self, told: Told, item: Identities) -> None:
        if (item.missing or item.changed) and not told.accepted(Guard.IDENTITIES):
            self.broken(f"{len(item.missing)} Deployments missing, {len(item.changed)} facts changed, and the run went on")
        store = self.witness.stage.world.stores.get(item.component)
        if isinstance(store, Deployments) and item.before_taken_at is not None and item.checked < len(store.ids) - len(item.created_later):
            self.broken(f"{item.checked} of {len(store.ids)} Deployments were compared")

    def _active_again(self, told: Told) -> None:
        for store in self.witness.deployments:
            if self._came_late(store.name):
                continue
            releases = any(spec.verb is Verb.RELEASE and spec.id not in told.skipped for spec in told.specs.values())
            if releases and (store.paused or store.active != self._active[store.name]):
                self.broken(f"run {told.run_id} is over, and {len(store.paused)} Deployments of {store.name} are still held")


    def _came_late(self, component: str) -> bool:
        """A hold that had been sent before the release, and took effect after it: the known gap of I10."""
        own = [item for item in self.witness.stage.world.effects if item.what in (f"{component}.hold", f"{component}.release")]
        if not own or own[-1].what.endswith(".release"):
            return False
        sent = self.witness.asked(own[-1])
        return sent is not None and any(item.what.endswith(".release") and item.at > sent.at for item in own)


class Healthy(Rule):
    """I14, at the first effect of a planned move: each database of the target follows the source, had nothing of its own and was behind by
    no more than the RPO when the move was decided, give or take the age that a sample may have; or somebody accepted that
    (``reverse-replication``). That the hand-over waits for lag zero is I6: a planned promotion loses nothing."""

    name = "I14"

    def begun(self) -> None:
        """No run has begun, nothing was promoted."""
        self._begun: set[str] = set()
        self._led: dict[tuple[str, str], tuple[float, str]] = {}

    def effect(self, effect: Effect) -> None:
        """The first one of a run. What an earlier run's call promoted since this one was decided is nothing to hand over any more."""
        if effect.what == f"{effect.component}.promote":
            self._led[effect.component, effect.region] = effect.at, effect.run_id
        told = self.witness.told.get(effect.run_id)
        if told is None or told.plan is None or effect.run_id in self._begun:
            return
        self._begun.add(effect.run_id)
        started = told.started
        if started is None or not started.plan.intent.planned or told.accepted(Guard.REVERSE_REPLICATION):
            return
        for database in self.witness.databases:
            source, target = database.copies[told.plan.source], database.copies[told.plan.target]
            rpo = told.plan.component_rpo.get(database.name, told.plan.rpo).total_seconds()
            decided = told.moment(started.decided)
            led, by = self._led.get((database.name, target.region), (-math.inf, ""))
            if target.primary and led > decided and by != effect.run_id:
                continue
            fresh = STALE_AFTER.total_seconds() + _NOISE
            behind = length(missing(source.log, target.log))
            own = length([span for span in missing(target.log, source.log) if span.begin < decided - fresh])
            if target.primary or target.upstream != source.region or own or behind > rpo + fresh + max(0.0, effect.at - decided):
                what = f"follows {target.upstream}, {behind:.1f} s behind, {own:.1f} s of its own"
                self.broken(f"a {told.plan.intent} begins while {database.name} in {target.region} {what}")


class NothingDestroyed(Rule):
    """I17, after every effect of a process: a copy is overwritten only by one of a newer timeline (by what they hold, whatever the runbook
    says), and what it alone held had been preserved before. Of objects: no version is replaced by an older one, and what a re-protect
    replaces in the old primary had been preserved. Secrets keep every content that they ever held, registries every image. A re-protect
    does not end well while what only the old writer of a global database had lies in a snapshot that expires."""

    name = "I17"

    def begun(self) -> None:
        """What there is."""
        self._destroyed = {database.name: len(database.destroyed) for database in self.witness.databases}
        self._replaced: dict[str, int] = {}
        self._held: dict[str, set[tuple[str, str, int]]] = {}
        for store in self.witness.stage.world.stores.values():
            if isinstance(store, Secrets):
                self._held[store.name] = _contents(store)

    def effect(self, effect: Effect) -> None:
        """What was overwritten."""
        match self.witness.stage.world.stores.get(effect.component):
            case Database() as store:
                self._rewound(store, effect)
            case Objects() as store if effect.process:
                self._replaced_objects(store, effect)
            case Secrets() as store:
                held = _contents(store)
                gone = self._held[store.name] - held
                self._held[store.name] = held
                if gone and effect.process:
                    region, path, _ = min(gone)
                    self.broken(f"{effect.what} in {effect.region}: {len(gone)} contents are gone, one of {path} in {region}")
            case Images() as store if effect.process and effect.what.endswith(".delete"):
                self.broken(f"{effect.what} in {effect.region} deletes an image")

    def record(self, told: Told, record: StoredRecord, event: Event) -> None:
        """The end of a re-protect."""
        if not isinstance(event, RunEnded) or event.outcome is not RunOutcome.COMPLETED or told.plan is None or told.plan.intent.moves:
            return
        for store in self.witness.databases:
            follows = any(step.component == store.name and step.verb is Verb.FOLLOW for step in told.plan.steps)  # not a fence alone
            left = store.left.get(told.plan.source, ()) if follows and isinstance(store, Moving) else ()
            if left and not _skipped(told, store.name):
                self.broken(f"{length(left):.3f} s of writes of {store.name} in {told.plan.source} lie in a snapshot that expires")

    def _rewound(self, store: Database, effect: Effect) -> None:
        known, self._destroyed[store.name] = self._destroyed[store.name], len(store.destroyed)
        if not effect.process:
            return
        copy, before = store.copies[effect.region], self.witness.leads[store.name, effect.region]
        if effect.what == f"{store.name}.follow" and copy.upstream is not None:
            upstream = self.witness.leads[store.name, copy.upstream]
            if upstream.timeline < before.timeline:
                text = f"of timeline {before.timeline} was overwritten by {copy.upstream}, of timeline {upstream.timeline}"
                self.broken(f"{store.name} in {effect.region}, the newest copy, {text}")
        for _, region, span in store.destroyed[known:]:
            left = _not_in(span, [kept for item in store.preserved if item.region == region for kept in item.spans])
            if left > _NOISE:
                self.broken(f"{effect.what}: {left:.3f} s of acknowledged writes of {store.name} in {region} are gone, not preserved")

    def _replaced_objects(self, store: Objects, effect: Effect) -> None:
        known, self._replaced[store.name] = self._replaced.get(store.name, 0), len(store.replaced)
        told = self.witness.told.get(effect.run_id)
        back = told is not None and told.plan is not None and not told.plan.intent.moves
        for item in store.replaced[known:]:
            if item.new < item.old:
                self.broken(f"{effect.what}: {item.key} in {item.region} was replaced by an older version")
            kept = {key for other in store.preserved if other.region == item.region for key in other.keys}
            if back and told is not None and told.plan is not None and item.region == told.plan.source and (item.key, item.old) not in kept:
                self.broken(f"{effect.what}: {item.key} in {item.region} was replaced, and what it was is not preserved")


_NOISE = 1e-6


def _skipped(told: Told, component: str) -> bool:
    """A person took responsibility for what was to be preserved."""
    return any(told.specs[step].component == component and told.specs[step].verb is Verb.PRESERVE for step in told.skipped)


def _contents(store: Secrets) -> set[tuple[str, str, int]]:
    return {(region, path, item) for region, held in store.held.items() for path, items in held.items() for item in items}


def _not_in(span: Span, kept: list[Span]) -> float:
    """How much of a span none of the others covers, in seconds."""
    at, left = span.begin, 0.0
    for item in sorted(kept, key=lambda other: other.begin):
        if item.timeline == span.timeline and item.end > at:
            left += max(0.0, min(item.begin, span.end) - at)
            at = max(at, item.end)
    return left + max(0.0, span.end - at)
