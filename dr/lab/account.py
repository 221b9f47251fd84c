"""Who the lab's servers run as. As an ordinary user: as that user. As root: as an unprivileged account, because PostgreSQL insists on it
and nothing of a rehearsal needs root."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from dr.errors import LabError

_CANDIDATES = ("nobody", "daemon")
_ELSEWHERE = Path("/var/tmp")  # noqa: S108  # only the directory's name is predictable; ``own`` refuses one that is not ours


@dataclass(frozen=True)
class Account:
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int


def servers_account() -> Account | None:
    """The account that servers run as; None: as whoever runs this process.

    Raises:
        LabError: root, and the machine has no unprivileged account. A uid without a passwd entry is not enough for PostgreSQL.
    """
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise LabError(
        f"running as root, and none of the accounts {', '.join(_CANDIDATES)} exists to run the servers as",
        hint="useradd --system --no-create-home nobody, or run as an ordinary user",
    )


def as_account(account: Account | None) -> tuple[str, ...]:
    """The argv prefix that runs a command as the account; it replaces itself, so the pid stays."""
    if account is None:
        return ()
    setpriv = shutil.which("setpriv") or "/usr/bin/setpriv"
    return (setpriv, f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--")


def drop_to(name: str | None) -> None:
    """Becomes the account for good, in a process of the lab that root started; nothing to do for None or an ordinary user.

    Called after the imports (the interpreter may lie under a root-only home) and before a socket is opened.
    """
    if name is None or os.geteuid() != 0:
        return
    entry = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def reaches(path: Path, account: Account | None) -> bool:
    """Whether the account may pass through every directory down to ``path`` (the nearest part of it that exists)."""
    if account is None:
        return True
    existing = path if path.exists() else next(parent for parent in path.parents if parent.exists())
    return all(_may_pass(folder, account) for folder in (existing.resolve(), *existing.resolve().parents) if folder.is_dir())


def _may_pass(folder: Path, account: Account) -> bool:
    info = folder.stat()
    if info.st_uid == account.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == account.gid:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)


def place_of_data(state: Path) -> Path:
    """Where the servers' data of a lab goes: the state directory, or a directory of its own where the account cannot reach that."""
    account = servers_account()
    if reaches(state, account):
        return state
    return _ELSEWHERE / f"dr-lab-{hashlib.sha256(str(state).encode()).hexdigest()[:12]}"


def give(path: Path, account: Account | None) -> None:
    """The account becomes the owner of a file that we made."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def own(folder: Path, account: Account | None, mode: int = 0o700) -> Path:
    """Makes a directory that belongs to the account (to us where there is none).

    Raises:
        LabError: it is there and belongs to somebody else: nothing is put into a stranger's directory.
    """
    owners = {os.geteuid()} | ({account.uid} if account else set())
    folder.mkdir(parents=True, exist_ok=True)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid not in owners:
        raise LabError(f"{folder} is there already and belongs to uid {info.st_uid}", hint=f"look at it, then: rm -r {folder}")
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(mode)
    return folder
