"""Fixtures: two real servers for one test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta

import pytest

from dr.providers.selfhosted.postgres import Postgres, fence
from dr.providers.selfhosted.postgres.lag import Probe
from tests.postgres.rig import ADDRESS, Pair, copied, free_port, new_place


@pytest.fixture(scope="session")
def template() -> Iterator[Pair]:
    """Both servers, stopped; made once."""
    base = new_place()
    pair = Pair(base, free_port(list(ADDRESS.values()), 16432))
    try:
        pair.make()
        yield pair
    finally:
        pair.end()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def pair(template: Pair, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """East is primary, west streams from it. The test may break them."""
    # a healthy server may stand still for longer than production waits; a frozen one takes connections, a dead one refuses them at once
    monkeypatch.setattr(fence, "_PORT_LIMIT", timedelta(seconds=10))
    monkeypatch.setattr(Probe, "_BEAT_LIMIT", timedelta(seconds=10))
    base = new_place()
    made = copied(template, base)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture
def kind(pair: Pair) -> Iterator[Postgres]:
    """The component over the pair."""
    made = pair.kind()
    yield made
    made.close()
