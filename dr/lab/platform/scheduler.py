"""The scheduler of one Deployment: a loop around the statements of ``scheduling``. What it knows beyond its job id, it reads."""

from __future__ import annotations

import asyncio
from datetime import datetime

from dr.lab.platform import scheduling
from dr.lab.platform.database import Database, NotPerformed, Value, Why

_BUSY_SECONDS = 0.2
_AWAY_SECONDS = 0.25


class Scheduler:
    """Runs on a writable database only, one for each Deployment and region; starting and stopping are idempotent.

    A database that vanishes ends nothing by itself: the loop asks again until it answers. It ends where the answer shows that this
    scheduler is over: the database is read-only now, or somebody retired its job row.

    Args:
        database: of the Deployment.
        region: goes into ``hostname`` of job and tasks.
        deployment: the Deployment's id.
        tick_seconds: between two heartbeats while there is nothing else to do.
        task_heartbeat_seconds: between two heartbeats of the tasks that run here.
    """

    def __init__(self, database: Database, region: str, deployment: str, tick_seconds: float, task_heartbeat_seconds: float) -> None:
        self._database = database
        self._region, self._deployment = region, deployment
        self._tick_seconds, self._task_heartbeat_seconds = tick_seconds, task_heartbeat_seconds
        self._changing = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._wake = asyncio.Event()
        self._next_task_heartbeat = 0.0
        self.job: int | None = None
        self.heartbeat: datetime | None = None
        self.tasks_running = 0
        self.held = False

    @property
    def running(self) -> bool:
        """It has a job row of its own and goes on."""
        return self.job is not None

    async def start(self) -> None:
        """Makes a job row and begins; nothing to do where it runs.

        Raises:
            NotPerformed: read-only or not there; it does not run then.
        """
        async with self._changing:
            if self.running:
                return
            [(job, heartbeat, adopted)] = await self._database.perform(
                scheduling.START, {"region": self._region, "deployment": self._deployment}, seconds=5
            )
            assert isinstance(job, int) and isinstance(heartbeat, datetime) and isinstance(adopted, int)
            self.job, self.heartbeat, self.tasks_running = job, heartbeat, adopted
            self._next_task_heartbeat = asyncio.get_running_loop().time() + self._task_heartbeat_seconds
            self._loop = asyncio.ensure_future(self._run(job))

    async def stop(self) -> None:
        """Ends the loop and then the job row, as far as the database allows; nothing to do where it does not run."""
        async with self._changing:
            job, loop = self.job, self._loop
            if job is None:
                return
            self._ended()
            self._wake.set()
            if loop is not None:
                await loop
            try:
                await self._database.perform(scheduling.STOP, {"job": job})
            except NotPerformed:
                return  # nobody schedules any more, which is what was asked for; the job row cannot say so and grows old

    async def hold(self, held: bool) -> None:
        """Held: heartbeats go on, nothing new is created or started, what ends may end. Holds when it returns."""
        self.held = held
        async with self._starting:
            return  # what was being started when the flag was set is through

    def _ended(self) -> None:
        self.job, self.tasks_running = None, 0

    async def _run(self, job: int) -> None:
        while self.job == job:
            try:
                wait = _BUSY_SECONDS if await self._tick(job) else self._tick_seconds
            except NotPerformed as error:
                if error.why is Why.READ_ONLY and self.job == job:
                    self._ended()
                wait = _AWAY_SECONDS
            if self.job != job:
                return
            self._wake.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _tick(self, job: int) -> bool:
        """One look; True when there will be more to do soon."""
        values: dict[str, Value] = {"job": job}
        [(heartbeat, running, new_runs, new_tasks, ending)] = await self._database.perform(scheduling.TICK, values)
        if self.job != job:
            return False
        if heartbeat is None:
            self._ended()  # retired by somebody: this scheduler is over
            return False
        assert isinstance(heartbeat, datetime) and isinstance(running, int)
        self.heartbeat, self.tasks_running = heartbeat, running
        if ending:
            await self._database.perform(scheduling.END_TASKS, {"job": job, "region": self._region})
            await self._database.perform(scheduling.END_RUNS)
        if new_runs or new_tasks:
            async with self._starting:
                await self._begin(job, bool(new_runs))
        now = asyncio.get_running_loop().time()
        if now >= self._next_task_heartbeat:
            self._next_task_heartbeat = now + self._task_heartbeat_seconds
            await self._database.perform(scheduling.HEARTBEAT, values)
        return bool(ending or ((new_runs or new_tasks) and not self.held))

    async def _begin(self, job: int, new_runs: bool) -> None:
        if new_runs and self._may_start(job):
            await self._database.perform(scheduling.CREATE_RUNS, {"job": job})
            await self._database.perform(scheduling.START_RUNS)
        if self._may_start(job):
            await self._database.perform(scheduling.START_TASKS, {"job": job, "region": self._region})

    def _may_start(self, job: int) -> bool:
        return self.job == job and not self.held
