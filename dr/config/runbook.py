"""Reads runbooks, and turns them into the JSON that a run keeps (so that editing the file does not change a run under way)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from dr.config.problems import Problems, dotted, suggest
from dr.config.source import Place, Source, Value, read
from dr.config.translate import NAME_EXPECTED, WRITTEN, note
from dr.config.worlds import BROUGHT, OURS, is_known, known
from dr.errors import DrError, FileError, StateUnreadable, UsageError
from dr.model.base import Json
from dr.model.runbook import NAME, Component, InWorlds, KindConfig, Runbook

Model = TypeVar("Model", bound=BaseModel)

_KEYS = {"api_version": "apiVersion"}
_OURS = ("kind", "needs", "rpo")
_ADDED = ("path", "base", "sha256")  # fields of the model that no file holds


class Kinds(Protocol):
    """Which kinds there are, and how each one's settings look."""

    def names(self) -> Collection[str]:
        """Every kind that a runbook may name; loads none of them."""

    def config(self, kind: str) -> type[KindConfig]:
        """The settings of one kind; loads its file."""


class RegisteredKinds:
    """The kinds of ``dr.providers.registry``."""

    def names(self) -> Collection[str]:
        """Every registered kind."""
        from dr.providers import registry

        return registry.names()

    def config(self, kind: str) -> type[KindConfig]:
        """The ``Config`` of the registered class."""
        from dr.providers import registry

        return registry.find(kind).Config


def load_runbook(path: Path, kinds: Kinds | None = None) -> Runbook:
    """Reads a runbook.

    Raises:
        FileError: everything that is wrong with it, sorted by line.
    """
    source = read(path)
    problems = Problems(source)
    runbook = _Reader(source, problems, kinds or RegisteredKinds()).runbook()
    problems.raise_if_any()
    assert runbook is not None, "no problem, hence a runbook"
    return runbook


def document(runbook: Runbook) -> Json:
    """The runbook as JSON; holds references to secrets, never values. ``from_document`` gives it back equal."""
    return runbook.model_dump(mode="json")


def from_document(data: Json, kinds: Kinds | None = None) -> Runbook:
    """The runbook that ``document`` wrote.

    Raises:
        StateUnreadable: it was written by another version, or needs a kind that is not installed here.
    """
    table = kinds or RegisteredKinds()
    try:
        components = {
            name: Component.model_validate({**item, "config": table.config(item["kind"]).model_validate(item["config"])})
            for name, item in data["components"].items()
        }
        return Runbook.model_validate({**data, "components": components})
    except (ValidationError, KeyError, TypeError, AttributeError, DrError) as error:
        what = f"{error.error_count()} fields differ" if isinstance(error, ValidationError) else str(error)
        raise StateUnreadable(
            f"the runbook that the run keeps does not fit this version of dr: {what}", hint="use the version of dr that started the run"
        ) from None


def in_component(runbook: Runbook, name: str, error: UsageError) -> UsageError:
    """What a kind said about its settings, with the line in the file; as it was where the file has changed since or is gone.

    Kinds see settings, not files: they say ``database: metadata-dbx is not in needs``; the field at the front is looked up.
    """
    text = error.message.removeprefix(f"components.{name}: ").removeprefix(f"{name}: ")
    try:
        source = read(Path(runbook.path))
    except FileError:
        return error
    if hashlib.sha256(source.raw).hexdigest() != runbook.sha256:
        return error
    field, _, rest = text.partition(": ")
    place: Place = ("components", name)
    if rest and all(part.isidentifier() for part in field.split(".")) and (*place, *field.split(".")) in source.lines:
        place, text = (*place, *field.split(".")), rest
    return FileError(source.shown, source.line(place), dotted(place), text, hint=error.hint)


class _Reader:
    def __init__(self, source: Source, problems: Problems, kinds: Kinds) -> None:
        self.source, self.problems, self.kinds = source, problems, kinds

    def runbook(self) -> Runbook | None:
        data = self.source.data
        if not isinstance(data, Mapping):
            self.problems.add((), "expected a map with apiVersion, name, regions, home, objectives and components", stop=True)
            return None
        for name in (*_KEYS, *_ADDED):
            if name in data:
                self.problems.add((name,), "unknown key" + suggest(name, self._top()))
        components = self._components(data)
        known = {name: value for name, value in data.items() if name not in (*_KEYS, *_ADDED, "components")}
        fields = {field: known.pop(key) for field, key in _KEYS.items() if key in known}
        added = {
            "path": str(self.source.path.resolve()),
            "base": str(self.source.path.resolve().parent),
            "sha256": hashlib.sha256(self.source.raw).hexdigest(),
        }
        self._cross_check(data)
        try:
            return Runbook.model_validate({**known, **fields, **added, "components": components}, context=WRITTEN)
        except ValidationError as error:
            # where every component had its own problem, "at least one component" is noise
            wrong = [item for item in error.errors() if not (item["loc"] == ("components",) and data.get("components"))]
            note(self.problems, wrong, Runbook, {**data, **fields}, keys=_KEYS)
        return None

    def _top(self) -> set[str]:
        return {_KEYS.get(name, name) for name in Runbook.model_fields if name not in _ADDED}

    def _components(self, data: Mapping[str, Value]) -> dict[str, Component]:
        written = data.get("components")
        if "components" not in data:
            self.problems.add(("components",), "required, but not there")
        elif not isinstance(written, Mapping) or not written:
            self.problems.add(("components",), "expected a map of at least one component")
        found: dict[str, Component] = {}
        for name, item in written.items() if isinstance(written, Mapping) else ():
            component = self._component(name, item)
            if component is not None:
                found[name] = component
        return found

    def _component(self, name: str, item: Value) -> Component | None:
        place = ("components", name)
        if not isinstance(item, Mapping):
            self.problems.add(place, "expected a map with kind and the kind's settings")
            return None
        kind = item.get("kind")
        common: dict[str, object] = {key: item[key] for key in _OURS if key in item}
        config: KindConfig | None = None
        if "kind" not in item:
            self.problems.add((*place, "kind"), "required, but not there; known: " + ", ".join(sorted(self.kinds.names())))
        elif not isinstance(kind, str) or kind not in self.kinds.names():
            self.problems.add((*place, "kind"), "unknown kind" + suggest(str(kind), self.kinds.names()))
        else:
            settings = {key: value for key, value in item.items() if key not in _OURS}
            model = self.kinds.config(kind)
            config = self._parsed(model, settings, place, settings)
            self._check_worlds(config, place)
        # validated even where the settings are wrong, so that one reading finds everything
        parts = {**common, "name": name, "kind": str(kind), "config": config or KindConfig()}
        component = self._parsed(Component, parts, place, item)
        return component if config is not None else None

    def _check_worlds(self, config: KindConfig | None, place: tuple[str, ...]) -> None:
        """Packages bring worlds, too; the names of ours are looked up without asking who does."""
        for index, world in enumerate(config.worlds if isinstance(config, InWorlds) else ()):
            if world not in OURS and not is_known(world):
                self.problems.add((*place, "worlds", index), "unknown world" + suggest(world, ("live", *known())), hint=BROUGHT)

    def _parsed(self, model: type[Model], parts: Mapping[str, object], place: tuple[str, ...], written: Value) -> Model | None:
        try:
            return model.model_validate(parts, context=WRITTEN)
        except ValidationError as error:
            note(self.problems, error.errors(), model, written, place)
        return None

    def _cross_check(self, data: Mapping[str, Value]) -> None:
        """What no single field shows: names that refer to other names."""
        regions, components = data.get("regions"), data.get("components")
        if isinstance(regions, Mapping):
            self._check_regions(data, regions, components if isinstance(components, Mapping) else {})
        for group in ("regions", "components"):
            for name in _map(data.get(group)):
                if not re.fullmatch(NAME, name):
                    self.problems.add((group, name), NAME_EXPECTED)
        self._check_needs(_map(components))

    def _check_regions(self, data: Mapping[str, Value], regions: Mapping[str, Value], components: Mapping[str, Value]) -> None:
        home = data.get("home")
        if isinstance(home, str) and home not in regions:
            self.problems.add(("home",), "unknown region" + suggest(home, regions))
        for name, item in components.items():
            own = _map(item).get("regions")
            if not isinstance(own, Mapping):
                continue
            for region in own:
                if region not in regions:
                    self.problems.add(("components", name, "regions", region), "unknown region" + suggest(region, regions))
            missing = [region for region in regions if region not in own]
            if missing:
                self.problems.add(("components", name, "regions"), f"expected every region of the runbook; not there: {', '.join(missing)}")

    def _check_needs(self, components: Mapping[str, Value]) -> None:
        graph: dict[str, list[str]] = {}
        for name, item in components.items():
            needs = _map(item).get("needs")
            listed = needs if isinstance(needs, Sequence) and not isinstance(needs, str) else ()
            graph[name] = [need for need in listed if isinstance(need, str) and need in components]
            for index, need in enumerate(listed):
                if isinstance(need, str) and need not in components:
                    others = [other for other in components if other != name]
                    self.problems.add(("components", name, "needs", index), "unknown component" + suggest(need, others))
        cycle = find_cycle(graph)
        if cycle:
            self.problems.add(("components", cycle[0], "needs"), "components need each other in a circle: " + " → ".join(cycle))


def _map(value: Value) -> Mapping[str, Value]:
    return value if isinstance(value, Mapping) else {}


def find_cycle(graph: Mapping[str, Sequence[str]]) -> list[str]:
    """One whole cycle, its first node repeated at the end (``[a, b, a]``); empty where there is none."""
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        following = [iter([start])]
        while following:
            node = next(following[-1], None)
            if node is None:
                following.pop()
                if path:
                    done.add(path.pop())
            elif node in path:
                return [*path[path.index(node) :], node]
            elif node not in done:
                path.append(node)
                following.append(iter(graph.get(node, ())))
    return []
