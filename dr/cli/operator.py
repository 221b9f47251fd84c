"""``python -m dr.cli.operator``: an operator at a keyboard, as a process of its own, so that a drill can kill it.

Everything that a failover needs is imported before it says ``{"ready": true}``. Then one command line a line, as a JSON list, on stdin;
one answer a line on stdout: ``{"exit": 0, "stdout": "…"}``. It ends at the end of stdin.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import IO

from dr.errors import DrError, LabError

_AHEAD = (
    "dr.app", "dr.app.conduct", "dr.config.runbook", "dr.engine.graph", "dr.engine.planner", "dr.engine.runner", "dr.report.assess",
    "dr.cli.moves", "dr.cli.acceptances", "dr.cli.host", "dr.cli.live", "dr.cli.failover", "dr.cli.switchover", "dr.cli.resume",
)  # fmt: skip
_READY_SECONDS = 60.0


class OperatorProcess:
    """An operator's keyboard in another process; a ``dr.ports.Operator``. Ready when constructed.

    Args:
        state: state directory that the commands use.
        runbook: read ahead, so that its kinds and their libraries are loaded.
        log: file that takes what the commands print on stderr.
        env: what it is told beside ``inherited``.
        inherited: the environment that it begins with.

    Raises:
        LabError: the process did not become ready.
    """

    def __init__(
        self, state: Path, runbook: Path | None = None, log: Path | None = None, env: Mapping[str, str] | None = None,
        inherited: Mapping[str, str] = os.environ,
    ) -> None:  # fmt: skip
        argv = [sys.executable, "-m", "dr.cli.operator", *([str(runbook)] if runbook else [])]
        environment = {**inherited, **(env or {}), "DR_STATE": str(state), "DR_QUIET": "1"}
        with open(log or os.devnull, "ab") as errors:  # noqa: PTH123 — os.devnull is a name, not a place
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, start_new_session=True
            )  # fmt: skip
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="operator", daemon=True).start()
        if not self._next(_READY_SECONDS):
            self.kill()
            raise LabError("the operator's process did not become ready", hint=f"look into {log}" if log else "")

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    def type(self, argv: Sequence[str]) -> None:
        """Starts one ``dr`` command in it; returns at once. Typing at a process that is dead is lost, as at a real keyboard."""
        assert self._process.stdin is not None, "stdin is a pipe"
        with contextlib.suppress(BrokenPipeError, ValueError):  # dead, or closed by kill()
            self._process.stdin.write(json.dumps(list(argv)) + "\n")
            self._process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL; safe to call twice, and when it has ended."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def wait(self, timeout: timedelta) -> tuple[int, str]:
        """Exit status of the command and what it printed on stdout; of a killed process its negative signal and nothing.

        Raises:
            LabError: no answer in time.
        """
        line = self._next(timeout.total_seconds())
        if line:
            answer = json.loads(line)
            return int(answer["exit"]), str(answer["stdout"])
        return self._process.wait(), ""

    def _next(self, seconds: float) -> str:
        """One line; empty when the process ended without one."""
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            raise LabError(f"the operator's process gave no answer within {seconds:.0f} s", hint="look at the run: dr status") from None

    def _read(self) -> None:
        assert self._process.stdout is not None, "stdout is a pipe"
        with contextlib.suppress(ValueError, OSError):  # closed by kill()
            for line in self._process.stdout:
                self._answers.put(line)
        self._answers.put("")


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Reads command lines until the end, runs each, answers each."""
    from dr.cli.main import run

    for line in requests:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = run(json.loads(line))
        answers.write(json.dumps({"exit": int(code), "stdout": out.getvalue()}) + "\n")
        answers.flush()


def prepare(runbook: Path | None) -> None:
    """Loads what a failover needs; a runbook that cannot be read is the command's business to complain of."""
    from dr.model.events import get_ready

    for module in _AHEAD:
        import_module(module)
    if runbook is not None:
        from dr.app import App
        from dr.config.settings import state_directory

        with contextlib.suppress(DrError):
            App(state_directory()).load(runbook).close()
    get_ready()
    # what is loaded by now lives for ever: no collection needs to look at it in the middle of a failover
    gc.collect()
    gc.freeze()


def main(argv: Sequence[str]) -> None:
    """Serves on a copy of stdout; what a library prints goes to stderr and cannot spoil an answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    prepare(Path(argv[0]) if argv else None)
    answers.write('{"ready": true}\n')
    answers.flush()
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main(sys.argv[1:])
