"""I1, I4, I5, I6: who takes writes, and on what grounds somebody was promoted."""

from __future__ import annotations

import math
from datetime import timedelta

from dr.model.events import Event, Resumed, RunStarted, StepEnded
from dr.model.evidence import Fenced, RecoveryPoint
from dr.model.plan import Acceptance
from dr.model.words import FenceState, Guard, Verb
from dr.providers.sim.database import Database, missing
from dr.providers.sim.database import seconds as length
from dr.providers.sim.objects import Objects
from dr.providers.sim.objects import length as span
from dr.providers.sim.world import Effect
from dr.simulate.checks.witness import Rule, Told
from dr.simulate.disk import StoredRecord

_CERTAIN = (FenceState.FENCED, FenceState.NOT_NEEDED)


def recorded_split(told: Told | None, component: str) -> str:
    """Why a second primary of a component is no recorded split; empty where it is one: its fence was tried and not acknowledged, as the
    journal says, and somebody accepted that, as the journal says."""
    if told is None:
        return "no run is journaled"
    fact = told.fences.get(component)
    if fact is None:
        return f"no fence of {component} was tried in run {told.run_id}"
    if fact[0].state not in (FenceState.UNACKNOWLEDGED, FenceState.SPLIT_ACCEPTED):
        return f"run {told.run_id} says {fact[0].state}"
    return "" if told.accepted(Guard.FENCE) else f"nobody accepted a split in run {told.run_id}"


class OnePrimary(Rule):
    """I1, after every effect: never two writable primaries of one component, except a recorded split.

    An effect of a process that makes a second one needs the recorded split in its own run. A region that comes back by itself with its old
    primary makes a second one, too: then the promotion of the newer one, where a run made it, must have been a recorded split. That the
    fence is still owed is checked with the reports, that no name leads to the old one with I2.
    """

    name = "I1"

    def begun(self) -> None:
        """Who promoted, by database and timeline."""
        self._promoted: dict[tuple[str, int], str] = {}

    def effect(self, effect: Effect) -> None:
        """Counts who takes writes."""
        for database in self.witness.databases:
            now = [region for region in database.copies if database.writable(region)]
            if effect.process and effect.component == database.name and effect.what == f"{database.name}.promote":
                self._promoted.setdefault((database.name, database.copies[effect.region].timeline), effect.run_id)
            before = [region for region in now if self.witness.leads[database.name, region].writable]
            if len(now) < 2 or len(before) == len(now):
                continue
            newest = max(now, key=lambda region: database.copies[region].timeline)
            maker = effect.run_id or self._promoted.get((database.name, database.copies[newest].timeline))
            if maker is None:
                continue  # somebody else promoted it, by hand
            why = recorded_split(self.witness.told.get(maker), database.name)
            if why:
                self.broken(f"{database.name} takes writes in {' and '.join(sorted(now))} after {effect.what} in {effect.region}: {why}")


class Grounds(Rule):
    """I4, when a promotion takes effect: its run has journaled ``fenced`` (or not needed) with evidence, or an accepted split.

    The evidence is compared with the world: where it says fenced, and nothing but its region's death keeps the old primary from taking
    writes, it was never fenced. What the world itself started again after the look that the evidence speaks of is not held against it.
    """

    name = "I4"

    def effect(self, effect: Effect) -> None:
        """A promotion."""
        database = self.witness.stage.world.stores.get(effect.component)
        if not isinstance(database, Database) or not effect.process or not took_effect(self, database, effect):
            return
        told = self.witness.told.get(effect.run_id)
        if told is None:
            self.broken(f"{database.name} was promoted in {effect.region} by {effect.process}, and no run is journaled")
            return
        fact = told.fences.get(database.name)
        if fact is None or fact[0].state not in _CERTAIN:
            if not told.accepted(Guard.FENCE):
                said = "no fence was tried" if fact is None else f"the fence is {fact[0].state}: {fact[0].proof}"
                self.broken(f"{database.name} was promoted in {effect.region}: {said}, and no split is accepted")
            return
        for other in self.witness.others(database, effect.region):
            if self.witness.capable(database, other) and self.witness.incapable_until.get((database.name, other), -1.0) < fact[1]:
                claim = f"{fact[0].state}: {fact[0].proof}"
                self.broken(f"{database.name} was promoted in {effect.region} on «{claim}», and {other} was never kept from writing")

    def record(self, told: Told, record: StoredRecord, event: Event) -> None:
        """A fence that was owed, and is said to be acknowledged: the evidence is compared with the world in the same way."""
        if not isinstance(event, StepEnded) or not event.owed:
            return
        for item in event.evidence:
            database = self.witness.stage.world.stores.get(item.component) if isinstance(item, Fenced) else None
            if not isinstance(item, Fenced) or not isinstance(database, Database) or item.state not in _CERTAIN:
                continue
            since = told.fences[database.name][1]
            if self.witness.capable(database, item.region) and self.witness.incapable_until.get((database.name, item.region), -1.0) < since:
                self.broken(f"{event.step} was acknowledged («{item.proof}»), and {item.region} was never kept from writing")


class Once(Rule):
    """I5: in one component at most one promotion takes effect in an epoch."""

    name = "I5"

    def begun(self) -> None:
        """None has."""
        self._done: dict[tuple[str, int], str] = {}

    def effect(self, effect: Effect) -> None:
        """A promotion."""
        database = self.witness.stage.world.stores.get(effect.component)
        if not isinstance(database, Database) or not effect.process or not took_effect(self, database, effect):
            return
        key = database.name, effect.epoch
        before = self._done.setdefault(key, f"{effect.region} at {effect.at:.2f}")
        if before != f"{effect.region} at {effect.at:.2f}" or _jumped(self, database, effect):
            again = f"in {effect.region} at {effect.at:.2f}"
            self.broken(f"{database.name} was promoted twice in epoch {effect.epoch}: in {before}, and {again}")


class Exposed(Rule):
    """I6, when a promotion takes effect: what the old primary acknowledged and the new one has not is within the RPO (of a planned move:
    nothing), or an acceptance covers it.

    The exposure is the world's own: the writes that are lost by this promotion, less those that an unfenced primary took after the attempt
    had begun (the guard is asked before the call is sent). It is promised by the clock of the server that stamped the writes: where that
    one was ahead, so much less is seen of the loss, and nobody can ask it once its region is gone. The recovery point that the run
    journals for it must have been read in this attempt, in the target.
    """

    name = "I6"

    def begun(self) -> None:
        """Nothing was lost: by database and run, what a promotion truly lost, in seconds of writing."""
        self.lost: dict[tuple[str, str], float] = {}

    def effect(self, effect: Effect) -> None:
        """A promotion."""
        database = self.witness.stage.world.stores.get(effect.component)
        told = self.witness.told.get(effect.run_id)
        if told is None or told.plan is None or not effect.process:
            return  # I4 says so
        if isinstance(database, Objects) and effect.what == f"{database.name}.promote":
            self._objects(database, effect, told)
        if not isinstance(database, Database) or not took_effect(self, database, effect):
            return
        since = self._since(effect, told)
        lost = exposure(database, effect.region)
        self.lost[database.name, effect.run_id] = lost
        unseen = max(0.0, database.skew) + (effect.at - since if self._writes_on(database, effect) else 0.0)
        asked = max(0.0, lost - unseen)
        asked_for = database.asked_for(effect.region)
        if asked_for is not None:  # what was written while it took its time is the price of that
            asked = min(asked, exposure(database, effect.region, asked_for))
        rpo = 0.0 if told.plan.intent.planned else told.plan.component_rpo.get(database.name, told.plan.rpo).total_seconds()
        if asked > rpo + _NOISE and not covered(asked, told.acceptances):
            self.broken(f"{database.name} was promoted in {effect.region} with {asked:.1f} s of writes lost, RPO {rpo:g} s, not accepted")

    def _objects(self, store: Objects, effect: Effect, told: Told) -> None:
        """Of a bucket: what was written elsewhere and has not arrived."""
        assert told.plan is not None, "asked before"
        lost = max((span(store.missing(other, effect.region)) for other in store.regions if other != effect.region), default=0.0)
        rpo = 0.0 if told.plan.intent.planned else told.plan.component_rpo.get(store.name, told.plan.rpo).total_seconds()
        since = self._since(effect, told)
        if lost - (effect.at - since) > rpo + _NOISE and not covered(lost, told.acceptances):
            self.broken(f"{store.name} leads in {effect.region} with {lost:.1f} s of objects lost, RPO {rpo:g} s, not accepted")

    def _since(self, effect: Effect, told: Told) -> float:
        """When the attempt began that had this effect. A call that stays pending has it under a later one, which asked no guard for it."""
        under, asked = told.under.get(effect.step), self.witness.asked(effect)
        return min(effect.at if item is None else item.at for item in (under, asked))

    def _writes_on(self, database: Database, effect: Effect) -> bool:
        return any(database.writable(other) for other in self.witness.others(database, effect.region))

    def record(self, told: Told, record: StoredRecord, event: Event) -> None:
        """How a promotion ended."""
        if not isinstance(event, StepEnded) or not event.acted or told.plan is None:
            return
        spec = told.specs[event.step]
        if spec.verb is not Verb.PROMOTE:
            return
        points = [item for item in event.evidence if isinstance(item, RecoveryPoint)]
        if covered(None, told.acceptances):
            return
        if not points or points[0].recovery_point is None:
            self.broken(f"{event.step} acted, its recovery point was unknown, and nobody accepted an unknown loss")
            return
        began, read_at = told.began.get(event.step), points[0].read_at
        if told.plan.intent.planned and points[0].complete:  # the drain's own word, which holds as long as the one who drained goes on
            began = next((at for at, item in reversed(told.events) if isinstance(item, (RunStarted, Resumed))), began)
        if points[0].region != told.plan.target or began is None or read_at < began:
            self.broken(f"{event.step} acted on a recovery point of {points[0].region} that was read at {read_at:%T}, before it began")
            return
        self._reckon(told, event, points[0])

    def _reckon(self, told: Told, event: StepEnded, point: RecoveryPoint) -> None:
        """What the journal itself says that was at stake: the end of writes, else the moment of reading, less the recovery point, and
        by how much the clock of these moments was slow."""
        assert told.plan is not None and point.recovery_point is not None, "asked before"
        fact = told.fences.get(point.component)
        ended = fact[0].writes_ended_at if fact is not None and fact[0].state is FenceState.FENCED else None
        end = ended if ended is not None and ended > point.recovery_point else point.read_at
        at_stake = 0.0 if point.complete else (end + (point.clock_behind or timedelta()) - point.recovery_point).total_seconds()
        rpo = told.plan.component_rpo.get(point.component, told.plan.rpo).total_seconds()
        if at_stake > rpo + _NOISE and not covered(at_stake, told.acceptances):
            self.broken(f"{event.step} acted while its journal says that {at_stake:.1f} s were at stake, RPO {rpo:g} s, not accepted")


_NOISE = 0.05
"""Seconds between two readings that are meant to be one."""


def exposure(database: Database, region: str, before: float = math.inf) -> float:
    """Seconds of writing that other copies have and the one that was promoted last in a region has not: what that lost; of that what was
    written before a moment."""
    mine = database.copies[region].log
    lost = [missing(copy.log, mine) for other, copy in database.copies.items() if other != region]
    return max((length([item._replace(end=max(item.begin, min(item.end, before))) for item in items]) for items in lost), default=0.0)


def covered(lost: float | None, acceptances: list[Acceptance]) -> bool:
    """Somebody accepted a loss of so many seconds; None: an unknown one."""
    for item in acceptances:
        bound = None if item.bound is None else item.bound.total_seconds()
        if item.guard is Guard.EXPOSURE and (item.unbounded or (lost is not None and bound is not None and lost <= bound + _NOISE)):
            return True
    return False


def took_effect(rule: Rule, database: Database, effect: Effect) -> bool:
    """This effect is a promotion that changed something: the copy was no primary before it, or is on another timeline now."""
    before = rule.witness.leads[database.name, effect.region]
    copy = database.copies[effect.region]
    return effect.what == f"{database.name}.promote" and copy.primary and copy.timeline != before.timeline


def _jumped(rule: Rule, database: Database, effect: Effect) -> bool:
    """One effect made two timelines at once."""
    known = max(lead.timeline for (name, _), lead in rule.witness.leads.items() if name == database.name)
    return database.copies[effect.region].timeline > known + 1


def newest_fence(told: Told, component: str) -> Fenced | None:
    """What a run found out last of the old primary of a component."""
    fact = told.fences.get(component)
    return None if fact is None else fact[0]
