"""Fixtures: two real servers for the session, an engine of its own in both for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.rig import Pair, Servers

_COUNT = itertools.count(1)


@pytest.fixture(scope="session")
def vault_servers() -> Iterator[Servers]:
    """East and west, unsealed."""
    servers = Servers()
    try:
        servers.start()
        yield servers
    finally:
        servers.end()


@pytest.fixture
def pair(vault_servers: Servers, tmp_path: Path) -> Iterator[Pair]:
    """An empty engine in both regions."""
    made = Pair(vault_servers, f"kv-{next(_COUNT)}", tmp_path)
    yield made
    made.close()
