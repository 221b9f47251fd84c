"""The emulated AWS of a session, and a platform on it for each test. Tests name what they make after themselves: nobody resets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.emulator import Emulator
from tests.aws.rig import CODES, Rig


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    """Both regions of ``rig.CODES``, started once."""
    with Emulator(tuple(CODES.values())) as made:
        yield made


@pytest.fixture(autouse=True)
def time_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a look may take longer than people would wait; how long is not what these tests are about."""
    monkeypatch.setattr("dr.providers.aws.kind.VIEW_SECONDS", 30.0)


@pytest.fixture
def rig(tmp_path: Path, emulator: Emulator) -> Iterator[Rig]:
    """A new platform; afterwards both regions are there, without faults."""
    made = Rig(tmp_path, emulator)
    emulator.clear_calls()
    yield made
    made.close()
    emulator.clear_faults()
    for code in CODES.values():
        emulator.bring_back(code)
