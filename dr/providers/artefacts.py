"""Files that a step leaves beside the journal: what was preserved, manifests, lists of what is not equal."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from dr.errors import Transient


def keep(path: Path, content: bytes) -> None:
    """Durable, whole, for the owner only (folder 0700, file 0600).

    Raises:
        Transient: it cannot be written; nothing is there that was not before, and with room again it works.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # it would keep the room from others
            partial.unlink(missing_ok=True)
        raise Transient(f"{path}: {error.strerror}", hint=f"df -h {path.parent}") from error


def keep_lines(path: Path, rows: Iterable[object]) -> None:
    """JSON lines. Raises Transient."""
    keep(path, "".join(f"{json.dumps(row, ensure_ascii=False, separators=(',', ':'))}\n" for row in rows).encode(errors="backslashreplace"))
