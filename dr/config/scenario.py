"""Reads scenarios, with the same care for lines as runbooks; the runbook that a scenario names is read too, to check its regions."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from dr.config.problems import Problems, suggest
from dr.config.runbook import Kinds, load_runbook
from dr.config.source import Place, Value, read
from dr.config.translate import WRITTEN, note
from dr.config.worlds import BROUGHT, is_known, known
from dr.model.base import parse_duration
from dr.model.scenario import Scenario
from dr.model.words import Guard

_TARGETS = ("kill", "freeze", "thaw", "cut", "bring_back", "spoil", "slow")


def load_scenario(path: Path, kinds: Kinds | None = None, *, world: str = "") -> Scenario:
    """Reads a scenario and checks it against its runbook.

    Args:
        world: in which it is played, where that was said otherwise; the scenario's own may then be one that nobody has brought.

    Raises:
        FileError: everything that is wrong with it, sorted by line; or what is wrong with its runbook.
    """
    source = read(path)
    problems = Problems(source)
    if not isinstance(source.data, Mapping):
        problems.add((), "expected a map with name, runbook, world, acts and expect", stop=True)
    scenario: Scenario | None = None
    try:
        scenario = Scenario.model_validate(source.data, context=WRITTEN)
    except ValidationError as error:
        note(problems, error.errors(), Scenario, source.data)
    _check_words(problems, source.data, world)
    problems.raise_if_any()
    assert scenario is not None, "no problem, hence a scenario"
    runbook = runbook_path(path, scenario)
    if not runbook.is_file():
        problems.add(("runbook",), f"no such file: {runbook}; relative paths start at the scenario's folder", stop=True)
    _check_regions(problems, source.data, load_runbook(runbook, kinds).regions)
    problems.raise_if_any()
    return scenario


def refuse(path: Path, beyond: Iterable[tuple[Place, str]]) -> None:
    """Refuses a scenario for what a world cannot have.

    Args:
        beyond: the places that are too much for it, and why.

    Raises:
        FileError: all of them, sorted by line.
    """
    problems = Problems(read(path))
    for place, why in beyond:
        problems.add(place, why)
    problems.raise_if_any()


def runbook_path(path: Path, scenario: Scenario) -> Path:
    """Where the scenario's runbook lies: relative paths start at the scenario's folder."""
    joined = path.parent / scenario.runbook
    short = Path(os.path.normpath(joined))
    return short if short.resolve() == joined.resolve() else joined  # ".." behind a symbolic link leads elsewhere


def _check_words(problems: Problems, data: Value, played_in: str) -> None:
    world = data.get("world") if isinstance(data, Mapping) else None
    if isinstance(world, str) and not played_in and not is_known(world):
        problems.add(("world",), "unknown world" + suggest(world, known()), hint=BROUGHT)
    acceptable = [guard.value for guard in Guard if guard.acceptable]
    for index, act in enumerate(_maps(data, "acts")):
        loss = act.get("accept_data_loss")
        if isinstance(loss, str) and loss != "unknown":
            try:
                parse_duration(loss)
            except ValueError:
                problems.add(("acts", index, "accept_data_loss"), "expected a duration such as 15m, or unknown")
        accepted = act.get("accept")
        for number, guard in enumerate(accepted if isinstance(accepted, Sequence) and not isinstance(accepted, str) else ()):
            if guard not in acceptable:
                problems.add(("acts", index, "accept", number), "no guard that can be accepted" + suggest(str(guard), acceptable))


def _check_regions(problems: Problems, data: Value, regions: Collection[str]) -> None:
    for place, region in _named_regions(data):
        if region not in regions:
            problems.add(place, "unknown region" + suggest(region, regions))


def _named_regions(data: Value) -> Iterator[tuple[Place, str]]:
    for index, fault in enumerate(_maps(data, "timeline")):
        for kind in _TARGETS:
            target = fault.get(kind)
            region = target.get("region") if isinstance(target, Mapping) else None
            if isinstance(region, str):
                yield ("timeline", index, kind, "region"), region
    for index, act in enumerate(_maps(data, "acts")):
        to = act.get("to")
        if isinstance(to, str):
            yield ("acts", index, "to"), to
    expect = data.get("expect") if isinstance(data, Mapping) else None
    primary = expect.get("primary") if isinstance(expect, Mapping) else None
    if isinstance(primary, str):
        yield ("expect", "primary"), primary


def _maps(data: Value, key: str) -> Iterator[Mapping[str, Value]]:
    """The items of a list of maps; what is not a map counts as an empty one, so that indices stay."""
    items = data.get(key) if isinstance(data, Mapping) else None
    for item in items if isinstance(items, Sequence) and not isinstance(items, str) else ():
        yield item if isinstance(item, Mapping) else {}
