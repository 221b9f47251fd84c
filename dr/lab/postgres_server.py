"""PostgreSQL of one region: made, configured, started; what goes wrong by default is answered in the configuration below.

Configuration stands outside PGDATA, because pg_basebackup and pg_rewind copy everything inside it, ports included.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from dr.errors import LabError
from dr.lab import credentials
from dr.lab.account import Account, as_account, give, own
from dr.lab.apart import make_apart
from dr.lab.layout import POSTGRES_PORT, Layout, RegionLayout
from dr.lab.parts import Programs
from dr.ports import Clock

ADMIN, ORCHESTRATOR, RUNTIME = "postgres", "dr", "runtime"
_POLL_SECONDS = 0.02
_READY_SECONDS = 30.0
_STREAMING_SECONDS = 60.0
_BASEBACKUP_SECONDS = 300.0

# pg_rewind as an ordinary role: https://www.postgresql.org/docs/current/app-pgrewind.html (Notes)
_FUNCTIONS = (
    "pg_promote(boolean, integer)", "pg_reload_conf()", "pg_switch_wal()",
    "pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)", "pg_read_binary_file(text, bigint, bigint, boolean)",
)  # fmt: skip
_ORCHESTRATOR_ROLES = ("pg_monitor", "pg_checkpoint", "pg_signal_backend", "pg_read_all_data")
_RUNTIME_ROLES = ("pg_read_all_data", "pg_write_all_data")

_LOCAL_CONF = """\
# Written by the lab at every start; outside PGDATA so that neither pg_basebackup nor pg_rewind carries it to the other region.
listen_addresses = {address}
port = {port}
cluster_name = {region}
unix_socket_directories = ''
hba_file = {hba}
primary_conninfo = {primary}
primary_slot_name = {region}
hot_standby = on
wal_log_hints = on
wal_keep_size = 256MB
max_slot_wal_keep_size = 2GB
max_wal_size = 1GB
wal_retrieve_retry_interval = 100ms
wal_receiver_status_interval = 1s
wal_receiver_timeout = 10s
wal_sender_timeout = 10s
max_connections = {connections}
max_wal_senders = 10
max_replication_slots = 10
shared_buffers = 64MB
dynamic_shared_memory_type = mmap
jit = off
autovacuum_naptime = 5min
fsync = off
recovery_init_sync_method = syncfs
logging_collector = off
log_line_prefix = '%m [%p] %q%u@%d '
log_checkpoints = off
timezone = UTC
log_timezone = UTC
"""


@dataclass(frozen=True)
class PostgresServer:
    """One region's PostgreSQL. Blocking calls; times are seconds."""

    layout: Layout
    region: RegionLayout
    programs: Programs
    account: Account | None
    clock: Clock

    @property
    def argv(self) -> list[str]:
        """What runs the server in the foreground."""
        return [self.programs.postgres("postgres"), "-D", str(self.region.pgdata)]

    def conninfo(self, database: str = "postgres", user: str = ADMIN) -> str:
        """How the lab connects. Contains the password: never logged."""
        secret = {ADMIN: credentials.POSTGRES_ADMIN, ORCHESTRATOR: credentials.POSTGRES_DR, RUNTIME: credentials.POSTGRES_RUNTIME}[user]
        return make_conninfo(
            host=self.region.address, port=POSTGRES_PORT, dbname=database, user=user,
            password=credentials.read_secret(self.layout, secret), connect_timeout=5, application_name="dr-lab",
        )  # fmt: skip

    def configure(self, deployments: int) -> None:
        """Writes what stands outside PGDATA. A standby must allow as many connections as its primary: both get the same number."""
        folder = own(make_apart(self.region.data, self.region.postgres.name), self.account)
        passfile, hba = folder / "pgpass", folder / "hba.conf"
        self._write("pgpass", f"*:*:*:{ORCHESTRATOR}:{credentials.read_secret(self.layout, credentials.POSTGRES_DR)}\n")
        self._write("hba.conf", "host all all 127.0.0.0/8 scram-sha-256\nhost replication dr 127.0.0.0/8 scram-sha-256\n")
        primary = make_conninfo(
            host=self.region.link, port=POSTGRES_PORT, user=ORCHESTRATOR, passfile=str(passfile), application_name=self.region.name
        )
        values = {"address": self.region.address, "region": self.region.name, "hba": str(hba), "primary": primary}
        quoted = {key: _quoted(value) for key, value in values.items()}
        self._write("local.conf", _LOCAL_CONF.format(port=POSTGRES_PORT, connections=max(300, 100 + 5 * deployments), **quoted))

    def initialise(self) -> None:
        """Makes a new, empty cluster."""
        self._write("admin-password", credentials.read_secret(self.layout, credentials.POSTGRES_ADMIN) + "\n")
        password = self.region.postgres / "admin-password"
        self._run(
            "initdb", "-D", str(self.region.pgdata), "-U", ADMIN, f"--pwfile={password}", "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        password.unlink()
        (self.region.pgdata / "postgresql.conf").write_text("include '../local.conf'\n", encoding="utf-8")

    def create_roles(self) -> None:
        """The roles ``dr`` and ``runtime``; what ``dr`` may do goes into template1, so that every database made later has it."""
        with psycopg.connect(self.conninfo("template1"), autocommit=True) as connection:
            for role, secret, options, memberships in (
                (ORCHESTRATOR, credentials.POSTGRES_DR, sql.SQL("LOGIN REPLICATION CREATEDB"), _ORCHESTRATOR_ROLES),
                (RUNTIME, credentials.POSTGRES_RUNTIME, sql.SQL("LOGIN"), _RUNTIME_ROLES),
            ):
                # only the salted verifier goes to the server, so that no server log can ever hold the password
                password = credentials.read_secret(self.layout, secret).encode()
                verifier = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256").decode()
                name = sql.Identifier(role)
                connection.execute(sql.SQL("CREATE ROLE {} {} PASSWORD {}").format(name, options, sql.Literal(verifier)))
                for membership in memberships:
                    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(membership), name))
            connection.execute("GRANT ALTER SYSTEM ON PARAMETER synchronous_standby_names TO dr")
            connection.execute(_grant_functions())
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(_grant_functions())

    def copy_through_link(self) -> None:
        """Makes this region's cluster a standby of the other one's, through the link and a new slot of this region's name."""
        source = make_conninfo(
            host=self.region.link, port=POSTGRES_PORT, user=ORCHESTRATOR, passfile=str(self.region.postgres / "pgpass"),
            application_name=f"{self.region.name}-basebackup",
        )  # fmt: skip
        self._run(
            "pg_basebackup", "-D", str(self.region.pgdata), "-d", source,
            "--wal-method=stream", "--create-slot", f"--slot={self.region.name}", "--checkpoint=fast", "--no-sync", "--no-manifest",
        )  # fmt: skip
        (self.region.pgdata / "standby.signal").touch()
        give(self.region.pgdata / "standby.signal", self.account)

    def wait_ready(self, alive: Callable[[], bool]) -> None:
        """Until it answers a query. Raises LabError as soon as it is not ``alive`` any more, or when the time is over."""
        deadline = self.clock.monotonic() + _READY_SECONDS
        while True:
            try:
                with psycopg.connect(self.conninfo()) as connection:
                    connection.execute("SELECT 1")
                    return
            except psycopg.OperationalError as error:
                if self.clock.monotonic() > deadline or not alive():
                    raise LabError(
                        f"PostgreSQL of {self.region.name} does not answer on {self.region.address}:{POSTGRES_PORT}: {error}",
                        hint=f"see {self.region.postgres / 'log'}",
                    ) from error
            self.clock.sleep(_POLL_SECONDS)

    def wait_streaming(self, standby: str) -> None:
        """Until the standby of a region streams from here. Raises LabError."""
        deadline = self.clock.monotonic() + _STREAMING_SECONDS
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            query = "SELECT count(*) FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'"
            while not (row := connection.execute(query, (standby,)).fetchone()) or row[0] == 0:
                if self.clock.monotonic() > deadline:
                    raise LabError(
                        f"PostgreSQL of {standby} does not stream from {self.region.name}",
                        hint=f"see {self.layout.region(standby).postgres / 'log'}",
                    )
                self.clock.sleep(_POLL_SECONDS)

    def _run(self, program: str, *arguments: str) -> None:
        try:
            done = subprocess.run(
                [*as_account(self.account), self.programs.postgres(program), *arguments],
                capture_output=True, text=True, check=False, timeout=_BASEBACKUP_SECONDS, cwd=self.region.data,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": str(self.region.data)},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LabError(f"{program} of {self.region.name}: {error}", hint="dr lab doctor") from error
        if done.returncode != 0:
            raise LabError(
                f"{program} of {self.region.name} failed: {done.stderr.strip()[-400:]}", hint="dr lab doctor; dr lab down, then dr lab up"
            )

    def _write(self, name: str, content: str) -> None:
        path = self.region.postgres / name
        credentials.write_private(path, content)
        give(path, self.account)


def _grant_functions() -> sql.Composed:
    functions = sql.SQL(", ").join(sql.SQL(function) for function in _FUNCTIONS)
    return sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(functions, sql.Identifier(ORCHESTRATOR))


def _quoted(value: str) -> str:
    """A value for postgresql.conf."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
