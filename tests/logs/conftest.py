"""Fixtures: two real stores for all tests here, a bucket of its own for each."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.lab import doctor
from dr.providers.selfhosted.s3 import control
from tests.logs.rig import Bucket, Pair
from tests.postgres.rig import new_place, poll

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def stores() -> Iterator[Pair]:
    """East and west replicate into each other."""
    doctor.fix()
    made = Pair(new_place())
    try:
        made.heal()
        yield made
    finally:
        made.end()
        shutil.rmtree(made.base, ignore_errors=True)


@pytest.fixture
def bucket(stores: Pair, tmp_path: Path) -> Iterator[Bucket]:
    """An empty bucket in both stores; east is primary, and both know it."""
    stores.heal()
    made = Bucket(stores, f"bucket-{next(_NUMBERS)}", tmp_path)
    try:
        for region in stores.servers:
            made.make(region)
        marker = control.Keys(".dr/").marker(1, "east")
        made.store("east").put(marker, b"{}")
        poll(lambda: made.store("west").head(marker) is not None, "the marker to arrive")
        yield made
    finally:
        made.close()
