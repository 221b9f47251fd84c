"""Is it there? Only "no such file" is a no: whatever else keeps us from looking must never become "no run in flight"."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def is_there(path: Path) -> bool:
    """Whether something is at ``path``. Unlike ``Path.exists``, which answers "no" to a loop of links and below a plain file, too.

    Raises:
        OSError: it cannot be told: no permission, a name that is too long, a file where a directory should be, a link to nothing.
    """
    try:
        path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise FileNotFoundError(errno.ENOENT, f"{os.strerror(errno.ENOENT)}, it is a link to nothing", str(path)) from None
        return False
    return True
