"""How a bug is planted at run time, and what is known of it: see ``planted`` for the bugs themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from dr.app.simulation import Studio
from dr.engine import planner
from dr.model.words import Intent, Verb
from dr.ports import Step

Plant = Callable[[ExitStack], None]


@dataclass(frozen=True)
class Mutation:
    """One planted bug. rules: those of which one must speak first. runbook: of the project's own; deployments: how many."""

    name: str
    what: str
    rules: tuple[str, ...]
    plant: Plant
    runbook: str = "lab.yaml"
    deployments: int = 5

    @contextmanager
    def planted(self) -> Iterator[None]:
        """While it is there."""
        with ExitStack() as stack:
            self.plant(stack)
            yield


ALL: list[Mutation] = []


def plants(name: str, what: str, *rules: str, runbook: str = "lab.yaml") -> Callable[[Plant], Plant]:
    """Lists a bug."""

    def listed(plant: Plant) -> Plant:
        ALL.append(Mutation(name, what, rules, plant, runbook))
        return plant

    return listed


def swap(stack: ExitStack, owner: Any, attribute: str, new: object) -> Any:
    """Puts something in the place of something, and returns what was there."""
    old = getattr(owner, attribute)
    stack.enter_context(patch.object(owner, attribute, new))
    return old


def without_rules(stack: ExitStack, before: Verb | None = None, after: Verb | None = None) -> None:
    """The planner forgets why some steps come before others."""
    kept = []
    for rule in planner.RULES:
        meant = (before is None or before in rule.before) and (after is None or after in rule.after)
        rest = tuple(verb for verb in rule.after if verb is not after) if after is not None else ()
        kept += [rule] if not meant else [replace(rule, after=rest)] if rest else []
    swap(stack, planner, "RULES", tuple(kept))


def chains(stack: ExitStack, change: Callable[[Step, Intent], Step | None]) -> None:
    """Every component's own steps are changed, or left out."""
    old: Any

    def chain(self: Studio, component: str, intent: Intent, source: str, target: str) -> Sequence[Step]:
        steps = old(self, component, intent, source, target)
        kept = [step for step in (change(item, intent) for item in steps) if step is not None]
        ids = {step.spec.id for step in kept}
        needs = {step.spec.id: tuple(need for need in step.spec.needs if need in ids) for step in kept}
        return tuple(Step(step.spec.model_copy(update={"needs": needs[step.spec.id]}), step.operation) for step in kept)

    old = swap(stack, Studio, "chain", chain)
