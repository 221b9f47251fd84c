"""Small real servers on loopback for the checks: HTTP (also with TLS) and DNS, each in a thread, answering as they are told."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

import dns.message
import dns.rcode
import dns.rrset

from dr.model.evidence import Evidence
from dr.model.runbook import Region
from dr.model.words import Intent
from dr.ports import AttemptContext, Clock, Kind, Site, Step
from dr.providers.system import SystemClock
from tests.airflow.world import Files, Kept

CLOCK: Clock = SystemClock()


@dataclass(frozen=True)
class Got:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Reply = Callable[[Got], tuple[int, bytes]]


class HttpServer:
    """Answers each request with ``reply``; keeps what it got. With ``pem`` it speaks TLS."""

    def __init__(self, reply: Reply, address: str = "127.0.0.1", pem: Path | None = None) -> None:
        self.reply, self.got = reply, list[Got]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                got = Got(self.command, self.path, dict(self.headers), body)
                outer.got.append(got)
                status, answer = outer.reply(got)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(b"" if self.command == "HEAD" else answer)

            do_GET = do_POST = do_HEAD = _any

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self._server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]  # a refused handshake is meant
        if pem is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.url = f"http{'s' if pem else ''}://{address}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class NameServer:
    """Answers A questions from ``names`` with ``ttl``; what it does not know is NXDOMAIN."""

    def __init__(self, names: dict[str, tuple[str, ...]], ttl: int = 1, address: str = "127.0.0.1") -> None:
        self.names, self.ttl = names, ttl
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self.port: int = self._socket.getsockname()[1]
        self.server = f"{address}:{self.port}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            data, client = self._socket.recvfrom(4096)
            if data == b"end":
                return
            query = dns.message.from_wire(data)
            answer = dns.message.make_response(query)
            question = query.question[0]
            name = question.name.to_text(omit_final_dot=True)
            if addresses := self.names.get(name):
                answer.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", "A", *addresses))
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(answer.to_wire(), client)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
            ending.sendto(b"end", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


def slowly(seconds: float) -> Reply:
    """An empty answer that takes its time."""

    def reply(_got: Got) -> tuple[int, bytes]:
        CLOCK.sleep(seconds)
        return 200, b""

    return reply


def says(value: object, status: int = 200) -> Reply:
    """Always this JSON."""
    return lambda _got: (status, json.dumps(value).encode())


@dataclass
class World:
    """A site with peers that can still be added."""

    base: Path
    world: str = "live"
    peers: dict[str, Kind] = field(default_factory=dict)

    @property
    def site(self) -> Site:
        return Site(
            runbook="mine", regions={"east": Region(), "west": Region()}, hosts={}, clock=CLOCK, secrets=Files(self.base), samples=Kept(),
            artefacts=self.base / "artefacts", base=self.base, peers=self.peers, world=self.world,
        )  # fmt: skip


def step_of(kind: Kind, intent: Intent = Intent.FAILOVER) -> Step:
    [step] = kind.steps(intent, "east", "west")
    return step


def context(step: Step, *, number: int = 1, seconds: float = 10.0, intent: Intent = Intent.FAILOVER, **more: object) -> AttemptContext:
    plain = AttemptContext(
        run_id="run-1", step=step.spec, intent=intent, source="east", target="west", number=number, key="run-1/x", epoch=1,
        actor="on-call", clock=CLOCK, deadline=CLOCK.monotonic() + seconds,
    )  # fmt: skip
    return replace(plain, **more)  # type: ignore[arg-type]  # fields of the context


def facts(evidence: list[Evidence]) -> str:
    return " ".join(item.model_dump_json() for item in evidence)
