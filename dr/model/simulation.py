"""``dr.simulate/1``: a runbook against many simulated disasters.

Times are those of the simulated world, in seconds, as somebody saw them who stood outside: an RTA runs from the disaster (of a planned
move: from its freeze) until service was verified through public names, an RPA is what of the acknowledged writes was really lost. What
the runs themselves could tell of it is counted beside it (``told_unknown``). Null is unknown, and unknown is never within an objective.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dr.model.base import Frozen
from dr.model.words import Intent


class Distribution(Frozen):
    """What a duration was over many stories: nearest rank, of four digits. ``known`` and ``unknown``: in how many stories it was that."""

    known: int
    unknown: int
    p50_seconds: float | None
    p95_seconds: float | None
    p99_seconds: float | None
    worst_seconds: float | None


class Bin(Frozen):
    """One bar of a histogram: how many stories had a value from ``from_seconds`` to before ``to_seconds``."""

    from_seconds: float
    to_seconds: float
    stories: int


class Share(Frozen):
    """How a set of stories ended.

    completed: the move that was asked for came to its end before everything healed, or after. within_rto, within_rpo, within_both: of all
    stories of the set; those with a violation are in none. told_unknown: reports that could not tell their own RTA or RPA.
    """

    stories: int
    completed: int
    within_rto: int
    within_rpo: int
    within_both: int
    told_unknown: int


class PlotSurvey(Frozen):
    """Stories of one plot. ``plot``: lost, partition, planned, round-trip."""

    plot: str
    share: Share
    rta: Distribution
    rpa: Distribution


class GroupSurvey(Frozen):
    """Stories with at least one fault of a group. ``group``: ``all``, ``none`` (no fault at all), or what faults belong to."""

    group: str
    share: Share
    rta: Distribution
    rpa: Distribution


class StepSurvey(Frozen):
    """One step. ``stories``: in how many it was on the critical path, as it went; ``of``: of how many that had such a path."""

    step: str
    stories: int
    of: int
    share: float


class FaultSurvey(Frozen):
    """One fault: stories with it against those of the same plots without it.

    rta_difference_seconds: by how much the mean RTA was longer with it; null where it is not known with or without.
    missed_with, missed_without: the share of stories that missed the RTO, from 0 to 1.
    """

    fault: str
    group: str
    stories: int
    rta_difference_seconds: float | None
    missed_with: float
    missed_without: float


class GuardSurvey(Frozen):
    """A guard that refused. ``stories``: in how many; ``times``: how often in all."""

    guard: str
    stories: int
    times: int


class DecisionSurvey(Frozen):
    """What a person had to decide: a guard that was accepted, an approval that was given, a run that was taken over."""

    decision: str
    stories: int
    times: int


class SeedReport(Frozen):
    """One story that can be told again. ``why``: what makes it one of the worst. ``command``: tells it step by step."""

    seed: str
    plot: str
    why: str
    rta_seconds: float | None
    rpa_seconds: float | None
    faults: tuple[str, ...]
    command: str


class ViolationReport(Frozen):
    """Something happened that must never happen. ``rule``: I1 to I18, L1, L2, or error: a bug of ``dr``.

    at_seconds: from the disaster. enough: those of its faults that suffice; null where that was not tried. told: what happened last.
    """

    rule: str
    seed: str
    plot: str
    text: str
    at_seconds: float
    faults: tuple[str, ...]
    command: str
    enough: tuple[str, ...] | None = None
    told: str = ""


class Flaw(Frozen):
    """Something in the runbook that a disaster will find, too.

    name: no-fence, unverified-names, unchecked-need, nobody-approves, over-budget, tight-rpo. intents: whose plans have it.
    stories: in how many it showed; of: in how many it could have. lost_seconds: the time that it took on the median, where it takes time.
    """

    name: Literal["no-fence", "unverified-names", "unchecked-need", "nobody-approves", "over-budget", "tight-rpo"]
    component: str
    steps: tuple[str, ...]
    intents: tuple[Intent, ...]
    text: str
    fix: str
    stories: int = 0
    of: int = 0
    lost_seconds: float | None = None


class TimingReport(Frozen):
    """How long simulating took, in real seconds: the only values that differ from one time to the next."""

    wall_seconds: float
    stories_per_second: float


class ToldLine(Frozen):
    """One line of a story. ``at_seconds``: from the disaster; negative before it.

    what: world, fault, person, answer, step, guard, decision, effect, violation, end.
    """

    at_seconds: float
    what: str
    text: str


class SimulateReport(Frozen):
    """``dr.simulate/1``.

    seeds: how many stories were played, ``first_seed`` the first of them; complete: false where it was interrupted. commit: of the source
    tree, null where there is none. learned_steps: how many steps take what they took in earlier runs and drills, not their estimates.
    story: with ``--explain`` the one story that was played, told.
    """

    schema_: Literal["dr.simulate/1"] = Field("dr.simulate/1", alias="schema", serialization_alias="schema")
    tool_version: str
    commit: str | None
    runbook: str
    runbook_path: str
    runbook_sha256: str
    rto_seconds: float
    rpo_seconds: float
    deployments: int
    first_seed: str
    seeds: int
    complete: bool
    learned_steps: int
    faults_known: int
    checkers: int
    exit_code: int
    share: Share
    plots: tuple[PlotSurvey, ...]
    groups: tuple[GroupSurvey, ...]
    rta_histogram: tuple[Bin, ...]
    critical_steps: tuple[StepSurvey, ...]
    faults: tuple[FaultSurvey, ...]
    guards: tuple[GuardSurvey, ...]
    decisions: tuple[DecisionSurvey, ...]
    worst: tuple[SeedReport, ...]
    violations: tuple[ViolationReport, ...]
    violations_total: int
    flaws: tuple[Flaw, ...]
    timing: TimingReport
    story: tuple[ToldLine, ...] = ()
