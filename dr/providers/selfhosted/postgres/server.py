"""One region's server seen from its host: PostgreSQL's own tools, run through ``host.exec``. No decision is made here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from psycopg import ProgrammingError, conninfo

from dr.errors import EffectUnknown, Permanent, Transient
from dr.ports import Completed, Host
from dr.providers.selfhosted.postgres import wal
from dr.providers.selfhosted.postgres.config import RegionServer

NOT_REACHABLE = 255
_NOT_RUNNING = 3
_NO_RESPONSE = 2
_PID = re.compile(r"PID: (\d+)")
_SHORT = timedelta(seconds=5)


class Running(Enum):
    """What the host says of the server's process. ``NO_HOST``: the host did not answer, nothing is known."""

    YES = "running"
    NO = "not running"
    NO_HOST = "host not reachable"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Process:
    """One answer of ``pg_ctl status``. ``said`` is for the proof."""

    running: Running
    said: str
    pid: int | None = None


class Server:
    """The server of a region, through its host.

    Args:
        host: None where the runbook gives no way to the region's hosts: every answer is then ``NO_HOST``.
    """

    def __init__(self, region: str, settings: RegionServer, host: Host | None) -> None:
        self.region, self.settings, self._host = region, settings, host
        self._data: str | None = settings.data_directory

    def run(self, argv: Sequence[str], timeout: timedelta, stdin: str | None = None) -> Completed:
        """Runs a command on the host. Raises EffectUnknown after the timeout; never for a status."""
        if self._host is None:
            return Completed(NOT_REACHABLE, "", f"regions.{self.region}.host is not set in the runbook")
        return self._host.run(argv, timeout=timeout, stdin=stdin)

    def must(self, argv: Sequence[str], timeout: timedelta, stdin: str | None = None) -> str:
        """Runs a command that has to work; its output.

        Raises:
            Transient: the host is not reachable. EffectUnknown: no answer in time. Permanent: the command failed.
        """
        done = self.run(argv, timeout, stdin)
        if done.status == NOT_REACHABLE:
            raise Transient(f"host of {self.region} not reachable: {said(done)}", hint=f"check regions.{self.region}.host in the runbook")
        if done.status != 0:
            raise Permanent(f"{argv[0]} in {self.region} failed with status {done.status}: {said(done)}")
        return done.out

    def data(self) -> str:
        """The data directory: as configured, else the host's ``$PGDATA``. Raises as ``must``."""
        if self._data is None:
            self._data = self.must(["printenv", "PGDATA"], _SHORT).strip().rstrip("/")
        return self._data

    def process(self, timeout: timedelta) -> Process:
        """Whether the server runs. Never raises."""
        try:
            done = self.run([self.settings.tool("pg_ctl"), "status", *self._in_data()], timeout)
        except EffectUnknown as error:
            return Process(Running.NO_HOST, error.message)
        if done.status == 0:
            pid = _PID.search(done.out)
            return Process(Running.YES, "pg_ctl status: running", int(pid[1]) if pid else None)
        if done.status == _NOT_RUNNING:
            return Process(Running.NO, "pg_ctl status: no server running")
        if done.status == NOT_REACHABLE:
            return Process(Running.NO_HOST, f"host not reachable ({said(done)})")
        return Process(Running.UNCLEAR, f"pg_ctl status exits with {done.status} ({said(done)})")

    def dead(self, pid: int, timeout: timedelta) -> bool:
        """Whether a pid that pg_ctl still sees is a dead process that nobody has reaped yet (containers without a real init)."""
        try:
            done = self.run(["ps", "-o", "stat=", "-p", str(pid)], timeout)
        except EffectUnknown:
            return False
        return done.out.strip().startswith("Z") or (done.status == 1 and not done.out.strip() and not done.err.strip())

    def silent_on_host(self, timeout: timedelta) -> bool:
        """Whether the server's port does not answer when asked on its own host."""
        try:
            argv = [self.settings.tool("pg_isready"), "-q", "-t", "1", "-h", self.settings.address, "-p", str(self.settings.port)]
            return self.run(argv, timeout).status == _NO_RESPONSE
        except EffectUnknown:
            return False

    def stop(self, mode: str, timeout: timedelta, *, wait: bool = True) -> Completed:
        """Stops the server, and waits until it is gone unless told not to. Raises EffectUnknown after the timeout."""
        if self.settings.stop is not None:
            return self.run(self.settings.stop, timeout)
        waiting = ["-t", str(max(1, int(timeout.total_seconds()) - 1))] if wait else ["-W"]
        return self.run([self.settings.tool("pg_ctl"), "stop", *self._in_data(), "-m", mode, *waiting], timeout)

    def kill(self, pid: int, timeout: timedelta) -> None:
        """Kills the server and its children: the only thing that ends processes that were stopped. Raises EffectUnknown."""
        children = self.run(["pgrep", "-P", str(pid)], timeout).out.split()
        self.run(["kill", "-KILL", str(pid), *(child for child in children if child.isdigit())], timeout)

    def start(self, timeout: timedelta) -> None:
        """Starts the server and waits until it takes connections. Raises as ``must``."""
        if self.settings.start is not None:
            self.must(self.settings.start, timeout)
            return
        log = self.settings.log_file or f"{self.data()}/dr-start.log"
        seconds = max(1, int(timeout.total_seconds()) - 1)
        done = self.run([self.settings.tool("pg_ctl"), "start", *self._in_data(), "-w", "-s", "-t", str(seconds), "-l", log], timeout)
        if done.status == NOT_REACHABLE:
            raise Transient(f"host of {self.region} not reachable: {said(done)}")
        if done.status != 0:
            last = self.run(["tail", "-n", "5", log], _SHORT)
            raise Permanent(f"the server in {self.region} did not start: {said(done)}: {said(last)}", hint=f"read {log} there")

    def control(self, timeout: timedelta = _SHORT) -> wal.ControlData:
        """What the data directory says of itself. Raises as ``must``."""
        try:
            return wal.parse_control(self.must([self.settings.tool("pg_controldata"), *self._in_data()], timeout))
        except ValueError as error:
            raise Permanent(f"in {self.region}: {error}") from error

    def newest_history(self) -> int | None:
        """The highest timeline of which the data directory has a history file. Raises as ``must``."""
        return wal.newest_history(self.must(["ls", "-1", f"{self.data()}/pg_wal"], _SHORT))

    def history(self, timeline: int) -> str:
        """A timeline's history file, from the data directory. Raises as ``must``."""
        return self.must(["cat", f"{self.data()}/pg_wal/{timeline:08X}.history"], _SHORT)

    def beyond(self, timeline: int, start: int, timeout: timedelta) -> wal.Beyond:
        """What its log holds from a position on. Raises Transient, EffectUnknown."""
        done = self._waldump(timeline, start, ["--stats=record"], timeout)
        return wal.parse_statistics(done.out, done.err, start)

    def records(self, timeline: int, start: int, most: int, timeout: timedelta) -> str:
        """The records of its log from a position on, one a line. Raises Transient, EffectUnknown."""
        return self._waldump(timeline, start, ["-n", str(most)], timeout).out

    def setting(self, name: str) -> str:
        """A setting as a server started now would have it. Raises as ``must``."""
        return self.must([self.settings.tool("postgres"), "-C", name, "-D", self._configuration()], _SHORT).strip()

    def follows(self) -> bool:
        """Whether the settings lead to the server that the runbook names under ``follows``. Raises as ``must``."""
        try:
            parts = conninfo.conninfo_to_dict(self.setting("primary_conninfo"))
        except ProgrammingError:
            return False
        wanted = self.settings.follows
        return str(parts.get("host", "")) == wanted.address and str(parts.get("port", "5432")) == str(wanted.port)

    def append_setting(self, name: str, value: str, timeout: timedelta) -> None:
        """Adds a setting where the last one counts, as ALTER SYSTEM does; read at the next start or reload. Raises as ``must``."""
        quoted = value.replace("'", "''")
        self.must(["tee", "-a", f"{self.data()}/postgresql.auto.conf"], timeout, stdin=f"{name} = '{quoted}'\n")

    def exists(self, path: str) -> bool:
        """Whether there is such a file or directory. Raises Transient, EffectUnknown."""
        done = self.run(["test", "-e", path], _SHORT)
        if done.status == NOT_REACHABLE:
            raise Transient(f"host of {self.region} not reachable: {said(done)}")
        return done.status == 0

    def _waldump(self, timeline: int, start: int, options: Sequence[str], timeout: timedelta) -> Completed:
        where = ["-p", f"{self.data()}/pg_wal", "-t", str(timeline), "-s", wal.show_lsn(start)]
        done = self.run([self.settings.tool("pg_waldump"), *where, *options], timeout)
        if done.status == NOT_REACHABLE:
            raise Transient(f"host of {self.region} not reachable: {said(done)}")
        return done

    def _configuration(self) -> str:
        if self.settings.config_file is None:
            return self.data()
        return self.settings.config_file.rpartition("/")[0]

    def _in_data(self) -> list[str]:
        return [] if self._data is None else ["-D", self._data]


def said(done: Completed) -> str:
    """The last line that a command printed, for a message."""
    lines = (done.err.strip() or done.out.strip()).splitlines()
    return lines[-1][:200] if lines else f"exit status {done.status}"
