"""Connections to a server that several threads talk to: each belongs to one thread at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from dr.providers.clients import Clients, Closed

MOST = 4


def clients(made: list[httpx.Client]) -> Clients:
    """Clients that are counted as they are made."""

    def make(limits: httpx.Limits) -> httpx.Client:
        made.append(httpx.Client(limits=limits, verify=False, trust_env=False))  # nothing is ever sent
        return made[-1]

    return Clients(make, MOST)


def test_no_two_threads_have_one_client() -> None:
    """httpcore closes a connection that another thread has just taken: with one owner at a time there is no other thread."""
    made: list[httpx.Client] = []
    lent = clients(made)
    held: set[int] = set()
    shared: list[int] = []
    together = threading.Barrier(MOST)

    def use(number: int) -> None:
        if number < MOST:
            together.wait(10)
        for _ in range(200):
            with lent.one() as client:
                if id(client) in held:
                    shared.append(id(client))
                held.add(id(client))
                held.discard(id(client))

    with ThreadPoolExecutor(MOST * 2) as pool:
        list(pool.map(use, range(MOST * 2)))
    assert shared == []
    assert 1 <= len(made) <= MOST
    lent.close()
    assert all(client.is_closed for client in made)


def test_one_after_the_other_uses_one_connection() -> None:
    """The newest is lent first, also after an error in the block."""
    made: list[httpx.Client] = []
    lent = clients(made)
    with pytest.raises(ValueError, match="mine"), lent.one():
        raise ValueError("mine")
    with lent.one() as client:
        assert client is made[0]
    assert len(made) == 1
    lent.close()


def test_a_turn_is_waited_for_as_long_as_was_said() -> None:
    """All are lent: TimeoutError for who will not wait; as soon as one comes back there is a turn again."""
    lent = clients([])
    blocks = [lent.one() for _ in range(MOST)]
    for block in blocks:
        block.__enter__()
    with pytest.raises(TimeoutError), lent.one(0.01):
        raise AssertionError("there was no turn")
    blocks.pop().__exit__(None, None, None)
    with lent.one(0.01) as client:
        assert not client.is_closed
    for block in blocks:
        block.__exit__(None, None, None)
    lent.close()


def test_closing_waits_for_nobody_and_lends_nothing_more() -> None:
    """What is lent is closed as it comes back."""
    made: list[httpx.Client] = []
    lent = clients(made)
    with lent.one() as client:
        lent.close()
        assert not client.is_closed
    assert made[0].is_closed
    with pytest.raises(Closed), lent.one():
        raise AssertionError("it was closed")
    lent.close()
