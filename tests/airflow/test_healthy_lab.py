"""Both regions are healthy: what is seen, what a warm-up refuses, and that a freeze can be taken back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from dr.lab import credentials
from dr.lab.credentials import Authority
from dr.lab.lab import Lab
from dr.lab.layout import Layout
from dr.model.evidence import Held, Note
from dr.model.plan import Acceptance
from dr.model.words import Guard, Intent, Outcome, Role, Severity
from dr.ports import Clock
from dr.providers.airflow import AirflowDeployments
from tests.airflow.world import Kept, Run, Servers, config, site

pytestmark = pytest.mark.lab

NAME = "quiet-comet-003.ui.dr.test"


def active(lab: Lab, region: str) -> dict[str, set[str]]:
    """The DAGs that are not paused, by database."""
    found = {}
    for number in range(1, 6):
        with Servers(lab.layout).connect(region, f"airflow_{number:03d}") as connection:
            found[f"airflow_{number:03d}"] = {row[0] for row in connection.execute("SELECT dag_id FROM dag WHERE NOT is_paused")}
    return found


def test_the_view_shows_who_schedules_and_nothing_to_mend(kind: AirflowDeployments) -> None:
    """East is primary because it takes writes and schedules; the prepared west is secondary."""
    view = kind.view()
    assert {name: item.role for name, item in view.regions.items()} == {"east": Role.PRIMARY, "west": Role.SECONDARY}
    assert view.findings == ()
    assert view.lag is None


def test_a_warm_target_is_ready(run: Run) -> None:
    """Runtime, token, Deployments and certificates of the target are there; repeating finds the same."""
    for _ in range(2):
        result = run.do("prepare")
        assert result.outcome is Outcome.DONE
        assert [item.text for item in result.evidence if isinstance(item, Note)] == [
            "5 Deployments known in west, 15 of 15 certificates good"
        ]


@pytest.fixture(params=["missing", "expired"])
def flawed(request: pytest.FixtureRequest, lab: Lab, clock: Clock, tmp_path: Path) -> tuple[AirflowDeployments, str]:
    """The kind with one unusable certificate among west's, and what is said of it."""
    folder = tmp_path / "tls"
    names = [hostname for item in kind_deployments(5) for hostname in item]
    Authority.load(lab.layout, clock.now()).issue(folder, names)
    if request.param == "missing":
        (folder / f"{NAME}.pem").unlink()
    else:
        Authority.load(lab.layout, clock.now() - timedelta(days=60)).replace(folder, [NAME])
    given = config(lab.layout, certificates={"east": str(lab.layout.region("east").tls), "west": str(folder)})
    kind = AirflowDeployments("deployments", given, ["metadata-db"], site(lab.layout, clock, tmp_path))
    return kind, "no certificate" if request.param == "missing" else "certificate expired"


def kind_deployments(count: int) -> list[tuple[str, ...]]:
    from dr.lab.layout import deployments

    return [item.hostnames for item in deployments(count)]


def test_an_unusable_certificate_blocks_the_warm_up(flawed: tuple[AirflowDeployments, str], clock: Clock) -> None:
    """I13: the refusal names hostname, region and fix; a named person may accept it."""
    kind, fact = flawed
    run = Run(kind, clock)
    refused = run.do("prepare")
    assert refused.outcome is Outcome.FAILED
    assert f"{NAME}: {fact}" in refused.reason
    assert f"install a new certificate for {NAME} in west" in refused.reason
    assert "--accept prerequisites" in refused.reason
    [finding] = kind.view().findings
    assert finding.severity is Severity.ERROR
    assert NAME in finding.fact
    run.acceptances = (Acceptance(guard=Guard.PREREQUISITES, actor="lead", reason="UI may wait", at=clock.now()),)
    assert run.do("prepare").outcome is Outcome.DONE
    kind.close()


def test_without_certificate_folders_a_handshake_shows_the_same(lab: Lab, clock: Clock, tmp_path: Path) -> None:
    """In production the other region's files cannot be read: what is served is what counts."""
    kind = AirflowDeployments("deployments", config(lab.layout, certificates={}), ["metadata-db"], site(lab.layout, clock, tmp_path))
    assert Run(kind, clock).do("prepare").outcome is Outcome.DONE
    kind.close()


def test_a_wrong_token_is_refused_without_showing_it(lab: Lab, clock: Clock, tmp_path: Path) -> None:
    """Not worth retrying, and the value is nowhere."""
    (tmp_path / "token").write_text("planted-wrong-token\n")
    given = config(lab.layout, control_token={"file": str(tmp_path / "token")})
    kind = AirflowDeployments("deployments", given, ["metadata-db"], site(lab.layout, clock, tmp_path))
    result = Run(kind, clock).do("prepare")
    assert result.outcome is Outcome.FAILED
    assert "401" in result.reason
    assert "planted" not in result.reason + str(kind.view())
    kind.close()


def test_a_server_of_another_authority_is_not_believed(lab: Lab, clock: Clock, tmp_path: Path) -> None:
    """TLS is verified with the runbook's authority and nothing else."""
    (tmp_path / "secrets").mkdir()
    Authority.create(Layout(tmp_path, tmp_path), clock.now())
    given = config(lab.layout, certificate_authority=str(tmp_path / "secrets" / "ca.pem"))
    kind = AirflowDeployments("deployments", given, ["metadata-db"], site(lab.layout, clock, tmp_path))
    result = Run(kind, clock).do("prepare")
    assert result.outcome is Outcome.FAILED
    assert "certificate refused" in result.reason
    kind.close()


def test_identities_hold_no_secret(kind: AirflowDeployments, lab: Lab) -> None:
    """I15: environment and connections appear as keyed digests; two reads are equal; both regions are equal."""
    marker = credentials.read_secret(lab.layout, credentials.MARKER)
    east, west = kind.identities("east"), kind.identities("west")
    assert marker not in east.model_dump_json()
    assert east.sha256 == west.sha256
    assert len(east.deployments) == 5
    assert {"WAREHOUSE_DSN", "connection/warehouse", "connection/lake"} <= east.deployments[0].environment.keys()
    assert len(set(east.deployments[0].environment.values())) == len(east.deployments[0].environment)
    for item in east.deployments:
        assert item.contents is not None
        assert {"environment", "api_token", "deployment"} <= item.contents.variables.keys()
        assert item.contents.variables["environment"] == kind._site.secrets.digest("production")
        assert item.contents.pools.keys() == {"default_pool", "batch", "at_most_once"}
        assert item.contents.dags.items() >= {"load_facts": "active", "old_export": "paused"}.items()
        assert "canary" not in item.contents.dags
        assert min(item.contents.rows.values()) > 0


def test_a_standby_accepts_nothing(run: Run) -> None:
    """Before the promotion the inside check goes on trying; its health page would have said healthy."""
    step = run.step("verify-inside")
    result = run.do("verify-inside", seconds=0.2)
    assert result.outcome is Outcome.RETRY
    assert "read-only" in result.reason
    assert step.spec.max_attempts > 100


def test_nothing_schedules_before_its_database_takes_writes(run: Run) -> None:
    """I3: the schedulers of a standby are not even asked to start."""
    result = run.do("start")
    assert result.outcome is Outcome.FAILED
    assert "take no writes in west" in result.reason
    assert not result.acted


def test_names_that_lead_elsewhere_are_not_verified(run: Run) -> None:
    """Outside means through the public name, and that leads to east."""
    result = run.do("verify-outside", seconds=0.2)
    assert result.outcome is Outcome.RETRY
    assert "leads to 127.0.10.1, not yet to 127.0.20.1" in result.reason


def test_a_freeze_and_a_drain_can_be_taken_back(kind: AirflowDeployments, clock: Clock, lab: Lab) -> None:
    """A planned move that is rolled back leaves DAGs, writes and schedulers as they were, however often it was frozen."""
    before = active(lab, "east")
    run = Run(kind, clock, intent=Intent.SWITCHOVER, id="run-undo")
    assert run.do("snapshot").outcome is Outcome.DONE
    assert isinstance(kind._site.samples, Kept)
    assert [item.region for item in kind._site.samples.snapshots] == ["east"]
    for _ in range(2):  # as after a crash between the effect and its journal
        assert run.do("freeze").outcome is Outcome.DONE
    held = [item for item in run.evidence if isinstance(item, Held)]
    assert held[0].active == held[1].active
    assert {tuple(sorted(dags - {"canary"})) for dags in before.values()} == {tuple(dags) for dags in held[0].active.values()}
    assert set().union(*active(lab, "east").values()) <= {"canary"}
    held_now = kind.identities("east")  # as the monitor would see it in the middle of the move
    assert [item.contents and item.contents.dags for item in held_now.deployments] == [
        item.contents and item.contents.dags for item in kind._site.samples.snapshots[0].deployments
    ], "what a move holds is active: it is put back"
    assert run.do("drain").outcome is Outcome.DONE
    assert not any(item.scheduling for item in kind._fleet.control.status("east").deployments.values())
    run.undo("drain")
    run.undo("freeze")
    run.undo("freeze")
    assert active(lab, "east") == before
    status = kind._fleet.control.status("east").deployments
    assert all(item.scheduling and not item.frozen for item in status.values())
    assert kind._fleet.write(kind._fleet.public("east", "quiet-comet-001.api.dr.test"), "east", "undone-1")
