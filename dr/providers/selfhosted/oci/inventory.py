"""What each region's registry was seen to hold, and when. Kept outside both regions, so that the next process need not ask it all again.

Names and digests of images only. A look that is too old says nothing: who reads an entry judges its age.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock

from pydantic import ValidationError

from dr.model.base import Frozen, Moment
from dr.ports import Clock

_KEPT = timedelta(days=1)


class Entry(Frozen):
    """One look at an image, a tag or a pull.

    at: of the newest look at all its parts. asked: of the newest look at its manifest alone, where that came later.
    digest: what the reference names, None where it is not there. lacks: digests of its parts that are not there.
    problem: why it is of no use though it is there.
    """

    at: Moment
    digest: str | None = None
    lacks: tuple[str, ...] = ()
    problem: str = ""
    asked: Moment | None = None

    @property
    def seen(self) -> datetime:
        """When it was last found there."""
        return self.asked or self.at

    @property
    def good(self) -> bool:
        """It is there, with all its parts, and can be used."""
        return self.digest is not None and not self.lacks and not self.problem


class Kept(Frozen):
    """The file: region → key → entry."""

    regions: Mapping[str, Mapping[str, Entry]] = {}


class Inventory:
    """Of one component. For many threads; of several processes the last one to save wins, which costs the other one a look at most.

    Args:
        path: the file; made with its folder (0700) when it is first saved. One that cannot be read counts as empty.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._entries: dict[str, dict[str, Entry]] = {}
        self._loaded = self._changed = False
        self._lock = Lock()

    def get(self, region: str, key: str) -> Entry | None:
        """The newest look."""
        with self._lock:
            self._load()
            return self._entries.get(region, {}).get(key)

    def put(self, region: str, key: str, entry: Entry) -> None:
        """Remembers a look. An error of a moment is no look: do not put it."""
        with self._lock:
            self._load()
            self._entries.setdefault(region, {})[key] = entry
            self._changed = True

    def fresh(self, region: str, key: str, within: timedelta) -> Entry | None:
        """The newest look where it is not older than ``within``."""
        entry = self.get(region, key)
        age = self._clock.now() - entry.at if entry is not None else None
        return entry if age is not None and timedelta(0) <= age <= within else None

    def tags(self, region: str, repository: str, within: timedelta) -> dict[str, Entry]:
        """The tags of a repository that were seen within this time."""
        with self._lock:
            self._load()
            oldest = self._clock.now() - within
            entries = self._entries.get(region, {}).items()
            return {key: entry for key, entry in entries if key.startswith(f"{repository}:") and entry.at >= oldest}

    def save(self) -> None:
        """Writes the file where anything changed. What cannot be written is only asked again by the next process."""
        with self._lock:
            if not self._changed:
                return
            oldest = self._clock.now() - _KEPT
            kept = Kept(regions={
                region: {key: entry for key, entry in entries.items() if entry.at > oldest} for region, entries in self._entries.items()
            })  # fmt: skip
            self._changed = False
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(kept.model_dump_json())
            new.replace(self._path)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        with suppress(OSError, ValidationError):
            kept = Kept.model_validate_json(self._path.read_bytes())
            self._entries = {region: dict(entries) for region, entries in kept.regions.items()}
