"""What is read from one server in one look, and how. Data and I/O; what follows from it is decided in ``findings`` and ``lag``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from dr.errors import Permanent, Transient
from dr.model.words import Role
from dr.providers.clock_ahead import Told
from dr.providers.selfhosted.postgres.connect import Connections, NotServed, Reach

Result = TypeVar("Result")

UNDEFINED_TABLE = "42P01"

_READ = """
SELECT pg_is_in_recovery() AS recovering,
       CASE WHEN pg_is_in_recovery() THEN
         greatest((SELECT received_tli FROM pg_stat_wal_receiver),
                  (SELECT timeline_id FROM pg_control_checkpoint()),
                  (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
       ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline,
       CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_lsn()::text END AS position,
       pg_last_wal_receive_lsn()::text, pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp(),
       (SELECT status FROM pg_stat_wal_receiver), (SELECT system_identifier FROM pg_control_system())::text, clock_timestamp()
"""
_HEARTBEAT = "SELECT region, beat_at, number FROM dr.heartbeat WHERE component = %(component)s"


@dataclass(frozen=True)
class Heartbeat:
    """The component's heartbeat row as one server holds it. ``region`` wrote it."""

    region: str
    beat_at: datetime
    number: int


@dataclass(frozen=True)
class Reading:
    """One server, now. Positions are WAL positions as text; None where the server's role has no such thing.

    timeline: of a secondary the newest it knows of; of a primary the one it writes. clock: what the server's own clock showed.
    """

    recovering: bool
    timeline: int
    position: str | None
    received: str | None
    replayed: str | None
    last_commit: datetime | None
    receiver: str | None
    system: str
    heartbeat: Heartbeat | None = None
    clock: datetime | None = None

    @property
    def recovery_point(self) -> datetime | None:
        """The newest moment whose data this server holds, from its own data: its newest foreign heartbeat or replayed commit."""
        moments = [self.last_commit, self.heartbeat.beat_at if self.heartbeat else None]
        return max((moment for moment in moments if moment is not None), default=None)

    @property
    def stamped_ahead(self) -> timedelta | None:
        """How far the newest commit's stamp lies ahead of this server's own clock, below zero where it is older; None: not told."""
        return None if self.last_commit is None or self.clock is None else self.last_commit - self.clock

    def by_own_clock(self, stamps: Told) -> Reading:
        """The same, the newest commit by this server's own clock; without it where the clock that stamped it is not to be believed.

        stamps: of that clock.
        """
        if self.last_commit is None or not stamps["clock_of"]:
            return self
        return replace(self, last_commit=None if stamps["clock_ahead"] is None else self.last_commit - stamps["clock_ahead"])


@dataclass(frozen=True)
class Unread:
    """A server that could not be looked at. ``reach`` None: it answered, and did not let us look."""

    reason: str
    reach: Reach | None

    @property
    def role(self) -> Role:
        """Stopped where its host answers for it; a time-out tells nothing. Neither is evidence of a fence."""
        if self.reach in (Reach.REFUSED, Reach.STARTING):
            return Role.STOPPED
        return Role.UNKNOWN if self.reach is None else Role.UNREACHABLE


def read(connections: Connections, component: str, region: str, *, limit: timedelta | None = None) -> Reading:
    """Looks at one server: role, timeline, positions, heartbeat.

    Raises:
        NotServed, Permanent: as ``Connections.rows``.
    """
    row = connections.rows(region, _READ, limit=limit)[0]
    recovering, timeline, position, received, replayed, last_commit, receiver, system, clock = row
    beat = heartbeat(connections, component, region)
    return Reading(recovering, timeline, position, received, replayed, last_commit, receiver, system, beat, clock)


def heartbeat(connections: Connections, component: str, region: str) -> Heartbeat | None:
    """The heartbeat row in one region; None where none was ever written. Raises as ``Connections.rows``."""
    answer = connections.ask(region, _HEARTBEAT, {"component": component})
    if answer.refused not in ("", UNDEFINED_TABLE):
        raise Permanent(f"{component} in {region}: {answer.message}")
    return Heartbeat(*answer.rows[0]) if answer.rows else None


def try_read(connections: Connections, component: str, region: str) -> Reading | Unread:
    """As ``read``, never raises."""
    try:
        return read(connections, component, region)
    except NotServed as error:
        return Unread(error.message, error.reach)
    except (Permanent, Transient) as error:
        return Unread(error.message, None)


def everywhere(regions: Iterable[str], read: Callable[[str], Result]) -> dict[str, Result]:
    """Reads all regions at once: a dead one must not delay the others."""
    names = list(regions)
    with ThreadPoolExecutor(len(names)) as pool:
        return dict(zip(names, pool.map(read, names), strict=True))


# --- what readiness is judged by ---

_SETTINGS = "SELECT name, setting, source, coalesce(sourcefile, '') FROM pg_settings WHERE name = ANY(%(names)s) OR name LIKE ANY(%(like)s)"
_APPLICATIONS = "SELECT DISTINCT application_name FROM pg_stat_activity WHERE application_name <> ''"
_SLOTS = "SELECT slot_name, active, coalesce(wal_status, ''), slot_type FROM pg_replication_slots"
_RIGHTS = """
SELECT has_function_privilege('pg_promote(boolean,integer)', 'execute'),
       has_function_privilege('pg_read_binary_file(text,bigint,bigint,boolean)', 'execute'),
       coalesce((SELECT pg_has_role(current_user, oid, 'usage') FROM pg_roles WHERE rolname = 'pg_checkpoint'), false),
       pg_has_role(current_user, 'pg_monitor', 'usage'),
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
"""
_COLLATIONS = """
SELECT datname FROM pg_database
WHERE datallowconn AND datcollversion IS NOT NULL AND datcollversion <> pg_database_collation_actual_version(oid) ORDER BY 1 LIMIT 5
"""

NAMES = (
    "server_version_num", "wal_log_hints", "data_checksums", "max_connections", "max_worker_processes", "max_wal_senders",
    "max_prepared_transactions", "max_locks_per_transaction", "wal_retrieve_retry_interval", "synchronous_standby_names",
    "cluster_name", "archive_command", "restore_command", "primary_slot_name", "primary_conninfo", "shared_preload_libraries",
    "unix_socket_directories", "data_directory", "config_file", "listen_addresses", "port", "max_slot_wal_keep_size", "hot_standby",
    "recovery_min_apply_delay",
)  # fmt: skip
FOREIGN = ("rds.%", "cloudsql.%", "azure.%", "alloydb.%", "neon.%")


@dataclass(frozen=True)
class Setting:
    """One row of ``pg_settings``."""

    value: str
    source: str = "default"
    file: str = ""


@dataclass(frozen=True)
class Slot:
    """One replication slot. ``wal_status`` ``lost`` means that its follower needs a new copy."""

    active: bool
    wal_status: str
    physical: bool


@dataclass(frozen=True)
class Rights:
    """What our role may do there."""

    promote: bool
    rewind: bool
    checkpoint: bool
    monitor: bool
    replication: bool


@dataclass(frozen=True)
class Posture:
    """Settings, slots and rights of one server."""

    settings: dict[str, Setting] = field(default_factory=dict)
    applications: tuple[str, ...] = ()
    slots: dict[str, Slot] = field(default_factory=dict)
    rights: Rights = Rights(True, True, True, True, True)
    stale_collations: tuple[str, ...] = ()

    def value(self, name: str) -> str:
        """A setting's value; empty where it could not be seen."""
        return self.settings[name].value if name in self.settings else ""

    def number(self, name: str) -> int | None:
        """A setting as a number, in its base unit; None where it could not be seen."""
        text = self.value(name)
        return int(text) if text.lstrip("-").isdigit() else None


def posture(connections: Connections, region: str) -> Posture:
    """Reads what readiness is judged by. Raises as ``Connections.rows``."""
    rows = connections.rows(region, _SETTINGS, {"names": list(NAMES), "like": list(FOREIGN)})
    settings = {name: Setting(value, source, file) for name, value, source, file in rows}
    applications = tuple(row[0] for row in connections.rows(region, _APPLICATIONS))
    slots = {name: Slot(active, status, kind == "physical") for name, active, status, kind in connections.rows(region, _SLOTS)}
    rights = Rights(*connections.rows(region, _RIGHTS)[0])
    # the view of collation versions came with PostgreSQL 15; an older server refuses the question, which is no finding
    stale = connections.ask(region, _COLLATIONS)
    return Posture(settings, applications, slots, rights, tuple(row[0] for row in stale.rows))
