"""Pieces of the commands that people type by hand: for ``bash``, with absolute paths, and credentials by where they lie, never by value."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from dr.model.runbook import HostAccess, SecretRef
from dr.providers.generic.host import resolved


def absolute(base: Path, text: str) -> str:
    """A path of the runbook as one word that means the same in every folder."""
    return shlex.quote(os.path.normpath(base / text))


def secret(base: Path, ref: SecretRef) -> str:
    """A credential as one word in double quotes: read from its file or variable at the moment when it is used.

    Good for assignments, here-documents and the shell's own ``printf``, which no list of processes shows; not for arguments of programs.
    """
    if ref.file is None:
        return f'"${{{ref.env}:?}}"'
    return f'"$(cat {absolute(base, ref.file)})"'


def on_host(access: HostAccess | None, base: Path, words: Sequence[str]) -> str:
    """A command on a region's host. ``words`` are quoted for the shell already; what is expanded in them is expanded here.

    Without a way to the host the command alone: the person is there.
    """
    if access is None:
        return " ".join(words)
    prefix = resolved(access.exec, base)
    if any(Path(word).name == "ssh" for word in prefix):  # over there a second shell reads it; what is to be expanded is expanded here
        words = [shlex.quote(word) if "$" not in word else word for word in words]
    return " ".join([*(shlex.quote(word) for word in prefix), *words])


def every(command: str, name: str, body: str) -> str:
    """``body`` for each line that ``command`` prints, as the variable ``name``. Fails at the first that fails, and where there is none.

    In a shell of its own, so that a failure does not close the person's.
    """
    return f"""(set -o pipefail
{command} | {{ n=0; while read -r {name}; do n=$((n + 1))
{body}
done; [ "$n" -gt 0 ]; }})"""


def until(condition: str, tries: int, seconds: float = 1) -> str:
    """Asks again until ``condition`` succeeds, so often at most; its failure is the last one's. In a shell of its own."""
    return f"(for try in $(seq {tries}); do\n  {condition} && exit 0; sleep {seconds:g}\ndone; exit 1)"
