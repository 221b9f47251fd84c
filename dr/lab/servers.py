"""Starts the lab's processes and records them. Each ``start`` leaves a living one alone, so that it also brings back what was killed."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

import dr
from dr.errors import LabError
from dr.lab import credentials, reach
from dr.lab.account import Account, own
from dr.lab.knot_server import KnotServer
from dr.lab.layout import (
    CONTROL_PORT,
    DNS_PORT,
    LINK_CONTROL,
    OPENBAO_PORT,
    PLATFORM_DATABASE,
    POSTGRES_PORT,
    PUBLIC_PORT,
    REGISTRY_PORT,
    SECRETS_MOUNT,
    Layout,
    RegionLayout,
    deployments,
)  # fmt: skip
from dr.lab.link_control import link_config
from dr.lab.parts import Programs
from dr.lab.platform import ledger
from dr.lab.platform.config import (
    AgentConfig,
    ClientConfig,
    Endpoint,
    RegistryConfig,
    RuntimeConfig,
    SecretsConfig,
    Served,
    answer_seconds,
    write_config,
    writes_per_second,
)
from dr.lab.postgres_server import PostgresServer
from dr.lab.processes import MARK_VARIABLE, STATE_OF_MARK_VARIABLE, spawn
from dr.lab.records import ProcessRecord, Records
from dr.ports import Clock

_READY_SECONDS = 30.0
_POLL_SECONDS = 0.02
_OUTSIDE = "outside"


@dataclass(frozen=True)
class Servers:
    """Everything that the lab starts, with what it needs for that."""

    layout: Layout
    programs: Programs
    account: Account | None
    clock: Clock
    records: Records
    mark: str

    def postgres_of(self, region: RegionLayout) -> PostgresServer:
        """The region's PostgreSQL."""
        return PostgresServer(self.layout, region, self.programs, self.account, self.clock)

    def knot_of(self, region: RegionLayout) -> KnotServer:
        """The region's name server."""
        return KnotServer(self.layout, region, self.programs, self.account, self.clock)

    def start_postgres(self, region: RegionLayout) -> None:
        """Starts it and waits until it answers."""
        server = self.postgres_of(region)
        self.launch(
            "postgres", region, server.argv, folder=region.postgres, pidfile=region.pgdata / "postmaster.pid", stop="SIGQUIT",
            variables=reach.environment(region, self.programs, self.mark, str(self.layout.state)),
        )  # fmt: skip
        server.wait_ready(lambda: self.alive(region, "postgres"))

    def start_dns(self, region: RegionLayout) -> None:
        """Starts it and waits until it answers."""
        server = self.knot_of(region)
        self.launch("dns", region, server.argv, folder=region.dns, variables=server.environment)
        server.wait_ready(lambda: self.alive(region, "dns"))

    def start_runtime(self, region: RegionLayout, count: int, schedulers: bool) -> None:
        """Starts the stand-in for the region's Deployments and waits until it listens."""
        config = RuntimeConfig(
            region=region.name, account=self.account_name, address=region.address, public_port=PUBLIC_PORT, control_port=CONTROL_PORT,
            postgres=Endpoint(address=region.address, port=POSTGRES_PORT),
            postgres_password_file=self.layout.secret(credentials.POSTGRES_RUNTIME), platform_database=PLATFORM_DATABASE,
            control_token_file=self.layout.secret(credentials.CONTROL), tls=region.tls, schedulers=schedulers,
            secrets=self._secrets(region), registry=self._registry(region),
            deployments=tuple(Served.of(item) for item in deployments(count)),
        )  # fmt: skip
        own(region.runtime, self.account)
        path = write_config(region.directory / "runtime.json", config)
        self.launch("runtime", region, self.python("dr.lab.platform.runtime", path), folder=region.runtime)
        self.wait_listening("runtime", region, ((region.address, CONTROL_PORT), (region.address, PUBLIC_PORT)))

    def start_link(self, more: Sequence[int] = ()) -> None:
        """Starts the link between the regions and waits until it listens. ``more``: ports of the extra parts, for the doors."""
        own(self.layout.link, None, 0o755)
        path = self.layout.link / "link.json"
        credentials.write_private(path, link_config(self.layout, self.account_name, more).model_dump_json(indent=1))
        self.launch("link", None, self.python("dr.lab.link", path), folder=self.layout.link)
        listeners = [(region.link, POSTGRES_PORT) for region in self.layout.regions]
        self.wait_listening("link", None, (LINK_CONTROL, *listeners))

    def start_client(self, count: int, caches: timedelta | None = None) -> ClientConfig:
        """Starts the independent outside client; returns what it was told. ``caches``: as ``Workload.client_caches``."""
        config = ClientConfig(
            account=self.account_name, ledger=self.layout.ledger, authority=self.layout.authority, dns=self._dns, port=PUBLIC_PORT,
            deployments=tuple(Served.of(item) for item in deployments(count)), writes_per_second=writes_per_second(count),
            answer_seconds=answer_seconds(count), keep_seconds=caches.total_seconds() if caches else None,
        )  # fmt: skip
        path = write_config(self.layout.client_config, config)
        self.launch("client", None, self.python("dr.lab.platform.client", path), folder=self.layout.client, log="client.log")
        return config

    def start_agent(self) -> None:
        """Starts the remote-execution agent of the first Deployment."""
        config = AgentConfig(
            account=self.account_name, ledger=self.layout.agent_ledger, authority=self.layout.authority, dns=self._dns,
            port=PUBLIC_PORT, hostname=deployments(1)[0].hostname_remote,
        )  # fmt: skip
        path = write_config(self.layout.client / "agent.json", config)
        self.launch("agent", None, self.python("dr.lab.platform.agent", path), folder=self.layout.client, log="agent.log")

    def alive(self, region: RegionLayout, server: str) -> bool:
        """Whether the region's server runs."""
        return any(record.process() for record in self.records.all(region.name, server))

    @property
    def account_name(self) -> str | None:
        """Of the servers' account; None where they run as whoever started the lab."""
        return self.account.name if self.account else None

    def _secrets(self, region: RegionLayout) -> SecretsConfig | None:
        """The region's own secret store, where the lab runs them."""
        record = self.records.lab()
        if record is None or "secrets" not in record.workload.parts:
            return None
        return SecretsConfig(
            url=f"https://{region.address}:{OPENBAO_PORT}", authority=self.layout.authority, mount=SECRETS_MOUNT,
            token_file=self.layout.secret(f"{credentials.OPENBAO_RUNTIME}-{region.name}"),
        )  # fmt: skip

    def _registry(self, region: RegionLayout) -> RegistryConfig | None:
        """The region's own registry, where the lab runs them beside the stores that have the pull secrets."""
        record = self.records.lab()
        if record is None or not {"images", "secrets"} <= set(record.workload.parts):
            return None
        return RegistryConfig(endpoint=Endpoint(address=region.address, port=REGISTRY_PORT), authority=self.layout.authority)

    @property
    def _dns(self) -> tuple[Endpoint, ...]:
        return tuple(Endpoint(address=region.address, port=DNS_PORT) for region in self.layout.regions)

    def python(self, module: str, config: Path) -> list[str]:
        """The command of one of the lab's own server processes, which drops privileges itself."""
        # -P: nothing is imported from a working directory; the path to this source makes it work uninstalled too
        return [sys.executable, "-P", "-m", module, "--config", str(config)]

    def launch(
        self, server: str, region: RegionLayout | None, argv: Sequence[str], *, folder: Path, pidfile: Path | None = None,
        log: str = "log", stop: Literal["SIGTERM", "SIGQUIT"] = "SIGTERM", variables: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Starts and records one process, where it does not run: its name is ``REGION.SERVER``.

        Args:
            region: None for what runs outside both regions. folder: its working directory, and where ``log`` is.
            pidfile: where a server that others start, too, writes its pid. stop: the signal that ends it at once and in order.
        """
        name = f"{region.name}.{server}" if region else server
        running = next((record for record in self.records.all() if record.name == name), None)
        if running is not None and running.process() is not None:
            return
        ours = argv[0] == sys.executable  # our own processes drop privileges themselves
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/", "PYTHONPATH": str(Path(dr.__file__).parents[1]),
            MARK_VARIABLE: f"{self.mark}:{region.name if region else _OUTSIDE}", STATE_OF_MARK_VARIABLE: str(self.layout.state),
            **(variables or {}),
        }  # fmt: skip
        process = spawn(
            argv, environment=environment, log=folder / log,
            folder=Path("/") if ours else folder, account=None if ours else self.account,
        )  # fmt: skip
        self.records.add(
            ProcessRecord(
                name=name, region=region.name if region else None, server=server, pid=process.pid, start=process.start,
                pidfile=str(pidfile) if pidfile else None, stop=stop,
            )
        )  # fmt: skip

    def wait_healthy(self, client: ClientConfig) -> None:
        """Until every name has accepted a write of the outside client, and the agent has polled. Raises LabError."""
        since, deadline = self.clock.now(), self.clock.monotonic() + _READY_SECONDS
        while not ledger.settled(client, self.layout.agent_ledger, since):
            dead = [name for name in ("client", "agent") if not any(item.process() for item in self.records.all(server=name))]
            if dead or self.clock.monotonic() > deadline:
                reason = f"{dead[0]} ended" if dead else "no write was acknowledged for every name"
                log = self.layout.client / f"{dead[0] if dead else 'client'}.log"
                raise LabError(f"the platform is not healthy from outside: {reason}: {_tail(log)}", hint=f"see {log}")
            self.clock.sleep(_POLL_SECONDS)

    def wait_listening(
        self, server: str, region: RegionLayout | None, endpoints: Sequence[tuple[str, int]], log: Path | None = None
    ) -> None:
        """Until a started process listens everywhere. Raises LabError with the end of its log where it does not."""
        name = f"{region.name}.{server}" if region else server
        log = log or (region.runtime if region else self.layout.link) / "log"
        deadline = self.clock.monotonic() + _READY_SECONDS
        record = next(record for record in self.records.all() if record.name == name)
        for address, port in endpoints:
            while not _listens(address, port):
                dead = record.process() is None
                if dead or self.clock.monotonic() > deadline:
                    raise LabError(f"{name} {'ended' if dead else 'does not listen on'} {address}:{port}: {_tail(log)}", hint=f"see {log}")
                self.clock.sleep(_POLL_SECONDS)


def _listens(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return f"nothing in {log}"
    return lines[-1][-300:] if lines else f"nothing in {log}"


def occupied(layout: Layout, more: Sequence[int] = ()) -> tuple[str, ...]:
    """The addresses of the lab that something else listens on, as ``ADDRESS:PORT``."""
    tcp = [LINK_CONTROL]
    for region in layout.regions:
        ports = (POSTGRES_PORT, DNS_PORT, PUBLIC_PORT, CONTROL_PORT, *more)
        tcp += [(address, port) for address in (region.address, region.door) for port in ports]
        tcp.append((region.link, POSTGRES_PORT))
    udp = [(address, DNS_PORT) for region in layout.regions for address in (region.address, region.door)]
    taken = [item for item in tcp if not _free(socket.SOCK_STREAM, item)] + [item for item in udp if not _free(socket.SOCK_DGRAM, item)]
    return tuple(dict.fromkeys(f"{address}:{port}" for address, port in taken))


def _free(kind: socket.SocketKind, endpoint: tuple[str, int]) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections of an earlier lab do not count
        try:
            probe.bind(endpoint)
        except OSError:
            return False
        return True
