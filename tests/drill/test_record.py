"""A drill's own record."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dr.drill.record import keep, kept, read
from dr.errors import StateLost, StateUnreadable
from dr.model.report import DrillReport
from dr.model.truth import CleanUp
from tests.report.build import at

REPORT = DrillReport(
    scenario="region-outage", world="lab", started_at=at(0), finished_at=at(9), verdict="passed", expectations=(), runs=(), faults=(),
    truth=None, cleanup=CleanUp(),
)  # fmt: skip


def test_a_report_is_kept_and_read_back_equal(tmp_path: Path) -> None:
    """Under the state directory, readable by its owner only, found again in order."""
    first = keep(REPORT, tmp_path)
    second = keep(REPORT.model_copy(update={"started_at": at(3600)}), tmp_path)
    assert kept(tmp_path) == [first, second]
    assert read(first) == REPORT
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700
    assert [path.name for path in first.parent.iterdir() if path.suffix != ".json"] == []


def test_a_drill_in_virtual_time_is_kept_apart_by_its_seed(tmp_path: Path) -> None:
    """Two seeds begin at the same moment of their worlds: neither overwrites the other, and neither counts as a drill of that day."""
    simulated = REPORT.model_copy(update={"world": "sim", "seed": 3})
    first, other = keep(simulated, tmp_path), keep(simulated.model_copy(update={"seed": 4}), tmp_path)
    assert (first.name, other.name) == ("region-outage-seed-3.json", "region-outage-seed-4.json")
    assert (read(first).seed, read(other).seed) == (3, 4)
    assert kept(tmp_path) == [] and keep(REPORT, tmp_path).parent != first.parent


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    """A torn or foreign file is named."""
    path = tmp_path / "x.json"
    for content in (b"{", b"\xff\xfe", b"\x00", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(StateUnreadable, match=r"x\.json"):
            read(path)


def test_records_that_cannot_be_listed_are_not_none(tmp_path: Path) -> None:
    """No folder: no drill. Something else in its place: said."""
    assert kept(tmp_path) == []
    (tmp_path / "drills").write_text("")
    with pytest.raises(StateUnreadable, match="drills"):
        kept(tmp_path)


def test_a_state_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """The path is named, and something to look at."""
    (tmp_path / "drills").write_text("a file is in the way")
    with pytest.raises(StateLost, match="drills") as caught:
        keep(REPORT, tmp_path)
    assert caught.value.hint
