"""Fixtures: two real name servers for one test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta

import pytest

from dr.providers.selfhosted.dns import redirect
from tests.dns.rig import SERVER, Servers
from tests.postgres.rig import free_port, new_place


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """East and west serve one zone; the test calls ``make`` with its names."""
    # a healthy server of the source may stand still for longer than it is waited for in production; a silent one has its own test
    monkeypatch.setattr(redirect, "_PATIENCE", timedelta(seconds=10))
    base = new_place()
    made = Servers(base, free_port(list(SERVER.values()), 16353))
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(base, ignore_errors=True)
