"""Reads a rendered runbook as a person does: the steps in their order, each with what to do and what to check; and does them."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dr.lab import hand_tools

_STEP = re.compile(
    r"^#### (?P<number>\d+)\. (?P<sign>! )?(?P<id>\S+) · .*?\nDo:\n\n```sh\n(?P<do>.*?)\n```\n+Check:\n\n```sh\n(?P<check>.*?)\n```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Written:
    """One step as it is written down."""

    number: int
    id: str
    irreversible: bool
    do: str
    check: str


def steps(text: str) -> list[Written]:
    """All steps of a runbook, in the order of the page."""
    body = text.partition("\n## Steps\n")[2]
    return [
        Written(int(match["number"]), match["id"], bool(match["sign"]), match["do"], match["check"]) for match in _STEP.finditer(body)
    ]


class Person:
    """Types into bash, in a folder of its own, with the tools of a platform engineer and nothing of ``dr``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        hand_tools.collect(folder / "bin")
        self._environment = {
            "PATH": os.pathsep.join((str(folder / "bin"), "/usr/local/bin", "/usr/bin", "/bin")), "HOME": str(folder), "LC_ALL": "C.UTF-8",
            "WHO": "ann", "OLD_TTL": "1",
        }  # fmt: skip

    def type(self, command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """One block, copied as it is."""
        return subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=seconds, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def do(self, step: Written) -> str:
        """The command, then its check; what they printed. The check decides.

        Raises:
            AssertionError: the check did not pass.
        """
        done = self.type(step.do)
        checked = self.type(step.check)
        said = f"{step.number}. {step.id}\n$ {step.do}\n{done.stdout}{done.stderr}[{done.returncode}]\n$ {step.check}\n"
        said += f"{checked.stdout}{checked.stderr}[{checked.returncode}]"
        assert checked.returncode == 0, said
        return said
