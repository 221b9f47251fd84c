"""Every enumerated word: the one place where outcomes, states and verbs stand. The documented schema is generated from here."""

from __future__ import annotations

import sys
from enum import StrEnum


class Word(StrEnum):
    """Base of all words: its members are plain attributes of their class, as they are from Python 3.12 on.

    In 3.11 each ``StepState.DONE`` calls a descriptor written in Python (45 ns, now 10): a tenth of the folding of a journal. So does each
    ``.value``, which pydantic asks for whenever it writes a word: 3 % of a simulated story.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if sys.version_info >= (3, 12):
            return
        for name, member in cls.__members__.items():
            type.__setattr__(cls, name, member)
            vars(member)["value"] = member._value_
        type.__setattr__(cls, "value", "")  # no data descriptor any more, so what the member holds itself is found


class Intent(Word):
    """What a run is for."""

    FAILOVER = "failover"
    SWITCHOVER = "switchover"
    FAILBACK = "failback"
    REPROTECT = "reprotect"

    @property
    def planned(self) -> bool:
        """Both sides are healthy and nothing may be lost."""
        return self is Intent.SWITCHOVER or self is Intent.FAILBACK

    @property
    def moves(self) -> bool:
        """The target becomes primary."""
        return self is not Intent.REPROTECT


class Verb(Word):
    """What a step does to its component."""

    LOCK = "lock"
    SILENCE = "silence"
    SNAPSHOT = "snapshot"
    PREPARE = "prepare"
    SCALE = "scale"
    LOWER_TTL = "lower-ttl"
    FREEZE = "freeze"
    DRAIN = "drain"
    FENCE = "fence"
    PROMOTE = "promote"
    RESTART = "restart"
    HOLD = "hold"
    VERIFY_INSIDE = "verify-inside"
    REDIRECT = "redirect"
    PROPAGATE = "propagate"
    VERIFY_OUTSIDE = "verify-outside"
    RECONCILE = "reconcile"
    START = "start"
    CANARY = "canary"
    RELEASE = "release"
    FINGERPRINT = "fingerprint"
    PRESERVE = "preserve"
    FOLLOW = "follow"
    STAND_BY = "stand-by"
    RAISE_TTL = "raise-ttl"
    UNSILENCE = "unsilence"
    UNLOCK = "unlock"
    COMMAND = "command"
    APPROVAL = "approval"
    GATE = "gate"
    CHECK = "check"
    WAIT = "wait"
    NOTIFY = "notify"


class Stage(Word):
    """When people are told: at once, as the promotion begins, with service back, after everything."""

    INVESTIGATING = "investigating"
    FAILING_OVER = "failing-over"
    RESTORED = "restored"
    RESOLVED = "resolved"


class StepState(Word):
    """Where a step stands in a run."""

    PENDING = "pending"
    WAITING_APPROVAL = "waiting-approval"
    RUNNING = "running"
    BACKOFF = "backoff"
    UNKNOWN = "unknown"
    DONE = "done"
    ALREADY = "already"
    SKIPPED = "skipped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNDOING = "undoing"
    UNDONE = "undone"

    @property
    def satisfied(self) -> bool:
        """Steps that wait for this one may go on."""
        return self in SATISFIED

    @property
    def active(self) -> bool:
        """An attempt is under way in some thread."""
        return self in ACTIVE


ACTIVE = (StepState.RUNNING, StepState.UNDOING)
SATISFIED = (StepState.DONE, StepState.ALREADY, StepState.SKIPPED)


class Outcome(Word):
    """How one attempt ended: exactly one of these."""

    DONE = "done"
    ALREADY = "already"
    RETRY = "retry"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


class RunStatus(Word):
    """Where a run stands."""

    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    ROLLING_BACK = "rolling-back"
    ENDED = "ended"


class RunOutcome(Word):
    """How a run ended, or stands when the process that held it ended."""

    COMPLETED = "completed"
    ALREADY = "already"
    REFUSED = "refused"
    FAILED = "failed"
    PAUSED = "paused"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"


class FenceState(Word):
    """What is known of the old primary's ability to write."""

    NOT_NEEDED = "not-needed"
    FENCED = "fenced"
    UNACKNOWLEDGED = "unacknowledged"
    SPLIT_ACCEPTED = "split-accepted"

    @property
    def certain(self) -> bool:
        """It cannot write, with evidence."""
        return self in (FenceState.FENCED, FenceState.NOT_NEEDED)


class Known(Word):
    """How much a measured duration can be relied on: ``bound`` means "at most this"."""

    KNOWN = "known"
    BOUND = "bound"
    UNKNOWN = "unknown"


class Role(Word):
    """What a component is in one region, as observed there."""

    PRIMARY = "primary"
    SECONDARY = "secondary"
    STOPPED = "stopped"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


class Severity(Word):
    """How much a finding matters: an ``error`` refuses, a ``warning`` is shown, ``info`` is for the report."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Guard(Word):
    """A named reason to refuse. What ``acceptable`` allows can be overridden by an acceptance; nothing else can."""

    PRIMARY_HEALTHY = "primary-healthy"
    TARGET_REACHABLE = "target-reachable"
    FENCE = "fence"
    EXPOSURE = "exposure"
    IDENTITIES = "identities"
    PREREQUISITES = "prerequisites"
    REVERSE_REPLICATION = "reverse-replication"
    DIVERGENCE = "divergence"
    NEWEST_COPY = "newest-copy"
    LEASE = "lease"
    BUDGET = "budget"

    @property
    def acceptable(self) -> bool:
        """An acceptance may override it (I4 as recorded split, I6, I7, I13, I14, and a healthy primary with a reason)."""
        return self in (
            Guard.PRIMARY_HEALTHY, Guard.FENCE, Guard.EXPOSURE, Guard.IDENTITIES, Guard.PREREQUISITES, Guard.REVERSE_REPLICATION,
        )  # fmt: skip


class Verdict(Word):
    """What a guard says."""

    PASSED = "passed"
    REFUSED = "refused"
    OVERRIDDEN = "overridden"


class ClockKind(Word):
    """How a duration was measured: inside one process, or as a UTC difference across a crash or another machine."""

    MONOTONIC = "monotonic"
    UTC = "utc"


class TaskFate(Word):
    """What became of a task that was in flight: exactly one for each."""

    REQUEUED = "requeued"
    FAILED = "failed"
    UNTOUCHED = "untouched"
    FINISHED = "finished"
    LOST = "lost"


class DebtKind(Word):
    """What a run leaves to be done."""

    FENCE = "fence"
    REPROTECT = "re-protect"
    DIVERGENCE = "divergence"
    DNS = "dns"
    CLEAN_UP = "clean-up"
    DRIFT = "drift"
