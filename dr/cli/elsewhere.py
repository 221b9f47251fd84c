"""A drill in a world that a package brings: its operators and its monitor are processes that inherit nothing but what leads to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dr.cli.operator import OperatorProcess
from dr.config import worlds
from dr.config.scenario import load_scenario, runbook_path
from dr.errors import LabError, UsageError
from dr.ports import BroughtWorld

_INHERITED = ("PATH", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_INHERITED_BEGINNINGS = ("LC_", "PYTHON")
"""What a Python process needs to run here; of the person's own platform it says nothing (I12)."""
_END_SECONDS = 30.0


def inherited(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the processes of such a drill get of a person's environment."""
    return {name: value for name, value in environment.items() if name in _INHERITED or name.startswith(_INHERITED_BEGINNINGS)}


@dataclass(frozen=True)
class Drilled:
    """A world, what is drilled in it, and the state directory of the drill."""

    world: BroughtWorld
    directory: Path

    @classmethod
    def of(cls, name: str, scenario: Path, directory: Path) -> Drilled:
        """The world of this name, for one drill; nothing is started.

        Raises:
            UsageError: nobody brings it, or what is brought has another name.
            FileError, Refused: it cannot play this scenario.
        """
        world = worlds.factory(name)(scenario, runbook_path(scenario, load_scenario(scenario)), directory / "world")
        if world.name != name:
            raise UsageError(f"world {name}: it says that it is {world.name}", hint=f"rename the entry point in the group {worlds.GROUP}")
        return cls(world, directory)

    @property
    def runbook(self) -> Path:
        """With the names of this world."""
        return self.world.runbook()

    def operator(self) -> OperatorProcess:
        """A keyboard. Raises LabError."""
        return OperatorProcess(self.directory, self.runbook, self.directory / "operators.log", self.environment, {})

    @contextmanager
    def monitor(self) -> Iterator[None]:
        """``dr monitor`` as a process, without the metrics endpoint; what it says goes into the samples that the runs read.

        Raises:
            LabError: it ended while somebody counted on it.
        """
        log = self.directory / "monitor.log"
        argv = [sys.executable, "-m", "dr", "monitor", str(self.runbook), "--port", "0", "--interval", "250ms"]
        with log.open("ab") as errors:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=self.environment, start_new_session=True
            )
        try:
            yield
            if process.poll() is not None:
                raise LabError(f"the monitor ended by itself with {process.returncode}", hint=f"look into {log}")
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def environment(self) -> dict[str, str]:
        """Of operators and monitor. ``HOME`` is the drill's own: nothing is found there that a person keeps for other platforms."""
        own = {"HOME": str(self.directory), "DR_WORLD": self.world.name, "DR_STATE": str(self.directory)}
        return {**inherited(), **own, **self.world.environment(), **{name: own[name] for name in ("DR_WORLD", "DR_STATE")}}
