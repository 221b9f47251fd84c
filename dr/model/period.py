"""What ``dr report`` prints: ``dr.report/1``, every run and drill of a period and how replication stood meanwhile.

Every figure derives from journal records, lag samples or kept records of drills, and says how many of them (I16). Moments are UTC,
``to_at`` is the first one that does not belong to the period. Unknown is ``null`` or a figure of its own, never 0 and never inside an
objective.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dr.model.base import Frozen, Moment
from dr.model.evidence import Attested
from dr.model.plan import Acceptance
from dr.model.report import ComponentReport, Debt, GuardReport, ObjectiveReport
from dr.model.words import Intent, RunOutcome


class LagSlot(Frozen):
    """One of the equal parts that a period is drawn in: its worst exposure and lag, and how much of it no fresh sample speaks for."""

    start: Moment
    samples: int
    unknown_seconds: float
    worst_exposure_seconds: float | None
    worst_lag_seconds: float | None


class ReplicationReport(Frozen):
    """How one component stood against its RPO over the period, from its lag samples.

    A sample speaks from its moment until the next one, at most for 30 s. inside_seconds, above_seconds: time for which the exposure (moment
    of the sample − recovery point) was within the RPO, or above it; null where no RPO is known. unknown_seconds: the rest of
    ``covered_seconds``: no sample, a stale one, or one that could not be read. The three add up. Shares are of covered_seconds.
    covered_seconds: the period, as far as it lies in the past. samples: how many were taken in it. rpo_from: who says the RPO.
    summed: samples are older than the monitor keeps them one by one, so that in part the worst one of a minute speaks for the minute.
    """

    runbook: str
    component: str
    rpo_seconds: float | None
    rpo_from: str
    samples: int
    summed: bool
    covered_seconds: float
    inside_seconds: float | None
    above_seconds: float | None
    unknown_seconds: float
    inside_share: float | None
    above_share: float | None
    unknown_share: float
    worst_exposure_seconds: float | None
    worst_exposure_at: Moment | None
    worst_lag_seconds: float | None
    worst_lag_at: Moment | None
    slots: tuple[LagSlot, ...]


class PeriodRun(Frozen):
    """One run that started in the period; ``dr runs RUN`` has every step of it.

    records: journal records it is told from, the chain over them verified; journal_head is the hash of the last one.
    debt_opened: what this run itself left to be done. open: which of it is open still is in the report's ``debt``.
    """

    run_id: str
    runbook: str
    intent: Intent
    from_region: str
    to_region: str
    started_at: Moment
    ended_at: Moment | None
    outcome: RunOutcome
    exit_code: int
    reason: str
    objectives: ObjectiveReport
    components: tuple[ComponentReport, ...]
    actors: tuple[str, ...]
    approvals: tuple[Attested, ...]
    acceptances: tuple[Acceptance, ...]
    guards: tuple[GuardReport, ...]
    deviations: tuple[str, ...]
    debt_opened: tuple[Debt, ...]
    steps: int
    steps_failed: int
    steps_skipped: int
    tool_version: str
    plan_hash: str
    records: int
    journal_head: str


class BrokenRun(Frozen):
    """A run of which nothing is told, because its journal cannot be trusted. ``problem``: the first record that does not hold."""

    run_id: str
    runbook: str
    started_at: str
    problem: str


class DrillRun(Frozen):
    """One run of a drill, as its kept record tells it.

    journal: ``verified``: its journal is there, the chain holds and ends with this head; ``gone``: only the newest drills keep theirs;
    ``broken``: it is there and does not hold, or ends otherwise. records: of that journal's run, null where it is gone.
    """

    run_id: str
    intent: Intent
    outcome: RunOutcome
    exit_code: int
    objectives: ObjectiveReport
    deviations: tuple[str, ...]
    journal_head: str
    journal: Literal["verified", "gone", "broken", "none"]
    records: int | None
    problem: str = ""


class PeriodDrill(Frozen):
    """One drill that started in the period: what it proved, in which world, over what.

    world: ``lab``: real servers on one machine; ``sim``: simulated; ``live``: the user's own platform. components, deployments: what its
    runs had to do with. record: the kept file this is told from, sha256: its digest.
    """

    scenario: str
    world: str
    runbook: str
    started_at: Moment
    finished_at: Moment
    verdict: Literal["passed", "failed"]
    error: str
    intents: tuple[Intent, ...]
    faults: tuple[str, ...]
    components: tuple[str, ...]
    deployments: int
    expectations: int
    unmet: tuple[str, ...]
    outage_seconds: float | None
    acknowledged_writes: int | None
    lost_writes: int | None
    unconfirmed_writes: int | None
    cleaned_up: bool
    runs: tuple[DrillRun, ...]
    record: str
    sha256: str


class OwedDebt(Debt):
    """Debt that was open at the end of the period. ``open``: it still was when the report was written."""

    runbook: str
    open: bool


class JournalReport(Frozen):
    """The journal that runs are told from. ``verified``: every chain that this report uses holds; ``problems`` are said where not."""

    path: str
    runs: int
    records: int
    verified: bool
    problems: tuple[str, ...]


class PeriodReport(Frozen):
    """``dr.report/1``. ``runbook``: only what concerns this one; null: everything in the state directory.

    debt: open at the end of the period, oldest first. unreadable: kept records of drills that are none.
    """

    schema_: Literal["dr.report/1"] = Field("dr.report/1", alias="schema", serialization_alias="schema")
    tool_version: str
    written_at: Moment
    state_directory: str
    from_at: Moment
    to_at: Moment = Field(description="the first moment that does not belong to the period")
    runbook: str | None
    journal: JournalReport
    replication: tuple[ReplicationReport, ...]
    runs: tuple[PeriodRun, ...]
    broken: tuple[BrokenRun, ...]
    drills: tuple[PeriodDrill, ...]
    unreadable: tuple[str, ...]
    debt: tuple[OwedDebt, ...]
    exit_code: int
