"""What the emulated Aurora holds of people's writes: the emulator has its clusters, and no rows.

A write is acknowledged where RDS itself, asked after the write had come, calls the region the writer and no move is under way. The other
region has it ``LAG`` later, as the metric says. A managed failover keeps what had arrived there; a switchover waits for all.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.aws.cloud import REGIONS, Cloud

LAG = 0.08
"""Seconds; ``AuroraGlobalDBReplicationLag`` of the seeded platform."""
_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Standing:
    """What RDS says of the global cluster: its writer, whether a move is under way, and whether that one may lose data."""

    writer: str
    moving: bool
    loses: bool


@dataclass
class Write:
    """One, on its way to be acknowledged or refused."""

    region: str
    deployment: str
    id: str
    answered: threading.Event = field(default_factory=threading.Event)
    taken: bool = False


class Database:
    """Committed writes, in groups: one question to RDS (``ask``) for all that came meanwhile. ``lost``: the regions that are, now."""

    def __init__(self, ask: Callable[[], Standing], lost: Collection[str]) -> None:
        self._ask, self._lost = ask, lost
        self._coming: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._held: list[tuple[float, str, str]] = []  # when, Deployment, id
        self._lock = threading.Lock()
        self._standing = ask()
        self._lost_at: dict[str, float] = {}

    def write(self, region: str, deployment: str, identity: str) -> bool:
        """Whether it was committed in this region. Blocks until that is known."""
        write = Write(region, deployment, identity)
        self._coming.put(write)
        return write.answered.wait(5.0) and write.taken

    def writes_in(self, region: str) -> bool:
        """Whether this region took writes when RDS was last asked."""
        return self._standing.writer == region and not self._standing.moving

    def held(self, deployment: str) -> list[str]:
        """The ids of what a Deployment has now."""
        with self._lock:
            return [identity for _, owner, identity in self._held if owner == deployment]

    def lose(self, region: str) -> None:
        """From now on nothing leaves this region any more."""
        with self._lock:
            self._lost_at[region] = time.monotonic()

    def bring_back(self, region: str) -> None:
        """It is there again; who was promoted meanwhile leads."""
        with self._lock:
            self._lost_at.pop(region, None)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Commits for as long as the block lasts."""
        over = threading.Event()
        thread = threading.Thread(target=self._serve, args=(over,), name="database", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            self._coming.put(None)
            thread.join()

    def _serve(self, over: threading.Event) -> None:
        while not over.is_set():
            group: list[Write] = []
            try:
                group += [item for item in (self._coming.get(timeout=_LOOK_SECONDS),) if item is not None]
                while not self._coming.empty():
                    group += [item for item in (self._coming.get_nowait(),) if item is not None]
            except queue.Empty:
                pass  # nobody writes: whether the writer has moved is looked at all the same
            self.commit(group)

    def commit(self, group: list[Write]) -> None:
        """Asks RDS who writes, and takes of the group what that region may take."""
        standing = self._ask()
        with self._lock:
            if standing.writer != self._standing.writer:
                self._moved(self._standing)
            self._standing = standing
            for write in group:
                write.taken = not standing.moving and standing.writer == write.region and write.region not in self._lost
                if write.taken:
                    self._held.append((time.monotonic(), write.deployment, write.id))
        for write in group:
            write.answered.set()

    def _moved(self, before: Standing) -> None:
        """What had not arrived when the old writer was lost, or given up, is not in the new one."""
        lost_at = self._lost_at.get(before.writer)
        if lost_at is None and not before.loses:
            return
        ended = lost_at if lost_at is not None else max((at for at, _, _ in self._held), default=0.0)
        self._held = [item for item in self._held if item[0] <= ended - LAG]


def standing(made: Cloud) -> Standing:
    """What RDS says, asked past the proxies."""
    rds = made.emulator.client("rds", REGIONS[1])
    [whole] = rds.describe_global_clusters(GlobalClusterIdentifier=made.platform.global_cluster)["GlobalClusters"]
    [arn] = [item["DBClusterArn"] for item in whole["GlobalClusterMembers"] if item["IsWriter"]]
    state = whole.get("FailoverState") or {}
    moving = state.get("Status", "pending") != "pending"
    return Standing(next(region for region in REGIONS if f":{region}:" in arn), moving, bool(state.get("IsDataLossAllowed")))
