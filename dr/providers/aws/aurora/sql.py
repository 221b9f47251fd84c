"""Aurora PostgreSQL by SQL: heartbeats, the recovery point out of the data itself, a write that is committed and read back.

Connections and heartbeat statements are those of the kind ``postgres``; nothing of physical replication is asked, which Aurora hides.
The writer endpoint of a secondary is inactive until it is promoted (https://aws.amazon.com/blogs/database/automate-amazon-aurora-global-
database-endpoint-management/), so who only wants to read, or takes what there is, is given both endpoints: libpq tries them in order.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from dr.errors import StepError
from dr.model.lag import Beat
from dr.ports import Clock, Secrets
from dr.providers.aws.aurora.config import Sql
from dr.providers.selfhosted.postgres.by_hand import ByHand
from dr.providers.selfhosted.postgres.config import Follows, PostgresConfig, RegionServer
from dr.providers.selfhosted.postgres.connect import Bounded, Connections
from dr.providers.selfhosted.postgres.facts import Heartbeat, heartbeat
from dr.providers.selfhosted.postgres.lag import write_beat


class Writer:
    """The database of a component in each region. Threads may use it at once."""

    def __init__(self, component: str, sql: Sql, secrets: Secrets, base: Path, clock: Clock) -> None:
        self._component, self._clock = component, clock
        readers = {**sql.endpoints, **sql.reader_endpoints}
        either = _settings(sql, {region: _in_order(sql.endpoints[region], readers[region]) for region in sql.endpoints})
        read = _settings(sql, {region: _in_order(readers[region], sql.endpoints[region]) for region in sql.endpoints})
        self._writers = Connections(component, _settings(sql, sql.endpoints), secrets, base)
        self._readers = Connections(component, read, secrets, base)
        self._either = Connections(component, either, secrets, base)
        self._by_hand = ByHand(component, either, {}, base)

    def beat(self, region: str) -> Beat:
        """One heartbeat row. Never raises."""
        at = self._clock.now()
        try:
            write_beat(self._writers, self._component, region, at)
        except StepError as error:
            return Beat(component=self._component, region=region, sent_at=at, acknowledged_at=None, reason=error.message)
        return Beat(component=self._component, region=region, sent_at=at, acknowledged_at=self._clock.now())

    def write(self, region: str) -> None:
        """One heartbeat row, committed. Raises StepError."""
        write_beat(self._writers, self._component, region, self._clock.now())

    def newest(self, region: str) -> Heartbeat | None:
        """The newest heartbeat that a region holds, read there. Raises StepError."""
        return heartbeat(self._readers, self._component, region)

    def written(self, region: str) -> Heartbeat | None:
        """The same, through a new connection to the writer. Raises StepError."""
        self._writers.rows(region, "SELECT 1", fresh=True)
        return heartbeat(self._writers, self._component, region)

    def recovery_point(self, region: str) -> datetime | None:
        """The newest moment whose data a region holds, by its own data. Raises StepError."""
        row = self.newest(region)
        return row.beat_at if row is not None else None

    def connect(self, region: str, database: str | None = None) -> Bounded:
        """A new connection to a region's writer, or to its readers where it has none yet; the caller's to close. Raises StepError."""
        return self._either.open(region, database)

    def psql(self, region: str, database: str | None = None) -> str:
        """What a person types to reach the same. ``database``: one word of the shell."""
        return self._by_hand.psql(region, database)

    def warm(self, region: str) -> None:
        """Opens connections. Raises StepError."""
        self._writers.warm(region)

    def close(self) -> None:
        """Closes connections; safe to call twice."""
        self._writers.close()
        self._readers.close()
        self._either.close()


def _in_order(*endpoints: str) -> str:
    """Host names as libpq takes them: the next one is tried where one takes no connection."""
    return ",".join(dict.fromkeys(endpoints))


def _settings(sql: Sql, endpoints: dict[str, str]) -> PostgresConfig:
    nobody = Follows(address="-")
    regions = {region: RegionServer(address=address, port=sql.port, follows=nobody) for region, address in endpoints.items()}
    return PostgresConfig(
        database=sql.database, user=sql.user, password=sql.password, sslmode=sql.sslmode, sslrootcert=sql.sslrootcert, regions=regions
    )  # fmt: skip
