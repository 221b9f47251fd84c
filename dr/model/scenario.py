"""A scenario: a world, a workload, faults and acts on a time line or at an event of a run, and expectations that can fail."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from dr.model.base import Duration, Frozen
from dr.model.words import Intent, RunOutcome


class Workload(Frozen):
    """What the platform holds and does when the disaster comes. ``warm_up``: how long it runs before the time line starts."""

    deployments: int = Field(5, ge=1, le=500)
    running_tasks: int = Field(60, ge=0, le=100_000)
    warm_up: Duration = timedelta(seconds=2)
    parts: tuple[Literal["logs", "images", "secrets", "alerts"], ...] = Field((), description="beside database, names, Deployments")
    log_objects: int = Field(200, ge=0, le=100_000, description="objects in the log store at the start, where logs run")
    images: int = Field(10, ge=1, le=10_000, description="image digests in the registry, where images run")
    secrets: int = Field(20, ge=0, le=10_000, description="secrets beside those of the Deployments, where secrets run")


FAULTS = ("kill", "freeze", "thaw", "cut", "link", "bring_back", "spoil")
"""The fields of a fault that say what happens."""


class Target(Frozen):
    """What a fault hits: a whole region, one server of a region, the link between the regions, or the orchestrator."""

    region: str | None = None
    server: str | None = Field(None, description="postgres, dns, runtime, agent, or a server of an extra part")
    process: Literal["orchestrator"] | None = None


class LinkFault(Frozen):
    """What the link between the regions does from now on. Everything unset is as on a healthy link."""

    delay: Duration | None = None
    bytes_per_second: int | None = Field(None, gt=0)
    blackhole: bool = False
    reset: bool = Field(False, description="cut all open connections now")


class Spoil(Frozen):
    """Something of a region's contents that is not as it should be. ``what``: see the lab's parts; an unknown word is refused."""

    region: str
    what: str = Field(description="for example image-missing, secret-undecryptable, certificate-expired")


class Fault(Frozen):
    """One fault, at a time of the time line (from the end of the warm-up) or at an event of a run.

    ``on``: ``STEP.started``, ``STEP.done``, ``STEP.waiting``, ``run.started``, ``run.paused``, ``run.ended`` (the same with the
    intent: ``failover.ended``), ``gate.waiting``, ``orchestrator.killed``.
    ``after``: how long after that event. Exactly one of the fault fields is set.
    """

    at: Duration | None = None
    on: str | None = None
    after: Duration = timedelta(0)
    kill: Target | None = None
    freeze: Target | None = None
    thaw: Target | None = None
    cut: Target | None = Field(None, description="the region stays alive but its hosts cannot be reached for commands")
    link: LinkFault | None = None
    bring_back: Target | None = Field(None, description="start what was killed; the old primary comes back writable")
    spoil: Spoil | None = None

    @property
    def kind(self) -> str:
        """The name of the one fault field that is set."""
        return next(name for name in FAULTS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(getattr(self, name) is not None for name in FAULTS) != 1:
            raise ValueError(f"expected exactly one of {', '.join(FAULTS)}")
        if (self.at is None) == (self.on is None):
            raise ValueError("expected exactly one of at: DURATION or on: EVENT")
        if self.after and self.on is None:
            raise ValueError("expected after: DURATION only beside on: EVENT")
        return self


class Act(Frozen):
    """What a person does: start a run, or answer one (approve, skip, resume, pause, cancel). When: as for faults."""

    at: Duration | None = None
    on: str | None = None
    after: Duration = timedelta(0)
    intent: Intent | None = None
    to: str | None = None
    command: Literal["resume", "pause", "cancel", "status"] | None = None
    approve: str | None = None
    skip: str | None = None
    accept_data_loss: str | None = Field(None, description="a duration, or unknown")
    accept_split: bool = False
    accept: tuple[str, ...] = ()
    reason: str = ""
    actor: str = "on-call"

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(item is not None for item in (self.intent, self.command, self.approve, self.skip)) != 1:
            raise ValueError("expected exactly one of intent, command, approve, skip")
        if (self.at is None) == (self.on is None):
            raise ValueError("expected exactly one of at: DURATION or on: EVENT")
        if self.after and self.on is None:
            raise ValueError("expected after: DURATION only beside on: EVENT")
        return self


class Expect(Frozen):
    """What must be true in the end. Only what is written is checked; each line can fail.

    Of several runs, ``outcome``, ``exit_code``, ``rta`` and ``rpa`` are those of the last one; ``exit_codes`` are of all acts in order.
    ``rta``/``rpa``: at most. ``min_lost_writes``: the disaster must really have cost something. ``refused_by``: the guard's name.
    """

    outcome: RunOutcome | None = None
    exit_code: int | None = None
    exit_codes: tuple[int, ...] | None = None
    rta: Duration | None = None
    rpa: Duration | None = None
    rta_matches_truth: bool | None = None
    rpa_not_below_truth: bool | None = None
    outage: Duration | None = None
    lost_writes: int | None = None
    min_lost_writes: int | None = None
    max_lost_writes: int | None = None
    identities: Literal["preserved"] | None = None
    lost_tasks: int | None = None
    duplicated_tasks: int | None = None
    primary: str | None = None
    fence: str | None = None
    refused_by: str | None = None
    runs: int | None = None
    rto_met: bool | None = None
    rpo_met: bool | None = None
    divergence_preserved: bool | None = None
    agent_continues: bool | None = None


class Scenario(Frozen):
    """One file of ``scenarios/``. ``timeline`` and ``acts`` are merged by time; ``settle`` is waited for after the last act."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    title: str = ""
    runbook: str
    world: Literal["lab", "sim"]
    workload: Workload = Workload()
    timeline: tuple[Fault, ...] = ()
    acts: tuple[Act, ...] = Field(min_length=1)
    expect: Expect
    time_limit: Duration = timedelta(minutes=5)
