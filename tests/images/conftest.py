"""Fixtures: two real registries for one test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.images.rig import ADDRESS, Pair
from tests.postgres.rig import free_port, new_place


@pytest.fixture
def pair() -> Iterator[Pair]:
    """East and west have empty registries; d-001's pull secret is a user of both."""
    base = new_place()
    made = None
    try:
        made = Pair(base, free_port(list(ADDRESS.values()), 18610))
        yield made
    finally:
        if made is not None:
            made.end()
        shutil.rmtree(base, ignore_errors=True)
