"""``aws-emulated``: the emulated platform of two regions as the world of a drill (``dr.ports.BroughtWorld``).

Brought as any other package would bring one, through the entry point group ``dr.worlds``: nothing in ``dr`` knows of it. The outside
client is the lab's own, a process that knows names, a name server and a certificate, and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

from dr.config.scenario import load_scenario, refuse
from dr.errors import LabError, Refused
from dr.lab.platform import ledger
from dr.lab.platform.config import ClientConfig, Endpoint, Served, answer_seconds, write_config, writes_per_second
from dr.model.scenario import Fault, Scenario, Workload
from dr.model.truth import CleanUp, Truth
from dr.providers.system import SystemClock
from tests.aws.cloud import PORT, REGIONS, ROOT, Cloud, cloud
from tests.aws.database import LAG, Database, standing
from tests.aws.doors import Region, front_door
from tests.aws.emulator import GLOBAL, EmulatorError

SHIPPED = ROOT / "runbooks" / "airflow-aws.yaml"
CONTROL_PLANES = "control-planes"
"""A server of no region: the control planes that live in us-east-1 only."""
_CAN = ("kill", "bring_back")
_UP_SECONDS = 30.0
_END_SECONDS = 10.0
_LOOK_SECONDS = 0.05


def beyond(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Places of a scenario that this world cannot have, and why."""
    workload = scenario.workload
    if workload.running_tasks:
        yield ("workload",), "no task runs in this world: running_tasks: 0"
    if workload.parts:
        yield ("workload", "parts"), "what its runbook names is always there: no parts"
    if workload.ttl != timedelta(seconds=1):
        yield ("workload", "ttl"), "its names have a TTL of 1s"
    for index, fault in enumerate(scenario.timeline):
        target = fault.kill or fault.bring_back
        if target is None:
            yield ("timeline", index, fault.kind), f"this world can only {' and '.join(_CAN)}"
        elif target.server not in (None, CONTROL_PLANES) or (target.server is not None and target.region is not None):
            yield ("timeline", index, fault.kind, "server"), f"whole regions, or {CONTROL_PLANES} of no region"


class AwsEmulated:
    """Two emulated regions, a name server, a front door in each region, and a client outside."""

    name: ClassVar[str] = "aws-emulated"

    def __init__(self, scenario: Path, runbook: Path, folder: Path) -> None:
        if runbook.resolve() != SHIPPED:
            raise Refused(
                f"{runbook} is not of the world {self.name}: it fills in {SHIPPED.name} only", hint="runbook: ../runbooks/airflow-aws.yaml"
            )
        refuse(scenario, beyond(load_scenario(scenario)))
        self._folder, self._clock = folder, SystemClock()
        self._stack = ExitStack()
        self._cloud: Cloud | None = None
        self._database: Database | None = None
        self._client: subprocess.Popen[bytes] | None = None

    def runbook(self) -> Path:
        """The shipped one, with the names and ARNs of the emulated platform."""
        return self._folder / SHIPPED.name

    def environment(self) -> Mapping[str, str]:
        """Profiles that lead to the emulated regions and nowhere else."""
        return self._up.emulator.environment()

    def up(self, workload: Workload) -> None:
        """Starts emulator, doors, name server and client, and waits until a write through every name was acknowledged."""
        self._folder.mkdir(mode=0o700, parents=True)
        try:
            self._cloud = self._stack.enter_context(cloud(self._folder, workload.deployments, self._door))
        except (OSError, EmulatorError) as error:
            raise LabError(f"the emulated platform did not start: {error}", hint="look whether another one runs") from error
        # the old primary follows one day, and then it has a lag
        dimensions = {"DBClusterIdentifier": self._up.platform.clusters[0]}
        self._up.emulator.set_metric(REGIONS[0], "AWS/RDS", "AuroraGlobalDBReplicationLag", dimensions, LAG * 1000, "Milliseconds")
        keeps = None if workload.client_caches is None else workload.client_caches.total_seconds()
        address, _, port = self._up.name_server.partition(":")
        self._config = ClientConfig(
            ledger=self._folder / "client.jsonl", authority=self._folder / "secrets" / "ca.pem",
            dns=(Endpoint(address=address, port=int(port)),), port=PORT, deployments=self._served(),
            writes_per_second=writes_per_second(workload.deployments) / 3, answer_seconds=answer_seconds(workload.deployments) * 2,
            keep_seconds=keeps,
        )  # fmt: skip
        path = write_config(self._folder / "client.json", self._config)
        with (self._folder / "client.log").open("wb") as log:
            self._client = subprocess.Popen([sys.executable, "-m", "dr.lab.platform.client", "--config", str(path)], cwd=ROOT, stderr=log)
        if not self._settled(timedelta(seconds=_UP_SECONDS)):
            raise LabError("not every name of the emulated platform took a write", hint=f"look into {self._folder}")

    def inject(self, fault: Fault) -> datetime:
        """Kills a region, its database and its door with it, or the control planes of us-east-1; or brings them back."""
        target, kill = fault.kill or fault.bring_back, fault.kill is not None
        if target is None or self._database is None:
            raise LabError(f"this world has no {fault.kind}")
        if target.region is None:
            (self._up.emulator.lose if kill else self._up.emulator.bring_back)(GLOBAL)
        elif kill:
            self._database.lose(target.region)
            self._up.lose(target.region)
        else:
            self._up.bring_back(target.region)
            self._database.bring_back(target.region)
        return self._clock.now()

    def settle(self, timeout: timedelta) -> None:
        """Waits until every name has accepted a write that was sent after now, or the time is over."""
        self._settled(timeout)

    def truth(self) -> Truth:
        """What the outside client saw. Ends it first: the ledger is complete then, and its digest final."""
        self._end_client()
        return ledger.truth(self._config, self._folder / "agent.jsonl")

    def down(self) -> CleanUp:
        """Ends everything that ``up`` started; names what it could not."""
        self._end_client()
        process = None if self._cloud is None else self._cloud.emulator.pid
        self._stack.close()
        left = [f"pid {process}, the emulator"] if process is not None and Path(f"/proc/{process}").exists() else []
        return CleanUp(leftovers=tuple(left))

    @property
    def _up(self) -> Cloud:
        assert self._cloud is not None, "a world is up before it is used"
        return self._cloud

    @contextmanager
    def _door(self, made: Cloud, name: str, address: str) -> Iterator[None]:
        """In front of a region. The database that both share begins with the first, and ends after the second and before the emulator."""
        self._cloud = made
        with ExitStack() as stack:
            if self._database is None:
                self._database = Database(lambda: standing(made), made.lost)
                stack.enter_context(self._database.serving())
            owners = {hostname: served.id for served in self._served() for hostname in served.hostnames}
            stack.enter_context(front_door(address, Region(name, self._database, made.lost, owners), made.folder / "door.pem"))
            yield

    def _served(self) -> tuple[Served, ...]:
        """Which names lead to which Deployment: equally many, in their order."""
        platform = self._up.platform
        each = len(platform.hostnames) // len(platform.deployments)
        return tuple(
            Served(id=name, database=name, hostnames=platform.hostnames[number * each : (number + 1) * each])
            for number, name in enumerate(platform.deployments)
        )

    def _settled(self, timeout: timedelta) -> bool:
        since, deadline = self._clock.now(), self._clock.monotonic() + timeout.total_seconds()
        while not (done := ledger.settled(self._config, None, since)) and self._clock.monotonic() < deadline:
            self._clock.sleep(_LOOK_SECONDS)
        return done

    def _end_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.terminate()
            try:
                client.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                client.kill()
                client.wait()
