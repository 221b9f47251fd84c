"""Fixtures: two real registries for one test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.images.rig import ADDRESS, Pair
from tests.postgres.rig import free_port, new_place


@pytest.fixture
def patience() -> Iterator[pytest.MonkeyPatch]:
    """Looks have time on a busy machine: each test looks once, and what was not reached in time would be missing among the findings.

    A test of a registry that is silent on purpose takes this back (``undo``). How long a second database is waited for stays as it is.
    """
    with pytest.MonkeyPatch.context() as made:
        for name in ("_FIRST_SECONDS", "_LOOK_SECONDS", "_MORE_SECONDS"):
            made.setattr(f"dr.providers.selfhosted.oci.view.{name}", 30.0)
        made.setattr("dr.providers.selfhosted.oci.steps._PATIENCE", timedelta(seconds=10))
        yield made


@pytest.fixture
def pair(patience: pytest.MonkeyPatch) -> Iterator[Pair]:
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
