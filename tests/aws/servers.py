"""Two real PostgreSQL servers behind the endpoints of an emulated Aurora global database: what RDS says becomes true of them.

The writer's server takes writes, and its cluster's writer endpoint is open; the other one follows it, and takes questions at its reader
endpoint only. Whoever asks for a move asks RDS, and the servers come after it, as in Aurora.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from dr.lab.account import give
from tests.aws.emulator import Emulator
from tests.postgres.rig import ADDRESS, OTHER, Pair

WRITER_ADDRESS = {"east": "127.0.40.2", "west": "127.0.50.2"}
"""Where the clusters' writer endpoints are; their reader endpoints are the servers themselves, ``tests.postgres.rig.ADDRESS``."""
_LOOK_SECONDS = 0.1


class _Endpoint(socketserver.ThreadingTCPServer):
    """An endpoint's way to its server."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: str, server: tuple[str, int]) -> None:
        self.leads_to = server
        super().__init__((address, server[1]), _Pipe)


class _Pipe(socketserver.BaseRequestHandler):
    """One connection, until one side ends it."""

    server: _Endpoint

    def handle(self) -> None:
        """Both ways."""
        with contextlib.suppress(OSError), socket.create_connection(self.server.leads_to, 5) as other:
            ways = {self.request: other, other: self.request}
            while True:
                for ready in select.select(list(ways), [], [])[0]:
                    content = ready.recv(65536)
                    if not content:
                        return
                    ways[ready].sendall(content)


@dataclass
class Aurora:
    """The global database ``name`` on the servers of ``pair``. ``codes``: AWS's region of each; ``lost``: those that are, now."""

    emulator: Emulator
    name: str
    pair: Pair
    codes: Mapping[str, str]
    lost: set[str] = field(default_factory=set)
    writer: str = "east"
    _endpoints: dict[str, tuple[_Endpoint, threading.Thread]] = field(default_factory=dict)
    _follows: set[str] = field(default_factory=lambda: {"west"})
    _failed: list[BaseException] = field(default_factory=list)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """For as long as the block lasts. What went wrong meanwhile is raised at its end."""
        over = threading.Event()
        self._open(self.writer)
        thread = threading.Thread(target=self._serve, args=(over,), name="aurora", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for region in list(self._endpoints):
                self._close(region)
        if self._failed:
            raise self._failed[0]

    def lose(self, region: str) -> None:
        """Its server dies, and RDS of the region answers nobody."""
        self.lost.add(region)
        self.emulator.lose(self.codes[region])
        self._close(region)
        self._follows.discard(region)
        self.pair.kill(region)

    def bring_back(self, region: str) -> None:
        """RDS of the region answers again. Its server is a new copy of the writer's, as soon as RDS says that it follows."""
        self.emulator.bring_back(self.codes[region])
        self.pair.back(region)
        self.lost.discard(region)

    def _serve(self, over: threading.Event) -> None:
        while not over.wait(_LOOK_SECONDS):
            try:
                self._come_after()
            except (OSError, AssertionError, subprocess.SubprocessError) as error:
                self._failed.append(error)
                return

    def _come_after(self) -> None:
        rds = self.emulator.client("rds", self.codes["west"])
        [whole] = rds.describe_global_clusters(GlobalClusterIdentifier=self.name)["GlobalClusters"]
        members = {item["DBClusterArn"].split(":")[3]: item for item in whole["GlobalClusterMembers"]}
        sides = {region: members[code] for region, code in self.codes.items() if code in members}
        [writer] = [region for region, item in sides.items() if item["IsWriter"]]
        if writer != self.writer:
            self._move(writer)
        for region, item in sides.items():
            synchronized = item["SynchronizationStatus"] == "connected"
            if region not in self._follows | self.lost | {self.writer} and synchronized:
                self._copy(region)

    def _move(self, target: str) -> None:
        """The old writer stops, where it is there, after the other one has everything; that one takes writes then."""
        old = OTHER[target]
        self._close(old)
        if old not in self.lost:
            self.pair.stop(old)
        self._follows.discard(target)
        with self.pair.admin(target) as admin:
            admin.execute("SELECT pg_promote(true, 30)")
        self.writer = target
        self._open(target)

    def _copy(self, region: str) -> None:
        """Its volume is a new one, as that of Aurora's old writer is."""
        pair = self.pair
        pair.stop(region, "immediate")
        shutil.rmtree(pair.data(region))
        with pair.admin(self.writer) as admin:
            admin.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (region,))
        source = ("-h", ADDRESS[self.writer], "-p", str(pair.port), "-U", "dr", "-C", "-S", region)
        pair.exec(region, "pg_basebackup", "-D", str(pair.data(region)), *source, "-X", "stream", "-c", "fast")
        (pair.data(region) / "standby.signal").touch()
        give(pair.data(region) / "standby.signal", pair.account)
        pair.start(region)
        self._follows.add(region)

    def _open(self, region: str) -> None:
        endpoint = _Endpoint(WRITER_ADDRESS[region], (ADDRESS[region], self.pair.port))
        thread = threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        self._endpoints[region] = endpoint, thread

    def _close(self, region: str) -> None:
        if region in self._endpoints:
            endpoint, thread = self._endpoints.pop(region)
            endpoint.shutdown()
            endpoint.server_close()
            thread.join()
