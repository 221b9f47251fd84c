"""I12: a drill in the lab touches nothing but the lab, whatever runbook its scenario names."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.config.runbook import load_runbook
from dr.errors import Refused
from dr.lab.lab import Lab
from dr.lab.layout import Layout
from dr.lab.world import LabWorld
from dr.ports import Clock

PROJECT = Path(__file__).parents[2]
LAB = (PROJECT / "runbooks" / "lab.yaml").read_text()


@pytest.fixture
def world(clock: Clock) -> LabWorld:
    return LabWorld(Lab(Layout.find(PROJECT), clock))


def test_the_labs_runbooks_are_its_own(world: LabWorld) -> None:
    """All that ship."""
    for name in ("lab", "lab-tight", "lab-partition"):
        world.own(load_runbook(PROJECT / "runbooks" / f"{name}.yaml"))


@pytest.mark.parametrize(
    ("ours", "theirs", "named"),
    [
        ("exec: [../lab-state/east/exec]", "exec: [ssh, db.east]", "regions.east.host: ssh"),
        ("server: 127.0.20.1", "server: 10.1.2.3", "components.dns: 10.1.2.3"),
        ("https://127.0.10.1:18444", "https://airflow.example:443", "components.deployments: https://airflow.example:443"),
    ],
)
def test_what_reaches_further_is_refused(world: LabWorld, tmp_path: Path, ours: str, theirs: str, named: str) -> None:
    """Hosts that are reached in another way, an address elsewhere, a URL with a name: refused by name, before anything starts."""
    assert ours in LAB
    path = tmp_path / "production.yaml"
    path.write_text(LAB.replace(ours, theirs).replace("../lab-state", str(PROJECT / "lab-state")))
    with pytest.raises(Refused) as caught:
        world.own(load_runbook(path))
    assert named in caught.value.message
