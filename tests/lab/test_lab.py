"""The lab with real servers: what is up is up, what is killed is dead, and nothing is ever left over."""

from __future__ import annotations

import psycopg
import pytest

from dr.lab.lab import Lab


@pytest.mark.lab
def test_standby_streams(lab: Lab) -> None:
    """A row that the primary committed is readable in the standby."""
    server = lab.servers().postgres_of(lab.layout.region("east"))
    with psycopg.connect(server.conninfo("platform")) as connection:
        row = connection.execute("SELECT count(*) FROM deployment").fetchone()
    assert row == (5,)
