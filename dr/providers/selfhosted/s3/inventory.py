"""What the primary held when it was last listed, kept outside both regions: so that a disaster's loss can be counted and named.

JSON lines: a header, then ``[key, etag, size, modified]`` for each object. Replaced as a whole, readable for its owner only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dr.providers.selfhosted.s3.objects import Item

_SCHEMA = "dr.s3-inventory/1"


@dataclass(frozen=True)
class Inventory:
    """The objects of ``region`` as listed at ``at``."""

    region: str
    at: datetime
    items: tuple[Item, ...]


def place(artefacts: Path, component: str) -> Path:
    """Where a component's inventory is kept."""
    return artefacts / f"{component}-inventory.jsonl"


def keep(path: Path, inventory: Inventory) -> None:
    """Writes it. Raises OSError."""
    header = {"schema": _SCHEMA, "region": inventory.region, "at": inventory.at.isoformat(), "objects": len(inventory.items)}
    rows = ([item.key, item.etag, item.size, item.modified.isoformat()] for item in inventory.items)
    write_lines(path, [header, *rows])


def read(path: Path) -> Inventory | None:
    """The inventory; None where there is none, or it is not one of ours."""
    try:
        first, *rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
        if first["schema"] != _SCHEMA or first["objects"] != len(rows):
            return None
        items = tuple(Item(key, etag, size, datetime.fromisoformat(modified)) for key, etag, size, modified in rows)
        return Inventory(first["region"], datetime.fromisoformat(first["at"]), items)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_lines(path: Path, rows: Iterable[object]) -> None:
    """JSON lines, 0600, replaced as a whole. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(row, ensure_ascii=False, separators=(',', ':'))}\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
