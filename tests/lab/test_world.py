"""The lab as a drill's world: what the outside client saw, with nobody's help."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from dr.errors import Refused
from dr.lab import processes
from dr.lab.lab import Lab
from dr.lab.world import LabWorld
from dr.model.scenario import Fault, Workload

pytestmark = pytest.mark.lab
SMALL = Workload(deployments=2, running_tasks=4, warm_up=timedelta(0))


def test_region_that_comes_back_is_an_outage_and_no_loss(no_lab: Lab) -> None:
    """A region that dies and returns as it was: every name failed and came back, nothing acknowledged is lost, and the ledger is what
    its digest says. Afterwards nothing is left."""
    world = LabWorld(no_lab)
    try:
        world.up(SMALL)
        mark = no_lab.running().mark
        killed = world.inject(Fault.model_validate({"at": "0s", "kill": {"region": "east"}}))
        back = world.inject(Fault.model_validate({"at": "0s", "bring_back": {"region": "east"}}))
        world.settle(timedelta(seconds=30))
        truth = world.truth()
    finally:
        left = world.down()
    assert left.ok
    assert processes.marked(mark) == []
    assert truth.lost_writes == 0
    assert truth.acknowledged_writes > 0
    assert truth.outage is not None
    assert truth.outage > timedelta(0)
    assert len(truth.hostnames) == 6
    failed = [name for name in truth.hostnames if name.first_fail is not None]
    assert failed != []
    assert all(name.last_ok < killed + timedelta(seconds=1) for name in failed if name.last_ok)
    assert all(name.first_ok_after and name.first_ok_after > killed for name in failed)
    assert killed < back
    assert hashlib.sha256(Path(truth.ledger_path).read_bytes()).hexdigest() == truth.ledger_sha256


def test_region_that_stays_dead_has_no_end(no_lab: Lab) -> None:
    """Without a failover the outage has no end: settling gives up in its time, and the truth says unknown, not zero."""
    world = LabWorld(no_lab)
    try:
        world.up(SMALL)
        world.inject(Fault.model_validate({"at": "0s", "kill": {"region": "east"}}))
        world.settle(timedelta(seconds=1.5))
        truth = world.truth()
    finally:
        assert world.down().ok
    assert truth.outage is None


def test_lab_that_a_person_keeps_survives_a_drill(no_lab: Lab) -> None:
    """A drill that finds a running lab is refused, and its clean-up does not touch what it did not start."""
    no_lab.up(SMALL)
    try:
        world = LabWorld(no_lab)
        with pytest.raises(Refused):
            world.up(SMALL)
        assert world.down().ok
        assert {server.state for server in no_lab.status().servers} == {"running"}
    finally:
        assert no_lab.down().ok
