"""What a runbook says about a PostgreSQL component."""

from __future__ import annotations

import re
from datetime import timedelta

from pydantic import Field

from dr.model.base import Duration, Frozen
from dr.model.runbook import KindConfig, SecretRef

_NOT_IN_SLOT_NAMES = re.compile(r"[^a-z0-9_]")


class Follows(Frozen):
    """Where a region finds the other one's server when it is the secondary.

    slot: name of its physical replication slot over there (default: the region's own name). user: role of the replication
    connection (default: the component's user). The password for it lies in the password file of the servers' account on the
    region's host (``PGPASSFILE`` or ``~/.pgpass``), never on a command line.
    """

    address: str
    port: int = Field(5432, ge=1, le=65535)
    slot: str | None = Field(None, pattern=r"^[a-z0-9_]{1,63}$")
    user: str | None = None


class RegionServer(Frozen):
    """One region's server.

    data_directory: default is ``$PGDATA`` on the region's host. bin_directory: where pg_ctl is there; default is the host's PATH.
    config_file: only where it lies outside the data directory. preserve_directory: where copies of diverged data go on the host;
    default is beside the data directory. log_file: what a started server writes before its own logging works.
    start, stop: commands that replace ``pg_ctl start`` and ``pg_ctl stop``, where a service manager would restart a stopped server.
    """

    address: str
    port: int = Field(5432, ge=1, le=65535)
    follows: Follows
    data_directory: str | None = Field(None, pattern=r"^/.+[^/]$")
    bin_directory: str | None = Field(None, pattern=r"^/")
    config_file: str | None = Field(None, pattern=r"^/")
    preserve_directory: str | None = Field(None, pattern=r"^/")
    log_file: str | None = Field(None, pattern=r"^/")
    start: tuple[str, ...] | None = Field(None, min_length=1)
    stop: tuple[str, ...] | None = Field(None, min_length=1)

    def tool(self, name: str) -> str:
        """One of PostgreSQL's programs as it is called on the host."""
        return f"{self.bin_directory.rstrip('/')}/{name}" if self.bin_directory else name


class PostgresConfig(KindConfig):
    """Settings of the kind ``postgres``.

    connect_timeout: for opening a connection; less than 2 s counts as 2 s (psycopg's floor). answer_timeout: for one question to a server.
    fence_timeout: how long a failover waits for each command of the fence in the lost region.
    """

    database: str
    user: str
    password: SecretRef | None = None
    sslmode: str | None = Field(None, pattern=r"^(disable|allow|prefer|require|verify-ca|verify-full)$")
    sslrootcert: str | None = None
    regions: dict[str, RegionServer] = Field(min_length=2, max_length=2)
    connect_timeout: Duration = timedelta(seconds=2)
    answer_timeout: Duration = timedelta(seconds=2)
    fence_timeout: Duration = timedelta(seconds=1)

    def other(self, region: str) -> str:
        """The region that is not this one."""
        return next(name for name in self.regions if name != region)

    def slot(self, region: str) -> str:
        """Name of the slot through which ``region`` follows the other one."""
        return self.regions[region].follows.slot or _NOT_IN_SLOT_NAMES.sub("_", region.lower())[:63]
