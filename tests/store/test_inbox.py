"""The inbox: each request reaches a live holder once, in order, and none is lost with a holder that died."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dr.errors import StateUnreadable
from dr.model.events import Approved, CancelRequested, Event, PauseRequested, SkipRequested
from dr.store.inbox import SqliteInbox

REQUESTS: list[Event] = [
    PauseRequested(actor="ann", reason="coffee"),
    Approved(step="gate/approve", actor="bob", text="go"),
    SkipRequested(step="dns/redirect", actor="ann", reason="done by hand"),
]


def test_requests_arrive_once_and_in_order(tmp_path: Path) -> None:
    """Of another process, of one run only; what was taken is not returned again, what comes later is."""
    inbox, other = SqliteInbox(tmp_path), SqliteInbox(tmp_path)
    for request in REQUESTS:
        other.put("run", request)
    other.put("elsewhere", CancelRequested(actor="eve"))
    assert inbox.take("run") == REQUESTS
    assert inbox.take("run") == []
    inbox.confirm("run")
    other.put("run", CancelRequested(actor="ann"))
    assert inbox.take("run") == [CancelRequested(actor="ann")]
    inbox.confirm("run")
    inbox.confirm("run")
    assert inbox.take("run") == []
    assert inbox.take("elsewhere") == [CancelRequested(actor="eve")]
    inbox.close()
    other.close()


def test_a_request_outlives_a_holder_that_died_before_it_was_journaled(tmp_path: Path) -> None:
    """Taken and not confirmed: the next holder gets it again; confirmed: it does not."""
    first = SqliteInbox(tmp_path)
    first.put("run", REQUESTS[0])
    first.put("run", REQUESTS[1])
    assert first.take("run") == REQUESTS[:2]
    first.close()
    second = SqliteInbox(tmp_path)
    assert second.take("run") == REQUESTS[:2]
    second.put("run", REQUESTS[2])
    second.confirm("run")
    second.close()
    third = SqliteInbox(tmp_path)
    assert third.take("run") == REQUESTS[2:]
    third.close()


def test_polling_an_empty_state_makes_no_file(tmp_path: Path) -> None:
    """take and confirm before anybody ever asked; and the first request is then seen."""
    inbox = SqliteInbox(tmp_path)
    assert inbox.take("run") == []
    inbox.confirm("run")
    assert list(tmp_path.iterdir()) == []
    SqliteInbox(tmp_path).put("run", REQUESTS[0])
    assert inbox.take("run") == REQUESTS[:1]
    inbox.close()
    assert stat.S_IMODE((tmp_path / "inbox.db").stat().st_mode) == 0o600


def test_a_damaged_inbox_is_refused(tmp_path: Path) -> None:
    """A request that cannot be understood is not dropped in silence."""
    inbox = SqliteInbox(tmp_path)
    inbox.put("run", REQUESTS[0])
    (tmp_path / "inbox.db").with_name("inbox.db").write_bytes(b"")
    with pytest.raises(StateUnreadable):
        SqliteInbox(tmp_path).take("run")
    inbox.close()


def test_what_was_asked_can_be_withdrawn(tmp_path: Path) -> None:
    """By its number, until somebody took it; twice, or nothing at all, does no harm."""
    inbox, other = SqliteInbox(tmp_path), SqliteInbox(tmp_path)
    inbox.withdraw([])
    assert list(tmp_path.iterdir()) == []
    numbers = [inbox.put("run", request) for request in REQUESTS]
    assert numbers == sorted(set(numbers))
    inbox.withdraw([numbers[0], numbers[2]])
    inbox.withdraw(numbers[:1])
    assert other.take("run") == REQUESTS[1:2]
    inbox.close()
    other.close()


def test_old_requests_of_some_kinds_are_dropped(tmp_path: Path) -> None:
    """Up to a number, of one run, and named; the others, and what comes later, are taken."""
    inbox, later = SqliteInbox(tmp_path), CancelRequested(actor="lead", reason="now")
    assert (inbox.newest(), inbox.drop("run", 0, (CancelRequested,))) == (0, [])
    assert list(tmp_path.iterdir()) == []
    for request in (*REQUESTS, CancelRequested(actor="ann", reason="then")):
        inbox.put("run", request)
    inbox.put("elsewhere", CancelRequested(actor="eve"))
    newest = inbox.newest()
    inbox.put("run", later)
    assert inbox.drop("run", newest, (CancelRequested,)) == [CancelRequested(actor="ann", reason="then")]
    assert inbox.take("run") == [*REQUESTS, later]
    assert inbox.take("elsewhere") == [CancelRequested(actor="eve")]
    inbox.close()
