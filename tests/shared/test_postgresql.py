"""Shared state in PostgreSQL: the table's contract on a real server, one that goes away, and addresses that are refused."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.errors import StateLost, StateUnreadable, UsageError
from dr.ports.table import Table, Write
from dr.providers.selfhosted.state import PostgresTable
from tests.postgres.conftest import pair, template  # noqa: F401  # fixtures
from tests.postgres.rig import ADDRESS, Pair
from tests.shared.contract import *  # noqa: F403

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def server(template: Pair) -> Iterator[Pair]:  # noqa: F811
    """One server for all tests; each has groups of its own."""
    template.start("east")
    yield template
    template.stop("east")


@pytest.fixture
def table(server: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Table]:
    """As its administrator, whose password is where libpq looks for it."""
    passwords = tmp_path / "pgpass"
    passwords.write_text("*:*:*:postgres:admin\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    made = PostgresTable(address(server))
    yield made
    made.close()


def address(server: Pair) -> str:
    return f"postgresql://postgres@{ADDRESS['east']}:{server.port}/postgres"


def test_a_server_that_is_gone_is_said_and_found_again(table: Table, server: Pair, group: str) -> None:
    """To read: unreadable; to write: lost. Back again, the same table goes on."""
    assert table.write([Write(group, "a", {"n": 1})])
    server.stop("east")
    try:
        with pytest.raises(StateUnreadable, match="postgresql://"):
            table.get(group, "a")
        with pytest.raises(StateLost, match="postgresql://"):
            table.write([Write(group, "a", {"n": 2}, {"n": 1})])
    finally:
        server.start("east")
    assert table.get(group, "a") == {"n": 1}


@pytest.mark.parametrize("wrong", ["postgresql://ann:secret@host/db", "postgresql://host", "mysql://host/db"])
def test_bad_addresses(wrong: str) -> None:
    """A password in an address is refused, and not repeated."""
    with pytest.raises(UsageError) as caught:
        PostgresTable(wrong)
    assert "secret" not in caught.value.message + caught.value.hint


def test_a_server_that_says_nothing_any_more_holds_nobody_for_ever(
    table: Table, server: Pair, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes stand still, as behind a partition: the connection is there, and each question ends all the same."""
    with monkeypatch.context() as short:  # a context of its own: the fixture's password file stays where it is
        short.setattr("dr.providers.selfhosted.state._LIMIT_SECONDS", 3)  # enough for the healthy part, shorter than the product's own
        table.close()
        assert table.write([Write(group, "a", {"n": 1})])
        server.signal("east", signal.SIGSTOP)
        try:
            with pytest.raises(StateUnreadable):
                table.get(group, "a")
            with pytest.raises(StateLost):
                table.write([Write(group, "a", {"n": 2}, {})])
        finally:
            server.signal("east", signal.SIGCONT)
    table.close()
    assert table.get(group, "a") is not None
