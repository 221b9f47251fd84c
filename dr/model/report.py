"""What the commands print: ``dr.run/1`` and ``dr.drill/1``.

Every value derives from journal records (I16) or, for ``truth``, from the ledger.

Unknown is ``null`` plus a state, never 0. An unknown RPA or RTA is not met. Moments are UTC; durations are seconds, said in the name.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dr.model.base import Frozen, Json, Moment
from dr.model.evidence import Attested
from dr.model.lag import Finding, RegionView
from dr.model.plan import Acceptance, GuardResult
from dr.model.truth import CleanUp
from dr.model.words import ClockKind, DebtKind, FenceState, Intent, Known, RunOutcome, StepState, Verb


class ObjectiveReport(Frozen):
    """Objectives against actuals. ``rto_met``/``rpo_met`` are null where the run did not get that far."""

    rto_seconds: float
    rta_seconds: float | None
    rta_state: Known
    rto_met: bool | None
    rpo_seconds: float
    rpa_seconds: float | None
    rpa_state: Known
    rpo_met: bool | None


class Stamps(Frozen):
    """The moments that cut the RTA. For planned moves ``outage_began`` is the freeze."""

    outage_began: Moment | None = None
    detected: Moment | None = None
    decided: Moment | None = None
    first_effect: Moment | None = None
    promoted: Moment | None = None
    redirected: Moment | None = None
    propagated: Moment | None = None
    verified: Moment | None = None


class RtaBreakdown(Frozen):
    """Five disjoint parts that sum up to the RTA, in seconds."""

    detect: float | None = None
    decide: float | None = None
    execute: float | None = None
    propagate: float | None = None
    verify: float | None = None


class StepReport(Frozen):
    """One step as it went. ``slack_seconds`` is what was left against its latest finish."""

    id: str
    component: str
    kind: str
    verb: Verb
    title: str
    region: str
    needs: tuple[str, ...]
    state: StepState
    outcome: str | None
    attempts: int
    started_at: Moment | None
    finished_at: Moment | None
    duration_seconds: float | None
    clock: ClockKind
    estimate_seconds: float
    budget_seconds: float
    latest_finish_seconds: float | None
    slack_seconds: float | None
    over_budget: bool
    irreversible: bool
    reason: str


class CriticalPath(Frozen):
    """The chain of steps that decided when the redirect was done, as it went, and their summed duration."""

    steps: tuple[str, ...]
    seconds: float


class GuardReport(GuardResult):
    """What a guard said and who overrode it. ``accept``: the flags that accept what it refuses; empty where nobody can.

    step: the step before whose effect it was asked; null: before the run.
    """

    step: str | None = None


class Debt(Frozen):
    """What is left to be done, and the command that does it. Closed by the facts, never by hand.

    owner: who had the run in hand when it was opened, as claimed; empty where no journal says so. run_id: the run that opened it.
    """

    kind: DebtKind
    component: str
    text: str
    command: str
    since: Moment | None = None
    owner: str = ""
    run_id: str = ""


class ComponentReport(Frozen):
    """RPA of one component at the instant of the disaster."""

    id: str
    kind: str
    rpo_seconds: float
    rpa_seconds: float | None
    rpa_state: Known
    recovery_point: Moment | None
    lag_seconds: float | None
    lag_age_seconds: float | None


class ReadinessReport(Frozen):
    """One component as it was seen when the run was decided: what a failover would have lost, and what stood in its way.

    recovery_point, exposure_seconds: of the newest sample then; null where it was not known, or where the component has no data of its own.
    """

    id: str
    kind: str
    regions: dict[str, RegionView]
    lag_seconds: float | None
    recovery_point: Moment | None
    exposure_seconds: float | None
    rpo_seconds: float
    findings: tuple[Finding, ...]


class AccountedReport(Frozen):
    """What comparing the contents of both sides found at one step: names and totals, never contents.

    ``missing``, ``differing`` and ``conflicts`` name some; the totals say how many there are. unequal: how many were not equal when the
    step ended (found, less what it brought over). complete: the other side could be asked, so nothing can be missing from this account.
    """

    component: str
    kind: str
    region: str
    step: str
    at: Moment
    checked: int
    equal: int
    missing: tuple[str, ...]
    missing_total: int
    differing: tuple[str, ...]
    differing_total: int
    conflicts: tuple[str, ...]
    conflicts_total: int
    repaired: int
    unequal: int
    complete: bool
    items_path: str | None


class FenceReport(Frozen):
    """Whether the old primary could still write. tried: false where a fence was planned and the run did not come to it."""

    state: FenceState
    evidence: str
    tried: bool = True


class DivergenceReport(Frozen):
    """Writes on the old primary that never reached the new one."""

    state: Literal["none", "possible", "preserved"]
    items: int | None = None
    preserved_at: str | None = None


class IdentityReport(Frozen):
    """Identities before and after.

    contents: variables, pools and DAGs that differ. rows: by table of the history, how many rows there were before; fewer: by table of a
    Deployment, how many of them are missing after; fewer_explained: null where none is, true where the recovery point accounts for it.
    """

    checked: int = 0
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    created_later: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()
    rows: dict[str, int] = {}
    fewer: dict[str, int] = {}
    fewer_explained: bool | None = None
    before_taken_at: Moment | None = None
    before_sha256: str | None = None
    after_sha256: str | None = None


class DeploymentReport(Frozen):
    """Deployments that work in the target."""

    total: int = 0
    healthy: int = 0


class TaskReport(Frozen):
    """Tasks in flight: exactly one fate each. Null where the run did not get that far.

    lost: null unless the target is known to hold everything that the old primary wrote (a planned move): tasks that never arrived there
    cannot be counted there. The number known to be lost is 0 then, or what the kind counted.
    """

    in_flight: int | None = None
    requeued: int | None = None
    failed: int | None = None
    lost: int | None = None
    duplicated: int | None = None
    untouched: int | None = None
    finished: int | None = None
    items_path: str | None = None


class RunReport(Frozen):
    """``dr.run/1``."""

    schema_: Literal["dr.run/1"] = Field("dr.run/1", alias="schema", serialization_alias="schema")
    run_id: str
    runbook: str
    intent: Intent
    from_region: str
    to_region: str
    epoch: int
    actors: tuple[str, ...]
    approvals: tuple[Attested, ...]
    acceptances: tuple[Acceptance, ...]
    tool_version: str
    outcome: RunOutcome
    exit_code: int
    reason: str
    hint: str = ""
    plan_hash: str
    journal_path: str
    journal_head: str
    objectives: ObjectiveReport
    stamps: Stamps
    rta_breakdown_seconds: RtaBreakdown
    steps: tuple[StepReport, ...]
    critical_path: CriticalPath
    overhead_seconds: float | None
    point_of_no_return_at: Moment | None
    point_of_no_return_step: str | None = Field(None, description="the first irreversible step that acted, or may have")
    guards: tuple[GuardReport, ...]
    deviations: tuple[str, ...]
    debt: tuple[Debt, ...]
    components: tuple[ComponentReport, ...]
    fence: FenceReport
    divergence: DivergenceReport
    identities: IdentityReport
    deployments: DeploymentReport
    tasks: TaskReport
    accounted: tuple[AccountedReport, ...] = ()
    readiness: tuple[ReadinessReport, ...] = ()


class ExpectationReport(Frozen):
    """One expectation of a scenario: what was expected, what was, whether it was met."""

    name: str
    expected: Json
    actual: Json
    met: bool
    detail: str = ""


class FaultReport(Frozen):
    """One fault: when it was due, and when it took hold."""

    kind: str
    target: str
    at: str
    observed_at: Moment | None


class HostnameReport(Frozen):
    """One public hostname, from outside."""

    hostname: str
    last_ok: Moment | None
    first_fail: Moment | None
    first_ok_after: Moment | None


class TruthReport(Frozen):
    """Seen from outside by an independent client.

    unconfirmed_writes: acknowledged, and their Deployment did not answer when it was asked: neither there nor lost. acknowledged_objects,
    lost_objects: of the log store; null where none runs, lost_objects also where it did not answer.
    """

    outage_seconds: float | None
    acknowledged_writes: int
    lost_writes: int
    unconfirmed_writes: int = 0
    preserved_writes: int | None = None
    acknowledged_objects: int | None = None
    lost_objects: int | None = None
    loss_window_seconds: float
    ledger_path: str
    ledger_sha256: str
    hostnames: tuple[HostnameReport, ...]


class DrillReport(Frozen):
    """``dr.drill/1``."""

    schema_: Literal["dr.drill/1"] = Field("dr.drill/1", alias="schema", serialization_alias="schema")
    scenario: str
    world: str
    seed: int | None = None
    started_at: Moment
    finished_at: Moment
    verdict: Literal["passed", "failed"]
    expectations: tuple[ExpectationReport, ...]
    runs: tuple[RunReport, ...]
    faults: tuple[FaultReport, ...]
    truth: TruthReport | None
    cleanup: CleanUp
    debt: tuple[Debt, ...] = ()
    error: str = ""
