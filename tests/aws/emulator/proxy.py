"""The way into each region: a port of its own, with the faults that a test sets, and a record of every call that came.

A region's proxy takes only what is signed for that region; ``global`` takes the control planes that live in us-east-1
(Route 53, IAM, Organizations, CloudFront). It lives in the server's process: what is lost is the way there, not the data.
"""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server

from tests.aws.emulator import lines
from tests.aws.emulator.iam import iam_action
from tests.aws.emulator.proxy_names import GLOBAL, GLOBAL_SERVICES
from tests.aws.emulator.registry import control
from tests.aws.emulator.wire import ACCOUNT, THROUGH, Answer, Call, Refusal

CONTROLS = {"open_proxy", "set_line", "add_fault", "clear_faults", "calls", "clear_calls"}

_respond: list[Callable[[Call], Answer]] = []
_proxies: dict[str, Proxy] = {}
_record: list[Record] = []
_numbers = itertools.count(1)
_lock = threading.Lock()
_began = time.monotonic()


@dataclass
class Fault:
    """What goes wrong with the calls that match. ``call`` is a pattern of ``service:Operation``, for ``deny`` of an IAM action.

    kind: ``throttle``, ``error`` (HTTP 5xx), ``lost-answer`` (applied, then the connection ends), ``slow``, ``hang``, ``deny``,
    ``refusal`` (``code`` as the service would say it). ``allowed``: patterns of what the fault spares, in any case.
    ``share``: of ten matching calls, evenly; ``times``: that many, then no more.
    """

    kind: str
    call: str = "*"
    share: float = 1.0
    times: int | None = None
    seconds: float = 0.0
    status: int = 500
    code: str = "InternalFailure"
    allowed: Sequence[str] = ()
    seen: int = 0

    def hits(self, call: Call) -> bool:
        """Whether this call is one of those, counting it."""
        names = iam_action(call) if self.kind == "deny" else [call.name]
        if not any(fnmatch.fnmatchcase(name, self.call) for name in names) or self.times == 0:
            return False
        if any(fnmatch.fnmatchcase(name.lower(), allowed.lower()) for name in names for allowed in self.allowed):
            return False
        self.seen += 1
        if int(self.seen * self.share) == int((self.seen - 1) * self.share):
            return False
        self.times = None if self.times is None else self.times - 1
        return True


@dataclass
class Record:
    """A call that reached a proxy. ``at``: seconds since the server began; ``status`` 0: never answered."""

    number: int
    at: float
    proxy: str
    region: str
    service: str
    operation: str
    actions: list[str]
    fault: str = ""
    status: int = 0


class Handler(MotoRequestHandler):
    """No line for each request; a dropped connection is nobody's error."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Nothing."""

    def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
        """Nothing."""


class Proxy:
    """The way into one region. Its port stays its own while it refuses."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.line = "up"
        self.faults: list[Fault] = []
        self._connections: set[socket.socket] = set()
        self._filler: list[socket.socket] = []
        self._held = self._bound(0)  # bound and never listening: nobody else gets the port, and who connects is refused
        self.port = int(self._held.getsockname()[1])
        self._listener: socket.socket | None = None
        self._server: BaseWSGIServer = make_server("127.0.0.1", 0, self._application, threaded=True, request_handler=Handler)
        self._server.socket.close()  # only its threads and its reading of requests are wanted
        self._server.server_address = ("127.0.0.1", self.port)
        self._changed = threading.Event()
        self._listen(128)

    def set_line(self, line: str) -> None:
        """``up``, ``refuse`` (closed port), ``hang`` (accepted, never answered) or ``blackhole`` (nothing comes back at all)."""
        assert line in ("up", "refuse", "hang", "blackhole"), line
        with _lock:
            before, self.line = self.line, line
            self._changed.set()
            self._changed = threading.Event()
            if before == line:
                return
            lines.mark(self.region, line != "up")
            if before != "hang" or line != "up":
                self._close()
            if line in ("up", "hang"):
                self._drop_connections()
                if self._listener is None:
                    self._listen(128)
            elif line == "refuse":
                self._drop_connections()
            else:
                self._swallow()

    def _bound(self, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        return bound

    def _listen(self, backlog: int) -> None:
        self._listener = self._bound(self.port)
        self._listener.listen(backlog)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _close(self) -> None:
        for filler in self._filler:
            filler.close()
        self._filler = []
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _swallow(self) -> None:
        """A full queue of connections that nobody accepts: the kernel then drops every further SYN."""
        self._listener = self._bound(self.port)
        self._listener.listen(0)
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self._filler.append(filler)

    def _drop_connections(self) -> None:
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with _lock:
                self._connections = {known for known in self._connections if known.fileno() != -1} | {connection}
            self._server.process_request(connection, address)

    def _application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer = self._serve(environ)
        if answer is None:
            with contextlib.suppress(OSError):
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        start_response(f"{answer.status} -", answer.complete_headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]

    def _serve(self, environ: dict[str, Any]) -> Answer | None:
        environ[THROUGH] = self.region
        call = Call.read(environ)
        with _lock:
            record = Record(
                next(_numbers), time.monotonic() - _began, self.region, call.region, call.service, call.operation, iam_action(call)
            )
            _record.append(record)
            fault = next((fault for fault in self.faults if fault.hits(call)), None)
            line, changed = self.line, self._changed
        if line != "up":
            record.fault = line
            changed.wait()
            return None
        if wrong := self._wrong_region(call):
            answer = call.answer(wrong)
        elif fault is None:
            answer = _respond[0](call)
        else:
            record.fault = fault.kind
            refused = refusal(fault, call)
            if fault.kind == "slow":
                changed.wait(fault.seconds)
            if fault.kind == "hang":
                changed.wait(fault.seconds or None)
                return None
            answer = call.answer(refused) if refused else _respond[0](call)
            if fault.kind == "lost-answer":
                return None
        if self.line != "up":  # lost while the call was under way: it may have been applied
            self._changed.wait()
            return None
        record.status = answer.status
        return answer

    def _wrong_region(self, call: Call) -> Refusal | None:
        text = ""
        if self.region == GLOBAL:
            if call.service not in GLOBAL_SERVICES:
                text = f"{call.service} is not one of the global services ({', '.join(sorted(GLOBAL_SERVICES))})."
        elif call.service in GLOBAL_SERVICES - {"sts"}:
            text = f"{call.service} lives in us-east-1 and is reached through the proxy 'global', not through {self.region}."
        elif call.region != self.region:
            text = f"Credential should be scoped to a valid region, not '{call.region}': this is the endpoint of {self.region}."
        return Refusal("SignatureDoesNotMatch", text, 403) if text else None


def refusal(fault: Fault, call: Call) -> Refusal | None:
    """What a fault makes the service say, in the words of its protocol."""
    if fault.kind == "throttle":
        return throttled(call)
    if fault.kind == "error":
        return Refusal("InternalError" if call.service == "s3" else "InternalFailure", "We encountered an internal error.", fault.status)
    if fault.kind == "refusal":
        return Refusal(fault.code, f"{fault.code} was set by a test", fault.status)
    if fault.kind == "deny":
        json = call.protocol in ("json", "rest-json", "smithy-rpc-v2-cbor")
        code = "UnauthorizedOperation" if call.service == "ec2" else "AccessDeniedException" if json else "AccessDenied"
        who, action = f"arn:aws:sts::{ACCOUNT}:assumed-role/dr/test", iam_action(call)[0]
        return Refusal(code, f"User: {who} is not authorized to perform: {action} on resource: *", 400 if call.protocol == "json" else 403)
    return None


def throttled(call: Call) -> Refusal:
    """The service's own throttling error.

    https://docs.aws.amazon.com/general/latest/gr/api-retries.html and each service's "Common errors" page.
    """
    if call.service == "s3":
        return Refusal("SlowDown", "Please reduce your request rate.", 503)
    if call.service == "ec2":
        return Refusal("RequestLimitExceeded", "Request limit exceeded.", 503)
    if call.service == "lambda":
        return Refusal("TooManyRequestsException", "Rate exceeded", 429)
    if call.protocol in ("query", "rest-xml"):
        return Refusal("Throttling", "Rate exceeded", 400)
    return Refusal("ThrottlingException", "Rate exceeded", 429 if call.protocol == "rest-json" else 400)


def answer_with(respond: Callable[[Call], Answer]) -> None:
    """Where calls go that nothing goes wrong with."""
    _respond[:] = [respond]


@control
def open_proxy(region: str) -> int:
    """The port of this region's proxy, opened when first asked for."""
    if region not in _proxies:
        _proxies[region] = Proxy(region)
    return _proxies[region].port


@control
def set_line(region: str, line: str) -> None:
    """See ``Proxy.set_line``."""
    _proxies[region].set_line(line)


@control
def add_fault(region: str, **fault: Any) -> None:
    """From now on this goes wrong in the region (``*``: in each); see ``Fault``."""
    for name, proxy in _proxies.items():
        if region in ("*", name):
            proxy.faults.append(Fault(**fault))


@control
def clear_faults(region: str = "*") -> None:
    """Nothing goes wrong any more; who hangs goes on hanging until its client gives up or the line changes."""
    for name, proxy in _proxies.items():
        if region in ("*", name):
            proxy.faults.clear()


@control
def calls() -> list[dict[str, Any]]:
    """Every call since the last ``clear_calls``, in the order in which they came."""
    with _lock:
        return [asdict(record) for record in _record]


@control
def clear_calls() -> None:
    """Forget what was called so far."""
    with _lock:
        _record.clear()
