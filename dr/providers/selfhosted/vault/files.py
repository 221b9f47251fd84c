"""Files that a component leaves beside the journal: paths, counts and keyed digests, for their owner only."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from dr.errors import Permanent


def write_private(path: Path, text: str) -> None:
    """A file (0600, its folder 0700), replaced as a whole: readers see the old one or the new one. Raises Permanent."""
    problem = None
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.touch(mode=0o600)
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        problem = Permanent(f"{path} cannot be written: {error.strerror}", hint=f"df -h {path.parent}")
    if problem is not None:
        raise problem
