"""The files that a run writes first are made ahead of it: they say nothing, and what is wrong with them is told to whoever writes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dr.app.state import State
from dr.errors import StateUnreadable


def laid_out(state: State) -> None:
    state.lay_out()
    for thread in threading.enumerate():
        if thread.name.startswith("files"):
            thread.join()


def test_new_files_say_that_nothing_happened(tmp_path: Path) -> None:
    """No run, no lease; a run takes its lease as if nobody had made the file."""
    state = State(tmp_path / "dr")
    laid_out(state)
    laid_out(state)
    assert sorted(path.name for path in state.directory.iterdir()) == ["journal.db", "lease.db"]
    assert (state.journal.runs(), list(state.journal.newest("toy")), state.lease().look("toy")) == ([], [], None)
    lease = state.lease()
    assert lease.acquire("toy", "r1", "me") == 1
    lease.release()
    state.close()


def test_what_is_wrong_is_told_to_whoever_writes(tmp_path: Path) -> None:
    """Silent ahead, refused with its reason when the lease is to be taken."""
    state = State(tmp_path)
    (tmp_path / "lease.db").write_bytes(b"not ours" * 1000)
    laid_out(state)
    with pytest.raises(StateUnreadable, match=r"lease\.db"):
        state.lease().acquire("toy", "r1", "me")
    assert (tmp_path / "journal.db").exists()


def test_shared_state_has_no_such_files(tmp_path: Path) -> None:
    """Journal and lease lie in the table."""
    laid_out(State(tmp_path, shared="dynamodb://dr?region=us-west-2"))
    assert not list(tmp_path.iterdir())
