"""What a platform engineer types with where the tool is gone: ``psql``, ``curl``, ``jq``, ``dig``, ``nsupdate``. No server of the lab needs
them; the rehearsal of the rendered runbook does. Taken from the system where it has them, else from the lab's cache.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dr.errors import LabError
from dr.lab import fetch, parts
from dr.lab.parts import FIX_COMMAND, Part

_VERSION_SECONDS = 20


@dataclass(frozen=True)
class Tool:
    """One package with client programs. ``flag`` makes the first of them say its version."""

    folder: str
    package: str
    programs: tuple[str, ...]
    flag: str

    @property
    def name(self) -> str:
        """For people."""
        return " and ".join(self.programs)

    def find(self) -> dict[str, tuple[Path, str]]:
        """Program → where it is and its LD_LIBRARY_PATH; empty when one of them is missing."""
        root = parts.cache() / self.folder
        own = {name: (root / "usr" / "bin" / name, fetch.library_path(root)) for name in self.programs}
        if all(path.exists() for path, _ in own.values()):
            return own
        system = {name: shutil.which(name) for name in self.programs}
        return {name: (Path(path), "") for name, path in system.items() if path} if all(system.values()) else {}


TOOLS = (
    Tool("psql", "postgresql-client", ("psql",), "--version"),
    Tool("curl", "curl", ("curl",), "--version"),
    Tool("jq", "jq", ("jq",), "--version"),
    Tool("dnsutils", "bind9-dnsutils", ("dig", "nsupdate"), "-v"),
)


def doctor() -> list[Part]:
    """The tools, found or missing. Reads only."""
    return [_part(tool) for tool in TOOLS]


def fix(place: Path, say: Callable[[str], None]) -> None:
    """Gets what is missing into the cache. ``psql`` comes with the lab's PostgreSQL. Raises LabError with what to try by hand."""
    for tool in TOOLS:
        if tool.folder != "psql" and not _part(tool).found:
            say(f"downloading {tool.name} to {place} (apt-get download, no root, nothing is installed)")
            fetch.debian(place, tool.folder, tool.package, tool.name, partial(_in_tree, tool), say)


def collect(folder: Path) -> None:
    """Writes one script for each program into a folder for ``PATH``: with its libraries, whatever the rest of the system uses.

    Raises:
        LabError: one is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for tool in TOOLS:
        found = _found(tool)
        if not found:
            raise LabError(f"{tool.name} is missing, and without it nobody can rehearse a runbook by hand", hint=FIX_COMMAND)
        for name, (path, libraries) in found.items():
            script = folder / name
            with_libraries = f"LD_LIBRARY_PATH={shlex.quote(libraries)} " if libraries else ""
            script.write_text(f'#!/bin/sh\n{with_libraries}exec {shlex.quote(str(path))} "$@"\n', encoding="utf-8")
            script.chmod(0o755)


def _found(tool: Tool) -> dict[str, tuple[Path, str]]:
    if tool.folder == "psql":
        try:
            own = Path(parts.find_programs().postgres("psql"))
        except LabError:
            return tool.find()
        return {"psql": (own, "")} if own.exists() else tool.find()
    return tool.find()


def _part(tool: Tool) -> Part:
    found = _found(tool)
    fetched = tool.folder != "psql" and shutil.which("apt-get")
    hint = FIX_COMMAND if fetched else f"install {tool.package} with this system's package manager"
    if not found:
        return Part(tool.name, False, "not found", "", hint)
    path, libraries = found[tool.programs[0]]
    try:
        return Part(tool.name, True, str(path), _version(path, libraries, tool.flag), "")
    except LabError as error:
        return Part(tool.name, False, error.message, "", hint)


def _in_tree(tool: Tool, root: Path) -> str:
    return _version(root / "usr" / "bin" / tool.programs[0], fetch.library_path(root), tool.flag)


def _version(program: Path, libraries: str, flag: str) -> str:
    """As ``parts.run_version``; ``dig`` says it on stderr. Raises LabError when it does not start."""
    environment = dict(os.environ, **({"LD_LIBRARY_PATH": libraries} if libraries else {}))
    try:
        done = subprocess.run([program, flag], capture_output=True, text=True, timeout=_VERSION_SECONDS, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{program} does not start: {error}", hint=FIX_COMMAND) from error
    if done.returncode != 0:
        raise LabError(f"{program} does not start: {done.stderr.strip()[-300:]}", hint=FIX_COMMAND)
    version = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return version.group() if version else "unknown"
