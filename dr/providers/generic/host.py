"""A region's hosts, reached through an argv prefix of the runbook: ``ssh user@host``, ``kubectl exec POD --``, a script.

Never a shell on this side. ``ssh`` hands its arguments to a shell over there, so they are quoted for it and nothing is expanded.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO

from dr.errors import EffectUnknown
from dr.model.runbook import HostAccess
from dr.ports import Clock, Completed

NOT_REACHABLE = 255
"""What ``ssh`` exits with when it could not reach the host; the whole protocol of a prefix."""

OUTPUT_LIMIT = 64 * 1024 * 1024
"""Bytes kept of each of stdout and stderr (a manifest of a million files is about this long); the rest is read and dropped."""

CUT = "[output cut here]"

# ssh needs its agent and its home, kubectl its configuration; nothing else of ours is a command's business (it may hold secrets)
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "KUBECONFIG", "TMPDIR")
_CHUNK = 65536
_AFTER_EXIT_SECONDS = 0.2


class CommandHost:
    """``ports.Host`` over an argv prefix.

    Args:
        access: prefix and the time-out that counts where ``run`` is given none.
        base: absolute directory of the runbook; a relative program that contains a slash is looked up from there.
        clock: measures the time-out.
    """

    def __init__(self, access: HostAccess, base: Path, clock: Clock, *, output_limit: int = OUTPUT_LIMIT) -> None:
        self._prefix = resolved(access.exec, base)
        self._quoted = any(Path(word).name == "ssh" for word in self._prefix)
        self._timeout = access.timeout
        self._base = base
        self._clock = clock
        self._limit = output_limit

    def run(self, argv: Sequence[str], *, timeout: timedelta | None = None, stdin: str | None = None) -> Completed:
        """Runs a command there and waits. Status 255: not reachable (also where the prefix itself cannot be started).

        Raises:
            EffectUnknown: it was started and did not end in time; everything of it on this side was killed.
        """
        limit = self._timeout if timeout is None else timeout
        words = [shlex.quote(word) for word in argv] if self._quoted else list(argv)
        try:
            process = subprocess.Popen(
                [*self._prefix, *words], cwd=self._base, env=minimal(os.environ), start_new_session=True,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            return Completed(NOT_REACHABLE, "", f"{self._prefix[0]} cannot be started: {error.strerror}")
        try:
            return self._answer(process, self._clock.monotonic() + limit.total_seconds(), (stdin or "").encode())
        except TimeoutError:
            raise EffectUnknown(
                f"{shlex.join(argv[:2])}: no answer within {limit.total_seconds():g}s through {self._prefix[0]}",
                hint="look at the host: the command may have taken effect",
            ) from None
        finally:
            _end(process)

    def _answer(self, process: subprocess.Popen[bytes], deadline: float, stdin: bytes) -> Completed:
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = bytearray(), bytearray()
        with selectors.DefaultSelector() as waiting:
            for stream, kept in ((process.stdout, out), (process.stderr, err)):
                os.set_blocking(stream.fileno(), False)
                waiting.register(stream, selectors.EVENT_READ, kept)
            if process.stdin is not None:
                os.set_blocking(process.stdin.fileno(), False)
                waiting.register(process.stdin, selectors.EVENT_WRITE)
            while waiting.get_map():
                # a server that the command started may keep our pipes open for ever: the command's own end is what counts
                ended = process.poll() is not None
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    raise TimeoutError
                ready = waiting.select(min(left, _AFTER_EXIT_SECONDS))
                if ended and not ready:
                    break
                for key, _ in ready:
                    if key.fileobj is process.stdin:
                        stdin = _feed(waiting, process.stdin, stdin)
                    else:
                        self._keep(waiting, key.fd, key.fileobj, key.data)
        left = deadline - self._clock.monotonic()
        try:
            status = process.wait(max(left, 0.001))
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        return Completed(NOT_REACHABLE if status < 0 else status, self._text(out), self._text(err))

    def _keep(self, waiting: selectors.BaseSelector, descriptor: int, stream: object, kept: bytearray) -> None:
        chunk = os.read(descriptor, _CHUNK)
        if not chunk:
            waiting.unregister(stream)  # type: ignore[arg-type]  # it is what was registered
        elif len(kept) <= self._limit:
            kept.extend(chunk)

    def _text(self, kept: bytearray) -> str:
        text = bytes(kept[: self._limit]).decode(errors="replace")
        return f"{text}\n{CUT}" if len(kept) > self._limit else text


def resolved(prefix: Sequence[str], base: Path) -> tuple[str, ...]:
    """The prefix with its program made absolute where it is a relative path; a bare name is left to PATH."""
    program = prefix[0]
    if "/" in program and not Path(program).is_absolute():
        program = os.path.normpath(base / program)
    return (program, *prefix[1:])


def minimal(environment: Mapping[str, str]) -> dict[str, str]:
    """What a command may see of our environment, with messages in English because they are read."""
    kept = {name: environment[name] for name in _PASSED_ON if name in environment}
    return {**kept, "LC_ALL": "C"}


def _feed(waiting: selectors.BaseSelector, stream: IO[bytes], rest: bytes) -> bytes:
    try:
        rest = rest[os.write(stream.fileno(), rest[:_CHUNK]) :] if rest else b""
    except BrokenPipeError:
        rest = b""
    if not rest:
        waiting.unregister(stream)
        stream.close()
    return rest


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None and not stream.closed:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
