"""The simulated world as the world of a drill (``ports.World``): started for it, broken by it, judged from outside, ended with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from dr.model.scenario import Fault, Workload
from dr.model.truth import CleanUp, Truth
from dr.ports import Clock
from dr.providers.sim.aws.traffic import Everywhere, Platform
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.furniture import PARTS
from dr.providers.sim.names import Names
from dr.providers.sim.objects import Objects, called, count
from dr.providers.sim.process import Process
from dr.providers.sim.world import Store
from dr.simulate.client import OutsideClient, Write
from dr.simulate.hits import Hits
from dr.simulate.stage import Stage

_LOOK_SECONDS = 0.1
_WARM = 1.0
"""Seconds that everything runs before a world counts as started."""


@dataclass(frozen=True)
class Ledger:
    """What the client, the agent and the shippers of logs know, and what the platform answers in the end: all that truth follows from.

    polls: when the agent was answered, in seconds of the world, and by whom. present: by Deployment, the ids of the writes that it has;
    None: it does not answer. preserved: likewise, of what was kept of an old primary; None where nothing was. objects: how many the
    shippers had acknowledged, and the names of those that cannot be read; None where there are none, or nobody can say.
    """

    writes: Sequence[Write]
    polls: Sequence[tuple[float, str]]
    hostnames: Mapping[str, Sequence[str]]
    present: Mapping[str, frozenset[str] | None]
    preserved: Mapping[str, frozenset[str]] | None
    digest: str
    objects: tuple[int, tuple[str, ...]] | None = None


class SimDrillWorld:
    """Two regions in memory and virtual time.

    Args:
        stage: the world, empty yet.
        clock: of the drill.
        furnish: makes the stores of a workload, by component.
        people: the public names of the n-th Deployment, remote execution last.
        rate: writes a second through each name, by how many Deployments there are.
        reckon: the truth that follows from a ledger.
    """

    name: ClassVar[str] = "sim"

    def __init__(
        self, stage: Stage, clock: Clock, own: Process, *, furnish: Callable[[Workload], Mapping[str, Store]],
        rate: Callable[[int], float], reckon: Callable[[Ledger], Truth],
    ) -> None:  # fmt: skip
        self._stage, self._clock, self._own = stage, clock, own
        self._furnish, self._rate, self._reckon = furnish, rate, reckon
        self._client: OutsideClient | None = None
        self._hits: Hits | None = None

    def up(self, workload: Workload) -> None:
        """Furnishes the world and lets it run for a moment."""
        world = self._stage.world
        world.stores.update(self._furnish(workload))
        names = next(store for store in world.stores.values() if isinstance(store, Names))
        made = next((store for store in world.stores.values() if isinstance(store, Deployments)), None)
        served = names.platform if made is None and isinstance(names, Everywhere) else None
        assert made is not None or served is not None, "``hits.beyond`` refuses a scenario in which nobody takes writes"
        ids = made.ids if made is not None else [f"d-{number:03d}" for number in range(1, 1 + max(1, len(names.hostnames) // len(PARTS)))]
        ttl = workload.ttl.total_seconds()
        names.ttl, names.ttls = ttl, dict.fromkeys(names.ttls, ttl)
        keeps = None if workload.client_caches is None else workload.client_caches.total_seconds()
        hostnames = _shared_out(names.hostnames, ids)
        self._client = OutsideClient(world, made or served or Platform(), names, hostnames, self._rate(workload.deployments), keeps)
        self._hits = Hits(world, self._client)
        self._clock.sleep(_WARM)

    def inject(self, fault: Fault) -> datetime:
        """Makes one fault happen; at once. Raises UsageError: this world has no such part."""
        assert self._hits is not None and self._client is not None, "a world is up before anything strikes it"
        self._hits.strike(fault)
        self._client.look()
        return self._clock.now()

    def settle(self, timeout: timedelta) -> None:
        """Waits until every name has accepted a write that was sent after now, or the time is over."""
        assert self._client is not None, "a world is up before it settles"
        since = self._stage.world.now
        while not self._client.settled(since) and self._stage.world.now < since + timeout.total_seconds():
            self._clock.sleep(_LOOK_SECONDS)

    def truth(self) -> Truth:
        """What the outside client saw, and what follows from it."""
        client = self._client
        assert client is not None, "a world is up before it is judged"
        self._stage.world.settle()
        writes: dict[str, list[Write]] = {item: [] for item in client.hostnames}
        for write in client.writes():
            writes[write.deployment].append(write)
        every = [write for own in writes.values() for write in own]
        kept = {item: client.preserved(own) for item, own in writes.items()}
        ledger = Ledger(
            every, list(client.polls()), client.hostnames, {item: client.there(item, own) for item, own in writes.items()},
            {item: ids for item, ids in kept.items() if ids is not None} or None, _digest(every), self._shipped(client),
        )  # fmt: skip
        return self._reckon(ledger)

    def down(self) -> CleanUp:
        """Ends every process of the world but the drill's own; names those that are still there."""
        for process in self._stage.processes:
            if process.alive and process is not self._own:
                process.kill()
        left = [process.name for process in self._stage.processes if process.alive and process is not self._own]
        return CleanUp(leftovers=tuple(left))

    def _shipped(self, client: OutsideClient) -> tuple[int, tuple[str, ...]] | None:
        """What became of the log objects: those that cannot be read where the platform is led to now are lost."""
        store = next((item for item in self._stage.world.stores.values() if isinstance(item, Objects)), None)
        region = client.led_to
        if store is None or region is None:
            return None
        lost = [name for other in store.regions if other != region for name in called(store.missing(other, region), other)]
        return sum(count(pieces) for pieces in store.written.values()), tuple(lost)


def _shared_out(hostnames: Sequence[str], ids: Sequence[str]) -> dict[str, Sequence[str]]:
    """Which names belong to which Deployment: equally many, in their order."""
    each = len(hostnames) // len(ids)
    return {item: hostnames[number * each : (number + 1) * each] for number, item in enumerate(ids)}


def _digest(writes: Sequence[Write]) -> str:
    """SHA-256 of the ledger, one line a write."""
    total = hashlib.sha256()
    for write in writes:
        total.update(json.dumps(write, separators=(",", ":")).encode() + b"\n")
    return total.hexdigest()
