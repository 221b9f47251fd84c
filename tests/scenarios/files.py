"""The files of ``scenarios/`` by the world that they name: those of a world that a package brings are played where that is brought."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "scenarios"


def of_worlds(*names: str) -> list[Path]:
    """The scenarios of these worlds, sorted."""
    read = YAML(typ="safe")
    return [path for path in sorted(FOLDER.glob("*.yaml")) if read.load(path)["world"] in names]
