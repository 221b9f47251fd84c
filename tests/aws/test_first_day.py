"""A person's first day: the policies are not complete yet. What is missing is named once, and everything else is looked at all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dr.store.samples import SqliteSamples
from tests.aws.cloud import REGIONS, ROOT, Cloud, cloud


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A platform on which nothing is moved."""
    with cloud(tmp_path_factory.mktemp("first-day"), 2) as made:
        yield made


def seen(world: Cloud) -> dict[str, dict[str, Any]]:
    """What ``dr status`` says of each component."""
    said = world.dr("status", str(world.runbook), "--json")
    assert said.code == 0, said.out + said.err
    return {item["id"]: item for item in said.report["components"]}


def seen_without(world: Cloud, action: str) -> dict[str, Any]:
    """The same where an action is denied."""
    world.emulator.deny(action)
    try:
        return seen(world)
    finally:
        world.emulator.clear_faults()


def errors(component: dict[str, Any]) -> set[str]:
    """What a move would fail by. Warnings come and go with how busy a machine is."""
    return {item["fact"] for item in component["findings"] if item["severity"] == "error"}


def test_a_permission_that_one_kind_lacks_is_named_and_hides_no_other_kind(world: Cloud) -> None:
    """Action, resource and role, once for each region; every other component is seen as before."""
    before, now = seen(world), seen_without(world, "dynamodb:DescribeTable")
    found = [item for item in now["sessions"]["findings"] if item["severity"] == "error"]
    assert [item["region"] for item in found] == list(REGIONS)
    for item in found:
        table = f"arn:aws:dynamodb:{item['region']}:123456789012:table/airflow-sessions"
        assert "dynamodb DescribeTable" in item["fact"] and "assumed-role/dr/test" in item["fact"]
        assert f"allow dynamodb:DescribeTable on {table} to the role of profile {item['region']}:" in item["fix"]
        assert "dr runbook permissions RUNBOOK --role monitor" in item["fix"]
    for name in before.keys() - {"sessions"}:
        assert errors(now[name]) == errors(before[name]), name
        assert not any("DescribeTable" in item["fact"] for item in now[name]["findings"]), name
        assert now[name]["primary"] == before[name]["primary"], name


def test_without_metrics_everything_else_of_each_component_is_seen(world: Cloud) -> None:
    """GetMetricData refused: a warning for each component that wants it, roles and other findings as before, and no word of "no value"."""
    before, now = seen(world), seen_without(world, "cloudwatch:GetMetricData")
    for name in before:
        new = [item for item in now[name]["findings"] if "GetMetricData" in item["fact"]]
        assert errors(now[name]) == errors(before[name]), name
        assert now[name]["primary"] == before[name]["primary"], name
        wants = name in ("metadata-db", "sessions", "task-logs", "dags")
        assert [(item["severity"], item["region"]) for item in new] == ([("warning", region) for region in REGIONS] if wants else []), name
        assert all("allow cloudwatch:GetMetricData on * to" in item["fix"] for item in new)
    assert not any("has no value" in item["fact"] for item in (*now["task-logs"]["findings"], *now["dags"]["findings"]))


def test_the_monitor_goes_on_with_what_it_may_see(world: Cloud) -> None:
    """What one kind may not ask is unknown, with the reason; the samples of the others come."""
    world.emulator.deny("dynamodb:DescribeTable")
    argv = [sys.executable, "-m", "dr", "monitor", str(world.runbook), "--port", "0"]
    with (world.folder / "monitor.log").open("wb") as log:
        watching = subprocess.Popen(argv, env=world.environment("watcher"), stdout=log, stderr=log, cwd=ROOT)
    samples = SqliteSamples(world.folder / "watcher" / "dr")
    try:
        deadline = time.monotonic() + 60
        while not {"metadata-db", "task-logs", "dags", "sessions"} <= samples.latest("airflow-aws").keys():
            assert watching.poll() is None and time.monotonic() < deadline, Path(log.name).read_text()[-2000:]
            time.sleep(0.2)
        latest = samples.latest("airflow-aws")
        assert {name: latest[name].recovery_point is not None for name in ("metadata-db", "task-logs", "dags", "sessions")} == {
            "metadata-db": True, "task-logs": True, "dags": True, "sessions": False,
        }  # fmt: skip
        assert "dynamodb DescribeTable" in latest["sessions"].reason
    finally:
        world.emulator.clear_faults()
        watching.send_signal(signal.SIGINT)
        watching.wait(30)
        samples.close()
