"""How values are written for people in a report. Pure. Unknown is a word, never a zero."""

from __future__ import annotations

from datetime import datetime

from dr.model.base import Json
from dr.model.report import ExpectationReport

UNKNOWN = "unknown"


def span(seconds: float | None) -> str:
    """A duration to be read at a glance: ``43 ms``, ``0.43 s``, ``12.1 s``, ``4 min 10 s``, ``1 h 05 min``; never broken over lines."""
    if seconds is None:
        return UNKNOWN
    size, sign = abs(seconds), "−" if seconds < 0 else ""
    if size == 0:
        text = "0\u00a0s"
    elif size < 0.0995:
        text = f"{size * 1000:.0f}\u00a0ms"
    elif size < 59.95:
        text = f"{size:.2f}\u00a0s" if size < 9.995 else f"{size:.1f}\u00a0s"
    else:
        text = _long(round(size))
    return sign + text


def _long(whole: int) -> str:
    big, small, names = (whole // 60, whole % 60, ("min", "s")) if whole < 3600 else (whole // 3600, whole % 3600 // 60, ("h", "min"))
    return f"{big}\u00a0{names[0]}" + (f"\u00a0{small:02d}\u00a0{names[1]}" if small else "")


def moment(value: datetime | None) -> str:
    """An instant in UTC to the millisecond."""
    return UNKNOWN if value is None else f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d} UTC"


def clock(value: datetime | None) -> str:
    """The time of day of an instant, in UTC to the millisecond."""
    return UNKNOWN if value is None else f"{value:%H:%M:%S}.{value.microsecond // 1000:03d}"


def day(value: datetime) -> str:
    """An instant as a headline says it."""
    return f"{value.day} {value:%B %Y}, {value:%H:%M} UTC"


def count(value: int | None) -> str:
    """A number with thin spaces between thousands."""
    return UNKNOWN if value is None else f"{value:,}".replace(",", "\u202f")


def plain(value: Json) -> str:
    """An expected or actual value of a scenario."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value)
    return str(value)


_LIMITS = {"rta": "at most", "rpa": "at most", "outage": "at most", "max_lost_writes": "at most", "min_lost_writes": "at least"}


def expectation(line: ExpectationReport) -> tuple[str, str]:
    """What was expected and what was, as a person says it; durations as durations."""
    write = span if line.name in ("rta", "rpa", "outage") else plain
    return f"{_LIMITS.get(line.name, '')} {write(line.expected)}".strip(), write(line.actual)


def share(part: float | None, whole: float | None) -> str:
    """A part of a whole in per cent, with as many digits as say something."""
    if part is None or not whole:
        return ""
    per_cent = 100 * part / whole
    return f"{per_cent:.2f} %" if per_cent < 1 else f"{per_cent:.0f} %"


def words(name: str) -> str:
    """An identifier as words: ``rta_matches_truth`` → ``RTA matches truth``."""
    return " ".join(word.upper() if word in ("rta", "rpa", "rto", "rpo", "dns") else word for word in name.replace("-", " ").split("_"))


def upper_first(text: str) -> str:
    """The first letter of a sentence; the rest stays as it is."""
    return text[:1].upper() + text[1:]
