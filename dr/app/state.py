"""The state directory of this machine: journal, lease, inbox, samples, key, artefacts. Opens each when it is first used."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from dr.errors import StateUnreadable
from dr.ports import Clock
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

    @cached_property
    def journal(self) -> SqliteJournal:
        """The journal of all runs."""
        return SqliteJournal(self.directory)

    @cached_property
    def inbox(self) -> SqliteInbox:
        """Requests to runs."""
        return SqliteInbox(self.directory)

    @cached_property
    def samples(self) -> SqliteSamples:
        """The monitor's memory."""
        return SqliteSamples(self.directory)

    def lease(self) -> SqliteLease:
        """A new handle on the lease: one for each run that this process holds."""
        return SqliteLease(self.directory, self.clock, silent=self._silent)

    def close(self) -> None:
        """Closes what was opened; safe to call twice."""
        for name in ("journal", "inbox", "samples"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()
