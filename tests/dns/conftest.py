"""Fixtures: two real name servers for one test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.dns.rig import SERVER, Servers
from tests.postgres.rig import free_port, new_place


@pytest.fixture
def servers() -> Iterator[Servers]:
    """East and west serve one zone; the test calls ``make`` with its names."""
    base = new_place()
    made = Servers(base, free_port(list(SERVER.values()), 16353))
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(base, ignore_errors=True)
