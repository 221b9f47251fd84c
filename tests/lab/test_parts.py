"""Parts: what is missing is named with its command, and what is fetched appears complete or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dr.errors import LabError
from dr.lab import fetch, parts
from dr.lab.account import Account


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without name server, with an empty cache and with the programs of ``bin`` in front. Returns that folder."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv(parts.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr(parts, "_SYSTEM_SBIN", ())
    monkeypatch.setattr(parts, "_SYSTEM_POSTGRES", ())
    monkeypatch.setattr(parts, "servers_account", lambda: None)
    return programs


def _program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def _knot_is_installed() -> bool:
    return any((Path(folder) / "knotd").exists() for folder in ("/usr/bin", "/bin"))


def test_missing_part_is_listed_with_its_command(bare: Path) -> None:
    """Doctor lists every part; the missing one says what to type, the others where they are."""
    assert not _knot_is_installed()
    found = {part.name: part for part in parts.doctor()}
    assert set(found) == {"PostgreSQL", "Knot DNS", "loopback addresses"}
    assert not found["Knot DNS"].found
    assert found["Knot DNS"].fix == parts.FIX_COMMAND
    assert found["PostgreSQL"].found
    assert found["PostgreSQL"].version.startswith("18")
    with pytest.raises(LabError, match="the lab misses: Knot DNS") as refusal:
        parts.find_programs()
    assert refusal.value.hint == parts.FIX_COMMAND


def test_machine_without_apt_is_told_what_to_install(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be downloaded, the message names the package for the system's own package manager."""
    monkeypatch.setenv("PATH", str(bare))
    missing = next(part for part in parts.doctor() if part.name == "Knot DNS")
    assert missing.fix == fetch.WITHOUT_APT
    with pytest.raises(LabError, match="apt-get is not there"):
        parts.fix()


def test_failed_download_says_why_and_leaves_nothing(bare: Path) -> None:
    """Without a network the error carries apt's own words and the command to try; the cache stays empty."""
    _program(bare, "apt-get", 'echo "E: Temporary failure resolving deb.example" >&2; exit 100')
    with pytest.raises(LabError, match="Temporary failure resolving") as failure:
        parts.fix()
    assert "apt-get install knot" in failure.value.hint
    assert list(parts.cache().iterdir()) == []


def _fake_apt(folder: Path) -> None:
    """apt of a machine whose library package ``libold1`` is installed but too old."""
    _program(folder, "apt-get", 'for word in "$@"; do case $word in knot|lib*) touch $word.deb;; esac; done; exit 0')
    _program(folder, "apt-cache", 'printf "knot\\n  Depends: libnew1\\nlibnew1\\nlibold1\\nlibc6\\nadduser\\nlibnew1:i386\\n"')
    _program(folder, "dpkg-query", 'echo "ii  libold1"')
    _program(folder, "dpkg-deb", 'mkdir -p "$3/usr/sbin"; basename "$2" >> "$3/usr/sbin/knotd"; chmod 700 "$3/usr/sbin/knotd"')


def test_only_missing_libraries_are_fetched(bare: Path, tmp_path: Path) -> None:
    """Libraries that the system has are its own, the C library always is, and what was unpacked may be read by everybody."""
    _fake_apt(bare)
    cache = fetch.make_cache(tmp_path / "cache")
    said: list[str] = []
    fetch.debian(cache, "knot", "knot", "Knot DNS", lambda _root: "3.2", said.append)
    assert (cache / "knot" / "usr" / "sbin" / "knotd").read_text().split() == ["knot.deb", "libnew1.deb"]
    assert (cache / "knot" / "usr" / "sbin" / "knotd").stat().st_mode & 0o555 == 0o555
    assert (cache / "knot").stat().st_mode & 0o555 == 0o555
    assert said == ["Knot DNS 3.2 unpacked with 1 libraries"]


def test_too_old_library_of_the_system_is_replaced(bare: Path, tmp_path: Path) -> None:
    """Where the server does not start with the system's libraries, the newest of all are taken."""
    _fake_apt(bare)
    cache = fetch.make_cache(tmp_path / "cache")

    def version(root: Path) -> str:
        if "libold1.deb" not in (root / "usr/sbin/knotd").read_text():
            raise LabError("symbol lookup error")
        return "3.2"

    fetch.debian(cache, "knot", "knot", "Knot DNS", version, lambda _text: None)
    assert "libold1.deb" in (cache / "knot" / "usr" / "sbin" / "knotd").read_text()


def test_server_that_does_not_start_is_not_kept(bare: Path, tmp_path: Path) -> None:
    """What was unpacked and does not start never appears in the cache."""
    _fake_apt(bare)
    cache = fetch.make_cache(tmp_path / "cache")

    def version(root: Path) -> str:
        raise LabError(f"{root.name}: symbol lookup error")

    with pytest.raises(LabError, match="symbol lookup error"):
        fetch.debian(cache, "knot", "knot", "Knot DNS", version, lambda _text: None)
    assert list(cache.iterdir()) == []


def test_wheel_that_the_account_cannot_reach_is_copied(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment below a private directory: PostgreSQL is copied to the cache, and runs from there."""
    account = Account("stranger", 4242, 4242)
    monkeypatch.setattr(parts, "servers_account", lambda: account)
    monkeypatch.setattr(parts, "as_account", lambda _account: ())
    monkeypatch.setattr(parts, "reaches", lambda path, _account: path.is_relative_to(tmp_path) or path.is_relative_to("/usr"))
    _fake_apt(bare)
    _program(bare, "knotd", "echo knotd 3.2")
    assert not next(part for part in parts.doctor() if part.name == "PostgreSQL").found
    fixed = next(part for part in parts.fix() if part.name == "PostgreSQL")
    assert fixed.found
    assert Path(fixed.where).is_relative_to(parts.cache())
    assert fixed.version.startswith("18")
    inode = (Path(fixed.where) / "postgres").stat().st_ino
    parts.fix()
    assert (Path(fixed.where) / "postgres").stat().st_ino == inode
