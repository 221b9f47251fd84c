"""Which worlds there are: our own, and those that packages bring under the entry point group ``dr.worlds``.

``name = "package.module:Factory"``; the factory is a ``dr.ports.WorldFactory``. The group is read only when a name is not one of ours,
because reading it costs tens of milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from dr.errors import UsageError

if TYPE_CHECKING:
    from dr.ports import WorldFactory

GROUP = "dr.worlds"
DRILLED = ("lab", "sim")
"""Our own worlds of drills."""
OURS = ("live", *DRILLED)
BROUGHT = f"others come with a package: its entry points in the group {GROUP}"
"""For who names a world that is not there."""


def known() -> tuple[str, ...]:
    """Every world in which a drill can be played, our own first. Raises UsageError where one name has two owners."""
    return (*DRILLED, *sorted(_brought()))


def is_known(name: str) -> bool:
    """Whether a drill can be played there. Raises UsageError where one name has two owners."""
    return name in DRILLED or name in _brought()


def check(name: str) -> None:
    """For a name that somebody typed.

    Raises:
        UsageError: there is no such world.
    """
    if not is_known(name):
        raise UsageError(f"there is no world {name}", hint=f"one of: {', '.join(known())}")


def factory(name: str) -> WorldFactory:
    """What makes a world that a package brings.

    Raises:
        UsageError: nobody brings it, or it cannot be loaded.
    """
    check(name)
    where = _brought()[name]
    module, _, attribute = where.partition(":")
    try:
        found: WorldFactory = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        hint = "install the package that provides it again"
        raise UsageError(f"world {name}: {where} cannot be loaded: {error}", hint=hint) from error
    return found


def _brought() -> Mapping[str, str]:
    """Name → ``module:Factory`` of what is installed."""
    from importlib.metadata import entry_points  # as slow to import as to ask

    found: dict[str, str] = {}
    for point in entry_points(group=GROUP):
        owner = "dr" if point.name in OURS else found.get(point.name, point.value)
        if owner != point.value:
            hint = f"uninstall one of them, or rename its entry point in the group {GROUP}"
            raise UsageError(f"world {point.name} has two owners: {owner} and {point.value}", hint=hint)
        found[point.name] = point.value
    return found
