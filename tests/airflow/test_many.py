"""The same done to many Deployments: every answer is kept, and one error stands for all."""

from __future__ import annotations

import threading

import pytest

from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.providers.airflow.databases import Fan, gravest


class Refused(Transient):
    """A colleague's error with fields of its own."""

    def __init__(self, message: str, reach: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reach = reach


def half(number: int) -> int:
    if number % 2:
        raise Permanent(f"{number} is odd", hint="double it")
    return number // 2


@pytest.mark.parametrize(
    ("errors", "sort", "text"),
    [
        ([Transient("a"), Permanent("b"), EffectUnknown("c")], EffectUnknown, "c (and 2 more)"),
        ([Transient("a"), Permanent("b")], Permanent, "b (and 1 more)"),
        ([Refused("a", "silent"), Transient("b")], Transient, "a (and 1 more)"),
        ([Refused("a", "silent")], Transient, "a"),
    ],
)
def test_the_gravest_error_stands_for_all(errors: list[StepError], sort: type[StepError], text: str) -> None:
    """What may have taken effect counts more than what must be looked at, and that more than what may pass."""
    found = gravest(errors)
    assert (type(found), found.message) == (sort, text)


def test_results_keep_their_order_and_their_errors() -> None:
    """One result for each item, wherever it failed."""
    fan = Fan(4)
    results = fan.results(half, [0, 1, 2, 3])
    assert [item.message if isinstance(item, StepError) else item for item in results] == [0, "1 is odd", 1, "3 is odd"]
    with pytest.raises(Permanent, match=r"1 is odd \(and 1 more\)") as caught:
        fan.each(half, [0, 1, 2, 3])
    assert caught.value.hint == "double it"
    fan.close()
    fan.close()


def test_no_more_at_once_than_the_width() -> None:
    """The server is asked by so many threads and no more."""
    fan, lock, most, now = Fan(3), threading.Lock(), 0, 0
    together = threading.Barrier(3, timeout=10)

    def one(_: int) -> None:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)
        together.wait()
        with lock:
            now -= 1

    fan.each(one, list(range(9)))
    fan.close()
    assert most == 3
