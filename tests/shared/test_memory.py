"""The table that the stores' own contract is tested on is one."""

from __future__ import annotations

import pytest

from dr.ports.table import Table
from tests.shared.contract import *  # noqa: F403
from tests.simulate.bench import RowsInMemory


@pytest.fixture
def table() -> Table:
    """A new one."""
    return RowsInMemory()
