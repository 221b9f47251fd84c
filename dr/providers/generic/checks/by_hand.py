"""The commands that look as the checks do, for the day the tool is gone: ``curl``, ``jq``, ``dig``, ``psql``, ``awk``. Pure.

Each ends with exit status 0 exactly where it holds. Secrets are read by the shell, and are no argument of any program.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from dr.model.runbook import SecretRef
from dr.providers import shell
from dr.providers.generic.checks.base import HeaderSecret
from dr.providers.generic.checks.expect import WRITTEN, number
from dr.providers.generic.checks.names import Server

Scalar = str | int | float | bool | None


def curl(base: Path, headers: Mapping[str, str | HeaderSecret], authority: str | None, timeout: timedelta) -> list[str]:
    """The beginning of a call; what it prints is the answer.

    Args:
        base: the runbook's folder. authority: a path of the runbook.
    """
    words = ["curl", "-sS", "--max-time", f"{timeout.total_seconds():g}"]
    for name, value in headers.items():
        if isinstance(value, SecretRef):
            words += ["-H", f"@<(printf '%s: %s%s' {shlex.quote(name)} {shlex.quote(value.prefix)} {shell.secret(base, value)})"]
        else:
            words += ["-H", shlex.quote(f"{name}: {value}")]
    return [*words, "--cacert", shell.absolute(base, authority)] if authority is not None else words


def led(server: Server, name: str) -> list[str]:
    """Arguments of curl: to where a name server leads a name now."""
    return ["--connect-to", f'"::$({dig(server, name, "A")} | tail -n 1):"']


def dig(server: Server, name: str, family: str) -> str:
    """Prints the addresses of a name."""
    return f"dig @{server.address} -p {server.port} +short +time=2 +tries=1 {shlex.quote(name)} {family}"


def answers(call: Sequence[str], status: Sequence[int], contains: str | None, equals: Mapping[str, Scalar]) -> str:
    """A call whose answer is as expected."""
    parts = [f"answer=$({' '.join(call)} -w '\\n%{{http_code}}')"]
    parts.append(f"printf '%s' \"$answer\" | tail -n 1 | grep -Ex '{'|'.join(str(code) for code in status)}'")
    body = "printf '%s\\n' \"$answer\" | sed '$d'"
    if contains is not None:
        parts.append(f"{body} | grep -qF -e {shlex.quote(contains)}")
    parts += [f"{body} | jq -e {shlex.quote(f'getpath({_path(pointer)}) == {json.dumps(value)}')}" for pointer, value in equals.items()]
    return f"({' && '.join(parts)})"


def _path(pointer: str) -> str:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    return json.dumps([int(part) if part.isdecimal() else part for part in parts])


def same(command: str, wanted: Sequence[str]) -> str:
    """A command that prints exactly these lines, in any order."""
    return f'[ "$({command} | sort | paste -sd, -)" = {shlex.quote(",".join(sorted(wanted)))} ]'


def compared(command: str, expected: str | int | float | bool) -> str:
    """A command that prints one value, which is as expected."""
    match = WRITTEN.fullmatch(expected) if isinstance(expected, str) else None
    sign, wanted = (match[1], match[2]) if match else ("==", expected)
    if number(wanted) is not None:
        return f"(value=$({command}) && [ -n \"$value\" ] && awk -v v=\"$value\" 'BEGIN {{exit !(v + 0 {sign} {wanted})}}')"
    text = ("t" if wanted else "f") if isinstance(wanted, bool) else str(wanted)  # as psql prints them
    return f'[ "$({command})" {"!=" if sign == "!=" else "="} {shlex.quote(text)} ]'


def metric(call: Sequence[str], expect: str) -> str:
    """A call to Prometheus whose every value is as expected; no value at all is not."""
    match = WRITTEN.fullmatch(expect)
    assert match is not None, "the settings have seen to that"
    values = "[.data.result[] | (.values // [.value])[] | .[1] | tonumber]"
    return f"({' '.join(call)} | jq -e {shlex.quote(f'{values} | length > 0 and all(. {match[1]} {match[2]})')})"


def soaked(commands: Sequence[str], duration: timedelta, every: timedelta) -> str:
    """All commands hold, again and again."""
    end = f"end=$((SECONDS + {round(duration.total_seconds()) + 1}))"  # bash counts whole seconds, from anywhere in one
    held = " && ".join(commands)
    return f"({end}; while {held}; do [ $SECONDS -ge $end ] && exit 0; sleep {every.total_seconds():g}; done; exit 1)"
