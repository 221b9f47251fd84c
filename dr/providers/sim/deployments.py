"""Airflow Deployments in two regions: runtimes, schedulers, tasks in flight, and who they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dr.model.lag import Finding
from dr.model.words import Role, TaskFate
from dr.providers.sim.certificates import Certificates
from dr.providers.sim.database import Database
from dr.providers.sim.sort import Answers, Sort, Told, answered, seen_as
from dr.providers.sim.world import World


@dataclass(slots=True)
class Task:
    """One task. at_most_once: it must never run twice. runs: where and when it was executed. fates: what runs of ``dr`` recorded."""

    id: int
    deployment: str
    at_most_once: bool
    began: float
    ends: float
    runs: list[tuple[str, float]] = field(default_factory=list)
    fates: list[tuple[str, TaskFate]] = field(default_factory=list)
    finished: bool = False


@dataclass
class Runtime:
    """What serves and schedules in one region.

    up: its servers run. frozen: it takes no writes and starts no tasks. schedulers: Deployments whose scheduler runs here.
    locked: deploys are refused. ready_at: before then it has no capacity.
    """

    region: str
    up: bool = True
    frozen: bool = False
    locked: bool = False
    held: bool = False
    ready_at: float = 0.0
    schedulers: set[str] = field(default_factory=set)


class Prerequisite(Protocol):
    """A store that holds something without which a Deployment does not start: its image, its secrets."""

    def lacks(self, region: str) -> dict[str, str]:
        """Deployments that do not find what they need in a region, and what that is."""


class Deployments(Sort):
    """``Store`` of the Deployments on one database.

    images: what each runs, as a digest; the number behind it grows. prerequisites: see ``Prerequisite``. certificates: of its names, where
    no other component looks after them.
    """

    placed = looked = True

    def __init__(self, world: World, name: str, home: str, database: Database, count: int, tasks: int, seconds: float = 600.0) -> None:
        super().__init__(world, name)
        self.database = database
        self.lagless = f"rides on {database.name}: its lag is that one's"
        self.prerequisites: list[Prerequisite] = []
        self.certificates: Certificates | None = None
        self.ids = [f"d-{number:03d}" for number in range(1, count + 1)]
        self.configuration = {item: f"{item}@1" for item in self.ids}
        self.images = {item: f"sha256:{item}@9" for item in self.ids}
        self.active: dict[str, tuple[str, ...]] = dict.fromkeys(self.ids, ("etl", "report"))
        self.paused: dict[str, tuple[str, ...]] = {}
        chance = world.chance(f"{name}/tasks")
        self.runtimes = {region: Runtime(region) for region in world.regions}
        self.runtimes[home].schedulers = set(self.ids)
        self.tasks = [
            Task(number, self.ids[number % count], chance.random() < 0.1, 0.0, chance.uniform(0.0, seconds), [(home, 0.0)])
            for number in range(tasks)
        ]
        self.started: list[tuple[float, str, str]] = []
        self.canaries: dict[str, set[str]] = {}
        self._coming = sorted(self.tasks, key=lambda task: -task.ends)
        """Those whose time is not over, the next one last."""
        self._due: list[Task] = []
        """Those whose time is over, and who cannot record it yet."""

    def advance(self, now: float) -> None:
        """Tasks that run where they can record it come to their end."""
        coming = self._coming
        while coming and coming[-1].ends <= now:
            self._due.append(coming.pop())
        if self._due and (running := {region for region in self.runtimes if self.runs(region)}):
            self._due = [task for task in self._due if not self._ends(task, running)]

    def _ends(self, task: Task, running: set[str]) -> bool:
        """A task whose time is over: it has come to its end, or to a fate of another sort."""
        if not task.fates and task.runs[-1][0] in running:
            task.finished = True
        return task.finished or bool(task.fates)

    def runs(self, region: str) -> bool:
        """Tasks run there, and can record it."""
        runtime = self.runtimes[region]
        return runtime.up and not runtime.frozen and self.world.regions[region].alive and self.database.writable(region)

    def serves(self, region: str) -> bool:
        """Its API takes writes now."""
        runtime = self.runtimes[region]
        ready = runtime.up and not runtime.frozen and self.world.now >= runtime.ready_at
        return ready and self.world.regions[region].alive and self.database.writable(region)

    def look(self, region: str) -> Told:
        """Where their databases lead."""
        copy = self.database.copies[region]
        role = Role.PRIMARY if copy.primary and copy.up else Role.SECONDARY
        flaws = () if self.certificates is None or region not in self.certificates.regions else self.certificates.flaws(region)
        return Told(seen_as(role, copy.timeline), flaws)

    def findings(self, told: Answers) -> Sequence[Finding]:
        """What is wrong with the certificates that it looks after itself."""
        return () if self.certificates is None else self.certificates.findings(answered(told))

    def lacking(self, region: str) -> dict[str, str]:
        """Deployments that do not start in a region (I13), and why."""
        found: dict[str, str] = {}
        for store in self.prerequisites:
            found = {**store.lacks(region), **found}
        return found

    def in_flight(self, region: str) -> list[Task]:
        """Tasks that the database of a region, as far as it got, believes to be running."""
        point = self.database.recovery_point(region)
        return [task for task in self.tasks if not task.finished and task.began <= point]

    def schedule(self, region: str, deployments: Sequence[str]) -> None:
        """New schedulers run there; what was requeued is run by them."""
        runtime = self.runtimes[region]
        for item in deployments:
            if item not in runtime.schedulers:
                runtime.schedulers.add(item)
                self.started.append((self.world.now, region, item))
        for task in self.tasks:
            last = task.fates[-1][1] if task.fates else None
            if last is TaskFate.REQUEUED and task.deployment in runtime.schedulers and task.runs[-1][0] != region and not task.finished:
                task.runs.append((region, self.world.now))
                task.ends = self.world.now + 5.0
