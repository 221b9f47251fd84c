"""The emulated AWS: one process, every region, in memory; moto with our extension, behind one proxy for each region.

``python -m tests.aws.emulator.server PORT`` (0: any) prints ``ready PORT`` and serves until it is ended, or, with
``--until-stdin-closes``, until whoever started it is gone. ``GET /_emulator`` is the health call; ``POST /_emulator`` with
``{"do": NAME, "with": {...}}`` calls a control.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import json
import logging
import os
import pkgutil
import sys
import threading
import traceback
import warnings
from collections.abc import Iterable, MutableMapping, MutableSequence, MutableSet
from typing import Any, cast

os.environ.setdefault("DISABLE_GLOBAL_CORS", "true")

from moto.backends import list_of_moto_modules
from moto.core.config import default_user_config
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from tests.aws.emulator import extension, registry
from tests.aws.emulator.wire import ACCOUNT, UNKNOWN, Answer, Call, Refusal

BEGINNING: list[tuple[Any, Any]] = []  # the extension's containers, and what they hold at first
WARM = ("rds", "s3", "ec2", "route53", "cloudwatch", "secretsmanager", "ecr", "dynamodb", "kms", "ssm", "autoscaling", "ecs", "eks", "iam")
CONTROL_PATH = "/_emulator"


class Dispatcher(DomainDispatcherApplication):
    """Remembers which part of moto a host means: it looks at 180 folders for each request otherwise."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._known: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """The part of moto, or None."""
        if host not in self._known:
            self._known[host] = super().get_backend_for_host(host)
        return self._known[host]


MOTO = Dispatcher()


class QuietHandler(MotoRequestHandler):
    """No line for each request."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Only errors, to stderr."""
        if type == "error":
            sys.stderr.write(message % args + "\n")


def moto(call: Call) -> Answer:
    """Moto's own answer; what it does not know is refused at once and clearly (its HTTP 500 page would be retried)."""
    seen: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> None:
        seen.update(status=int(status.split()[0]), headers=headers)

    environ = {**call.environ, "wsgi.input": call.request.environ["wsgi.input"], "wsgi.errors": _Errors()}
    try:
        body = b"".join(MOTO(environ, start))
    except NotImplementedError as error:
        raise Refusal("NotImplementedByTheEmulator", f"{call.name}: {error}", 501) from error
    except AttributeError as error:  # moto has no such service at all
        if call.service.replace("-", "") not in list_of_moto_modules():
            raise Refusal("NotImplementedByTheEmulator", f"{call.name}: no such service here", 501) from error
        raise
    headers = [one for one in seen["headers"] if one[0].lower() not in ("content-length", "connection")]
    if call.environ["REQUEST_METHOD"] == "HEAD":  # an answer without a body keeps the length of what it stands for
        headers = seen["headers"]
    return Answer(seen["status"], headers, body)


def respond(call: Call) -> Answer:
    """One call from beginning to end, while nothing else happens."""
    with registry.LOCK:
        registry.catch_up()
        try:
            if call.account != ACCOUNT:  # another account is moto's alone: nothing of the platform is there
                return moto(call)
            for check in registry.BEFORE.get(call.service, ()):
                check(call)
            handler = registry.OPERATIONS.get(call.name)
            result = handler(call) if handler else None
            answer = moto(call) if result is None else result if isinstance(result, Answer) else call.answer(result)
            if answer.status < 300:
                for look in registry.AFTER.get(call.name, ()):
                    answer = look(call, answer) or answer
        except Refusal as refusal:
            answer = call.answer(refusal)
        except Exception as error:  # noqa: BLE001  (moto breaks in many ways; the test shall read which)
            traceback.print_exc()
            answer = call.answer(Refusal("EmulatorBroke", f"{call.name}: {type(error).__name__}: {error}", 500))
        return answer


@registry.control
def warm_up(services: Iterable[str]) -> None:
    """Load what these services need, so that no call waits for it."""
    for service in services:
        with contextlib.suppress(ImportError, AttributeError):
            MOTO.app_instances.setdefault(service, create_backend_app(cast("Any", service)))


class _Errors:
    """Where Flask writes its tracebacks."""

    def write(self, text: str) -> None:
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _plain(status: int, value: object) -> Answer:
    return Answer(status, [("Content-Type", "application/json")], json.dumps(value, default=str).encode())


def _control(environ: dict[str, Any]) -> Answer:
    if environ["REQUEST_METHOD"] == "GET":
        return _plain(200, {"healthy": True, "account": ACCOUNT})
    asked = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    try:
        if asked["do"] in registry.CONTROLS and asked["do"] in OUTSIDE_THE_LOCK:
            return _plain(200, registry.CONTROLS[asked["do"]](**asked["with"]))
        with registry.LOCK:
            registry.catch_up()
            return _plain(200, registry.CONTROLS[asked["do"]](**asked["with"]))
    except (KeyError, TypeError, ValueError, AssertionError, Refusal) as error:
        return _plain(400, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")


OUTSIDE_THE_LOCK: set[str] = set()  # what must work while a call is held up


def serve(environ: dict[str, Any]) -> Answer:
    """The server's own door: controls, and every region without faults."""
    if environ["PATH_INFO"] == CONTROL_PATH:
        return _control(environ)
    call = Call.read(environ)
    if call.operation == UNKNOWN and call.service not in ("s3", "s3control"):
        sys.stderr.write(f"unknown call: {call.service} {environ['REQUEST_METHOD']} {environ['PATH_INFO']}\n")
    return respond(call)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """``serve`` as WSGI."""
    answer = serve(environ)
    start_response(f"{answer.status} -", answer.complete_headers)
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]


def load_extension() -> None:
    """Import every file of ``extension``, which registers what it answers."""
    for found in pkgutil.iter_modules(extension.__path__):
        module = importlib.import_module(f"{extension.__name__}.{found.name}")
        for name, value in vars(module).items():
            if isinstance(value, MutableMapping | MutableSet | MutableSequence) and name.startswith("_") and not name.startswith("__"):
                BEGINNING.append((value, copy.deepcopy(value)))
            elif isinstance(value, registry.Forgetful):
                BEGINNING.append((vars(value), vars(type(value)())))


@registry.control
def reset() -> None:
    """Everything is as in the beginning: no resources, nothing timed. Faults and lost regions stay."""
    moto_api_backend.reset()
    registry.forget()
    for value, first in BEGINNING:
        value.clear()
        (value.extend if hasattr(value, "extend") else value.update)(copy.deepcopy(first))


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main(arguments: list[str]) -> None:
    """Serve."""
    from tests.aws.emulator import proxy

    warnings.filterwarnings("ignore", module="moto")  # codes of every service's common errors, which its model does not list
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    default_user_config["lambda"]["use_docker"] = False
    load_extension()
    proxy.answer_with(respond)
    OUTSIDE_THE_LOCK.update(proxy.CONTROLS)
    server = make_server("127.0.0.1", int(arguments[0]), application, threaded=True, request_handler=QuietHandler)
    if "--until-stdin-closes" in arguments:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    threading.Thread(target=warm_up, args=(WARM,), daemon=True).start()
    sys.stdout.write(f"ready {server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
