"""What the platform's databases say: which region takes writes, which Deployments need secrets, and whether their keys decrypt.

The servers are another component's (kind ``postgres`` or whatever has a ``connect`` like it); this package only asks it to connect.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from dr.errors import Permanent, StepError, Transient
from dr.ports import Site

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

R = TypeVar("R")

_PLATFORM = """
SELECT pg_is_in_recovery(),
    CASE WHEN NOT pg_is_in_recovery() THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END
"""
_DEPLOYMENTS = "SELECT id, namespace, database FROM deployment ORDER BY id"
_PROBE = """
SELECT 'connection ' || conn_id, password FROM connection WHERE is_encrypted AND password <> ''
UNION ALL SELECT 'variable ' || key, val FROM variable WHERE is_encrypted AND val <> '' ORDER BY 1 LIMIT 1
"""


@runtime_checkable
class DatabaseServers(Protocol):
    """What this package asks of the component that ``database`` names."""

    def connect(self, region: str, database: str | None = None) -> Connection:
        """A new connection to a region's server in autocommit mode; to the component's own database when none is named.

        Bounded: a few seconds. Raises StepError.
        """


@dataclass(frozen=True)
class Deployed:
    """One Deployment as far as its secrets go."""

    id: str
    namespace: str
    database: str

    def path(self, template: str) -> str:
        """A path of the runbook, filled in."""
        return template.replace("{id}", self.id).replace("{namespace}", self.namespace)


@dataclass(frozen=True)
class Authority:
    """The platform's database in one region. ``epoch``: its timeline where it takes writes, which grows with each promotion."""

    writable: bool
    epoch: int | None
    deployments: tuple[Deployed, ...]


class Databases:
    """Reads, each with a connection of its own: this kind asks seldom."""

    def __init__(self, component: str, name: str, site: Site) -> None:
        self._component, self._name, self._site = component, name, site

    def authority(self, region: str) -> Authority:
        """Raises StepError."""

        def ask(connection: Connection) -> Authority:
            [(recovering, epoch)] = connection.execute(_PLATFORM).fetchall()
            rows = connection.execute(_DEPLOYMENTS).fetchall()
            return Authority(not recovering, epoch, tuple(Deployed(str(row[0]), str(row[1]), str(row[2])) for row in rows))

        return self._asked(region, None, ask)

    def undecryptable(self, region: str, deployment: Deployed, keys: str) -> str:
        """What of a Deployment's database does not decrypt with its keys (newest first, as Airflow writes them: joined by commas).

        One value is tried. Empty: it decrypts, or nothing there is encrypted. Raises StepError.
        """
        rows = self._asked(region, deployment.database, lambda connection: connection.execute(_PROBE).fetchall())
        return next((f"{what} of {deployment.id}" for what, token in rows if not decrypts(keys, str(token))), "")

    def _asked(self, region: str, database: str | None, ask: Callable[[Connection], R]) -> R:
        import psycopg

        servers = self._site.peers.get(self._name)
        if not isinstance(servers, DatabaseServers):
            text = f"{self._component}: database: {self._name} is no component with databases"
            raise Permanent(text, hint="name a component of kind postgres")
        where = f"database {database or 'of the platform'} in {region}"
        problem: StepError
        try:
            with closing(servers.connect(region, database)) as connection:
                return ask(connection)
        except psycopg.OperationalError as error:
            problem = Transient(f"{where}: {error.diag.message_primary or type(error).__name__}")
        except psycopg.Error as error:
            text = f"{where}: {error.diag.message_primary or type(error).__name__}"
            problem = Permanent(text, hint="the tables of Airflow 3 and the right to read them are expected there")
        raise problem


def is_keys(text: str) -> bool:
    """Whether a text is one or several Fernet keys."""
    from cryptography.fernet import Fernet

    try:
        return bool([Fernet(key.strip()) for key in text.split(",")])
    except ValueError:  # binascii.Error is one
        return False


def decrypts(keys: str, token: str) -> bool:
    """Whether one of the keys decrypts a token. What comes out is dropped."""
    from cryptography.fernet import Fernet, InvalidToken

    for key in keys.split(","):
        try:
            Fernet(key.strip()).decrypt(token.encode())
        except (ValueError, InvalidToken):
            continue
        return True
    return False
