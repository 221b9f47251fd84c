"""The front doors of a drill: HTTPS for every public name, as the lab's outside client speaks to it.

``POST /write`` with ``{"id": …}``: 201 where the region's database took it, else 503. ``GET /writes``: the ids that the name's Deployment
has. Anything else is a health check: 200 where the region's database takes writes, else 503. A lost region answers nothing.
"""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.aws.cloud import PORT
from tests.aws.database import Database


@dataclass(frozen=True)
class Region:
    """What a door knows. lost: the regions that are, now. owners: public name → Deployment."""

    name: str
    database: Database
    lost: set[str]
    owners: Mapping[str, str]


class _Server(http.server.ThreadingHTTPServer):
    """A region's."""

    def __init__(self, address: str, region: Region, certificate: Path) -> None:
        self.region = region
        super().__init__((address, PORT), _Door)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # a handshake in the thread that accepts would make everybody wait for the slowest
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)


class _Door(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one_request(self) -> None:
        """One request; a client that went away is no error."""
        try:
            super().handle_one_request()
        except (ssl.SSLError, ConnectionError):
            self.close_connection = True

    def do_GET(self) -> None:
        """What is there, or whether the region leads."""
        region = self.server.region
        leads = region.database.writes_in(region.name)
        if self._silent():
            return
        if leads and self.path.startswith("/writes"):
            self._say(200, region.database.held(self._deployment()))
        else:
            self._say(200 if leads else 503, {"region": region.name})

    def do_POST(self) -> None:
        """A write."""
        identity = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["id"]
        if self._silent():
            return
        region = self.server.region
        taken = region.database.write(region.name, self._deployment(), identity)
        if not self._silent():  # lost between commit and answer: nobody hears of it
            refusal = {} if taken else {"error": "the database takes no write here"}
            self._say(201 if taken else 503, {"region": region.name, **refusal})

    def _silent(self) -> bool:
        lost = self.server.region.name in self.server.region.lost
        self.close_connection = self.close_connection or lost
        return lost

    def _deployment(self) -> str:
        return self.server.region.owners[self.headers["Host"].partition(":")[0]]

    def _say(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def front_door(address: str, region: Region, certificate: Path) -> Iterator[None]:
    """It stands for as long as the block lasts."""
    with _Server(address, region, certificate) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
