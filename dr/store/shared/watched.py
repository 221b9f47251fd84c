"""What lies on a shared table of what was watched, and how: rows, their names, their fields.

What another version of dr has written is read as far as it is known here: fields that are new to this one are left out.
"""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel

from dr.errors import StateLost
from dr.model.identity import IdentitySnapshot
from dr.model.lag import Beat, LagSample
from dr.ports.table import MOST_BYTES, Fields, Write

M = TypeVar("M", bound=BaseModel)

BEATS: Final = 25
"""So many acknowledged heartbeats of a component are kept: the last one dates an outage, the distance of the others says whether it may."""
UNREADABLE: Final = (zlib.error, ValueError, KeyError, TypeError, IndexError)
"""What reading a row raises that is damaged, or that another version wrote. pydantic's ValidationError is a ValueError."""
_MOST_PARTS = 8


class Beats:
    """Of one component, as much as dates an outage: the newest that were acknowledged, and the first and the newest that were not."""

    def __init__(self) -> None:
        self._well: deque[Beat] = deque(maxlen=BEATS)
        self._failed: list[Beat] = []

    def add(self, beat: Beat) -> bool:
        """In order. Returns whether an outage seems to begin with it."""
        if beat.acknowledged_at is not None:
            self._well.append(beat)
            self._failed.clear()
            return False
        begins = not self._failed
        self._failed[1:] = [] if begins else [beat]
        if begins:
            self._failed.append(beat)
        return begins

    def __iter__(self) -> Iterator[Beat]:
        """Oldest first."""
        yield from self._well
        yield from self._failed


class Head(NamedTuple):
    """That there is a snapshot, and of when."""

    component: str
    region: str
    taken_at: datetime


def group(runbook: str) -> str:
    """Where a row lies for each machine that watches."""
    return f"watch {runbook}"


def identities(runbook: str) -> str:
    """Where a row lies for each component and region of which there is a snapshot."""
    return f"identities {runbook}"


def body(runbook: str, component: str, region: str) -> str:
    """Where the parts of a snapshot lie."""
    return f"identities {runbook} {component} {region}"


def packed(samples: Sequence[LagSample], beats: Sequence[Beat]) -> bytes:
    """The body of a machine's row."""
    said = {"samples": [item.model_dump(mode="json") for item in samples], "beats": [item.model_dump(mode="json") for item in beats]}
    return zlib.compress(json.dumps(said).encode())


def unpacked(_key: str, rows: Sequence[Fields]) -> tuple[list[LagSample], list[Beat]]:
    """What it holds. Raises one of ``UNREADABLE``."""
    said = json.loads(zlib.decompress(_bytes(rows[0])))
    return [_known(LagSample, item) for item in said["samples"]], [_known(Beat, item) for item in said["beats"]]


def rows_of(runbook: str, component: str, region: str, snapshot: IdentitySnapshot) -> Sequence[Write]:
    """All rows of a snapshot, to be written at once. Raises StateLost: more than one write takes."""
    whole = zlib.compress(snapshot.model_dump_json().encode())
    parts = [whole[first : first + MOST_BYTES] for first in range(0, len(whole), MOST_BYTES)]
    if len(parts) > _MOST_PARTS:
        raise StateLost(f"it takes {len(whole)} bytes, and {_MOST_PARTS * MOST_BYTES} are the most")
    taken = snapshot.taken_at.isoformat()
    place = body(runbook, component, region)
    head = Write(identities(runbook), f"{component} {region}", {"taken_at": taken}, {})
    return [head, *(
        Write(place, f"{number:03d}", {"body": part, "taken_at": taken, "parts": len(parts)}, {}) for number, part in enumerate(parts)
    )]  # fmt: skip


def head(key: str, rows: Sequence[Fields]) -> Head:
    """Raises one of ``UNREADABLE``."""
    component, region = key.split(" ")
    return Head(component, region, moment(rows[0], "taken_at"))


def snapshot(_key: str, rows: Sequence[Fields]) -> IdentitySnapshot:
    """Out of its parts, which are written at once; parts of an older, longer one may lie behind them. Raises as ``head``."""
    rows = rows[: int(rows[0]["parts"])]
    if len(rows) < int(rows[0]["parts"]) or len({row["taken_at"] for row in rows}) > 1:
        raise ValueError("not whole")
    said = json.loads(zlib.decompress(b"".join(_bytes(row) for row in rows)))
    return _known(IdentitySnapshot, said)


def moment(row: Fields, name: str, unknown: datetime | None = None) -> datetime:
    """A field that is one. unknown: instead of raising where it is none."""
    try:
        found = datetime.fromisoformat(str(row[name]))
        if found.tzinfo is None:
            raise ValueError("without a zone")
    except (KeyError, ValueError):
        if unknown is None:
            raise
        return unknown
    return found


def _bytes(row: Fields) -> bytes:
    found = row["body"]
    if not isinstance(found, bytes):
        raise TypeError("no bytes")
    return found


def _known(model: type[M], said: dict[str, Any]) -> M:
    """Fields that are new to this version of dr are left out."""
    return model.model_validate({name: value for name, value in said.items() if name in model.model_fields})
