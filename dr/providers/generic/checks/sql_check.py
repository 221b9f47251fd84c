"""The kind ``sql-check``: a read-only query in the target answers as it should."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, cast, runtime_checkable

from pydantic import Field, model_validator

from dr.errors import Permanent, StepError, Transient, UsageError
from dr.model.runbook import KindConfig
from dr.ports import AttemptContext, Site
from dr.providers.generic.checks import by_hand
from dr.providers.generic.checks.base import Check, CheckConfig
from dr.providers.generic.checks.expect import NumberComparison, holds

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

ROW_LIMIT = 10_000
"""So many rows are fetched at most; a query that finds more should count them itself."""

_SHOWN = 200
_OURS = "dr_check"


@runtime_checkable
class DatabaseServers(Protocol):
    """What a component must offer to be asked: kind ``postgres`` does."""

    def connect(self, region: str, database: str | None = None) -> Connection:
        """A new connection to a region's server in autocommit mode; to the component's own database when none is named."""


@runtime_checkable
class TypedDatabases(Protocol):
    """What a component offers for people: kind ``postgres`` does."""

    def psql(self, region: str, database: str | None = None) -> str:
        """``psql`` to a region's server, ready for ``-c``. ``database``: one word of the shell; None: the component's own."""


class SqlCheckConfig(CheckConfig):
    """Settings of ``sql-check``. The query runs in a transaction of its own that is READ ONLY and rolled back: what writes is refused."""

    database: str = Field(description="the component whose server in the target is asked, of kind postgres")
    catalog: str | None = Field(None, description="the database there; default: the component's own")
    query: str = Field(min_length=1, description="one SELECT, VALUES, TABLE or WITH, without a semicolon")
    value: str | int | float | bool | None = Field(
        None, description='what its one row and column holds: a value, or a comparison such as "< 0.01", ">= 3", "!= failed"'
    )
    rows: NumberComparison | None = Field(None, description='how many rows it finds, as a comparison such as "== 0" or "> 10"')

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.value is None) == (self.rows is None):
            raise ValueError("expected exactly one of value or rows")
        return self


class SqlCheck(Check):
    """A query against the target's database holds. Needs a role that may read what the query names."""

    kind: ClassVar[str] = "sql-check"
    Config: ClassVar[type[KindConfig]] = SqlCheckConfig
    service: ClassVar[str] = "postgresql"

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, SqlCheckConfig), "the registry gives each kind its own Config"
        super().__init__(name, config, needs, site)
        self._config = config
        if config.database not in needs:
            raise UsageError(f"{name}: database: {config.database} is not in needs", hint=f"write needs: [{config.database}]")

    def look(self, context: AttemptContext) -> str:
        """Asks once. Raises Transient with what was found instead."""
        found = self._rows(context.target)
        config = self._config
        expected = config.rows if config.value is None else config.value
        assert expected is not None, "the settings have one of them"
        if len(found) > ROW_LIMIT:
            raise Permanent(f"{self.name}: the query finds more than {ROW_LIMIT} rows", hint="SELECT count(*) …, with value")
        if config.rows is not None:
            seen: object = len(found)
            text = f"{len(found)} rows"
        elif len(found) != 1:
            raise Transient(f"{self.name}: {len(found)} rows, expected one with {expected}")
        else:
            seen = found[0][0] if found[0] else None
            text = " ".join(str(seen).split())[:_SHOWN]
        if not holds(expected, seen):
            raise Transient(f"{self.name}: {text}, expected {expected}")
        return f"{text}, as expected ({expected})"

    def _rows(self, region: str) -> list[tuple[Any, ...]]:
        import psycopg

        peer = self.site.peers.get(self._config.database)
        if not isinstance(peer, DatabaseServers):
            text = f"{self.name}: database: {self._config.database} is no component with databases"
            raise Permanent(text, hint="name a component of kind postgres")
        problem: StepError
        connection = peer.connect(region, self._config.catalog)
        try:
            return self._read(connection)
        except psycopg.Error as error:
            problem = self._translated(error, region)
        finally:
            connection.close()
        raise problem  # outside the handler: psycopg's error, which knows the connection's password, is not its context

    def _read(self, connection: Connection) -> list[tuple[Any, ...]]:
        """A cursor takes nothing but a query; the extended protocol (``binary``) takes no second statement behind it."""
        limit = self._config.timeout.total_seconds()
        if hasattr(connection, "limit"):  # kind postgres bounds every wait on this side, too: the server may never answer
            connection.limit = limit + 1.0
        connection.execute("BEGIN TRANSACTION READ ONLY")
        connection.execute(f"SET LOCAL statement_timeout = {max(1, round(limit * 1000))}".encode())
        declared = f"DECLARE {_OURS} NO SCROLL CURSOR FOR {self._config.query}"
        connection.execute(cast("Any", declared), binary=True)  # a query of the runbook, which is the point
        rows = connection.execute(f"FETCH FORWARD {ROW_LIMIT + 1} FROM {_OURS}".encode()).fetchall()
        connection.execute("ROLLBACK")
        return rows

    def _translated(self, error: psycopg.Error, region: str) -> StepError:
        state = error.sqlstate or ""
        text = f"{self.name} in {region}: {' '.join(str(error).split())[:_SHOWN]}"
        if state == "25006":
            return Permanent(f"{self.name}: the query writes, and a check only looks", hint="change query in the runbook")
        if state.startswith("42") or state in ("0A000", "3D000", "26000"):
            return Permanent(text, hint=f"change query of {self.name} in the runbook, or GRANT SELECT to its user")
        return Transient(text)

    def title(self, target: str) -> str:
        """What is expected of whom."""
        expected = f"{self._config.rows} rows" if self._config.rows is not None else f"{self._config.value}"
        return f"a query of {self._config.database} in {target} finds {expected}"

    def permissions(self, target: str) -> tuple[str, ...]:
        """What the query reads."""
        return (f"database: SELECT on what the query of {self.name} reads",)

    def by_hand(self, source: str, target: str) -> str:
        """psql, read-only."""
        peer, catalog = self.site.peers.get(self._config.database), self._config.catalog
        named = None if catalog is None else shlex.quote(catalog)
        psql = peer.psql(target, named) if isinstance(peer, TypedDatabases) else f"psql -X -qAt -h DATABASE_SERVER_IN_{target.upper()}"
        ask = f"PGOPTIONS='-c default_transaction_read_only=on' {psql} -c {shlex.quote(self._config.query)}"
        if self._config.rows is not None:
            return by_hand.compared(f"set -o pipefail; {ask} | wc -l", self._config.rows)
        return by_hand.compared(ask, self._config.value if self._config.value is not None else "")

    def warm(self, target: str) -> None:
        """Imports what the first question needs."""
        import psycopg  # noqa: F401  # 150 ms that a run need not wait for

