"""A disk that is really full in the middle of a failover of real processes: a small one where it can be mounted, a quota elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dr.errors import ExitCode
from tests.crash.small_disk import ROOT

NAMESPACES = (("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount"))


def may_mount(folder: Path) -> Sequence[str] | None:
    """The words before a command that may mount: as root, or as root of a user namespace; None where neither is allowed."""
    mount = ("mount", "-t", "tmpfs", "-o", "size=64k", "probe", str(folder))
    for words in NAMESPACES:
        try:
            if subprocess.run([*words, *mount], capture_output=True, check=False, timeout=30).returncode == 0:
                return words
        except FileNotFoundError:
            return None
    return None


@pytest.mark.parametrize("wanted", ["tmpfs", "quota"])
def test_a_disk_that_is_full_stops_the_run_and_room_lets_it_go_on(
    wanted: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The promotion took effect and cannot be recorded: exit 1 with the disk and the way on; what was recorded stays readable while
    there is no room; then the same command completes the same run, and finds the promotion done. Where nothing may be mounted, both are
    by quota."""
    words = may_mount(tmp_path) if wanted == "tmpfs" else ()
    how = wanted if words is not None else "quota"
    record_property("full by", how)
    argv = [*(words or ()), sys.executable, "-m", "tests.crash.small_disk", how, str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    story = json.loads(done.stdout)
    failed, runs, again = story["failover"], story["runs"], story["again"]
    assert story["free"] == 0 and story["west"] == "primary"
    assert failed["code"] == ExitCode.FAILED, failed
    assert "cannot be written" in failed["err"] and "df -h" in failed["err"] and "dr resume " in failed["err"], failed
    assert "Traceback" not in failed["err"] + runs["err"] + again["err"]
    assert runs["code"] == 0, runs
    (listed,) = json.loads(runs["out"])["runs"]
    assert again["code"] in (ExitCode.DONE, ExitCode.OBJECTIVE_MISSED), again  # a toy cannot tell its RPA once it is promoted
    report = json.loads(again["out"])
    assert (report["outcome"], report["run_id"]) == ("completed", listed["run_id"])
    promote = next(step for step in report["steps"] if step["verb"] == "promote")
    assert (promote["state"], promote["attempts"]) == ("done", 2)
