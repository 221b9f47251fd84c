"""A scenario: a world, a workload, faults and acts on a time line or at an event of a run, and expectations that can fail."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from dr.model.base import Duration, Frozen
from dr.model.runbook import NAME
from dr.model.words import Intent, Known, RunOutcome


class Workload(Frozen):
    """What the platform holds and does when the disaster comes. ``warm_up``: how long it runs before the time line starts."""

    deployments: int = Field(5, ge=1, le=500)
    running_tasks: int = Field(60, ge=0, le=100_000)
    warm_up: Duration = timedelta(seconds=2)
    parts: tuple[Literal["logs", "images", "secrets", "alerts"], ...] = Field((), description="beside database, names, Deployments")
    log_objects: int = Field(200, ge=0, le=100_000, description="objects in the log store at the start, where logs run")
    images: int = Field(10, ge=1, le=10_000, description="image digests in the registry, where images run")
    secrets: int = Field(20, ge=0, le=10_000, description="secrets beside those of the Deployments, where secrets run")
    ttl: Duration = Field(timedelta(seconds=1), ge=timedelta(seconds=1), description="of the public names, in whole seconds")
    client_caches: Duration | None = Field(None, description="how long the outside client keeps an address; none: as long as its TTL says")


FAULTS = ("kill", "freeze", "thaw", "cut", "link", "bring_back", "spoil", "slow")
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


class Slow(Frozen):
    """A server whose capacity comes late: it takes no writes before ``by`` has passed since its database could take them."""

    region: str
    server: Literal["runtime"]
    by: Duration


class Fault(Frozen):
    """One fault, at a time of the time line (from the end of the warm-up) or at an event of a run.

    ``on``: ``STEP.started``, ``STEP.done``, ``STEP.waiting``, ``run.started``, ``run.paused``, ``run.ended`` (the same with the
    intent: ``failover.ended``, ``failback:STEP.started``), ``gate.waiting``, ``orchestrator.killed``.
    ``after``: how long after that event. Exactly one of the fault fields is set.
    """

    at: Duration | None = None
    on: str | None = None
    after: Duration = timedelta(0)
    kill: Target | None = None
    freeze: Target | None = None
    thaw: Target | None = None
    cut: Target | None = Field(None, description="the region lives, but no command reaches its hosts and nothing goes through its door")
    link: LinkFault | None = None
    bring_back: Target | None = Field(None, description="start what was killed; the old primary comes back writable")
    spoil: Spoil | None = None
    slow: Slow | None = None

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
    """What a person does: start a run, or answer one (approve, skip, resume, pause, cancel). When: as for faults.

    ``at_once``: typed at a second keyboard although an earlier command still holds a run; else a person waits for the prompt.
    """

    at: Duration | None = None
    on: str | None = None
    after: Duration = timedelta(0)
    at_once: bool = False
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
    ``exit_codes_any_order``: of all acts, smallest first, whoever came first. ``says``: each text stands in what the runs report
    (reason, hint, guards, deviations, debt) or what a command printed; ``{run}`` is the first run's id. ``promotions``: how many
    promotions took effect, over all runs. ``divergence_matches_truth``: the acknowledged writes that were lost are the ones that
    were preserved, all of them, and the run counted no fewer. ``rta_below_truth``: the client saw a longer outage than was reported.
    ``lost_objects``: of the log store, as for writes. ``lost_objects_named``: the runs name lost objects, and none that is not lost.
    ``min_repaired``: so many items at least (objects, images, secrets) were brought over by comparing, over all runs.
    ``unequal``: items that were not equal in the last account of a component's contents in a run, over all runs. ``counts``: each run that
    completed counted as many identities, and as many items of each component, as those before it; of objects, which are shipped all
    the time, no fewer, wherever both sides could be asked; and what a run of one intent accounted for, each of that intent did.
    ``healthy``: Deployments that work in the target, as the last run counts them. ``rpa_known``: whether the RPA is known, a bound or
    unknown; as all of RTA and RPA, of the last run that moved. ``warned_in_time``: a miss of the RTO was said, and journaled, before the
    RTO was over. ``waited_for``: at each of these steps the last run waited at least so long for a person, somebody answered, and nothing
    that needs the step began before.
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
    lost_objects: int | None = None
    min_lost_objects: int | None = None
    max_lost_objects: int | None = None
    lost_objects_named: bool | None = None
    min_repaired: int | None = None
    unequal: int | None = None
    counts: Literal["equal"] | None = None
    identities: Literal["preserved"] | None = None
    healthy: int | None = None
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
    exit_codes_any_order: tuple[int, ...] | None = None
    says: tuple[str, ...] | None = None
    promotions: int | None = None
    divergence_matches_truth: bool | None = None
    rta_below_truth: bool | None = None
    warned_in_time: bool | None = None
    rpa_known: Known | None = None
    waited_for: dict[str, Duration] | None = None


class Scenario(Frozen):
    """One file of ``scenarios/``. ``timeline`` and ``acts`` are merged by time; ``settle`` is waited for after the last act.

    world: where it is played unless a person says otherwise; which ones there are, the reader of the file knows.
    repeat: time line and acts are played so often in a row, in one world; expectations are of all of them, ``time_limit`` is of each.
    """

    name: str = Field(pattern=NAME)
    title: str = ""
    runbook: str
    world: str = Field(pattern=NAME, description="lab, sim, or a world that a package brings")
    workload: Workload = Workload()
    timeline: tuple[Fault, ...] = ()
    acts: tuple[Act, ...] = Field(min_length=1)
    expect: Expect
    time_limit: Duration = timedelta(minutes=5)
    repeat: int = Field(1, ge=1, le=100)
