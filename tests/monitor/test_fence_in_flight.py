"""A fence that is owed while its run is still in flight is asked for again as soon as that is over."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dr.app import status
from dr.app.fencing import FenceRetry
from dr.errors import LabError, RunInFlight
from dr.model.words import DebtKind, Role
from tests.engine.doubles import StillClock


class AtOnce:
    """``dr.ports.Threads`` that does each job where it is given."""

    def pool(self, most: int, name: str) -> Any:
        return SimpleNamespace(do=lambda job: job(), close=lambda: None)

    def mailbox(self) -> Any:
        return SimpleNamespace(put=lambda item: None, take=lambda seconds: [])


def tries(error: Exception, monkeypatch: pytest.MonkeyPatch) -> tuple[list[float], list[str]]:
    """When it was tried, in seconds, within two minutes of rounds every second in which each try ends with an error; and what was said."""
    clock, asked, said = StillClock(), list[float](), list[str]()

    def start(*_given: object) -> None:
        asked.append(clock.monotonic() - 1000.0)
        raise error

    view = SimpleNamespace(primary="west", regions={"west": SimpleNamespace(role=Role.PRIMARY), "east": SimpleNamespace(role=Role.PRIMARY)})
    platform = SimpleNamespace(
        threads=AtOnce(), runbook=SimpleNamespace(name="lab"), kinds={"db": SimpleNamespace(view=lambda: view)},
        site=SimpleNamespace(clock=clock, hosts={}),
    )  # fmt: skip
    def listing(_name: str) -> list[object]:
        return [SimpleNamespace(head="1")]

    conductor = SimpleNamespace(start=start, runs=SimpleNamespace(state=SimpleNamespace(journal=SimpleNamespace(listing=listing))))
    monkeypatch.setattr(status, "debt", lambda _runs, _name: [SimpleNamespace(component="db", kind=DebtKind.FENCE)])
    retry = FenceRetry(cast(Any, conductor), cast(Any, platform), said.append)
    for _ in range(120):
        retry.saw()
        clock.advance(1.0)
    return asked, said


def test_a_run_in_flight_is_no_reason_to_wait_longer_and_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every five seconds, and said once: a gate may hold the run for hours, and the old primary writes on."""
    asked, said = tries(RunInFlight("lab", "run", "ann", "02:40"), monkeypatch)
    assert {later - earlier for earlier, later in pairwise(asked)} == {5.0}
    assert len(said) == 1 and "in flight" in said[0]


def test_what_fails_by_itself_is_tried_less_and_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pause is twice the one before."""
    asked, _said = tries(LabError("no"), monkeypatch)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert pauses == sorted(pauses) and pauses[-1] >= 4 * pauses[0]
