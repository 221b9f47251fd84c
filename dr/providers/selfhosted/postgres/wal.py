"""Positions, timelines and what PostgreSQL's tools print about them. Pure.

A position (LSN) is a byte count in the write-ahead log, written ``1A/2B3C4D``; within one timeline it only grows. Each promotion
starts a new timeline at a fork position; a timeline's history file names its ancestors and where each was left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

_LSN = re.compile(r"^([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})$")
_HISTORY_FILE = re.compile(r"^([0-9A-Fa-f]{8})\.history$")
_STATISTICS = re.compile(r"WAL statistics between (\S+) and (\S+?):?$", re.MULTILINE)
_COMMITS = re.compile(r"^Transaction/(?:COMMIT|COMMIT_PREPARED)\S*\s+(\d+)\s", re.MULTILINE)
_NOTHING_THERE = ("could not find a valid record after", "invalid record length", "invalid magic number", "unexpected pageaddr")


def parse_lsn(text: str) -> int:
    """``1A/2B3C4D`` as a number of bytes.

    Raises:
        ValueError: it is not a position.
    """
    match = _LSN.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a WAL position such as 1A/2B3C4D")
    return (int(match[1], 16) << 32) + int(match[2], 16)


def show_lsn(position: int) -> str:
    """The usual form of a position."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def behind(ahead: str | None, at: str | None) -> int | None:
    """Bytes from ``at`` to ``ahead``, at least 0; None where either is unknown."""
    if not ahead or not at:
        return None
    return max(0, parse_lsn(ahead) - parse_lsn(at))


def parse_history(text: str) -> dict[int, int]:
    """A timeline's history file: for each ancestor the position at which it was left."""
    forks: dict[int, int] = {}
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if len(words) >= 2 and words[0].isdigit():
            forks[int(words[0])] = parse_lsn(words[1])
    return forks


def newest_history(names: str) -> int | None:
    """The highest timeline of which a history file is among the names (one a line); None when there is none."""
    found = [int(match[1], 16) for match in (_HISTORY_FILE.match(name.strip()) for name in names.splitlines()) if match]
    return max(found, default=None)


@dataclass(frozen=True)
class ControlData:
    """What ``pg_controldata`` says of a data directory."""

    system: str
    state: str
    checkpoint: str
    timeline: int

    @property
    def clean(self) -> bool:
        """A primary that was shut down in order: nothing comes after the checkpoint."""
        return self.state == "shut down"

    @property
    def standby(self) -> bool:
        """It was a secondary when it last ran."""
        return "recovery" in self.state


def parse_control(text: str) -> ControlData:
    """Reads the output of ``pg_controldata`` (in English).

    Raises:
        ValueError: a line that is needed is missing.
    """
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    values = {name.strip(): value.strip() for name, value in lines.items()}
    try:
        timelines = (values["Latest checkpoint's TimeLineID"], values.get("Min recovery ending loc's timeline", "0"))
        return ControlData(
            system=values["Database system identifier"], state=values["Database cluster state"],
            checkpoint=values["Latest checkpoint location"], timeline=max(int(value) for value in timelines),
        )  # fmt: skip
    except KeyError as missing:
        raise ValueError(f"pg_controldata did not print {missing}") from None


@dataclass(frozen=True)
class Beyond:
    """What a data directory holds after a position. ``None``: could not be read."""

    end: int | None
    commits: int | None

    @property
    def nothing(self) -> bool:
        """Surely no committed transaction."""
        return self.commits == 0


def parse_statistics(out: str, err: str, start: int) -> Beyond:
    """Reads ``pg_waldump --stats=record`` from ``start`` to the end of the log: it always ends with an error there, which is no failure."""
    between = _STATISTICS.search(out)
    if between is not None:
        commits = sum(int(number) for number in _COMMITS.findall(out))
        return Beyond(max(start, parse_lsn(between[2])), commits)
    if any(sign in err for sign in _NOTHING_THERE):
        return Beyond(start, 0)
    return Beyond(None, None)


class Course(Enum):
    """How an old primary can follow again."""

    RESTART = "restart"
    REWIND = "rewind"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Lineage:
    """Where two copies of one database stand to each other.

    fork: position at which the target left the source's timeline; None where they are on the same one.
    """

    course: Course
    reason: str
    fork: int | None = None


def judge(
    system: str, timeline: int, history: Mapping[int, int], source: ControlData, source_timeline: int, end: int | None
) -> Lineage:
    """Decides whether the source may be overwritten from the target, by timelines and positions alone (I17).

    Args:
        system, timeline, history: of the target, which must be a running primary.
        source: of the stopped source. source_timeline: the newest timeline that its files know of.
        end: where the source's log ends; None when unknown.
    """
    if source_timeline == timeline and source.standby and source.system == system:
        return Lineage(Course.RESTART, f"it was a secondary on timeline {timeline}")
    refusals = (
        (source.system != system, f"these are two different databases (system identifiers {source.system} and {system})"),
        (source_timeline > timeline, f"its timeline {source_timeline} is newer than the target's {timeline}"),
        (source_timeline == timeline, f"both sides were primary on timeline {timeline}: neither is known to be newer"),
        (source.timeline not in history, f"its timeline {source.timeline} is no ancestor of the target's {timeline}"),
    )
    for refuses, reason in refusals:
        if refuses:
            return Lineage(Course.REFUSE, reason)
    fork = history[source.timeline]
    if end is not None and end <= fork:
        return Lineage(Course.RESTART, f"it wrote nothing after {show_lsn(fork)}, where timeline {timeline} began", fork)
    return Lineage(Course.REWIND, f"it wrote after {show_lsn(fork)}, where the target left timeline {source.timeline}", fork)
