"""I2, I3, I13, I18: where names lead, where schedulers start, what they find there, and what becomes of tasks."""

from __future__ import annotations

from dr.model.events import Event, StepEnded
from dr.model.evidence import TaskCount
from dr.model.words import Guard, TaskFate, Verb
from dr.providers.sim.certificates import Certificates
from dr.providers.sim.deployments import Deployments, Task
from dr.providers.sim.names import Names
from dr.providers.sim.world import Effect
from dr.simulate.checks.primaries import recorded_split
from dr.simulate.checks.witness import Rule, Told
from dr.simulate.disk import StoredRecord


class NamesLead(Rule):
    """I2, after every change of names by a process: each name that leads elsewhere now leads to a region whose databases and Deployments
    accepted a write, seen from inside, since they lead there the last time, and which is no old primary. In whichever run that was: the
    world remembers it. Exceptions: nobody takes writes anywhere (all frozen or fenced), and the names go back to where the run came from;
    and where a person skipped that look in the run that led names there, they may be led there after it too, until the next promotion.
    """

    name = "I2"

    def begun(self) -> None:
        """Where they lead."""
        self._vouched: dict[tuple[str, str], int] = {}  # by component and region, the timeline on which a person's word stood for the look
        self._leads = {zone.name: {server: dict(names) for server, names in zone.leads.items()} for zone in self.witness.names}

    def effect(self, effect: Effect) -> None:
        """A change of names."""
        zone = self.witness.stage.world.stores.get(effect.component)
        if not isinstance(zone, Names):
            return
        before = self._leads[zone.name]
        aims = {
            region: hostname
            for server, names in zone.leads.items()
            if names != before[server]
            for hostname, region in names.items()
            if before[server].get(hostname) != region
        }
        self._leads[zone.name] = {server: dict(names) for server, names in zone.leads.items()}
        for region, hostname in aims.items() if effect.process else ():
            why = self._unfit(region, effect)
            if why and not self._taken_back(region, effect):
                self.broken(f"{effect.what} in {effect.region} leads {hostname} to {region}: {why}")

    def _unfit(self, region: str, effect: Effect) -> str:
        witness, told = self.witness, self.witness.told.get(effect.run_id)
        pairs = [(item.name, item) for item in witness.databases] + [(item.name, item.database) for item in witness.deployments]
        for name, database in pairs:
            leads = database.primary()
            if leads is None or leads.region != region:
                return f"{database.name} is {'nowhere' if leads is None else f'in {leads.region}'}"
            if witness.holds(name, region):
                continue
            if _skipped(told, name, Verb.VERIFY_INSIDE):
                self._vouched[name, region] = leads.timeline
            elif self._vouched.get((name, region)) != leads.timeline:
                return f"{name} there has not accepted a write since it was promoted"
        return ""

    def _taken_back(self, region: str, effect: Effect) -> bool:
        told = self.witness.told.get(effect.run_id)
        frozen = not any(database.writable(other) for database in self.witness.databases for other in database.copies)
        return frozen and told is not None and told.plan is not None and region == told.plan.source


class Starts(Rule):
    """I3, when schedulers start in a region by a process: its database accepted a write there since it was promoted, and every other copy
    of it is fenced, or no primary, or the split is recorded. That the world starts a region again with all that is in it is no start of
    ours.
    """

    name = "I3"

    def begun(self) -> None:
        """What has started."""
        self._started = {store.name: len(store.started) for store in self.witness.deployments}

    def effect(self, effect: Effect) -> None:
        """New schedulers."""
        for store in self.witness.deployments:
            known, self._started[store.name] = self._started[store.name], len(store.started)
            for _, region, item in store.started[known : known + 1] if effect.process else ():
                why = self._early(store, region, effect)
                if why:
                    self.broken(f"the scheduler of {item} starts in {region}: {why}")

    def _early(self, store: Deployments, region: str, effect: Effect) -> str:
        database, told = store.database, self.witness.told.get(effect.run_id)
        if not database.copies[region].primary:
            return f"{database.name} is no primary there"
        if not self.witness.holds(database.name, region) and not _skipped(told, database.name, Verb.VERIFY_INSIDE):
            return f"{database.name} has not accepted a write there since it was promoted"
        for other in self.witness.others(database, region):
            if self.witness.capable(database, other) and (why := recorded_split(told, database.name)):
                fact = None if told is None else told.fences.get(database.name)
                seen = self.witness.incapable_until.get((database.name, other), -1.0)
                if fact is None or seen < fact[1]:
                    return f"{other} may take writes, and {why}"
        return ""


class Present(Rule):
    """I13, when schedulers start in a region by a process: each finds its image and its secrets there, and no certificate of it is absent,
    expired or foreign; or somebody accepted that (``prerequisites``) in this run."""

    name = "I13"

    def begun(self) -> None:
        """What has started."""
        self._started = {store.name: len(store.started) for store in self.witness.deployments}

    def effect(self, effect: Effect) -> None:
        """New schedulers."""
        world = self.witness.stage.world
        for store in self.witness.deployments:
            known, self._started[store.name] = self._started[store.name], len(store.started)
            new = store.started[known:] if effect.process else ()
            told = self.witness.told.get(effect.run_id)
            if not new or (told is not None and told.accepted(Guard.PREREQUISITES)):
                continue
            region = new[0][1]
            lacks = store.lacking(region)
            bad = [lacks[item] for _, _, item in new if item in lacks]
            for other in world.stores.values():
                if isinstance(other, Certificates):
                    bad += [f"{flaw.hostname}: {flaw.fact}" for flaw in other.flaws(region) if not flaw.usable]
            if bad:
                self.broken(f"{len(bad)} Deployments start in {region} without what they need: {bad[0]}")


class Fates(Rule):
    """I18, after tasks were reconciled or schedulers started: each task in flight has exactly one recorded fate of that run, no task that
    must run at most once was requeued or runs a second time; and the journal counts as many fates as tasks."""

    name = "I18"

    def effect(self, effect: Effect) -> None:
        """Fates, and what runs again."""
        store = self.witness.stage.world.stores.get(effect.component)
        if not isinstance(store, Deployments) or not effect.process:
            return
        reconciled = effect.what == f"{store.name}.reconcile"
        if reconciled or effect.what == f"{store.name}.start":
            flying = {task.id for task in store.in_flight(effect.region)} if reconciled else frozenset()
            for task in store.tasks:
                if why := self._wrong(task, effect.run_id, flying=task.id in flying):
                    self.broken(f"task {task.id} of {task.deployment} {why}")
                    return

    @staticmethod
    def _wrong(task: Task, run_id: str, *, flying: bool) -> str:
        if not (flying or task.fates or len(task.runs) > 1):
            return ""
        own = [fate for by, fate in task.fates if by == run_id]
        if len(own) > 1:
            return f"has {len(own)} fates: {', '.join(own)}"
        if flying and not own:
            return "was in flight and has no fate"
        if task.at_most_once and (len(task.runs) > 1 or TaskFate.REQUEUED in own):
            return f"must run at most once, and was {'run twice' if len(task.runs) > 1 else 'requeued'}"
        return ""

    def record(self, told: Told, record: StoredRecord, event: Event) -> None:
        """Counts of tasks."""
        if not isinstance(event, StepEnded):
            return
        for item in event.evidence:
            if isinstance(item, TaskCount) and (sum(item.fates.values()) != item.in_flight or item.duplicated):
                self.broken(f"{event.step}: {item.in_flight} tasks in flight, fates {dict(item.fates)}, {item.duplicated} run twice")


def _skipped(told: Told | None, component: str, verb: Verb) -> bool:
    """A person took responsibility for this step of a component."""
    return told is not None and any(told.specs[step].component == component and told.specs[step].verb is verb for step in told.skipped)
