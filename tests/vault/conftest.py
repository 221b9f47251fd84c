"""Fixtures: two real servers for the session, an engine of its own in both for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
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
def patience() -> Iterator[pytest.MonkeyPatch]:
    """Views have time on a busy machine: one stall would make a healthy server a silent one, or leave what it holds unjudged.

    A test of a server that is silent on purpose takes this back (``undo``) and has the product's own limits.
    """
    with pytest.MonkeyPatch.context() as made:
        for name in ("READ_SECONDS", "GATHER_SECONDS", "VIEW_SECONDS"):
            made.setattr(f"dr.providers.selfhosted.vault.view.{name}", 30.0)
        made.setattr("dr.providers.selfhosted.vault.view.ANSWER", timedelta(seconds=30))
        yield made


@pytest.fixture
def pair(vault_servers: Servers, tmp_path: Path, patience: pytest.MonkeyPatch) -> Iterator[Pair]:
    """An empty engine in both regions."""
    made = Pair(vault_servers, f"kv-{next(_COUNT)}", tmp_path)
    yield made
    made.close()
