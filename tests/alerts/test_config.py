"""What a runbook may say of alerts, and what is written for the lab's servers."""

from __future__ import annotations

import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from pydantic import ValidationError

from dr.errors import UsageError
from dr.lab import doctor
from dr.lab.account import servers_account
from dr.lab.extras.alerts import ALERTMANAGER_PORT, PROMETHEUS_PORT, SERVERS, Alerts, files
from dr.lab.layout import Layout
from dr.model.runbook import Region
from dr.model.words import Intent
from dr.ports import Site
from dr.providers.selfhosted.alerts import AlertSilence
from dr.providers.selfhosted.alerts.config import AlertsConfig, Matcher, matcher
from dr.providers.system import SystemClock
from tests.airflow.world import Files, Kept

EAST = {"regions": {"east": {"url": "http://127.0.0.1:9093"}}}


def test_matchers_are_read_as_alertmanager_writes_them() -> None:
    """All four operators."""
    assert matcher('platform="a"') == Matcher("platform", "a", False, True)
    assert matcher(' severity != "info" ') == Matcher("severity", "info", False, False)
    assert matcher('alertname=~"Dr.*|X"') == Matcher("alertname", "Dr.*|X", True, True)
    assert matcher('team!~"b.+"') == Matcher("team", "b.+", True, False)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"matchers": []}, "matchers"),
        ({"matchers": ["platform"]}, "expected a matcher"),
        ({"matchers": ['platform=~"("']}, "no regular expression"),
        ({"matchers": ['platform!="a"']}, "silence everything"),
        ({"matchers": ['platform=""', 'alertname=~".*"']}, "silence everything"),
        ({"expires": "25h"}, "expires"),
        ({"expires": "0s"}, "expires"),
        ({"regions": {"east": {"url": "127.0.0.1:9093"}}}, "http://"),
        ({"regions": {"east": {"url": "http://user:secret@127.0.0.1:9093"}}}, "http://"),
    ],
)
def test_settings_that_are_refused(changes: dict[str, object], text: str) -> None:
    """Each is named; nobody silences everything, and nothing is silent for longer than a day."""
    with pytest.raises(ValidationError, match=text):
        AlertsConfig.model_validate({**EAST, "matchers": ['platform="a"'], **changes})


def test_a_region_that_the_runbook_does_not_have_is_refused(tmp_path: Path) -> None:
    """And a move between regions without an Alertmanager has no steps; a re-protect is silent about nothing."""
    site = Site(
        runbook="mine", regions={"east": Region(), "west": Region()}, hosts={}, clock=SystemClock(), secrets=Files(tmp_path),
        samples=Kept(), artefacts=tmp_path, base=tmp_path, peers={},
    )  # fmt: skip
    config = AlertsConfig.model_validate({**EAST, "matchers": ['platform="a"']})
    kind = AlertSilence("alerts", config, (), site)
    assert [step.spec.id for step in kind.steps(Intent.FAILOVER, "east", "west")] == ["alerts/silence", "alerts/unsilence"]
    assert kind.steps(Intent.REPROTECT, "east", "west") == ()
    for step in kind.steps(Intent.SWITCHOVER, "east", "west"):
        assert step.spec.by_hand and step.spec.check_by_hand and step.spec.touches and step.spec.permissions
    north = AlertsConfig.model_validate({"regions": {"north": {"url": "http://127.0.0.1:1"}}, "matchers": ['platform="a"']})
    with pytest.raises(UsageError, match="north"):
        AlertSilence("alerts", north, (), site)


class _Refuses(BaseHTTPRequestHandler):
    """Lets nobody in, and repeats the credential that it was shown."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b"who are you")
        self.server.seen = self.headers["Authorization"]  # type: ignore[attr-defined]

    def log_message(self, *_words: object) -> None:
        """Quiet."""


def test_a_token_is_shown_to_the_server_and_to_nobody_else(tmp_path: Path) -> None:
    """In the header of the request; not in the finding, the plan or the commands by hand, which name its file."""
    (tmp_path / "token").write_text("planted-alerts-token\n")
    with HTTPServer(("127.0.0.1", 0), _Refuses) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            region = {"url": f"http://127.0.0.1:{server.server_port}", "token": {"file": "token"}}
            config = AlertsConfig.model_validate({"regions": {"east": region}, "matchers": ['platform="a"']})
            site = Site(
                runbook="mine", regions={"east": Region(), "west": Region()}, hosts={}, clock=SystemClock(), secrets=Files(tmp_path),
                samples=Kept(), artefacts=tmp_path, base=tmp_path, peers={},
            )  # fmt: skip
            kind = AlertSilence("alerts", config, (), site)
            [finding] = kind.view().findings
            assert server.seen == "Bearer planted-alerts-token"  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()
    assert "401" in finding.fact and "token" in finding.fix
    specs = [step.spec.model_dump_json() for step in kind.steps(Intent.FAILOVER, "east", "west")]
    assert "planted" not in f"{finding}{specs}"
    assert str(tmp_path / "token") in specs[0]


@pytest.mark.lab
@pytest.mark.parametrize(("server", "words"), [("alertmanager", ["check-config"]), ("prometheus", ["check", "config"])])
def test_their_own_checkers_accept_what_the_lab_writes(tmp_path: Path, server: str, words: list[str]) -> None:
    """amtool and promtool read the files; promtool reads dashboards/alerts.yaml as the rules."""
    doctor.fix()
    program = SERVERS[server]
    found, tool = program.find(servers_account()), program.tool(servers_account())
    assert found is not None and tool is not None
    for name, text in files(server, found, Layout(tmp_path, tmp_path).region("east")).items():
        (tmp_path / name).write_text(text)
    done = subprocess.run([str(tool), *words, "config.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if server == "prometheus":
        assert "rules found" in done.stdout


def test_the_part_is_what_the_contract_of_extras_says() -> None:
    """Names and ports, below the ephemeral range."""
    part = Alerts()
    assert (part.name, part.servers, part.ports) == ("alerts", ("alertmanager", "prometheus"), (ALERTMANAGER_PORT, PROMETHEUS_PORT))
    assert all(port < 32768 for port in part.ports)
