"""What all pictures of a report share: one width, round ticks, bars that add up. Pure.

All lengths are in the units of the pictures' view box, ``WIDTH`` wide, so that they scale with the page, on screen and on paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dr.report.wording import span

WIDTH = 880.0
PARTS = ("detect", "decide", "execute", "propagate", "verify")


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a bar that adds up."""

    name: str
    x: float
    width: float
    seconds: float


def label(value: float) -> str:
    """A duration at an axis."""
    if abs(value) < 1e-9:
        return "0"
    return f"{value:g}\u00a0s".replace("-", "−") if 0.1 <= abs(value) < 60 else span(value)


def ticks(low: float, high: float, wanted: int = 6) -> tuple[list[float], float]:
    """Round values that cover [low, high], and the upper end widened to the last of them."""
    raw = (high - low) / wanted
    steps = [base * 10**power for power in range(-3, 2) for base in (1, 2, 5)] + [60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400]
    step = next((value for value in sorted(steps) if value >= raw), raw)
    first, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 6) for number in range(first, end + 1)], max(high, end * step)
