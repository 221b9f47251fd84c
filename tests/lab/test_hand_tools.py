"""The tools of a person who works by hand: listed, found or missing, and started with their own libraries."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dr.errors import LabError
from dr.lab import hand_tools, parts


def test_what_is_missing_is_listed_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a bare machine each tool but psql (it comes with PostgreSQL) is missing, with what to type; nobody goes on without it."""
    monkeypatch.setenv(parts.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {part.name: part for part in hand_tools.doctor()}
    assert set(found) == {"psql", "curl", "jq", "dig and nsupdate"}
    missing = [part for part in found.values() if not part.found]
    assert {"curl", "jq", "dig and nsupdate"} <= {part.name for part in missing}
    assert all(part.fix for part in missing)
    with pytest.raises(LabError, match="nobody can rehearse") as refusal:
        hand_tools.collect(tmp_path / "bin")
    assert refusal.value.hint == parts.FIX_COMMAND


def test_a_tool_of_the_cache_runs_with_its_own_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that tool sees them: what else is on the path keeps the system's."""
    cache = tmp_path / "cache"
    monkeypatch.setenv(parts.CACHE_VARIABLE, str(cache))
    for tool in hand_tools.TOOLS:
        folder = cache / tool.folder / "usr"
        (folder / "bin").mkdir(parents=True)
        (folder / "lib").mkdir()
        (folder / "lib" / "libown.so.1").touch()
        for name in tool.programs:
            (folder / "bin" / name).write_text('#!/bin/sh\necho "9.1.2 $LD_LIBRARY_PATH $1"\n')
            (folder / "bin" / name).chmod(0o755)
    assert all(part.found for part in hand_tools.doctor())
    hand_tools.collect(tmp_path / "bin")
    said = subprocess.run([tmp_path / "bin" / "dig", "two words"], capture_output=True, text=True, check=True).stdout
    assert said == f"9.1.2 {cache}/dnsutils/usr/lib two words\n"
