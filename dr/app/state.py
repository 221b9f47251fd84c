"""The state directory of this machine: journal, lease, inbox, samples, key, artefacts. Opens each when it is first used."""

from __future__ import annotations

import os
import socket
from functools import cached_property
from pathlib import Path

from dr.engine.threads import OsThreads
from dr.errors import StateUnreadable
from dr.ports import Clock, InboxStore, JournalStore, LeaseStore, Rhythm, SampleStore, Threads
from dr.providers.system import SystemClock
from dr.store.inbox import SqliteInbox
from dr.store.journal import SqliteJournal
from dr.store.lease import Mark, SqliteLease
from dr.store.samples import SqliteSamples


class State:
    """Everything that ``dr`` remembers, in one directory (0700). ``world``: where this process acts (I12)."""

    def __init__(self, directory: Path, clock: Clock | None = None, world: str = "live") -> None:
        self.directory, self.world = directory, world
        self.clock = clock or SystemClock()
        self._silent: dict[str, Mark] = {}

    def make(self) -> None:
        """Creates the directory. Raises StateUnreadable where that is not possible."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateUnreadable(f"{self.directory}: {error.strerror}", hint="--state DIRECTORY, or set DR_STATE") from error

    @property
    def threads(self) -> Threads:
        """How this process does things at the same time."""
        return OsThreads()

    @property
    def rhythm(self) -> Rhythm:
        """How often a run is looked after."""
        return Rhythm()

    @property
    def holder(self) -> str:
        """Who this process is, for people: user@host, process id."""
        return f"{os.environ.get('USER') or os.getuid()}@{socket.gethostname()}, process {os.getpid()}"

    @cached_property
    def journal(self) -> JournalStore:
        """The journal of all runs."""
        return SqliteJournal(self.directory)

    @cached_property
    def inbox(self) -> InboxStore:
        """Requests to runs."""
        return SqliteInbox(self.directory)

    @cached_property
    def samples(self) -> SampleStore:
        """The monitor's memory."""
        return SqliteSamples(self.directory)

    def lease(self) -> LeaseStore:
        """A new handle on the lease: one for each run that this process holds."""
        return SqliteLease(self.directory, self.clock, silent=self._silent)

    def close(self) -> None:
        """Closes what was opened; safe to call twice."""
        for name in ("journal", "inbox", "samples"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()
