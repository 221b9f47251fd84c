"""Files beside the result: looked at before the work, never a traceback after it."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from dr.cli import drill, pages
from dr.cli.main import run
from dr.drill.record import kept
from dr.errors import DrError, ExitCode, StateLost, UsageError
from tests.cli.conftest import FakeApp
from tests.drill.test_record import REPORT

ROOT = Path(__file__).parents[2]


def impossible(folder: Path) -> list[Path]:
    """A directory, a place below a plain file, a place below what nobody can make a folder in."""
    (folder / "plain").write_text("")
    (folder / "there").mkdir()
    return [folder / "there", folder / "plain/page.html", Path("/proc/none/page.html"), folder / ("x" * 300)]


def test_a_place_that_cannot_be_written_is_a_wrong_command_line(tmp_path: Path) -> None:
    """Said with the option; a place that can be written is left as it was."""
    for path in impossible(tmp_path):
        with pytest.raises(UsageError, match=r"--html .* cannot be written"):
            pages.check(path, "--html")
    old = tmp_path / "old.html"
    old.write_text("old")
    pages.check(old, "--html")
    pages.check(tmp_path / "new/page.html", "--html")
    assert (old.read_text(), list((tmp_path / "new").iterdir())) == ("old", [])
    with pytest.raises(UsageError, match="--report"):
        pages.check_folder(tmp_path / "plain", "--report")


def test_a_pipe_is_not_opened_before_there_is_something_to_write(tmp_path: Path) -> None:
    """Opening and closing it would be the end of the file for its reader."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    pages.check(path, "--html")
    pages.write(path, "page")
    reader.join(timeout=10)
    assert read == ["page"]


def test_a_disk_that_is_full_by_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is named, with something to look at; half a page is not left behind."""

    def full(path: Path, text: str, encoding: str) -> None:
        path.write_bytes(text.encode(encoding)[:2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DrError, match=r"page\.html cannot be written: No space left") as caught:
        pages.write(tmp_path / "page.html", "page")
    assert "df -h" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("argv", [["report", "--from", "2026-01-01"], ["runs", "r-1"]])
def test_html_is_checked_before_anything_is_told(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2, one line, no traceback."""
    for path in impossible(tmp_path):
        assert run([*argv, "--html", str(path)]) == ExitCode.USAGE
        assert "--html" in capsys.readouterr().err


def test_a_drill_is_not_played_where_its_report_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a server is started or a state directory made: exit 2; a state directory of ours that cannot be used, exit 3."""
    monkeypatch.setattr("dr.app.App.drill", lambda *_given, **_named: pytest.fail("it was played"))
    (tmp_path / "plain").write_text("")
    scenario, state = str(ROOT / "scenarios/region-outage.yaml"), tmp_path / "drills"
    for option, path in (("--junit", tmp_path), ("--report", tmp_path / "plain")):
        assert run(["drill", scenario, "--state", str(state), option, str(path)]) == ExitCode.USAGE
        assert option in capsys.readouterr().err
    monkeypatch.setenv("DR_STATE", str(tmp_path / "plain"))
    assert run(["drill", scenario, "--state", str(state)]) == ExitCode.REFUSED
    assert not state.exists()


def test_what_a_drill_cannot_write_does_not_cost_its_result(tmp_path: Path) -> None:
    """Each of its files is tried; the first problem is handed back, to be said after the result was shown."""
    (tmp_path / "plain").write_text("")
    files = drill._Files(tmp_path / "junit.xml", None)
    problem = drill._keep(REPORT, [], tmp_path / "plain", tmp_path / "own", files)
    assert isinstance(problem, StateLost)
    assert len(kept(tmp_path / "own")) == 1
    assert files.junit is not None and "testsuite" in files.junit.read_text()
    assert drill._keep(REPORT, [], tmp_path / "base", tmp_path / "own", files) is None


@pytest.mark.parametrize("option", ["--reason", "--actor", "--to", "--state", "--accept", "--only"])
def test_what_is_not_text_is_refused_in_every_option(option: str, app: type[FakeApp], capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes that are not UTF-8 come from the shell as surrogates, which no journal, page or terminal can write."""
    argv = ["failover", "r.yaml", "--to", "west", "--yes", "--json", option, os.fsdecode(b"a\xff")]
    assert run(argv) == ExitCode.USAGE
    seen = capsys.readouterr()
    assert "not UTF-8" in seen.err and json.loads(seen.out)["exit_code"] == ExitCode.USAGE
    assert app.asked == []


def test_nobody_hears_that_a_run_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C with a closed stderr: the runner is told, the handler raises nothing into the run."""
    from dr.cli.host import Interrupts

    told: list[bool] = []
    handlers = []
    monkeypatch.setattr("dr.cli.host.signal.signal", lambda _number, handler: handlers.append(handler))

    def gone(_number: int, _text: bytes) -> int:
        raise BrokenPipeError(errno.EPIPE, "gone")

    monkeypatch.setattr("dr.cli.host.os.write", gone)
    interrupts = Interrupts()
    interrupts.watch(SimpleNamespace(interrupt=lambda: told.append(True)), "r-1")  # type: ignore[arg-type]
    handlers[0](2, None)
    assert (told, interrupts.count) == ([True], 1)
