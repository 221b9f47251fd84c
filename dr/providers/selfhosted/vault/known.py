"""What was read of secrets, kept beside the journal as keyed digests: a version never changes under its number, so one listing for each
region tells the next process nearly everything. 1,120 values cost a second or more on a busy machine, the listings a tenth of that."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from dr.errors import StepError
from dr.providers.selfhosted.vault.files import write_private
from dr.providers.selfhosted.vault.secret import Fact

KEPT = timedelta(hours=1)
"""What is older is forgotten; whoever asks says how old an answer may be."""


class Key(NamedTuple):
    """One version; ``created`` tells it from another one of the same number after a secret was removed and made again."""

    region: str
    path: str
    version: int
    created: str


class Known:
    """Facts by version, with the moment at which the value was read. Safe to use from several threads.

    Args:
        path: where they are kept (0600). basis: what they depend on beside the value; facts of another basis are not believed.
    """

    def __init__(self, path: Path, basis: str, now: Callable[[], datetime]) -> None:
        self._path, self._basis, self._now = path, basis, now
        self._facts: dict[Key, tuple[datetime, Fact]] | None = None
        self._changed = False
        self._lock = Lock()

    def get(self, key: Key, age: timedelta) -> Fact | None:
        """The fact, where it was read no longer ago."""
        found = self._loaded().get(key)
        return found[1] if found is not None and timedelta(0) <= self._now() - found[0] < age else None

    def put(self, key: Key, fact: Fact) -> None:
        """Keeps a fact as of now."""
        self._loaded()[key] = (self._now(), fact)
        self._changed = True

    def save(self) -> None:
        """Writes them where something is new. A head start only: where it cannot be written, the next process reads values again."""
        if not self._changed:
            return
        with self._lock:
            self._changed, oldest = False, self._now() - KEPT
            kept = {key: item for key, item in list(self._loaded().items()) if item[0] > oldest}
            self._facts = kept
        rows = [[*key, at.isoformat(), fact.digest, sorted(fact.leads_into), fact.key] for key, (at, fact) in kept.items()]
        with suppress(StepError):
            write_private(self._path, json.dumps({"basis": self._basis, "facts": rows}, separators=(",", ":")))

    def _loaded(self) -> dict[Key, tuple[datetime, Fact]]:
        if self._facts is None:
            with self._lock:
                if self._facts is None:
                    self._facts = self._read()
        return self._facts

    def _read(self) -> dict[Key, tuple[datetime, Fact]]:
        found = {}
        with suppress(OSError, ValueError, KeyError, TypeError):  # none, or of another version: then nothing is known
            data = json.loads(self._path.read_text(encoding="utf-8"))
            for region, path, version, created, at, digest, leads, key in data["facts"] if data["basis"] == self._basis else []:
                found[Key(region, path, version, created)] = (datetime.fromisoformat(at), Fact(digest, frozenset(leads), key))
        return found
