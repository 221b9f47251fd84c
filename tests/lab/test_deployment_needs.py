"""A Deployment starts as a pod does: with its image, pulled with its own secret, and a key that decrypts. Else it does not and says why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from dr.engine.attempt import Attempted
from dr.lab.extras.registry_server import SERVER, RegistryServer
from dr.lab.lab import Lab
from dr.lab.layout import Deployment
from dr.lab.platform.config import Served
from dr.lab.platform.database import Database
from dr.lab.platform.deployment import DeploymentRuntime
from dr.lab.platform.deploys import Deploys
from dr.lab.platform.images import INDEX, REPOSITORY, Content, Image, image, images_of
from dr.lab.platform.needs import Needs
from dr.lab.platform.registry import Login, NotPulled, Registry
from dr.lab.platform.scheduler import Scheduler
from dr.model.evidence import Healthy
from dr.model.scenario import Fault, Workload
from dr.model.words import Outcome, Severity
from dr.ports import Clock
from dr.providers.airflow import AirflowDeployments
from dr.providers.airflow.control import DeploymentStatus
from dr.providers.selfhosted.oci.images import Manifest
from tests.airflow.world import FENCED, Run, config, site
from tests.postgres.rig import poll

WORKLOAD = Workload(deployments=2, running_tasks=4, warm_up=timedelta(0), parts=("images", "secrets"), secrets=2, images=5)
USED = image(images_of(1, WORKLOAD.deployments, WORKLOAD.images)[0])
"""What d-001 runs: an index, so that its platform's manifest has to be found in it."""


class East:
    """The region where the databases take writes, and the product's own step there."""

    def __init__(self, lab: Lab, kind: AirflowDeployments, clock: Clock) -> None:
        self.lab, self.kind = lab, kind
        self.run = Run(kind, clock, source="west", target="east", evidence=[FENCED])

    def status(self) -> dict[str, DeploymentStatus]:
        return self.kind._fleet.control.status("east").deployments

    def start(self, seconds: float = 30.0) -> Attempted:
        """The step, after all schedulers were stopped."""
        self.kind._fleet.control.stop_schedulers("east")
        return self.run.do("start", seconds=seconds)

    def spoil(self, what: str) -> None:
        self.inject(spoil={"region": "east", "what": what})

    def inject(self, **fault: object) -> None:
        self.lab.inject(Fault.model_validate({"at": "0s", **fault}))

    def left(self, result: Attempted, why: str) -> None:
        """The first Deployment was left for this reason, lastingly; the other one runs, and is all that counts as healthy."""
        assert result.outcome is Outcome.FAILED, result.reason
        assert f"1 of 2 Deployments do not start in east: d-001: {why}" in result.reason
        healthy = next(item for item in reversed(result.evidence) if isinstance(item, Healthy))
        assert (healthy.total, healthy.healthy, list(healthy.unhealthy)) == (2, 1, ["d-001"])
        status = self.status()
        assert [status[name].scheduling for name in ("d-001", "d-002")] == [False, True]


@pytest.fixture
def east(no_lab: Lab, clock: Clock, tmp_path: Path) -> Iterator[East]:
    no_lab.up(WORKLOAD, owned=True)
    kind = AirflowDeployments("deployments", config(no_lab.layout), ["metadata-db"], site(no_lab.layout, clock, tmp_path))
    yield East(no_lab, kind, clock)
    kind.close()
    assert no_lab.down().ok


@pytest.mark.lab
def test_what_a_deployment_needs_when_it_starts(east: East) -> None:
    """One lab: all is there; then no image, another key, no key, no pull secret, no registry; each is the step's own reason."""
    poll(lambda: all(item.scheduling for item in east.status().values()), "the schedulers that start with the lab")
    assert east.start().outcome is Outcome.DONE

    east.spoil("image-other-digest")
    assert east.start().outcome is Outcome.DONE, "it runs by digest: where its tag leads does not matter"

    east.spoil("image-missing")
    missing = f"image airflow {USED.digest[:19]} is not in the registry of east"
    east.left(east.start(), missing)
    [said] = [item for item in east.kind.view().findings if missing in item.fact]
    assert said.severity is Severity.WARNING, "the region where we are is no target"
    for content in USED.manifests:
        client = RegistryServer(east.lab.servers(), east.lab.layout.region("east")).client()
        client.put_manifest(REPOSITORY, content.digest, Manifest(content.digest, content.media_type, content.data))
        client.close()
    assert east.run.do("start").outcome is Outcome.DONE, "mended, the same step goes through"
    assert {item.problem for item in east.status().values()} == {None}

    east.spoil("fernet-differs")
    east.left(east.start(), "its Fernet key does not decrypt connection lake, connection warehouse, extra of lake and 4 more")
    east.spoil("secret-undecryptable")
    east.left(east.start(), "deployments/d-001/fernet is no Fernet key")
    east.spoil("secret-missing")
    east.left(east.start(), "secret pull/d-001 is not in the secret store of east")

    east.inject(kill={"region": "east", "server": SERVER})
    result = east.start(seconds=0.1)
    assert result.outcome is Outcome.UNKNOWN, "what may pass is tried again"
    assert "the registry of east does not answer" in result.reason
    east.inject(bring_back={"region": "east", "server": SERVER})


class Scheduling:
    """A scheduler that only says whether it runs."""

    def __init__(self) -> None:
        self.running = False

    async def start(self) -> None:
        self.running = True

    async def stop(self) -> None:
        self.running = False


class Waiting:
    """What a Deployment needs is on its way until ``there`` is set."""

    def __init__(self) -> None:
        self.asked, self.there = 0, asyncio.Event()

    async def fetch(self, _deployment: str, _database: Database) -> None:
        self.asked += 1
        await self.there.wait()


def test_a_start_that_is_overtaken_by_a_stop() -> None:
    """Who starts while something is on its way joins what waits for it; who stops it meanwhile is obeyed; who starts it again, too."""

    async def story() -> None:
        needs, scheduler = Waiting(), Scheduling()
        deployment = DeploymentRuntime(
            Served.of(Deployment(1)), "east", cast("Database", None), cast("Scheduler", scheduler), cast("Deploys", None),
            needs=cast("Needs", needs),
        )  # fmt: skip
        starts = [asyncio.ensure_future(deployment.start()) for _ in range(2)]
        while not needs.asked:
            await asyncio.sleep(0)
        assert not deployment.told_to_stop
        await deployment.stop()
        needs.there.set()
        await asyncio.gather(*starts)
        assert (needs.asked, scheduler.running, deployment.told_to_stop) == (1, False, True)
        await deployment.start()
        assert scheduler.running

    asyncio.run(story())


class Answers(Registry):
    """A registry that has what it was given, and answers everything else with one status."""

    def __init__(self, contents: Mapping[str, bytes], status: int = 404) -> None:
        self._region, self._contents, self._status = "east", contents, status

    def _ask(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        assert headers["Authorization"] == "Basic ZC0wMDE6c2VjcmV0"
        data = self._contents.get(path.rpartition("/")[2])
        return (200, data) if data is not None else (self._status, b"{}")


def held(item: Image) -> dict[str, bytes]:
    return {content.digest: content.data for content in (*item.manifests, *item.blobs)}


OTHERS = Content(INDEX, json.dumps({"manifests": [{"digest": USED.digest, "platform": {"architecture": "arm64"}}]}).encode())


@pytest.mark.parametrize(
    ("digest", "contents", "status", "why", "lasting"),
    [
        (USED.digest, {USED.digest: USED.manifests[-1].data}, 404, "is not in the registry of east", True),
        (USED.digest, held(USED) | {USED.digest: b"{}"}, 404, "is not what its digest says", True),
        (OTHERS.digest, {OTHERS.digest: OTHERS.data}, 404, "is not made for amd64", True),
        (USED.digest, {}, 401, "the registry of east refuses d-001", True),
        (USED.digest, {}, 503, "the registry of east answers 503", False),
    ],
)
def test_an_image_that_cannot_be_pulled(digest: str, contents: Mapping[str, bytes], status: int, why: str, lasting: bool) -> None:
    """What the registry says lasts; what it does not say may pass. The password is in no message."""
    login = Login("d-001", "secret")
    Answers(held(USED)).pull(USED.digest, login)
    with pytest.raises(NotPulled, match=why) as raised:
        Answers(contents, status).pull(digest, login)
    assert raised.value.lasting is lasting
    assert "secret" not in f"{raised.value}{login!r}"
