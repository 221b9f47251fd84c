"""The kind on the lab's real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.lab.lab import Lab
from dr.ports import Clock
from dr.providers.airflow import AirflowDeployments
from tests.airflow.world import Run, be_patient, config, site


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """No runtime of the lab is silent here: see ``be_patient``. Without the lab the product's own limits hold."""
    if request.node.get_closest_marker("lab") is not None:
        be_patient(monkeypatch)


@pytest.fixture
def kind(lab: Lab, clock: Clock, tmp_path: Path) -> Iterator[AirflowDeployments]:
    """On the session's lab."""
    made = AirflowDeployments("deployments", config(lab.layout), ["metadata-db"], site(lab.layout, clock, tmp_path / "artefacts"))
    yield made
    made.close()


@pytest.fixture
def run(kind: AirflowDeployments, clock: Clock) -> Run:
    """A failover from east to west."""
    return Run(kind, clock)
