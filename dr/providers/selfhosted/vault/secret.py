"""Secrets as data. A value is in no ``repr``, no comparison and no exception: only ``Value`` holds one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dr.model.base import Json

SOURCE_REGION = "source_region"
SOURCE_VERSION = "source_version"
COPIED_VERSION = "copied_version"
MARKS = (SOURCE_REGION, SOURCE_VERSION, COPIED_VERSION)
"""Custom metadata of a secret that ``dr`` copied: from which region, which version there, and which version it became here."""


class Value:
    """The content of one version. Shown nowhere."""

    __slots__ = ("_data",)

    def __init__(self, data: Mapping[str, Json]) -> None:
        self._data = dict(data)

    def __repr__(self) -> str:
        return "Value(…)"

    @property
    def data(self) -> dict[str, Json]:
        """For the one request that writes it."""
        return self._data

    @property
    def canonical(self) -> str:
        """The same text for the same content: only good for a keyed digest."""
        return json.dumps(self._data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def text(self, name: str) -> str | None:
        """One field, where it is text."""
        found = self._data.get(name)
        return found if isinstance(found, str) else None

    def strings(self) -> Iterator[str]:
        """Every text in it, however deep, names of fields left out."""
        waiting: list[Json] = [self._data]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                yield item
            elif isinstance(item, Mapping):
                waiting.extend(item.values())
            elif isinstance(item, list):
                waiting.extend(item)


@dataclass(frozen=True)
class Version:
    """One version as its server numbered it. ``gone``: ``deleted`` or ``destroyed``, empty while it can be read."""

    number: int
    created: datetime
    gone: str = ""


@dataclass(frozen=True)
class Settings:
    """How the engine treats a secret's versions; copied with it. ``max_versions`` 0: as the mount says."""

    max_versions: int = 0
    cas_required: bool = False
    delete_version_after: str = "0s"


@dataclass(frozen=True)
class Secret:
    """What a server says about a secret without its content. ``current`` 0: it has no version yet."""

    path: str
    current: int
    updated: datetime
    versions: Mapping[int, Version] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)
    settings: Settings = Settings()

    @property
    def gone(self) -> str:
        """Why its current version cannot be read; empty where it can."""
        version = self.versions.get(self.current)
        return "deleted" if version is None else version.gone

    @property
    def live(self) -> tuple[int, ...]:
        """Numbers of the versions that can be read, oldest first."""
        return tuple(number for number in sorted(self.versions) if not self.versions[number].gone)

    @property
    def copied_from(self) -> str | None:
        """The region that the current version was copied from; None where it was written here, or since."""
        return self.marks.get(SOURCE_REGION) if self.marks.get(COPIED_VERSION) == str(self.current) else None


@dataclass(frozen=True)
class Fact:
    """What is kept of a value once it was read: its keyed digest, the regions that it leads into, whether it holds a Fernet key."""

    digest: str
    leads_into: frozenset[str] = frozenset()
    key: bool = False
