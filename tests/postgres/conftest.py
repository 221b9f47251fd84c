"""Fixtures: two real servers for one test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from dr.providers.selfhosted.postgres import Postgres
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
def pair(template: Pair) -> Iterator[Pair]:
    """East is primary, west streams from it. The test may break them."""
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
