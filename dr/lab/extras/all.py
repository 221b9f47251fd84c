"""The list of the extra parts. A new part is one file and one line here."""

from __future__ import annotations

from dr.lab.extras.extra import Extra
from dr.model.scenario import Workload

EXTRAS: tuple[Extra, ...] = ()


def of(workload: Workload) -> tuple[Extra, ...]:
    """Those that a workload asks for."""
    return tuple(extra for extra in EXTRAS if extra.name in workload.parts)
