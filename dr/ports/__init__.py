"""What the engine, the monitor and the drill ask of the world: Protocols, with each method's duties. No implementation.

All durations are ``timedelta`` unless the name says seconds. All moments are aware UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

from dr.errors import Transient
from dr.model.by_hand import Question
from dr.model.evidence import Evidence
from dr.model.identity import IdentitySnapshot
from dr.model.lag import Beat, ComponentView, LagSample
from dr.model.plan import Acceptance, StepSpec
from dr.model.runbook import KindConfig, Region, SecretRef
from dr.model.words import Guard, Intent
from dr.ports.stores import Derived as Derived
from dr.ports.stores import Inbox as Inbox
from dr.ports.stores import InboxStore as InboxStore
from dr.ports.stores import Journal as Journal
from dr.ports.stores import JournalStore as JournalStore
from dr.ports.stores import Lease as Lease
from dr.ports.stores import LeaseStore as LeaseStore
from dr.ports.stores import Samples as Samples
from dr.ports.stores import SampleStore as SampleStore

if TYPE_CHECKING:  # what drills need, a status does not load
    from dr.model.scenario import Fault, Workload
    from dr.model.truth import CleanUp, Truth

E = TypeVar("E")


class Clock(Protocol):
    """Time and chance, handed in. ``now`` and ``monotonic`` never disagree within one process: ``now`` is anchored once."""

    def now(self) -> datetime:
        """The current moment, UTC."""

    def monotonic(self) -> float:
        """Seconds since some fixed point; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Blocks the calling thread."""

    def uniform(self, low: float, high: float) -> float:
        """A random number in [low, high]."""


class Mailbox(Protocol[E]):
    """Where other threads leave what happened. ``put`` may be called from a signal handler."""

    def put(self, item: E) -> None:
        """Leaves an item; never blocks."""

    def take(self, seconds: float) -> list[E]:
        """Everything that is there, in order; waits up to so long for a first one. One thread takes."""


class Pool(Protocol):
    """Threads that do jobs, at most so many at once. One thread gives jobs; a job must not raise."""

    def do(self, job: Callable[[], None]) -> None:
        """Starts a job as soon as a thread is free; never blocks."""

    def close(self) -> None:
        """No job is given any more; what is under way goes on."""


class Threads(Protocol):
    """Doing things at the same time, handed in: real threads, or jobs of a simulation in virtual time."""

    def mailbox(self) -> Mailbox[Any]:
        """A new mailbox."""

    def pool(self, most: int, name: str) -> Pool:
        """A new pool."""

    def gather(self, jobs: Sequence[Callable[[], E]], name: str) -> list[E]:
        """All results, in order, of jobs done at the same time; blocks as long as the slowest. Raises what one raises."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a runner looks into its inbox, and renews its lease; in seconds."""

    poll: float = 0.05
    renew: float = 1.0


@dataclass(frozen=True)
class Completed:
    """What a command in a region answered. ``status`` 255: not reachable, nothing is known of an effect."""

    status: int
    out: str
    err: str


class Host(Protocol):
    """A region's hosts."""

    def run(self, argv: Sequence[str], *, timeout: timedelta | None = None, stdin: str | None = None) -> Completed:
        """Runs a command there and waits. Never raises for a non-zero status.

        Raises EffectUnknown when it was started and no answer came in time. May block up to the timeout.
        """


class Secrets(Protocol):
    """Where credential references become values, at the moment of use. Values never enter a model."""

    def get(self, ref: SecretRef) -> str:
        """The value, without trailing newline. Raises CredentialMissing naming the reference."""

    def digest(self, value: str) -> str:
        """A keyed digest (HMAC with this state's own key): comparable here, useless elsewhere."""


@dataclass(frozen=True)
class Site:
    """What every kind is given: the rest of its world.

    peers: the runbook's other components by name, for kinds that build on another (``deployments`` reads ``metadata-db``);
        complete only after construction: look a peer up when it is used, not in ``__init__``.
    artefacts: directory outside the source region for what a step must keep (0700).
    world: where this process acts; what declares its worlds (a command) acts in no other (I12).
    shared: what the components of one provider have in common (connections, budgets of calls), by the provider's name; the first one that
        asks for it makes it.
    """

    runbook: str
    regions: Mapping[str, Region]
    hosts: Mapping[str, Host]
    clock: Clock
    secrets: Secrets
    samples: Samples
    artefacts: Path
    base: Path
    peers: Mapping[str, Kind]
    world: str = "live"
    shared: dict[str, Any] = field(default_factory=dict)


class Look(Enum):
    """What ``observe`` and ``verify`` saw."""

    DONE = "done"
    NEEDED = "needed"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Seen:
    """One look at the world. ``BLOCKED`` needs a reason; ``evidence`` is journaled with the attempt."""

    look: Look
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True)
class AttemptContext:
    """What one attempt of a step may use. ``key`` and ``epoch`` are carried by every effect that can carry them.

    actor: who asked for the run, whoever holds it now.
    evidence: everything found so far in this run, newest last. deadline: ``clock.monotonic()`` value; polls end there.
    cancelled: asked in every poll; True once a person cancelled or the lease was lost. say: one line for the live table.
    may_act: asked right before an effect: the lease is still ours. rpo: of the step's component.
    pausing: asked where a step only waits: True once a person asked for a pause, which should not have to wait for that.
    to_service: how long the plan takes from the start of this step until service is back; None for what comes after that, or unknown.
    """

    run_id: str
    step: StepSpec
    intent: Intent
    source: str
    target: str
    number: int
    key: str
    epoch: int
    actor: str
    clock: Clock
    deadline: float
    rpo: timedelta = timedelta(0)
    evidence: tuple[Evidence, ...] = ()
    acceptances: tuple[Acceptance, ...] = ()
    approved_by: tuple[str, ...] = ()
    outage_began: datetime | None = None
    may_act: Callable[[], bool] = lambda: True
    cancelled: Callable[[], bool] = lambda: False
    pausing: Callable[[], bool] = lambda: False
    to_service: timedelta | None = None
    say: Callable[[str], None] = lambda _text: None

    def found(self, fact: type[E], component: str | None = None) -> E | None:
        """The newest evidence of a class, of one component where named."""
        for item in reversed(self.evidence):
            if isinstance(item, fact) and (component is None or getattr(item, "component", component) == component):
                return item
        return None

    def still_ours(self) -> None:
        """Asked right before an effect that does not follow the start of the act at once: a process may have stood still in between.

        Raises:
            Transient: the lease is not ours any more.
        """
        if not self.may_act():
            raise Transient(f"{self.step.id}: the lease is not ours any more")

    def accepted(self, *guards: Guard) -> bool:
        """A named person accepted what one of these guards refuses."""
        return any(item.guard in guards for item in self.acceptances)


class Operation(Protocol):
    """One step's read, act, read. Called from a worker thread; may block until the deadline; errors are ``StepError`` only.

    Raise ``Transient`` before any effect, ``EffectUnknown`` when the effect may have happened, ``Permanent`` when a person
    must look. Libraries may retry reads by themselves, never an act.
    """

    def observe(self, context: AttemptContext) -> Seen:
        """Reads only. DONE: nothing to do. NEEDED: act. BLOCKED: cannot be done now, with the reason."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The effect. Repeatable with the same key and epoch; conditional on the state that it reads."""

    def verify(self, context: AttemptContext) -> Seen:
        """Reads only. DONE: it holds. NEEDED: not yet (asked again until the deadline). BLOCKED: it went wrong."""

    def undo(self, context: AttemptContext) -> None:
        """Takes the effect back; only called where the spec says ``undoable``. Repeatable."""

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Keeps what ``act`` would destroy; called before it. Returns () where nothing is destroyed.

        ``context`` has what earlier attempts found, for that is journaled. Raise ``Transient`` where the act must not come before what
        this one found is, too: it is journaled as the attempt ends, and the next one acts.
        """


@dataclass(frozen=True)
class Step:
    """A spec with the operation that performs it. ``needs`` of the spec name steps of the same component only;
    edges between components are the planner's."""

    spec: StepSpec
    operation: Operation


class LagProbe(Protocol):
    """What the monitor asks of a component."""

    def beat(self, region: str) -> Beat | None:
        """Writes one heartbeat on the primary; None where the kind has none. Bounded: at most about a second. Never raises."""

    def sample(self, primary: str | None) -> LagSample:
        """Reads lag and recovery point in the secondary. Bounded, never raises: what cannot be read is ``unknown`` with the reason."""


class Kind(LagProbe, Protocol):
    """A sort of component. One instance per component and process; methods may be called from several threads.

    Constructing opens nothing. Class docstring: what it protects, what it needs.
    """

    kind: ClassVar[str]
    Config: ClassVar[type[KindConfig]]

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        """Keeps the arguments. Raises UsageError where the settings contradict each other or name what is not in the runbook."""

    def view(self) -> ComponentView:
        """The component as observed now, all regions at once, with readiness findings. Bounded (about 2 s), never raises."""

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. Pure: no I/O, the same arguments give the same ids."""

    def warm(self, target: str) -> None:
        """Opens connections and imports what a run will need, before the run. May fail silently: it is a head start only."""

    def close(self) -> None:
        """Closes connections; safe to call twice."""


class IdentitySource(Protocol):
    """A kind that knows who the Deployments are."""

    def identities(self, region: str) -> IdentitySnapshot:
        """Reads them in a region now. Raises StepError."""


@runtime_checkable
class Questioned(Protocol):
    """A kind of which a person can ask, without ``dr``, which region is the primary and what it holds."""

    def question(self, region: str) -> Question:
        """The commands. Pure: no I/O."""


@runtime_checkable
class Watching(Protocol):
    """A kind that says what its view and its sample may do, for the role of the monitor."""

    def rights(self) -> Sequence[str]:
        """As ``StepSpec.permissions``. Pure: no I/O."""


class World(Protocol):
    """Where a drill happens: a lab of real servers, a simulation. Deny by default: acts reach nothing outside it (I12)."""

    name: ClassVar[str]

    def up(self, workload: Workload) -> None:
        """Starts everything, seeds the workload, waits until both regions and the outside client are healthy. Raises LabError."""

    def inject(self, fault: Fault) -> datetime:
        """Makes one fault happen; returns when it took hold (UTC). Raises LabError."""

    def settle(self, timeout: timedelta) -> None:
        """Waits until every hostname has accepted a write again and the client has seen it, or the time is over."""

    def truth(self) -> Truth:
        """What the independent client saw; computed from its ledger and what the platform now answers to it, from nothing else."""

    def down(self) -> CleanUp:
        """Ends everything it started, on success and on failure alike; names what it could not."""


class BroughtWorld(World, Protocol):
    """A world that a package brings, under the entry point group ``dr.worlds``: it says what is drilled there, and how it is reached.

    What the processes of such a drill inherit is not the person's environment but ``environment``: no credential and no address of
    somebody's own platform comes along by chance (I12).
    """

    def runbook(self) -> Path:
        """The runbook of the platform that ``up`` makes: the scenario's own, or that with its names filled in. Known before ``up``."""

    def environment(self) -> Mapping[str, str]:
        """What the processes of operators and monitor need to reach this world. Asked when it is up."""


class WorldFactory(Protocol):
    """What an entry point of the group ``dr.worlds`` names."""

    def __call__(self, scenario: Path, runbook: Path, folder: Path) -> BroughtWorld:
        """A world for one drill; starts nothing, touches nothing.

        Args:
            scenario: its file, read without a mistake.
            runbook: the one that it names.
            folder: this drill's own, for whatever the world writes; it is not there yet.

        Raises:
            FileError, Refused: the scenario wants what this world cannot have, or a runbook that reaches beyond it (I12).
        """


class Operator(Protocol):
    """A process at whose keyboard the drill types; it is a real process, so it can be killed."""

    def type(self, argv: Sequence[str]) -> None:
        """Starts one ``dr`` command in it; returns at once."""

    def kill(self) -> None:
        """SIGKILL."""

    def wait(self, timeout: timedelta) -> tuple[int, str]:
        """Exit status of the command and what it printed on stdout. Raises LabError on time-out."""


@dataclass
class Progress:
    """What a host tells a viewer, live. Not journaled."""

    step: str
    text: str
    at: float = 0.0
    extra: Mapping[str, str] = field(default_factory=dict)
