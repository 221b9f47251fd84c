"""The lab as a whole: up, down, status. Whatever way ``up`` ends, either everything runs or nothing is left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field

from dr.errors import LabError, Refused
from dr.lab import credentials, ending, faults, processes, reach
from dr.lab.account import own, servers_account
from dr.lab.credentials import Authority
from dr.lab.extras import all as extras
from dr.lab.layout import HOME, POSTGRES_PORT, Layout, deployments
from dr.lab.link import Condition
from dr.lab.link_control import link_status
from dr.lab.parts import find_programs
from dr.lab.platform.config import Endpoint
from dr.lab.platform.seed import new_marker, seed
from dr.lab.records import LabRecord, ProcessRecord, Records
from dr.lab.servers import Servers, occupied
from dr.model.base import Frozen
from dr.model.scenario import Fault, Workload
from dr.model.truth import CleanUp
from dr.ports import Clock

Say = Callable[[str], None]
_NEEDED_TO_START = ("images", "secrets")
"""Parts that Deployments use when they start."""


class ServerStatus(Frozen):
    """One process of the lab. ``held``: stopped by SIGSTOP."""

    name: str
    region: str | None
    server: str
    state: Literal["running", "held", "dead"]
    pid: int | None


class LabStatus(Frozen):
    """``dr.lab.status/1``. ``state``: ``broken`` is a lab whose starter was killed or whose processes all ended."""

    schema_: Literal["dr.lab.status/1"] = Field("dr.lab.status/1", alias="schema", serialization_alias="schema")
    state: Literal["down", "up", "broken"]
    directory: str
    workload: Workload | None = None
    reachable: dict[str, bool] = {}
    servers: tuple[ServerStatus, ...] = ()
    link: Condition | None = None


@dataclass(frozen=True)
class Lab:
    """Two regions on this machine. One at a time: the addresses are fixed."""

    layout: Layout
    clock: Clock

    @property
    def records(self) -> Records:
        """What this lab started."""
        return Records(self.layout.records)

    def up(self, workload: Workload, say: Say = lambda _text: None, *, owned: bool = False) -> None:
        """Starts and seeds everything; returns when PostgreSQL streams, both name servers answer and the platform serves.

        Args:
            workload: how many Deployments and running tasks.
            say: one line for each part that is ready.
            owned: the lab ends with this process: once it is dead, the next ``up`` clears what it left.

        Raises:
            Refused: a lab is running already, or its addresses are taken.
            LabError: a part is missing or did not start; nothing is left running.
        """
        with self.records.locked():
            self._refuse_running()
            programs = find_programs()
            self._clear()
            self._refuse_occupied()
            self._make_directories()
            if {"images", "secrets"} & set(workload.parts):
                credentials.make_pull_secrets(self.layout, deployments(workload.deployments))
            record = self.records.begin(self.layout.state, self.layout.data, workload, self.clock.now(), owned)
            servers = Servers(self.layout, programs, servers_account(), self.clock, self.records, record.mark)
            try:
                self._start_all(servers, workload, say)
            except BaseException:  # Ctrl-C too: nothing may be left over, whatever the reason
                self._clear()
                raise
            self.records.completed()

    def down(self) -> CleanUp:
        """Ends everything that the records name and removes the servers' data; ledger, secrets and journal stay. Repeatable."""
        with self.records.locked():
            return self._clear()

    def inject(self, fault: Fault) -> datetime:
        """Makes one fault happen; see ``faults.inject``."""
        return faults.inject(self.servers(), fault)

    def status(self) -> LabStatus:
        """What runs. Reads only."""
        record = self.records.lab()
        if record is None:
            return LabStatus(state="down", directory=str(self.layout.state))
        servers = tuple(_status(item) for item in self.records.all())
        alive = any(server.state != "dead" for server in servers)
        link_lives = any(server.server == "link" and server.state == "running" for server in servers)
        return LabStatus(
            state="up" if record.complete and alive else "broken",
            directory=str(self.layout.state),
            workload=record.workload,
            reachable={region.name: region.reachable.exists() for region in self.layout.regions},
            servers=servers,
            link=link_status(self.layout).condition if link_lives else None,
        )

    def servers(self) -> Servers:
        """The running lab's servers. Raises LabError where there is no lab."""
        return Servers(self.layout, find_programs(), servers_account(), self.clock, self.records, self.running().mark)

    def running(self) -> LabRecord:
        """The record of the running lab. Raises LabError where there is none."""
        record = self.records.lab()
        if record is None or not record.complete:
            raise LabError(f"no lab is running in {self.layout.state}", hint="dr lab up")
        return record

    def _refuse_running(self) -> None:
        record = self.records.lab()
        if record is None or not record.complete or record.abandoned:
            return
        if any(item.process() is not None for item in self.records.all()):
            raise Refused(f"a lab is running in {self.layout.state}", hint="dr lab status · dr lab down")

    def _refuse_occupied(self) -> None:
        taken = occupied(self.layout, [port for extra in extras.EXTRAS for port in extra.ports])
        if not taken:
            return
        others = sorted(processes.states_of_marked() - {str(self.layout.state)})
        whose = f"; the lab of {others[0]} is running" if others else ""
        hint = f"DR_LAB_STATE={others[0]} dr lab down" if others else f"ss -ltunp | grep {taken[0].rpartition(':')[2]}"
        raise Refused(f"in use already: {', '.join(taken)}{whose}", hint=hint)

    def _make_directories(self) -> None:
        account = servers_account()
        mode = 0o700 if account is None else 0o755  # the servers' account must pass through
        own(self.layout.state, None, mode)
        own(self.layout.data, None, mode)
        for region in self.layout.regions:
            own(region.directory, None, mode)
            own(region.data, None, mode)
        own(self.layout.client, account)
        for log in self.layout.client.glob("*.log"):
            log.unlink()
        credentials.make_secrets(self.layout)
        credentials.write_private(self.layout.secret(credentials.MARKER), new_marker() + "\n")

    def _start_all(self, servers: Servers, workload: Workload, say: Say) -> None:
        """Edges, not phases: each part starts as soon as what it needs is there."""
        with ThreadPoolExecutor(10, thread_name_prefix="lab") as pool:
            try:
                self._start_parts(pool, servers, workload, say)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # what has not begun must not begin any more
                raise
        for region in self.layout.regions:
            reach.connect(region)

    def _start_parts(self, pool: ThreadPoolExecutor, servers: Servers, workload: Workload, say: Say) -> None:
        link = pool.submit(servers.start_link, [port for extra in extras.of(workload) for port in extra.ports])
        names = [pool.submit(self._start_names, servers, region.name, workload, say) for region in self.layout.regions]
        certificates = pool.submit(self._issue_certificates, workload)
        database = pool.submit(self._start_database, servers, workload, link, say)
        more = {extra.name: pool.submit(extra.start, servers, workload, say) for extra in extras.of(workload)}
        _all([link, *names, certificates, database])
        say("PostgreSQL streams from east to west")
        _all([future for name, future in more.items() if name in _NEEDED_TO_START])  # else Deployments try, and try again, meanwhile
        runtimes = [
            pool.submit(servers.start_runtime, region, workload.deployments, region.name == HOME) for region in self.layout.regions
        ]
        _all([*runtimes, *more.values()])
        say("runtimes serve the Deployments")
        client = servers.start_client(workload.deployments, workload.client_caches)
        servers.start_agent()
        servers.wait_healthy(client)
        say("every name accepts writes from outside")

    def _start_names(self, servers: Servers, name: str, workload: Workload, say: Say) -> None:
        region = self.layout.region(name)
        hostnames = [hostname for item in deployments(workload.deployments) for hostname in item.hostnames]
        servers.knot_of(region).configure(hostnames, self.layout.region(HOME).address, round(workload.ttl.total_seconds()))
        servers.start_dns(region)
        say(f"Knot of {name} answers")

    def _issue_certificates(self, workload: Workload) -> None:
        authority = Authority.create(self.layout, self.clock.now())
        hostnames = [hostname for item in deployments(workload.deployments) for hostname in item.hostnames]
        for region in self.layout.regions:
            authority.issue(region.tls, (*hostnames, region.address), also={region.address: region.door})

    def _start_database(self, servers: Servers, workload: Workload, link: Future[None], say: Say) -> None:
        home, away = self.layout.region(HOME), self.layout.other(HOME)
        for region in self.layout.regions:
            servers.postgres_of(region).configure(workload.deployments)
            variables = reach.environment(region, servers.programs, servers.mark, str(self.layout.state))
            reach.write_exec(region, variables, servers.account)
        primary, standby = servers.postgres_of(home), servers.postgres_of(away)
        primary.initialise()
        servers.start_postgres(home)
        primary.create_roles()
        say(f"PostgreSQL of {home.name} answers")
        seed(
            Endpoint(address=home.address, port=POSTGRES_PORT), credentials.read_secret(self.layout, credentials.POSTGRES_ADMIN),
            deployments(workload.deployments), workload.running_tasks, region=home.name,
            marker=credentials.read_secret(self.layout, credentials.MARKER), images=workload.images,
            fernet=self._fernet_keys(workload),
        )  # fmt: skip
        say(f"{workload.deployments} Deployments with {workload.running_tasks} running tasks are seeded")
        link.result()
        standby.copy_through_link()
        servers.start_postgres(away)
        primary.wait_streaming(away.name)

    def _fernet_keys(self, workload: Workload) -> dict[str, str]:
        """Where there is a store to keep them in."""
        if "secrets" not in workload.parts:
            return {}
        return {item.id: credentials.fernet_key(self.layout, item) for item in deployments(workload.deployments)}

    def _clear(self) -> CleanUp:
        """Ends what is left of a lab, whoever started it, and removes its data."""
        record = self.records.lab()
        for region in self.layout.regions:
            reach.disconnect(region)
        leftovers = self._end_processes(record) if record else []
        if not leftovers:
            data = Layout(self.layout.state, Path(record.data)) if record else self.layout
            leftovers = _remove_data(data)
        if not leftovers:
            self.records.forget()
        return CleanUp(leftovers=tuple(leftovers))

    def _end_processes(self, record: LabRecord) -> list[str]:
        recorded = self.records.all()
        known = ending.trees(recorded)
        strays = [process for process in processes.marked(record.mark) if process not in known]
        left = ending.end(recorded, strays, self.clock)
        left += ending.kill(processes.marked(record.mark), self.clock)  # what was started in between, for example by a run's exec
        return [f"process {process.pid} is still there" for process in dict.fromkeys(left) if process.alive]


def _all(futures: list[Future[None]]) -> None:
    """Waits for all; the first error wins, after the others have come to an end."""
    for future in futures:
        future.exception()
    for future in futures:
        future.result()


def _status(record: ProcessRecord) -> ServerStatus:
    process = record.process()
    state: Literal["running", "held", "dead"] = "dead" if process is None else "held" if process.stopped else "running"
    return ServerStatus(
        name=record.name, region=record.region, server=record.server, state=state, pid=process.pid if process else None
    )


def _remove_data(layout: Layout) -> list[str]:
    """Removes what the servers left on disk; the script ``exec`` stays and answers 255. Returns what could not be removed."""
    for region in layout.regions:
        ending.release_shared_memory(region.pgdata)
    victims = [path for region in layout.regions for path in (*_inside(region.directory), *_inside(region.data)) if path != region.exec]
    victims += [layout.link] + ([layout.data] if layout.data != layout.state else [])
    for path in victims:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return [f"{path} is still there" for path in victims if path.exists()]


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
