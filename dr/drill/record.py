"""A drill's own record: its report, kept in the state directory."""

from __future__ import annotations

import os
import shutil
from datetime import datetime
from pathlib import Path

from dr.errors import StateLost, StateUnreadable
from dr.model.report import DrillReport

KEPT_STATES = 20


def keep(report: DrillReport, state: Path) -> Path:
    """Writes the report as ``drills/<start>-<scenario>.json`` (0600), whole or not at all. Returns where it lies.

    One in virtual time is kept apart, by scenario and seed (``simulated/<scenario>-seed-<seed>.json``): its moments are of another world,
    so it is evidence of no period of ours, and played once more it is the same.

    Raises:
        StateLost: it could not be written.
    """
    folder = state / ("simulated" if report.world == "sim" else "drills")
    path = folder / f"{seeded(report) or f'{report.started_at:%Y%m%dT%H%M%SZ}-{report.scenario}'}.json"
    draft = path.with_suffix(".part")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(report.model_dump_json(by_alias=True, indent=2))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StateLost(f"the drill's report could not be written to {path}: {error.strerror}", hint="df -h") from error
    return path


def seeded(report: DrillReport) -> str:
    """What a drill in virtual time is called, whenever it is played; empty for one against real servers."""
    return f"{report.scenario}-seed-{report.seed or 0}" if report.world == "sim" else ""


def fresh(base: Path, scenario: str, now: datetime) -> Path:
    """A state directory that no drill has used: a run that another drill left behind must neither be resumed nor counted as debt.

    Of the older ones the newest ``KEPT_STATES`` stay, to look into (``dr runs --state DIR``); the records of drills all stay.
    """
    for old in sorted((base / "states").glob("*"))[: -KEPT_STATES or None]:
        shutil.rmtree(old, ignore_errors=True)
    return base / "states" / f"{now:%Y%m%dT%H%M%S.%fZ}-{scenario}"


def kept(state: Path) -> list[Path]:
    """All records of drills in a state directory, oldest first.

    Raises:
        StateUnreadable: they cannot be listed.
    """
    folder = state / "drills"
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateUnreadable(f"the records of drills in {folder} cannot be read: {error.strerror}", hint=f"ls -ld {folder}") from error


def read(path: Path) -> DrillReport:
    """A record back.

    Raises:
        StateUnreadable: it is not there, or is not a drill's report.
    """
    try:
        return DrillReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # a ValidationError is a ValueError, and so is what is not UTF-8
        raise StateUnreadable(f"{path} is not the record of a drill: {type(error).__name__}", hint="dr drill SCENARIO") from error
