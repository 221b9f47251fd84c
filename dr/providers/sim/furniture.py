"""How a simulated world is furnished: what there is already while it is made, and what one kind needs to be in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from dr.model.runbook import Component, Runbook
from dr.model.words import Intent, Verb
from dr.providers.sim.sort import Sort
from dr.providers.sim.steps.base import SimStep
from dr.providers.sim.world import World

S = TypeVar("S", bound=Sort)

PARTS = ("ui", "api", "remote")
"""The public names of a Deployment."""


@dataclass(frozen=True)
class Beginning:
    """A world that is being furnished. deployments, tasks: how many there are of each. found: what is there already, by component.

    called: the public names of all Deployments, equally many of each; none: made up.
    """

    world: World
    runbook: Runbook
    deployments: int
    tasks: int
    called: tuple[str, ...] = ()
    found: dict[str, Sort] = field(default_factory=dict)

    def named(self, sort: type[S], name: str | None) -> S | None:
        """The component of a sort that a setting names; None where it names none, or something else."""
        store = self.found.get(name or "")
        return store if isinstance(store, sort) else None

    def all(self, sort: type[S]) -> list[S]:
        """All components of a sort."""
        return [store for store in self.found.values() if isinstance(store, sort)]

    @property
    def hostnames(self) -> tuple[str, ...]:
        """All public names of the platform."""
        return self.called or tuple(f"d-{number:03d}.{part}" for number in range(1, self.deployments + 1) for part in PARTS)


def regions_of(component: Component) -> tuple[str, ...]:
    """The regions that a component's settings name; none: those of the runbook."""
    return tuple(getattr(component.config, "regions", ()))


def setting(component: Component, name: str, default: Any = None) -> Any:
    """A setting of a component, whatever its kind; the default where that has none."""
    return getattr(component.config, name, default)


def seconds_of(component: Component, name: str, default: float) -> float:
    """A duration of a component's settings, in seconds."""
    value = setting(component, name)
    return value.total_seconds() if isinstance(value, timedelta) else default


Operations = Callable[[str, Verb, Intent], type[SimStep[Any]]]
"""The operation of a step, by its name, its verb, and the intent."""


class Furniture(NamedTuple):
    """One kind in a world. ``turn``: what is made on others is made after them."""

    make: Callable[[Beginning, str, Component], Sort]
    operation: Operations
    turn: int = 2
