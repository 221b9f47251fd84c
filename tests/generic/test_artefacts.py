"""What a step keeps beside the journal: whole and for the owner only; no room is worth another try, and no fault of the kind."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from dr.engine.attempt import attempt
from dr.errors import Transient
from dr.model.evidence import Evidence
from dr.model.words import Outcome
from dr.ports import AttemptContext
from dr.providers import artefacts
from dr.providers.selfhosted.s3.accounts import items_file
from tests.engine.build import spec
from tests.engine.doubles import context_for
from tests.engine.test_attempt import Scripted


def test_a_file_is_whole_and_private(tmp_path: Path) -> None:
    """0600 in a folder 0700, replaced as a whole; a name that is not text is written escaped."""
    path = tmp_path / "new/list.jsonl"
    artefacts.keep(path, b"old")
    artefacts.keep_lines(path, [{"key": "é"}, {"key": "a\udcff"}])
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert (first, json.loads(second)) == ('{"key":"é"}', {"key": "a\udcff"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_no_room_is_transient_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and what to look at are named; the half that was written is gone, the old file is whole."""
    path = tmp_path / "list"
    artefacts.keep(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Transient, match="list: No space left on device") as caught:
        artefacts.keep(path, b"new")
    assert caught.value.hint == f"df -h {tmp_path}"
    assert [(item.name, item.read_bytes()) for item in tmp_path.iterdir()] == [("list", b"old")]


def test_a_step_that_finds_no_room_is_tried_again(tmp_path: Path) -> None:
    """What the person reads is the place and the way out, not "a fault of the kind, please report it"."""
    (tmp_path / "plain").write_text("")

    class Keeping(Scripted):
        def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
            items_file(tmp_path / "plain", "logs-west", context.run_id, [{"found": "missing"}])
            return ()

    result = attempt(Keeping(), context_for(spec("a")))
    assert result.outcome is Outcome.RETRY
    assert str(tmp_path / "plain") in result.reason and "df -h" in result.reason
