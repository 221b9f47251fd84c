"""The state directory of this machine: journal, lease, inbox, samples, key, artefacts. Opens each when it is first used."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from dr import __version__
from dr.engine.threads import OsThreads
from dr.errors import StateLost, StateUnreadable
from dr.ports import Clock, Derived, InboxStore, JournalStore, LeaseStore, Rhythm, SampleStore, Threads
from dr.ports.table import Table
from dr.providers.system import SystemClock
from dr.store import database
from dr.store.derived import SqliteDerived
from dr.store.inbox import SqliteInbox
from dr.store.journal import SCHEMA as JOURNAL
from dr.store.journal import SqliteJournal
from dr.store.lease import SCHEMA as LEASE
from dr.store.lease import Mark, SqliteLease
from dr.store.samples import SqliteSamples


class State:
    """Everything that ``dr`` remembers, in one directory (0700).

    Args:
        world: where this process acts (I12).
        shared: the address of a table that journal, lease and inbox lie in instead, for several machines, with what a move needs of the
            monitor's memory. Its history and artefacts stay in the directory.
    """

    def __init__(self, directory: Path, clock: Clock | None = None, world: str = "live", shared: str | None = None) -> None:
        self.directory, self.world, self.shared = directory, world, shared
        self.clock = clock or SystemClock()
        self._silent: dict[str, Mark] = {}

    def make(self) -> None:
        """Creates the directory. Raises StateUnreadable where that is not possible."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateUnreadable(f"{self.directory}: {error.strerror}", hint="--state DIRECTORY, or set DR_STATE") from error

    def lay_out(self) -> None:
        """Begins to create, in the background, the files that a run writes first: each takes some 40 ms to be durable, and there is enough
        else to do meanwhile. What is wrong with them is told to whoever writes."""
        if self.shared is None:
            pool = ThreadPoolExecutor(1, thread_name_prefix="files")  # no daemon: it is through with a file before the process ends
            pool.submit(self._lay_out)
            pool.shutdown(wait=False)

    def _lay_out(self) -> None:
        for path, schema in ((SqliteLease(self.directory, self.clock).path, LEASE), (SqliteJournal(self.directory).path, JOURNAL)):
            with suppress(StateLost, StateUnreadable):
                database.writer(path, schema).close()

    @property
    def threads(self) -> Threads:
        """How this process does things at the same time."""
        return OsThreads()

    @property
    def rhythm(self) -> Rhythm:
        """How often a run is looked after: across a network less often."""
        return Rhythm() if self.shared is None else Rhythm(poll=0.5, renew=4.0)

    @property
    def holder(self) -> str:
        """Who this process is, for people: user@host, process id."""
        return f"{os.environ.get('USER') or os.getuid()}@{socket.gethostname()}, process {os.getpid()}"

    @property
    def machine(self) -> str:
        """This state directory's machine, for other machines: its name is not enough, many are called alike. Raises StateLost."""
        path = self.directory / "machine"
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError), os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(os.urandom(4).hex())
            own = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise StateLost(f"{path}: {error}", hint="--state DIRECTORY, or set DR_STATE") from error
        return f"{socket.gethostname()}-{own}"

    @property
    def tool_version(self) -> str:
        """Which ``dr`` this process is."""
        return __version__

    @cached_property
    def table(self) -> Table:
        """Where what is shared lies. Raises UsageError: no such address."""
        return self._new_table()

    @cached_property
    def samples_table(self) -> Table:
        """The same for samples: where one connection serves one thread at a time, a lease must not wait behind a snapshot."""
        from dr.providers.selfhosted.state import PostgresTable

        return self._new_table() if isinstance(self.table, PostgresTable) else self.table

    def _new_table(self) -> Table:
        from urllib.parse import urlsplit

        assert self.shared is not None, "asked for only where it is shared"
        if urlsplit(self.shared).scheme == "dynamodb":
            from dr.providers.aws.state import DynamoTable

            return DynamoTable(self.shared, self.clock)
        from dr.providers.selfhosted.state import PostgresTable

        return PostgresTable(self.shared)

    @cached_property
    def journal(self) -> JournalStore:
        """The journal of all runs."""
        if self.shared is not None:
            from dr.store.shared.journal import SharedJournal

            return SharedJournal(self.table)
        return SqliteJournal(self.directory)

    @cached_property
    def inbox(self) -> InboxStore:
        """Requests to runs."""
        if self.shared is not None:
            from dr.store.shared.inbox import SharedInbox

            return SharedInbox(self.table, self.clock)
        return SqliteInbox(self.directory)

    @cached_property
    def samples(self) -> SampleStore:
        """The monitor's memory."""
        own = SqliteSamples(self.directory)
        if self.shared is not None:
            from dr.store.shared.samples import SharedSamples

            return SharedSamples(own, self.samples_table, self.clock, self.machine)
        return own

    def digest_key(self, own: bytes) -> bytes:
        """The key of digests, given this machine's own. Raises StateUnreadable, StateLost."""
        if self.shared is None:
            return own
        from dr.store.shared.key import agreed

        return agreed(self.table, own)

    @property
    def derived(self) -> Derived | None:
        """What was reckoned from the journal before; None where it costs nothing to reckon it anew."""
        return SqliteDerived(self.directory)

    def lease(self) -> LeaseStore:
        """A new handle on the lease: one for each run that this process holds."""
        if self.shared is not None:
            from dr.store.shared.lease import SharedLease

            return SharedLease(self.table, self.clock, silent=self._silent)
        return SqliteLease(self.directory, self.clock, silent=self._silent)

    def close(self) -> None:
        """Closes what was opened; safe to call twice."""
        for name in ("journal", "inbox", "samples", "samples_table", "table"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()
