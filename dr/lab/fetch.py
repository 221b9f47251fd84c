"""Gets server programs into the lab's cache: Debian packages downloaded and unpacked without root, trees copied. Nothing is installed.

Installing knot with apt would start a daemon on port 53; ``apt-get download`` and ``dpkg-deb -x`` do not. With directories of its own,
``apt-get update`` needs no root either. A new tree appears by one rename, after its server has printed its version.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from dr.errors import LabError

KNOT_FOLDER = "knot"
WITHOUT_APT = "install Knot DNS (the program knotd) with this system's package manager, for example: dnf install knot"
_TIMEOUT_SECONDS = 300
_NEVER = {"libc6", "libgcc-s1"}  # another C library than the loader's own breaks every program


def make_cache(place: Path) -> Path:
    """Makes the cache directory, readable by every account whatever the umask is."""
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    place.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        folder.chmod(0o755)
    return place


def library_path(root: Path) -> str:
    """LD_LIBRARY_PATH for the programs of an unpacked tree: every folder in it that holds shared libraries."""
    folders = sorted({path.parent for base in ("usr/lib", "lib") for path in (root / base).rglob("*.so.*")})
    return os.pathsep.join(str(folder) for folder in folders)


def copy_tree(sources: Sequence[Path], target: Path) -> None:
    """Copies folders into ``target``, which appears complete or not at all. Those that do not exist are left out."""
    make_cache(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as work:
        new = Path(work) / "new"
        new.mkdir()
        for source in sources:
            if source.is_dir():
                shutil.copytree(source, new / source.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        _readable(new)
        _publish(new, target)


def debian(
    cache: Path, folder: str, package: str, what: str, version: Callable[[Path], str], say: Callable[[str], None], without_apt: str = ""
) -> None:
    """Downloads a Debian package and the libraries that this machine lacks into ``cache/folder``.

    Args:
        what: the server's name for people. without_apt: what to do on a system without apt.
        version: starts the server of an unpacked tree and returns its version; raises LabError when it does not start.

    Raises:
        LabError: no apt, no network, no such package; the hint is the command to try.
    """
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(program) is None:
            hint = without_apt or f"install {what} with this system's package manager"
            raise LabError(f"{what} is missing, and {program} is not there to download it", hint=hint)
    with tempfile.TemporaryDirectory(dir=cache, prefix=f".{folder}-") as work:
        apt = _Apt(Path(work), package, what)
        apt.update()
        wanted = apt.libraries(package)
        root = Path(work) / "root"
        # What is installed is taken from the system; where that is older than the server needs, the newest of all is taken instead.
        for libraries in (sorted(wanted - apt.installed()), sorted(wanted)):
            apt.unpack([package, *libraries], root)
            try:
                say(f"{what} {version(root)} unpacked with {len(libraries)} libraries")
                break
            except LabError:
                if libraries == sorted(wanted):
                    raise
        _readable(root)
        _publish(root, cache / folder)


class _Apt:
    """apt with directories of its own: no root, no lock, nothing of the system is changed."""

    def __init__(self, work: Path, package: str, what: str) -> None:
        self._package, self._what = package, what
        self._packages = work / "packages"
        for folder in ("lists/partial", "cache/archives/partial", "packages"):
            (work / folder).mkdir(parents=True)
        self._options = ["-o", f"Dir::State::Lists={work / 'lists'}", "-o", f"Dir::Cache={work / 'cache'}", "-o", "Debug::NoLocking=1"]
        if os.geteuid() == 0:
            self._options += ["-o", "APT::Sandbox::User=root"]  # the directories are ours, not _apt's

    def update(self) -> None:
        """Reads the package lists of the configured sources."""
        self._run(["apt-get", *self._options, "-q", "update"])

    def libraries(self, package: str) -> set[str]:
        """Names of all library packages that a package depends on, directly or not."""
        flags = ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
        out = self._run(["apt-cache", *self._options, "depends", "--recurse", *(f"--no-{flag}" for flag in flags), package])
        names = {line.strip() for line in out.splitlines() if line and not line[0].isspace()}
        return {name for name in names if (name.startswith("lib") or name.endswith("-libs")) and ":" not in name} - _NEVER

    def installed(self) -> set[str]:
        """Names of the packages that the system has."""
        out = self._run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n"])
        return {line.split()[1] for line in out.splitlines() if line.startswith("ii")}

    def unpack(self, packages: Sequence[str], root: Path) -> None:
        """Downloads packages and unpacks them over each other into ``root``."""
        self._run(["apt-get", *self._options, "-q", "download", *packages])
        root.mkdir(exist_ok=True)
        for archive in sorted(self._packages.glob("*.deb")):
            self._run(["dpkg-deb", "-x", str(archive), str(root)])

    def _run(self, argv: list[str]) -> str:
        try:
            done = subprocess.run(
                argv, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False, cwd=self._packages,
                env=dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive"),
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            hint = f"apt-get install {self._package}, or try again"
            raise LabError(f"{self._what} could not be downloaded: {error}", hint=hint) from error
        if done.returncode != 0:
            reason = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
            raise LabError(
                f"{self._what} could not be downloaded: {argv[0]} said: {reason}",
                hint=f"check network and package sources (apt-get update && apt-get download {self._package}), "
                f"or install it: apt-get install {self._package}",
            )
        return done.stdout


def _readable(tree: Path) -> None:
    """Everybody may read a tree that holds programs only."""
    tree.chmod(0o755)
    for path in tree.rglob("*"):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))


def _publish(new: Path, target: Path) -> None:
    """One rename; who comes second keeps the first one's tree."""
    try:
        new.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(target)  # what was there does not start, or nobody would have fetched
        new.rename(target)
