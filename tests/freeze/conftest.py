"""Both regions' runtimes, asked as an outside client asks, beside the kind's own steps."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from dr.lab import credentials
from dr.lab.lab import Lab
from dr.lab.layout import CONTROL_PORT, PUBLIC_PORT, Deployment
from dr.model.base import Json
from dr.ports import Clock
from dr.providers.airflow import AirflowDeployments
from tests.airflow.world import be_patient, config, site

NAME = Deployment(5).hostname_api


@dataclass(frozen=True)
class Outside:
    """Deploys as a user makes them, and the control API as a person by hand."""

    lab: Lab
    clock: Clock
    web: httpx.Client

    def deploy(self, region: str, value: str | None, image: str | None = None) -> tuple[int, dict[str, Json]]:
        """A change of configuration of the fifth Deployment."""
        body: dict[str, Json] = {"environment": {"CHANGED_BY_TEST": value}, **({"image_digest": image} if image else {})}
        address = self.lab.layout.region(region).address
        answer = self.web.patch(
            f"https://{address}:{PUBLIC_PORT}/api/v2/deployment", json=body, headers={"Host": NAME}, extensions={"sni_hostname": NAME}
        )
        return answer.status_code, answer.json()

    def control(self, region: str, path: str, body: Json = None) -> tuple[int, dict[str, Json]]:
        token = credentials.read_secret(self.lab.layout, credentials.CONTROL)
        url = f"https://{self.lab.layout.region(region).address}:{CONTROL_PORT}{path}"
        answer = self.web.request("GET" if body is None else "POST", url, json=body, headers={"Authorization": f"Bearer {token}"})
        return answer.status_code, answer.json()

    def owners(self, region: str) -> list[tuple[str, bool]]:
        """Who locks deploys there, and whether that is written."""
        return [(lock["owner"], lock["written"]) for lock in self.control(region, "/status")[1]["locks"]]

    def rows(self, region: str, statement: str) -> list[tuple[object, ...]]:
        """From the platform's database there."""
        import psycopg

        server = self.lab.servers().postgres_of(self.lab.layout.region(region))
        with psycopg.connect(server.conninfo("platform", "dr"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return list(cursor.fetchall()) if cursor.description else []

    def until(self, holds: Callable[[], bool]) -> bool:
        """Whether it comes to hold within 20 s."""
        deadline = self.clock.monotonic() + 20
        while not holds():
            if self.clock.monotonic() > deadline:
                return False
            self.clock.sleep(0.05)
        return True


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No runtime here is silent: see ``be_patient``."""
    be_patient(monkeypatch)


@pytest.fixture
def outside(lab: Lab, clock: Clock) -> Iterator[Outside]:
    """On the session's lab."""
    context = ssl.create_default_context(cafile=str(lab.layout.authority))
    with httpx.Client(verify=context, timeout=10) as web:
        yield Outside(lab, clock, web)


@pytest.fixture
def kind(lab: Lab, clock: Clock, tmp_path: Path) -> Iterator[AirflowDeployments]:
    """The kind on the session's lab."""
    made = AirflowDeployments("deployments", config(lab.layout), ["metadata-db"], site(lab.layout, clock, tmp_path / "artefacts"))
    yield made
    made.close()


def environment(outside: Outside, region: str) -> dict[str, Json]:
    """What the fifth Deployment's configuration is there."""
    [(found,)] = outside.rows(region, f"SELECT environment::text FROM deployment WHERE id = '{Deployment(5).id}'")
    read: dict[str, Json] = json.loads(str(found))
    return read
