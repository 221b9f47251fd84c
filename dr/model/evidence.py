"""What a step found out or did, as data: goes into the journal, feeds guards and later steps, and every number of a report.

One class per sort of fact; ``Evidence`` is the union, told apart by ``fact``. No secret and no bare hash of one ever goes in here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from dr.model.base import Duration, Frozen, Moment, show_duration
from dr.model.words import FenceState, TaskFate


class Note(Frozen):
    """A plain fact for people, when nothing computes with it."""

    fact: Literal["note"] = "note"
    text: str


class Fenced(Frozen):
    """Whether the old primary can still write. ``proof`` says how we know (process gone and write refused), or what was tried.

    final_position: the last position the old primary wrote, where it was stopped cleanly (PostgreSQL: LSN), else "".
    writes_ended_at: when writes are known to have ended, None when unknown.
    """

    fact: Literal["fenced"] = "fenced"
    component: str
    region: str
    state: FenceState
    proof: str
    final_position: str = ""
    writes_ended_at: Moment | None = None


class RecoveryPoint(Frozen):
    """The newest moment whose data the target holds, read there from its own data, and the position that belongs to it.

    clock_behind: how far the clock of the machine that read it was behind the target's own; None: not asked.
    clock_ahead: how far the old primary's clock was ahead of the target's when both were asked last; taken off already. None: never.
    reason: why there is no moment, or only that of the last heartbeat.
    """

    fact: Literal["recovery-point"] = "recovery-point"
    component: str
    region: str
    read_at: Moment
    recovery_point: Moment | None
    position: str = ""
    complete: bool = Field(False, description="everything the fenced primary ever wrote is here (planned moves)")
    clock_behind: Duration | None = None
    clock_ahead: Duration | None = None
    reason: str = ""


class Promoted(Frozen):
    """The target accepts writes. ``epoch`` is the kind's own growing number (PostgreSQL timeline)."""

    fact: Literal["promoted"] = "promoted"
    component: str
    region: str
    epoch: int | None
    promoted_at: Moment
    fork_position: str = ""


class WriteAccepted(Frozen):
    """A committed write was accepted, read back and belongs to the region.

    route: ``inside`` by address and Host header, ``outside`` through the public name.
    """

    fact: Literal["write-accepted"] = "write-accepted"
    component: str
    region: str
    route: Literal["inside", "outside"]
    names: tuple[str, ...]
    first_at: Moment
    last_at: Moment


class Redirected(Frozen):
    """Public names lead to the region. ``before`` keeps the old answers for undo; ``old_ttl`` is what caches may hold.

    not_reached: servers that hold the old addresses, and why. still_answers: one of them was silent, and may still give them to people.
    """

    fact: Literal["redirected"] = "redirected"
    component: str
    region: str
    names: int
    at: Moment
    old_ttl: Duration
    before: dict[str, tuple[str, ...]]
    not_reached: tuple[str, ...] = ()
    still_answers: bool = False


class TaskCount(Frozen):
    """Tasks in flight and their fates, one each; ``items_path`` is a JSON-lines file with one line a task."""

    fact: Literal["tasks"] = "tasks"
    component: str
    in_flight: int
    fates: dict[TaskFate, int]
    duplicated: int = 0
    items_path: str | None = None


class Healthy(Frozen):
    """How many Deployments work in the region; ``unhealthy`` names the others with the reason."""

    fact: Literal["healthy"] = "healthy"
    component: str
    total: int
    healthy: int
    unhealthy: dict[str, str] = {}


class Identities(Frozen):
    """Identities before and after a move. ``before_taken_at`` tells the age of the snapshot that was kept outside the source.

    contents: names of variables, pools and DAGs that differ. rows: by table of the history, how many rows all Deployments had before.
    fewer: by table of a Deployment, how many rows are missing after; ``fewer_explained``: they may be newer than the recovery point.
    """

    fact: Literal["identities"] = "identities"
    component: str
    checked: int
    changed: tuple[str, ...]
    missing: tuple[str, ...]
    created_later: tuple[str, ...]
    before_taken_at: Moment | None
    before_sha256: str | None
    after_sha256: str
    contents: tuple[str, ...] = ()
    rows: dict[str, int] = {}
    fewer: dict[str, int] = {}
    fewer_explained: bool = False


class Held(Frozen):
    """What was active before the hold, to be put back and nothing more (ids of DAGs by Deployment), and the highest job id then."""

    fact: Literal["held"] = "held"
    component: str
    region: str
    active: dict[str, tuple[str, ...]]
    highest_job: dict[str, int] = {}


class Preserved(Frozen):
    """Acknowledged writes of the old primary that never reached the new one, kept before anything overwrites them (I17).

    ``manifest`` is a file with one line per kept file: SHA-256, bytes, path. ``items`` counts rows or objects; None when not countable.
    """

    fact: Literal["preserved"] = "preserved"
    component: str
    region: str
    at: Moment
    path: str
    manifest: str
    items: int | None
    fork_position: str = ""


class Following(Frozen):
    """The region follows the other one again."""

    fact: Literal["following"] = "following"
    component: str
    region: str
    upstream: str
    how: str


class Accounted(Frozen):
    """What comparing the contents of both sides found. Items are objects, image digests, secrets or certificates: names, never contents.

    region: the side that was judged. missing: not there; differing: there, with other content; conflicts: newer on the judged side, left
    alone; at most ``NAMED`` names each, the totals say how many there are. repaired: brought over in this step. items_path: JSON lines,
    one for each item that is not equal. complete: the other side could be asked, so nothing can be missing from this account.
    """

    fact: Literal["accounted"] = "accounted"
    component: str
    region: str
    at: Moment
    checked: int
    equal: int
    missing: tuple[str, ...] = ()
    missing_total: int = 0
    differing: tuple[str, ...] = ()
    differing_total: int = 0
    conflicts: tuple[str, ...] = ()
    conflicts_total: int = 0
    repaired: int = 0
    complete: bool = True
    items_path: str | None = None


NAMED = 20
"""How many names of each sort an account carries itself."""


class Temporary(Frozen):
    """Something beside the platform that the run changed for its own time only: a lock of deploys, a silence of alerts, a TTL.

    what: one name for each such thing of a component. until: when it ends by itself; None: never. by_hand: the command that puts it back.
    """

    fact: Literal["temporary"] = "temporary"
    component: str
    region: str
    what: str
    text: str
    until: Moment | None = None
    by_hand: str


class PutBack(Frozen):
    """What was temporary is over: it was put back, or is not there any more."""

    fact: Literal["put-back"] = "put-back"
    component: str
    region: str
    what: str
    text: str


class Ttls(Frozen):
    """The TTLs, in seconds by name and type (``a.example.com A``), that a region's name server had before they are lowered."""

    fact: Literal["ttls"] = "ttls"
    component: str
    region: str
    before: dict[str, int]


class TtlLowered(Frozen):
    """From ``at`` on no server that is asked gives the old TTL; caches may hold it for ``old_ttl`` longer."""

    fact: Literal["ttl-lowered"] = "ttl-lowered"
    component: str
    names: int
    at: Moment
    old_ttl: Duration


class Attested(Frozen):
    """What a person said at a gate or an approval, at which step. The identity is claimed unless something proves it."""

    fact: Literal["attested"] = "attested"
    step: str = ""
    actor: str
    proven: bool = False
    text: str = ""


class CommandRan(Frozen):
    """A command of the runbook ran. Only its first words, exit status and the digest of its output are kept: it may print secrets."""

    fact: Literal["command"] = "command"
    program: str
    exit_status: int
    duration: timedelta


class WaitsUntil(Frozen):
    """A step waits until then. It counts on after a pause: what was waited is not waited again."""

    fact: Literal["waits-until"] = "waits-until"
    step: str
    until: Moment


class PredictedLate(Frozen):
    """By the estimates, service is back after the RTO is over. Said once, as soon as it shows: most of the time before it happens."""

    fact: Literal["predicted-late"] = "predicted-late"
    at: Moment
    rto: Duration
    deadline: Moment
    service_back: Moment
    waits_for: str

    def __str__(self) -> str:
        late = show_duration(max(self.service_back - self.deadline, timedelta(0)))
        if self.at >= self.deadline:
            return f"the RTO of {show_duration(self.rto)} is over and service is not back: waiting for {self.waits_for}"
        left = show_duration(self.deadline - self.at)
        predicted = f"service is predicted back {late} after it: waiting for {self.waits_for}"
        return f"{left} before the RTO of {show_duration(self.rto)} is over, {predicted}"


class Sized(Frozen):
    """How much a region had, by group (node groups, services, instances), before a run changed it: what an undo goes back to."""

    fact: Literal["sized"] = "sized"
    component: str
    region: str
    before: dict[str, int]
    wanted: dict[str, int]


class Estimate(Frozen):
    """How long something is expected to take from here, for live prediction."""

    fact: Literal["estimate"] = "estimate"
    remaining: timedelta


Evidence = Annotated[
    Note | Fenced | RecoveryPoint | Promoted | WriteAccepted | Redirected | TaskCount | Healthy | Identities | Held | Preserved
    | Following | Accounted | Temporary | PutBack | Ttls | TtlLowered | Attested | CommandRan | WaitsUntil | PredictedLate
    | Sized | Estimate,
    Field(discriminator="fact"),
]  # fmt: skip
