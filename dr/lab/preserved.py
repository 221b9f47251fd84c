"""What a run preserved of an old primary, read as a person would read it: the copy is started as a server of its own and asked.

Only for judging a drill, at its end: starting a copy changes it (crash recovery runs).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from dr.errors import LabError
from dr.lab import ending, reach
from dr.lab.layout import RegionLayout
from dr.lab.platform.config import Served
from dr.lab.processes import Process, spawn
from dr.lab.servers import Servers

_COPIES = "data.dr-preserved-*"
_PORT = 15499
_READY_SECONDS = 30.0
_POLL_SECONDS = 0.02
_WRITES = "SELECT extra FROM log WHERE event = 'outside'"


def writes(servers: Servers, deployments: Sequence[Served]) -> Mapping[str, frozenset[str]] | None:
    """The ids of the outside client's writes in everything that was preserved, by Deployment's id; None where nothing was.

    Raises:
        LabError: a copy does not start: then it is no copy of anything.
    """
    copies = [(region, copy) for region in servers.layout.regions for copy in sorted(region.postgres.glob(_COPIES)) if _whole(copy)]
    if not copies:
        return None
    found: dict[str, frozenset[str]] = {served.id: frozenset() for served in deployments}
    for region, copy in copies:
        with _running(servers, region, copy):
            for served in deployments:
                with psycopg.connect(servers.postgres_of(region).conninfo(served.database), port=_PORT) as connection:
                    found[served.id] |= {row[0] for row in connection.execute(_WRITES)}
    return found


def _whole(copy: Path) -> bool:
    return copy.is_dir() and copy.suffix != ".partial"


@contextmanager
def _running(servers: Servers, region: RegionLayout, copy: Path) -> Iterator[None]:
    argv = [servers.programs.postgres("postgres"), "-D", str(copy), "-c", f"port={_PORT}"]
    variables = reach.environment(region, servers.programs, servers.mark, str(servers.layout.state))
    process = spawn(argv, environment=variables, log=region.postgres / "preserved.log", folder=region.postgres, account=servers.account)
    try:
        _wait_ready(servers, region, process, copy)
        yield
    finally:
        process.send(signal.SIGQUIT)
        ending.wait_gone([process], servers.clock, _READY_SECONDS)


def _wait_ready(servers: Servers, region: RegionLayout, process: Process, copy: Path) -> None:
    deadline = servers.clock.monotonic() + _READY_SECONDS
    while True:
        try:
            psycopg.connect(servers.postgres_of(region).conninfo(), port=_PORT).close()
            return
        except psycopg.OperationalError as error:
            if servers.clock.monotonic() > deadline or not process.alive:
                raise LabError(f"{copy} does not start as a server: {error}", hint=f"see {region.postgres / 'preserved.log'}") from error
        servers.clock.sleep(_POLL_SECONDS)
