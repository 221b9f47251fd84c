"""The kind on the lab's real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.lab.lab import Lab
from dr.ports import Clock
from dr.providers.airflow import AirflowDeployments
from tests.airflow.world import Run, config, site


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
