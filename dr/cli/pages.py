"""Files that a command writes beside its result: the place is looked at before the work, and written to after it."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from dr.errors import DrError, UsageError


def check(path: Path, option: str) -> None:
    """Makes the folder and tries the file: hours of work must not end at a directory that nobody may write to. Leaves no new file.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode(path)
        if mode is None:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            path.unlink()
        elif stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # a pipe would take the end of this try for the end of everything
            os.close(os.open(path, os.O_WRONLY))
    except OSError as error:
        hint = f"{option} FILE, in a folder you may write to"
        raise UsageError(f"{option} {path} cannot be written: {error.strerror}", hint=hint) from error


def check_folder(path: Path, option: str) -> None:
    """The same for a folder that files are to be written into.

    Raises:
        UsageError: nothing can be written there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        draft = path / f".{os.getpid()}.try"
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        draft.unlink()
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be written to: {error.strerror}", hint=f"{option} DIR, one you may write to") from error


def write(path: Path, text: str) -> None:
    """Writes it.

    Raises:
        DrError: it cannot be written; a part of a file is not left behind where there was none.
    """
    new = False
    try:
        new = _mode(path) is None
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        if new:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        raise DrError(f"{path} cannot be written: {error.strerror}", hint=f"df -h {path.parent}; then the same once more") from error


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
