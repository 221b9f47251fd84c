"""Real Alertmanagers, apart from the lab's addresses and state."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dr.lab import doctor
from dr.lab.account import as_account, give, own, servers_account
from dr.lab.extras.alerts import SERVERS, files
from dr.lab.layout import Layout
from dr.model.base import Json
from dr.model.evidence import Evidence
from dr.model.runbook import Region
from dr.model.words import Intent
from dr.ports import AttemptContext, Site, Step
from dr.providers.selfhosted.alerts import AlertSilence
from dr.providers.selfhosted.alerts.config import AlertsConfig
from tests.postgres.rig import FixedSecrets, RealClock, free_port, new_place, poll

ADDRESS = {"east": "127.0.40.1", "west": "127.0.50.1"}


@dataclass
class Managers:
    """East's and west's Alertmanager in a directory."""

    base: Path
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock, self.account = RealClock(), servers_account()
        own(self.base, self.account, 0o755)

    def start(self, region: str) -> None:
        found = SERVERS["alertmanager"].find(self.account)
        assert found is not None, "doctor.fix got it"
        folder = own(self.base / region, self.account)
        for name, text in files("alertmanager", found, Layout(self.base, self.base).region(region)).items():
            (folder / name).write_text(text)
            give(folder / name, self.account)
        argv = [str(found), "--config.file=config.yaml", "--storage.path=data", "--cluster.listen-address=", "--log.level=warn",
                f"--web.listen-address={ADDRESS[region]}:{self.port}"]  # fmt: skip
        with (folder / "log").open("ab") as log:
            self.processes[region] = subprocess.Popen([*as_account(self.account), *argv], cwd=folder, stdout=log, stderr=log)
        poll(lambda: self._ready(region), f"the Alertmanager of {region}")

    def _ready(self, region: str) -> bool:
        try:
            self.ask(region, "/-/ready")
        except OSError:
            return False
        return True

    def send(self, region: str, number: signal.Signals) -> None:
        self.processes[region].send_signal(number)

    def kill(self, region: str) -> None:
        process = self.processes.pop(region)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        for region in list(self.processes):
            self.send(region, signal.SIGCONT)
            self.kill(region)

    def url(self, region: str) -> str:
        return f"http://{ADDRESS[region]}:{self.port}"

    def ask(self, region: str, path: str, body: Json = None) -> Json:
        """A request of a person's."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url(region) + path, data, {"Content-Type": "application/json"})  # our own server
        with urllib.request.urlopen(request, timeout=5) as answer:
            text = answer.read()
        return json.loads(text) if text[:1] in b"[{" and text else text.decode()

    def silences(self, region: str, state: str = "active") -> list[dict[str, Json]]:
        return [item for item in self.ask(region, "/api/v2/silences") if item["status"]["state"] == state]

    def rings(self, region: str, **labels: str) -> bool:
        """Whether an alert with these labels would be sent: not suppressed by a silence."""
        self.ask(region, "/api/v2/alerts", [{"labels": {"alertname": "Test", **labels}}])
        poll(lambda: bool(self._states(region, labels)), "the alert is there")
        poll(lambda: self._states(region, labels) != ["unprocessed"], "the alert was looked at")
        return self._states(region, labels) == ["active"]

    def _states(self, region: str, labels: dict[str, str]) -> list[str]:
        found = self.ask(region, "/api/v2/alerts")
        return [item["status"]["state"] for item in found if labels.items() <= item["labels"].items()]

    def kind(self, **changes: object) -> AlertSilence:
        settings: dict[str, object] = {
            "regions": {region: {"url": self.url(region)} for region in ADDRESS}, "matchers": ['platform="mine"'],
            "answer_timeout": "5s", **changes,
        }  # fmt: skip
        site = Site(
            runbook="mine", regions={region: Region() for region in ADDRESS}, hosts={}, clock=self.clock,
            secrets=FixedSecrets({}), samples=None,  # type: ignore[arg-type]
            artefacts=self.base, base=self.base, peers={},
        )  # fmt: skip
        return AlertSilence("alerts", AlertsConfig.model_validate(settings), (), site)

    def context(self, step: Step, run: str = "run-1", intent: Intent = Intent.FAILOVER) -> AttemptContext:
        return AttemptContext(
            run_id=run, step=step.spec, intent=intent, source="east", target="west", number=1, key=f"{run}/x", epoch=1, actor="on-call",
            clock=self.clock, deadline=self.clock.monotonic() + 30, evidence=tuple(self.evidence),
        )  # fmt: skip


def named(kind: AlertSilence, name: str, intent: Intent = Intent.FAILOVER) -> Step:
    return next(step for step in kind.steps(intent, "east", "west") if step.spec.id == f"alerts/{name}")


def ends_within(silence: dict[str, Json], limit: timedelta) -> bool:
    """It has an end, and no later than that from its start."""
    ends, starts = (datetime.fromisoformat(silence[key].replace("Z", "+00:00")) for key in ("endsAt", "startsAt"))
    return timedelta(0) < ends - starts <= limit


@pytest.fixture
def managers() -> Iterator[Managers]:
    """Both run."""
    doctor.fix()
    made = Managers(new_place(), free_port(list(ADDRESS.values()), 16453))
    try:
        for region in ADDRESS:
            made.start(region)
        yield made
    finally:
        made.end()
        shutil.rmtree(made.base, ignore_errors=True)
