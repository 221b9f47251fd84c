"""What is exported, and that dashboards and alert rules use nothing else."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from dr.errors import Refused, StateUnreadable
from dr.model.lag import LagSample
from dr.model.words import DebtKind, Known
from dr.monitor.exporter import Exporter
from dr.monitor.metrics import Metrics, Name, Standing
from dr.monitor.sampler import Sampler
from dr.monitor.watch import Round
from dr.store.samples import SqliteSamples
from tests.monitor.fakes import NOW, FakeDeployments, FakeKind, HandClock

DASHBOARDS = Path(__file__).parents[2] / "dashboards"
NAMES = {name.value.exposed: {"runbook", *name.value.labels} for name in Name}
SCRAPE_LABELS = {"job", "instance"}
STANDING = Standing(debt={DebtKind.FENCE: 1}, run_in_flight=True)

Series = Mapping[tuple[str, ...], float]


def scrape(url: str) -> dict[str, dict[tuple[str, ...], float]]:
    """The exported samples: name → label values (sorted by label, runbook left out) → value. A real HTTP request."""
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.headers["Content-Type"].startswith("text/plain")
        text = response.read().decode()
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for item in family.samples:
            assert set(item.labels) == NAMES[item.name], item.name
            labels = tuple(value for label, value in sorted(item.labels.items()) if label != "runbook")
            found.setdefault(item.name, {})[labels] = item.value
    return found


class World:
    """A platform in memory under a monitor, with an exporter on a free port."""

    def __init__(self, directory: Path) -> None:
        self.clock = HandClock()
        self.database = FakeKind("db", self.clock)
        self.deployments = FakeDeployments("deployments", self.clock)
        self.store = SqliteSamples(directory)
        self.standing = STANDING
        kinds = {"db": self.database, "deployments": self.deployments}
        self.sampler = Sampler("airflow", kinds, self.store, self.clock)
        self.metrics = Metrics("airflow", {"db": timedelta(minutes=5)}, self.clock, lambda: self.standing)

    def rounds(self, number: int) -> None:
        for _ in range(number):
            self.metrics.saw(self.sampler.round())
            self.clock.seconds += 1


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.sampler.close()
    made.store.close()


def test_a_healthy_platform(world: World) -> None:
    """Every metric of the list is there with its values; names and labels are those of the list."""
    world.rounds(3)
    with Exporter(world.metrics, 0) as exporter:
        found = scrape(exporter.url)
    assert set(found) == set(NAMES)
    db = ("db",)
    assert found["dr_replication_lag_seconds"] == {db: 0.2}
    assert found["dr_recovery_point_timestamp_seconds"][db] == pytest.approx(NOW.timestamp() + 2 - 0.2)
    assert (found["dr_replication_behind_items"], found["dr_replication_failed_items"]) == ({db: 2}, {db: 0})
    assert found["dr_exposure_seconds"][db] == pytest.approx(1.2)
    assert found["dr_exposure_known"] == {db: 1}
    assert found["dr_sample_age_seconds"][db] == pytest.approx(1)
    assert found["dr_rpo_seconds"] == {db: 300}
    assert found["dr_primary_info"] == {("db", "east"): 1, ("deployments", "east"): 1}
    assert found["dr_region_reachable"][("db", "west")] == 1
    assert found["dr_failover_ready"] == {("yes",): 1, ("with-acceptance",): 0, ("no",): 0}
    assert (found["dr_heartbeats_total"], found["dr_heartbeat_failures_total"]) == ({db: 3}, {db: 0})
    assert found["dr_debt_items"][("fence",)] == 1
    assert found["dr_debt_items"][("dns",)] == 0
    assert found["dr_run_in_flight"] == {(): 1}


def test_a_lost_region(world: World) -> None:
    """Beats fail and age, the region is unreachable, nobody is primary; what the secondary holds is still measured."""
    world.rounds(1)
    world.database.gone = {"east"}
    world.standing = Standing(debt={}, run_in_flight=False)
    world.rounds(9)
    with Exporter(world.metrics, 0) as exporter:
        found = scrape(exporter.url)
    assert found["dr_heartbeat_failures_total"] == {("db",): 9}
    assert found["dr_heartbeat_age_seconds"] == {("db",): 10}
    assert found["dr_region_reachable"][("db", "east")] == 0
    assert ("db", "east") not in found["dr_primary_info"]
    assert found["dr_exposure_known"] == {("db",): 1}
    assert found["dr_run_in_flight"] == {(): 0}
    assert set(found["dr_debt_items"].values()) == {0}


def test_what_is_unknown_has_no_series(world: World) -> None:
    """A stale, unread or missing measurement is absent, not 0, and dr_exposure_known says so; its age goes on growing."""
    world.rounds(1)
    with Exporter(world.metrics, 0) as exporter:
        world.clock.seconds += 60
        stale = scrape(exporter.url)
        unread = LagSample(component="db", at=world.clock.now(), state=Known.UNKNOWN, reason="refused")
        world.metrics.saw(Round(world.clock.now(), {"db": unread}, {}, {}))
        unknown = scrape(exporter.url)
    for found in (stale, unknown):
        assert "dr_exposure_seconds" not in found
        assert found["dr_exposure_known"] == {("db",): 0}
        assert found["dr_sample_age_seconds"][("db",)] == 61
    assert "dr_replication_lag_seconds" not in unknown
    for name in ("dr_recovery_point_timestamp_seconds", "dr_replication_behind_items", "dr_replication_failed_items"):
        assert name not in unknown
    assert unknown["dr_failover_ready"] == {("yes",): 0, ("with-acceptance",): 0, ("no",): 1}


def test_before_the_first_round_only_objectives_are_told(world: World) -> None:
    """A monitor that has just started claims nothing."""
    with Exporter(world.metrics, 0) as exporter:
        assert scrape(exporter.url) == {"dr_rpo_seconds": {("db",): 300}}


def test_a_journal_that_cannot_be_read_ends_the_monitor(world: World) -> None:
    """Debt and runs are read now and then, in the monitor's own thread: what goes wrong comes out there."""
    reads = []

    def standing() -> Standing:
        reads.append(world.clock.seconds)
        if len(reads) > 1:
            raise StateUnreadable("the journal cannot be trusted")
        return STANDING

    world.metrics = Metrics("airflow", {}, world.clock, standing, standing_every=timedelta(seconds=5))
    world.rounds(5)
    assert len(reads) == 1
    with pytest.raises(StateUnreadable):
        world.rounds(1)


def test_the_exporter_stops_clean_and_a_taken_port_is_refused(world: World) -> None:
    """On loopback; the port is free afterwards and no thread is left; a second one on the port is told, with a next step."""
    before = set(threading.enumerate())  # a count would also see threads of earlier tests end
    with Exporter(world.metrics, 0) as exporter:
        assert exporter.url.startswith("http://127.0.0.1:")
        port = int(exporter.url.split(":")[2].split("/")[0])
        with pytest.raises(Refused, match=f"127.0.0.1:{port}") as caught, Exporter(world.metrics, port):
            pass
        assert caught.value.hint
    with pytest.raises(urllib.error.URLError):
        scrape(exporter.url)
    with Exporter(world.metrics, port) as again:
        assert scrape(again.url)
    assert set(threading.enumerate()) <= before


# --- dashboards and alert rules -----------------------------------------------------------------------------------------

_STRING = re.compile(r'"[^"]*"')
_METRIC = re.compile(r"\b(dr_[a-z_]+)(?:\{([^}]*)\})?")
_GROUPING = re.compile(r"\b(?:on|by|ignoring|without)\s*\(([^)]*)\)")


def check_expression(text: str, where: str) -> set[str]:
    """Every metric exists, every label that is matched or grouped by is one of its own; the metrics are returned."""
    used = set()
    for name, matchers in _METRIC.findall(text):
        assert name in NAMES, f"{where}: {name} is not exported"
        used.add(name)
        for matcher in filter(None, matchers.split(",")):
            label = re.split(r"[=!~]", matcher)[0].strip()
            assert label in NAMES[name] | SCRAPE_LABELS, f"{where}: {name} has no label {label}"
    for labels in _GROUPING.findall(text):
        for label in labels.split(","):
            assert any(label.strip() in NAMES[name] for name in used), f"{where}: no metric has the label {label}"
    assert used, f"{where}: uses no metric of dr"
    assert _STRING.sub("", text).count("(") == _STRING.sub("", text).count(")"), where
    return used


def rules() -> list[dict[str, Any]]:
    document = YAML(typ="safe").load((DASHBOARDS / "alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DASHBOARDS / "dr.json").read_text())
    return document


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_each_alert_rule_is_complete_and_uses_what_exists(rule: dict[str, Any]) -> None:
    """Name, expression, duration, severity, and for people: what, why it matters, what to type; labels in texts exist."""
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Dr[A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smh]", str(rule["for"]))
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description", "action"}
    assert all(str(text).strip() for text in rule["annotations"].values())
    assert rule["annotations"]["action"].startswith("dr ")
    used = check_expression(rule["expr"], rule["alert"])
    for text in rule["annotations"].values():
        for label in re.findall(r"\$labels\.([a-z_]+)", text):
            assert any(label in NAMES[name] for name in used), f"{rule['alert']}: no label {label}"


def test_alert_names_are_unique_and_both_severities_are_there() -> None:
    """Two rules of one name would hide each other."""
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 10
    assert {rule["labels"]["severity"] for rule in rules()} == {"warning", "critical"}


def test_the_dashboard_can_be_imported_and_uses_what_exists() -> None:
    """Panels have ids, places and data of their own; expressions and legends use metrics and labels that are exported."""
    document = dashboard()
    panels = document["panels"]
    assert document["id"] if "id" in document else document["uid"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["title"]
        assert panel["description"]
        assert panel["targets"]
        for target in panel["targets"]:
            used = check_expression(target["expr"], panel["title"])
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert all(label in NAMES[name] for name in used if name != "dr_rpo_seconds"), f"{panel['title']}: no label {label}"


def test_every_metric_is_looked_at() -> None:
    """A metric that neither a panel nor a rule uses would be there for nobody."""
    texts = [rule["expr"] for rule in rules()] + [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    used = {name for text in texts for name, _ in _METRIC.findall(text)}
    assert used == set(NAMES)
