"""The people beside who is on call: they say yes when they are asked; at night it takes them a while to wake up, or the whole night."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from dr.model.events import Approved, Resumed, RunEnded, RunStarted, StepEnded, StepStarted, Turned
from dr.model.plan import Plan
from dr.model.runbook import Runbook
from dr.model.scenario import Act
from dr.providers.sim.process import chance
from dr.simulate.disk import StoredRun
from dr.simulate.stage import Stage
from dr.simulate.story import Story

_EVERY = 10.0
"""Seconds between two looks at what waits."""
_AWAKE, _ASLEEP = (5.0, 60.0), (60.0, 1200.0)
"""Seconds, least and most, until somebody answers: at a planned move, and at 02:40."""
_STILL = 300.0
"""So many seconds after its last record a run that asks for somebody waits for nothing else."""


def asked(runbook: Runbook) -> bool:
    """Whether any run of it waits for somebody's word."""
    counts = runbook.approvals
    own = any(component.kind in ("approval", "gate") for component in runbook.components.values())
    return own or any((counts.failover, counts.switchover, counts.failback, counts.reprotect))


@dataclass
class Colleagues:
    """All of them, as one job. Nobody answers while the stage says so; once everything has healed, they sit at their desks, but in a night
    in which nobody wakes up: then the story ends as soon as all has healed and a run waits for nothing but them."""

    stage: Stage
    story: Story
    _seen: tuple[str, int, float] = ("", 0, 0.0)
    _ended: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Looks, and answers, for ever."""
        stage, loop = self.stage, self.stage.loop
        delay = chance(self.story.seed, "colleagues").uniform(*(_AWAKE if self.story.plot == "planned" else _ASLEEP))
        since: dict[str, float] = {}
        while True:
            loop.sleep(_EVERY)
            if self.story.alone:
                stage.left_waiting = self._left()
                continue
            for run_id, number, step in list(self._waiting()):
                first = since.setdefault(run_id, loop.now)
                if stage.healed or loop.now >= max(first + delay, stage.nobody_until):
                    act = Act(at=timedelta(0), approve=step, actor=f"colleague-{number}", reason="asked by phone, agreed")
                    stage.wait_for(stage.type(act, run_id=run_id, machine="elsewhere"), self.story.ends)

    def _waiting(self) -> Iterator[tuple[str, int, str]]:
        """Run, number and id of every step of the run under way that nobody has answered yet."""
        run = self._under_way()
        if run is None:
            return
        plan: Plan | None = None
        answered: set[str] = set()
        try:
            for record in run.records:
                event = record.event
                if isinstance(event, (RunStarted, Turned)):
                    plan = event.plan
                elif isinstance(event, Approved):
                    answered.add(event.step)
        except ValueError:  # the journal is damaged: nobody can see what is asked
            return
        asking = [step.id for step in plan.steps if step.approval] if plan is not None else []
        yield from ((run.run_id, number, step) for number, step in enumerate(asking, start=1) if step not in answered)

    def _under_way(self) -> StoredRun | None:
        """The newest run that has not ended: one that began after it, and was refused, asks for nobody."""
        for run in reversed(self.stage.disk.runs.values()):
            if run.run_id not in self._ended:
                try:
                    over = any(isinstance(record.event, RunEnded) for record in run.records)
                except ValueError:  # the journal is damaged
                    over = False
                if not over:
                    return run
                self._ended.add(run.run_id)
        return None

    def _left(self) -> tuple[str, tuple[str, ...]] | None:
        """The run that will stand where it stands until the morning, and what it asks: a process holds it, and has nothing to do."""
        stage, run = self.stage, self._under_way()
        lease = stage.disk.leases.get(stage.runbook.name)
        if not stage.healed or run is None or lease is None or lease.released or lease.run_id != run.run_id or not lease.process.alive:
            return None
        if self._seen[:2] != (run.run_id, len(run.records)):
            self._seen = run.run_id, len(run.records), stage.loop.now
        asked = tuple(step for _run, _number, step in self._waiting())
        if not asked or stage.loop.now - self._seen[2] < _STILL:
            return None
        under = set[str]()
        for record in run.records:
            match record.event:
                case StepStarted(step=step):
                    under.add(step)
                case StepEnded(step=step):
                    under.discard(step)
                case Resumed():
                    under.clear()
        return None if under else (run.run_id, asked)
