"""Two real PostgreSQL servers, a primary and its streaming secondary, that a test may break; apart from the lab's addresses and state.

Made once from a template, copied for each test. Hosts are reached through a script, as in production through ssh.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from dr.lab.account import as_account, give, own, servers_account
from dr.lab.parts import find_programs
from dr.model.evidence import Evidence
from dr.model.plan import Acceptance
from dr.model.runbook import HostAccess, Region, SecretRef
from dr.model.words import Guard, Intent
from dr.ports import AttemptContext, Kind, Look, Seen, Site, Step
from dr.providers.generic.host import CommandHost
from dr.providers.selfhosted.postgres import Postgres
from dr.store.samples import SqliteSamples
from tests.attempt import perform

ADDRESS = {"east": "127.0.40.1", "west": "127.0.50.1"}
PASSWORD = "not-for-any-log"
ROLE = """
CREATE ROLE dr LOGIN REPLICATION PASSWORD '{password}';
GRANT pg_monitor, pg_checkpoint TO dr
"""
RIGHTS = """
GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer) TO dr;
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text),
  pg_read_binary_file(text, bigint, bigint, boolean) TO dr
"""
OTHER = {"east": "west", "west": "east"}


class RealClock:
    """The real time, for steps that talk to real servers."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


class FixedSecrets:
    """Secrets of a test."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values

    def get(self, ref: SecretRef) -> str:
        return self.values[ref.env or ref.file or ""]

    def digest(self, value: str) -> str:
        return f"digest of {len(value)}"


def new_place() -> Path:
    """A directory that the servers' account can reach; in memory where there is one: copying a server takes 0.1 s there, 2 s on disk."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="dr-pair-", dir=memory if os.access(memory, os.W_OK) else "/var/tmp"))


def free_port(addresses: Sequence[str], start: int) -> int:
    """A port below the ephemeral range that nobody has on any of the addresses."""
    for port in range(start, start + 200):
        with contextlib.ExitStack() as stack:
            try:
                for address in addresses:
                    listening = stack.enter_context(socket.socket())
                    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listening.bind((address, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


@dataclass
class Pair:
    """East and west in a directory. ``perform`` runs one step as the engine does: observe, preserve, act, verify."""

    base: Path
    port: int
    evidence: list[Evidence] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.account = servers_account()
        self.programs = find_programs()
        self.clock = RealClock()

    # --- servers ---

    def folder(self, region: str) -> Path:
        return self.base / region

    def data(self, region: str) -> Path:
        return self.folder(region) / "data"

    def tool(self, name: str) -> str:
        return str(self.programs.postgres_bin / name)

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*as_account(self.account), *argv], capture_output=True, text=True, check=check, cwd="/", timeout=60)

    def make(self) -> None:
        """Both servers from nothing, stopped."""
        for region in ADDRESS:
            own(self.folder(region), self.account, 0o700)
        own(self.base, self.account, 0o755)
        password = self.base / "pw"
        password.write_text("admin")
        give(password, self.account)
        self.run(
            self.tool("initdb"), "-D", str(self.data("east")), "-U", "postgres", "-N", "-A", "scram-sha-256", f"--pwfile={password}",
            "--no-locale", "-E", "UTF8", "--wal-segsize=1",
        )  # fmt: skip
        self.configure()
        (self.data("east") / "postgresql.conf").write_text("include '../local.conf'\n")
        self.start("east")
        with self.admin("east", "postgres") as connection:
            connection.execute(ROLE.format(password=PASSWORD))
            connection.execute("SELECT pg_create_physical_replication_slot('west')")
        with self.admin("east") as connection:
            connection.execute(RIGHTS)  # rights on functions are each database's own
            connection.execute("GRANT CREATE ON DATABASE postgres TO dr")
            connection.execute("CREATE TABLE item(id bigint PRIMARY KEY, body text)")
            connection.execute("ALTER TABLE item OWNER TO dr")
        upstream = ("-h", ADDRESS["east"], "-p", str(self.port), "-U", "dr")
        self.exec("west", "pg_basebackup", "-D", str(self.data("west")), *upstream, "-X", "stream", "-c", "fast")
        (self.data("west") / "standby.signal").touch()
        give(self.data("west") / "standby.signal", self.account)
        self.stop("east")

    def configure(self) -> None:
        """What lies outside the data directories: settings, password files, the scripts that reach the hosts."""
        for region, address in ADDRESS.items():
            folder = self.folder(region)
            upstream = f"host={ADDRESS[OTHER[region]]} port={self.port} user=dr passfile={folder}/pgpass application_name={region}"
            (folder / "local.conf").write_text(
                f"listen_addresses = '{address}'\nport = {self.port}\nunix_socket_directories = ''\nhba_file = '{folder}/hba.conf'\n"
                f"primary_conninfo = '{upstream}'\nprimary_slot_name = '{region}'\nwal_log_hints = on\nwal_keep_size = 64MB\n"
                "max_slot_wal_keep_size = 256MB\nwal_retrieve_retry_interval = 100ms\nfsync = off\nmax_connections = 60\n"
                "shared_buffers = 16MB\nmin_wal_size = 2MB\nmax_wal_size = 64MB\nlog_line_prefix = '%m [%p] '\n"
            )
            (folder / "hba.conf").write_text("host all all 127.0.0.0/8 scram-sha-256\nhost replication all 127.0.0.0/8 scram-sha-256\n")
            (folder / "pgpass").write_text(f"*:*:*:dr:{PASSWORD}\n")
            (folder / "pgpass").chmod(0o600)
            (folder / "reachable").touch()
            path = f"{self.programs.postgres_bin}:/usr/bin:/bin"
            environment = f"PGDATA={self.data(region)} PGPASSFILE={folder}/pgpass PATH={path} LC_ALL=C"
            script = folder / "exec"
            script.write_text(
                f"#!/bin/sh\nif [ ! -e {folder}/reachable ]; then\n"
                f"  echo 'ssh: connect to host {region}: No route to host' >&2; exit 255\nfi\n"
                f"cd {folder} && exec {' '.join(as_account(self.account))} env -i {environment} \"$@\"\n"
            )
            script.chmod(0o755)
            for name in ("local.conf", "hba.conf", "pgpass"):
                give(folder / name, self.account)

    def exec(self, region: str, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """On a region's host, whether reachable or not for the product."""
        command = [str(self.folder(region) / "exec"), *argv]
        return subprocess.run(command, capture_output=True, text=True, check=check, timeout=60)

    def start(self, region: str) -> None:
        self.exec(region, "pg_ctl", "start", "-w", "-s", "-l", str(self.folder(region) / "log"))

    def stop(self, region: str, mode: str = "fast") -> None:
        self.exec(region, "pg_ctl", "stop", "-s", "-m", mode, check=False)

    def processes(self, region: str) -> list[int]:
        """The server's processes, parents first; empty when it does not run."""
        try:
            pid = int((self.data(region) / "postmaster.pid").read_text().split()[0])
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except FileNotFoundError:
            return []
        return [pid, *(int(child) for child in children)]

    def signal(self, region: str, number: signal.Signals) -> None:
        for pid in self.processes(region):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self, region: str) -> None:
        """The region is lost: its processes die, and its host answers nobody."""
        (self.folder(region) / "reachable").unlink(missing_ok=True)
        dying = self.processes(region)
        self.signal(region, signal.SIGKILL)
        # whoever inherits them takes its time to reap them, and until then pg_ctl sees a server
        poll(lambda: not any(Path(f"/proc/{pid}").exists() for pid in dying), f"{region} to be dead")

    def back(self, region: str) -> None:
        """Its host answers again; the server stays as it is."""
        (self.folder(region) / "reachable").touch()

    def listening(self, region: str) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection((ADDRESS[region], self.port), 1).close()
            return True
        return False

    def end(self) -> None:
        self.configure()  # a test may have changed how the hosts are reached
        for region in ADDRESS:
            self.signal(region, signal.SIGCONT)
            self.stop(region, "immediate")
            self.signal(region, signal.SIGKILL)

    # --- what is in them ---

    @contextlib.contextmanager
    def admin(self, region: str, database: str = "postgres") -> Iterator[psycopg.Connection]:
        where = {"host": ADDRESS[region], "port": self.port, "user": "postgres", "password": "admin", "dbname": database}
        with psycopg.connect(**where, autocommit=True, connect_timeout=5) as connection:  # type: ignore[arg-type]
            yield connection

    def one(self, region: str, sql: str) -> object:
        with self.admin(region) as connection:
            row = connection.execute(sql).fetchone()
        return row[0] if row else None

    def write(self, region: str, *ids: int) -> None:
        with self.admin(region) as connection:
            for number in ids:
                connection.execute("INSERT INTO item VALUES (%s, 'x')", (number,))

    def ids(self, region: str) -> list[int]:
        with self.admin(region) as connection:
            return [row[0] for row in connection.execute("SELECT id FROM item ORDER BY id")]

    def caught_up(self, primary: str) -> None:
        """Waits until the secondary has replayed what the primary has."""
        position = self.one(primary, "SELECT pg_current_wal_lsn()::text")
        behind = f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn"
        poll(lambda: self.one(OTHER[primary], behind) is True, "the secondary to catch up")

    # --- the product ---

    def kind(self, **changes: object) -> Postgres:
        """The component as a runbook describes it; ``changes`` replace settings.

        With more patience than in production: ``perform`` tries once, and a healthy server or host answers at some time, also on a busy
        machine. Who asks a silent one gives shorter limits.
        """
        settings: dict[str, object] = {
            "database": "postgres", "user": "dr", "password": {"env": "PASSWORD"},
            "regions": {
                region: {"address": address, "port": self.port, "follows": {"address": ADDRESS[OTHER[region]], "port": self.port}}
                for region, address in ADDRESS.items()
            },
            "connect_timeout": "10s", "answer_timeout": "10s", "fence_timeout": "20s", **changes,
        }  # fmt: skip
        return Postgres("metadata-db", Postgres.Config.model_validate(settings), (), self.site())

    def site(self) -> Site:
        access = {region: HostAccess(exec=(f"{region}/exec",)) for region in ADDRESS}
        peers: dict[str, Kind] = {}
        return Site(
            runbook="test", regions={region: Region(host=access[region]) for region in ADDRESS},
            hosts={region: CommandHost(access[region], self.base, self.clock) for region in ADDRESS}, clock=self.clock,
            secrets=FixedSecrets({"PASSWORD": PASSWORD}), samples=SqliteSamples(self.base / "state"), artefacts=self.base / "artefacts",
            base=self.base, peers=peers,
        )  # fmt: skip

    def context(self, step: Step, intent: Intent, source: str, target: str, acceptances: tuple[Acceptance, ...] = ()) -> AttemptContext:
        return AttemptContext(
            run_id="run-1", step=step.spec, intent=intent, source=source, target=target, number=1, key="key", epoch=1, actor="test",
            clock=self.clock, deadline=self.clock.monotonic() + 60, evidence=tuple(self.evidence), acceptances=acceptances,
        )  # fmt: skip

    def perform(self, step: Step, intent: Intent, source: str, target: str, *, split: bool = False) -> Seen:
        """One attempt of one step. What it found is kept for the next steps; what it raises is raised."""
        accepted = Acceptance(guard=Guard.FENCE, actor="test", reason="test", at=self.clock.now())
        began = self.clock.monotonic()
        seen, found = perform(step, self.context(step, intent, source, target, (accepted,) if split else ()))
        self.seconds[step.spec.id.partition("/")[2]] = self.clock.monotonic() - began
        self.evidence += found
        return seen

    def perform_all(self, kind: Postgres, intent: Intent, source: str, target: str, *, split: bool = False) -> dict[str, Seen]:
        """The whole chain, in its order; each step has to end well."""
        self.evidence = []
        seen = {}
        for step in kind.steps(intent, source, target):
            seen[step.spec.verb.value] = self.perform(step, intent, source, target, split=split)
            assert seen[step.spec.verb.value].look is Look.DONE, f"{step.spec.id}: {seen[step.spec.verb.value].reason}"
        return seen


def poll(holds: object, what: str, timeout: timedelta = timedelta(seconds=20)) -> None:
    """Waits until a condition holds; fails naming it."""
    assert callable(holds)
    until = time.monotonic() + timeout.total_seconds()
    while not holds():
        assert time.monotonic() < until, f"waited {timeout} for {what}"
        time.sleep(0.01)


def copied(template: Pair, base: Path) -> Pair:
    """A pair of its own from the template, running, the secondary streaming."""
    pair = Pair(base, free_port(list(ADDRESS.values()), 16432))
    own(base, pair.account, 0o755)
    subprocess.run(["cp", "-a", *(str(template.folder(region)) for region in ADDRESS), str(base)], check=True)
    pair.configure()
    for region in ADDRESS:
        pair.start(region)
    poll(lambda: pair.one("west", "SELECT status FROM pg_stat_wal_receiver") == "streaming", "west to stream")
    return pair
