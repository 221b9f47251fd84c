"""Who answers which call, what happens later, and what tests can set: one table each, filled by the files of ``extension``.

Durations are seconds of the server's monotonic clock. One lock around each request makes every call atomic.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.aws.emulator.wire import Answer, Call

Handler = Callable[[Call], "dict[str, Any] | Answer | None"]
OPERATIONS: dict[str, Handler] = {}
BEFORE: dict[str, list[Callable[[Call], None]]] = {}
AFTER: dict[str, list[Callable[[Call, Answer], Answer | None]]] = {}
CONTROLS: dict[str, Callable[..., Any]] = {}
LOCK = threading.RLock()
DEFAULT_SECONDS = 0.2

_seconds: dict[str, float] = {}
_later: list[tuple[float, int, Callable[[], None]]] = []
_order = itertools.count()
_ahead = [0.0]
_as_of = [0.0]  # when the timed thing that runs just now was due


def operation(name: str) -> Callable[[Handler], Handler]:
    """Answer ``service:Operation`` with this function; ``None`` from it means: as moto does. A second owner is refused."""

    def register(handler: Handler) -> Handler:
        assert name not in OPERATIONS, f"{name} has two owners"
        OPERATIONS[name] = handler
        return handler

    return register


def before(service: str) -> Callable[[Callable[[Call], None]], Callable[[Call], None]]:
    """Look at every call of a service first; it may refuse."""

    def register(handler: Callable[[Call], None]) -> Callable[[Call], None]:
        BEFORE.setdefault(service, []).append(handler)
        return handler

    return register


def after(name: str) -> Callable[[Callable[[Call, Answer], Answer | None]], Callable[[Call, Answer], Answer | None]]:
    """Look at moto's good answer to ``service:Operation``; what it returns replaces the answer."""

    def register(handler: Callable[[Call, Answer], Answer | None]) -> Callable[[Call, Answer], Answer | None]:
        AFTER.setdefault(name, []).append(handler)
        return handler

    return register


def control(handler: Callable[..., Any]) -> Callable[..., Any]:
    """A function that tests call by its name over the server's own door."""
    assert handler.__name__ not in CONTROLS, f"{handler.__name__} has two owners"
    CONTROLS[handler.__name__] = handler
    return handler


def now() -> float:
    """Seconds of the monotonic clock, and what tests advanced it by."""
    return time.monotonic() + _ahead[0]


@control
def advance(seconds: float) -> None:
    """So much time has passed."""
    _ahead[0] += seconds
    catch_up()


def seconds(what: str, default: float | None = None) -> float:
    """How long this takes: as set for it; or its own default; or as set for ``*``; or 0.2 s."""
    return _seconds.get(what, _seconds.get("*", DEFAULT_SECONDS) if default is None else default)


def later(what: str, act: Callable[[], None], default: float | None = None) -> None:
    """Do this when its time has come, counted from now or from the timed thing that asks; the next request after that sees it."""
    heapq.heappush(_later, ((_as_of[0] or now()) + seconds(what, default), next(_order), act))


def catch_up() -> None:
    """Everything whose time has come happens, in order."""
    while _later and _later[0][0] <= now():
        _as_of[0], _, act = heapq.heappop(_later)
        try:
            act()
        finally:
            _as_of[0] = 0.0


class Forgetful:
    """State of an extension that ``reset`` makes anew by calling its class."""


def forget() -> None:
    """Nothing is to happen any more, and times are the defaults."""
    _later.clear()
    _seconds.clear()


@control
def set_seconds(what: str, seconds: float) -> None:
    """From now on this takes so long (``rds.failover``, …; ``*`` for all that is not set by name)."""
    _seconds[what] = seconds


@control
def timed_things_left() -> int:
    """How many things are still to happen."""
    return len(_later)
