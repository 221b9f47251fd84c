"""A runbook as text with comments. Plain: the same findings give the same text. Pure."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dr.providers.aws.discover import Component
    from dr.providers.aws.discover.found import Refusal

_WIDTH = 120
_NEXT = (
    "#   dr runbook check FILE              would a failover find what it needs?",
    "#   dr runbook permissions FILE        IAM policies for monitor, drill and failover",
    "#   dr plan FILE --to REGION           what would be done; touches nothing",
    "#",
)
_PLAIN = re.compile(r"^[A-Za-z/][A-Za-z0-9_./:@%+=-]*$")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def scalar(value: object) -> str:
    """One value as YAML reads it back: strings quoted where they would be something else."""
    if isinstance(value, str):
        return value if _PLAIN.match(value) and not value.endswith(":") and value.lower() not in _WORDS else json.dumps(value)
    return json.dumps(value)


def flow(value: object) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)


def block(key: str, value: object, indent: int = 0) -> Iterator[str]:
    """A setting, on one line where it fits."""
    space = " " * indent
    line = f"{space}{scalar(key)}: {flow(value)}"
    if len(line) <= _WIDTH or not value or not isinstance(value, (Mapping, list, tuple)):
        yield line
    elif isinstance(value, Mapping):
        yield f"{space}{scalar(key)}:"
        for name, item in value.items():
            yield from block(str(name), item, indent + 2)
    else:
        yield f"{space}{scalar(key)}:"
        yield from (f"{space}  - {flow(item)}" for item in value)


def remark(text: str, indent: int = 0, more: str = "") -> Iterator[str]:
    """A comment, over several lines where it is long; ``more`` goes before all but the first."""
    yield from textwrap.wrap(text, _WIDTH, initial_indent=" " * indent + "# ", subsequent_indent=" " * indent + "# " + more,
                             break_long_words=False, break_on_hyphens=False)  # fmt: skip


def component(item: Component) -> Iterator[str]:
    """A component below what is to be said about it; as a comment where it would protect nothing."""
    found = item.found
    for text in found.comments:
        yield from remark(text, 2)
    for gap in found.gaps:
        yield from remark(f"not replicated yet: {gap}", 2, "  ")
        yield f"  #   {gap.fix}"
    body = [f"{item.name}:", f"  kind: {found.kind}"]
    if item.needs:
        body += block("needs", list(item.needs), 2)
    for key, value in item.settings.items():
        body += block(key, value, 2)
    yield from (f"  {'' if found.active else '# '}{line}" for line in body)
    yield from (f"  {'' if found.active else '# '}  # {line}" for line in found.after)


def head(command: str, name: str, primary: str, regions: Mapping[str, Any]) -> Iterator[str]:
    """What stands above the components."""
    yield "# What two regions of AWS have, as a runbook. It was written by reading only, and nothing in it is moved before a person asks:"
    yield "#"
    yield f"#   {command}"
    yield "#"
    yield from _NEXT
    yield from ("apiVersion: dr/v1", f"name: {name}", "", *block("regions", dict(regions)), f"home: {primary}", "")
    yield "# what you have promised: how long service may be away, and how much data, as time, may be lost"
    yield from ("objectives: {rto: 1h, rpo: 15m}", "", "components:")


def tail(unknown: Iterable[str], refused: Iterable[Refusal]) -> Iterator[str]:
    """What nobody could be asked, and what no API tells."""
    silent, open_ = list(refused), list(unknown)
    if silent:
        yield from ("", "# Not asked, so nothing of it stands above:")
    for item in silent:
        yield from remark(f"- {item.about}: {item.fact}", 0, "  ")
        yield from ([f"#   {item.fix}"] if item.fix else [])
    yield from ("", "# What no API tells, and a person fills in:")
    for text in open_:
        yield from remark(f"- {text}", 0, "  ")
    yield from ("", "# how many people beside the requester must say yes", "approvals: {failover: 0}")


def runbook(top: Iterable[str], components: Iterable[Component], end: Iterable[str]) -> str:
    """The whole file."""
    lines, part = list(top), ""
    for item in components:
        if item.part != part:
            part = item.part
            lines += [f"  # --- {part} ---", ""]
        lines += [*component(item), ""]
    return "\n".join([*lines[: -1 if lines[-1] == "" else None], *end]) + "\n"
