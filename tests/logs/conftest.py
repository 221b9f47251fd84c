"""Fixtures: two real stores for all tests here, a bucket of its own for each."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dr.errors import StepError
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
def patience() -> Iterator[pytest.MonkeyPatch]:
    """Views, samples and heartbeats have time on a busy machine: one stall would make a healthy store a silent one.

    A test of a store that is silent on purpose takes this back (``undo``) and has the product's own limits.
    """
    with pytest.MonkeyPatch.context() as made:
        for name, limit in {"kind._VIEW_SECONDS": 30.0, "lag._ASK_SECONDS": 30.0, "lag._BEAT_LIMIT": timedelta(seconds=10)}.items():
            made.setattr(f"dr.providers.selfhosted.s3.{name}", limit)
        yield made


@pytest.fixture
def bucket(stores: Pair, tmp_path: Path, patience: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket in both stores; east is primary, and both know it."""
    stores.heal()
    made = Bucket(stores, f"bucket-{next(_NUMBERS)}", tmp_path)
    try:
        for region in stores.servers:
            made.make(region)
        marker = control.Keys(".dr/").marker(1, "east")
        made.store("east").put(marker, b"{}")

        def arrived() -> bool:
            try:
                return made.store("west").head(marker) is not None
            except StepError:  # a store that is busy with what the test before left: not yet
                return False

        # it queues behind all that the test before wrote: one replication brings both
        poll(arrived, "the marker to arrive", timedelta(seconds=120))
        yield made
    finally:
        made.close()
