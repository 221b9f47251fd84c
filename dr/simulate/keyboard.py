"""A keyboard of a simulated drill: each command in a simulated process of its own, which can be killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from dr.errors import LabError
from dr.providers.sim.loop import Loop
from dr.providers.sim.process import Process

_KILLED = -9


class SimOperator:
    """``dr.ports.Operator`` in virtual time.

    Args:
        process: the process at the keyboard; it ends with its one command.
        obey: runs a command line in that process, as one of its jobs: exit status, and what is printed on stdout.
    """

    def __init__(self, loop: Loop, process: Process, obey: Callable[[Process, Sequence[str]], tuple[int, str]]) -> None:
        self.process = process
        self._loop, self._obey = loop, obey
        self._answer: tuple[int, str] | None = None

    def type(self, argv: Sequence[str]) -> None:
        """Starts a command; typing at a process that is dead is lost."""
        if self.process.alive:
            self.process.start(lambda: self._work(list(argv)), "command")

    def _work(self, argv: Sequence[str]) -> None:
        self._answer = self._obey(self.process, argv)
        self.process.ended = True

    def kill(self) -> None:
        """SIGKILL; nothing happens to a process that has ended."""
        if self.process.alive:
            self.process.kill()

    def wait(self, timeout: timedelta) -> tuple[int, str]:
        """Exit status and what was printed; of a killed process its negative signal and nothing.

        Raises:
            LabError: no answer in time.
        """
        until = self._loop.now + timeout.total_seconds()
        while self._answer is None and not self.process.dead:
            if self._loop.now >= until:
                raise LabError(f"{self.process.name} gave no answer within {timeout.total_seconds():.0f} s", hint="look at the run")
            self._loop.sleep(min(_LOOK_SECONDS, until - self._loop.now))
        return self._answer or (_KILLED, "")


_LOOK_SECONDS = 0.02
"""How often a killed or finished process is noticed, in virtual seconds."""
