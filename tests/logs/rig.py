"""Two real log stores (SeaweedFS) that replicate into each other, apart from the lab's addresses and state."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from dr.lab import credentials
from dr.lab.account import as_account, own, servers_account
from dr.lab.extras import log_objects, weed
from dr.lab.extras.weed import WeedServer
from dr.lab.layout import Layout, RegionLayout
from dr.lab.platform.s3 import StoreConnection
from dr.model.evidence import Evidence
from dr.model.identity import IdentitySnapshot
from dr.model.lag import Beat, LagSample
from dr.model.runbook import Region
from dr.model.words import Intent, Verb
from dr.ports import AttemptContext, Look, Seen, Site, Step
from dr.providers.selfhosted.s3 import S3Bucket
from dr.providers.selfhosted.s3.sign import Keys
from dr.providers.selfhosted.s3.wire import Store
from tests.attempt import perform
from tests.postgres.rig import FixedSecrets, RealClock

ADDRESS = {"east": "127.0.40.1", "west": "127.0.50.1"}
ACCESS, SECRET = "access-of-tests", "secret-of-tests-not-for-any-log"
SECRETS = FixedSecrets({"ACCESS": ACCESS, "SECRET": SECRET, "WRONG": "another-secret"})
KEYS = Keys(ACCESS, SECRET)


class NoSamples:
    """A monitor's memory with what a test puts in."""

    def __init__(self) -> None:
        self.newest: dict[str, LagSample] = {}

    def add(self, runbook: str, samples: object, beats: object = ()) -> None:
        raise AssertionError("kinds only read")

    def latest(self, runbook: str) -> Mapping[str, LagSample]:
        return self.newest

    def history(self, runbook: str, since: datetime) -> list[LagSample]:
        return []

    def beats(self, runbook: str, since: datetime) -> list[Beat]:
        return []

    def keep_identities(self, runbook: str, component: str, snapshot: IdentitySnapshot) -> None:
        raise AssertionError("kinds only read")

    def troubles(self) -> Sequence[str]:
        return ()

    def identities(self, runbook: str, component: str, not_from: str | None = None) -> IdentitySnapshot | None:
        return None


@dataclass
class Pair:
    """East and west, started once for many tests. ``heal`` starts what a test killed."""

    base: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.account, self.clock = servers_account(), RealClock()
        own(self.base, self.account, 0o755)
        layout = Layout(self.base, self.base)
        own(layout.secrets, None)
        credentials.write_private(layout.secret(weed.ACCESS_KEY), ACCESS)
        credentials.write_private(layout.secret(weed.SECRET_KEY), SECRET)
        program = weed.program(self.account)
        numbers = weed.free_grpc(list(ADDRESS.values()))
        self.servers = {
            name: WeedServer(layout, RegionLayout(name, address, "", self.base / name, self.base / name), program, self.account, number)
            for (name, address), number in zip(ADDRESS.items(), numbers, strict=True)
        }
        for name, server in self.servers.items():
            own(self.base / name, self.account)
            server.configure()
        own(self.base / "sync", self.account)
        self._since = int(self.clock.now().timestamp() * 1000)

    def heal(self) -> None:
        """Everything runs."""
        dead = [name for name in ADDRESS if self._dead(name)]
        for name in dead:
            if name in self.processes and self.processes[name].returncode != -signal.SIGKILL:
                sys.stdout.write(f"{name} died: {(self.base / f'{name}.log').read_text(errors='replace')[-3000:]}")
        for name in dead:
            self._spawn(name, self.servers[name].argv, self.servers[name].data)
        for name in dead:
            log_objects.wait_ready(self.servers[name], KEYS, self.clock)
        if self._dead("sync"):
            self.start_sync()
        self.processes["sync"].send_signal(signal.SIGCONT)

    def start(self, name: str) -> None:
        """One store; returns when it takes objects."""
        self._spawn(name, self.servers[name].argv, self.servers[name].data)
        log_objects.wait_ready(self.servers[name], KEYS, self.clock)

    def start_sync(self) -> None:
        argv = weed.sync_argv(self.servers["east"].program, self.servers["east"], self.servers["west"], self._since)
        self._spawn("sync", argv, self.base / "sync")

    def start_sync_from_now(self) -> None:
        """A replication that knows nothing of what was written before: that it never brings.

        A store logs a change a moment after it has acknowledged the write: one that was logged after ``since`` would come over after all.
        The old replication is to be dead before that write, or it brings what the test wants apart.
        That moment is longer on a busy machine.
        """
        if not self._dead("sync"):
            self.kill("sync")
        self.clock.sleep(2)
        self._since = int(self.clock.now().timestamp() * 1000)
        self.start_sync()

    def _dead(self, name: str) -> bool:
        return name not in self.processes or self.processes[name].poll() is not None

    def _spawn(self, name: str, argv: list[str], folder: Path) -> None:
        variables = [f"{key}={value}" for key, value in weed.variables().items()]
        with (self.base / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*as_account(self.account), "/usr/bin/env", *variables, *argv], cwd=folder, stdout=log, stderr=log,
                env={**os.environ, "HOME": "/"},
            )  # fmt: skip

    def send(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """SIGKILL, as if the power went."""
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def end(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()
        weed.forget_sockets()


@dataclass
class Bucket:
    """One test's bucket in both stores, east marked as primary."""

    pair: Pair
    name: str
    place: Path
    evidence: list[Evidence] = field(default_factory=list)
    samples: NoSamples = field(default_factory=NoSamples)
    made: list[S3Bucket | Store] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = self.pair.clock
        self.stores = {region: self._store(region) for region in ADDRESS}

    def close(self) -> None:
        for item in self.made:
            item.close()

    def settings(self, **changes: object) -> dict[str, object]:
        return {
            "regions": {
                region: {
                    "endpoint_url": f"http://{address}:{weed.S3_PORT}", "bucket": self.name, "access_key": {"env": "ACCESS"},
                    "secret_key": {"env": "SECRET"},
                }
                for region, address in ADDRESS.items()
            },
            "stalled_after": "3s", "source_timeout": "10s",
            **changes,
        }  # fmt: skip

    def kind(self, **changes: object) -> S3Bucket:
        site = Site(
            runbook="test", regions={region: Region() for region in ADDRESS}, hosts={}, clock=self.clock, secrets=SECRETS,
            samples=self.samples, artefacts=self.place, base=self.place, peers={},
        )  # fmt: skip
        kind = S3Bucket("logs", S3Bucket.Config.model_validate(self.settings(**changes)), (), site)
        self.made.append(kind)
        return kind

    def store(self, region: str) -> Store:
        """A region's bucket, beside any kind's."""
        return self.stores[region]

    def _store(self, region: str) -> Store:
        config = self.kind().config
        # patient: it makes and reads what a test is about, and no limit of the product's is tried with it
        store = Store("logs", region, config.regions[region], SECRETS, self.clock, self.place, timedelta(seconds=30))
        self.made.append(store)
        return store

    def make(self, region: str) -> None:
        """The bucket, as its owner makes it."""

        async def put() -> int:
            connection = StoreConnection(ADDRESS[region], weed.S3_PORT, self.name, KEYS, 10)
            try:
                return (await connection.request("PUT"))[0]
            finally:
                await connection.close()

        assert asyncio.run(put()) in (200, 409)

    def put(self, region: str, *keys: str, content: bytes = b"one line\n") -> None:
        """Objects, acknowledged by a region's store."""
        store = self.store(region)
        for key in keys:
            store.put(key, content)

    def keys(self, region: str) -> set[str]:
        """Every key of data in a region's bucket."""
        found: set[str] = set()
        after: str | None = None
        while True:
            page = self.store(region).page(after=after)
            found |= {item.key for item in page.items if not item.key.startswith(".dr/")}
            if page.after is None:
                return found
            after = page.after

    def content(self, region: str, key: str) -> bytes | None:
        found = self.store(region).get(key)
        return None if found is None else found.content

    def context(self, step: Step, intent: Intent, source: str, target: str, seconds: float = 20, epoch: int = 1) -> AttemptContext:
        return AttemptContext(
            run_id="run-1", step=step.spec, intent=intent, source=source, target=target, number=1, key="key", epoch=epoch, actor="test",
            clock=self.clock, deadline=self.clock.monotonic() + seconds, evidence=tuple(self.evidence),
        )  # fmt: skip

    def perform(self, step: Step, intent: Intent, source: str, target: str, seconds: float = 20) -> Seen:
        """One attempt of one step, as the engine does it."""
        seen, found = perform(step, self.context(step, intent, source, target, seconds))
        self.evidence += found
        return seen

    def perform_all(self, kind: S3Bucket, intent: Intent, source: str, target: str) -> None:
        self.evidence = []
        for step in kind.steps(intent, source, target):
            seen = self.perform(step, intent, source, target)
            assert seen.look is Look.DONE, f"{step.spec.id}: {seen.reason}"

    def found(self, sort: type[Evidence]) -> list[Evidence]:
        """The evidence of one class, oldest first."""
        return [item for item in self.evidence if isinstance(item, sort)]


def step_of(kind: S3Bucket, verb: Verb, intent: Intent, source: str, target: str) -> Step:
    return next(item for item in kind.steps(intent, source, target) if item.spec.verb is verb)
