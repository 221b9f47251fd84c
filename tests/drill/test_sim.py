"""Drills in virtual time: the scenario files themselves, the same seed twice, and nothing outside is touched."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from dr.app.drilling import SimDrill
from dr.cli.main import run
from dr.cli.typed import obey
from dr.errors import FileError
from dr.model.report import DrillReport
from dr.model.words import RunOutcome
from tests.scenarios.files import of_worlds

ROOT = Path(__file__).parents[2]
SCENARIOS = of_worlds("lab", "sim")


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever would leave the world of a drill fails: connections, processes, state directories."""

    def outside(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a drill in virtual time reached outside its world")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, outside)
    monkeypatch.setattr(subprocess.Popen, "__init__", outside)
    monkeypatch.setattr(os, "fork", outside)
    monkeypatch.setenv("DR_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("DR_LAB_STATE", str(tmp_path / "lab-state"))


def drilled(path: Path, seed: int = 0) -> tuple[DrillReport, str]:
    """The report of a scenario, and the digest of its journals."""
    drill = SimDrill(path, obey, seed=seed)
    return drill.run(), drill.digest


def written(folder: Path, text: str, runbook: str = "lab") -> Path:
    """A scenario of our own."""
    path = folder / "own.yaml"
    path.write_text(f"name: own\nrunbook: {ROOT / 'runbooks' / runbook}.yaml\nworld: sim\n{text}")
    return path


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_every_scenario_holds_in_virtual_time_with_all_its_expectations(path: Path, tmp_path: Path) -> None:
    """The very same file as in the lab, to its end; nothing was written anywhere."""
    report, _ = drilled(path)
    assert report.error == ""
    assert [(line.name, line.expected, line.actual, line.detail) for line in report.expectations if not line.met] == []
    assert report.expectations, "a scenario expects something"
    assert (report.verdict, report.world, report.seed, report.cleanup.ok) == ("passed", "sim", 0, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["region-outage", "orchestrator-killed", "two-operators", "partition"])
def test_a_seed_gives_the_same_journals_byte_for_byte(name: str) -> None:
    """And the same report; another seed gives others."""
    path = ROOT / "scenarios" / f"{name}.yaml"
    first, second, other = drilled(path, 7), drilled(path, 7), drilled(path, 8)
    assert first == second
    assert other[1] != first[1]
    assert other[0].seed == 8


def test_an_expectation_that_is_not_met_fails_the_drill(tmp_path: Path) -> None:
    """Virtual seconds are seconds: an RTA of two of them is not below one."""
    path = written(
        tmp_path,
        "workload: {deployments: 2, running_tasks: 4}\n"
        "timeline:\n  - {at: 1s, kill: {region: east}}\n"
        "acts:\n  - {at: 31s, intent: failover, to: west, accept_data_loss: unknown, accept_split: true, reason: lost}\n"
        "expect: {rta: 20s, outcome: completed, min_lost_writes: 1}\n",
    )
    report, _ = drilled(path)
    lines = {line.name: line for line in report.expectations}
    rta, outcome = lines["rta"], lines["outcome"]
    assert (report.verdict, rta.met, outcome.met) == ("failed", False, True)
    assert isinstance(rta.actual, float) and 30 < rta.actual < 60
    assert report.truth is not None and report.truth.outage_seconds is not None
    assert 30 < report.truth.outage_seconds < 60


def test_what_is_never_over_is_ended_by_the_time_limit(tmp_path: Path) -> None:
    """A step that waits for somebody who never comes: the drill ends, and every process of its world with it."""
    path = written(
        tmp_path,
        "workload: {deployments: 2, running_tasks: 4}\n"
        "acts:\n  - {at: 1s, intent: switchover, to: west, reason: maintenance}\n"
        "expect: {outcome: completed}\ntime_limit: 60s\n",
        "careful",
    )
    report, _ = drilled(path)
    assert "not over within the time limit of 1m00s" in report.error
    assert (report.verdict, report.cleanup.ok) == ("failed", True)
    assert report.runs[0].outcome is not RunOutcome.COMPLETED


@pytest.mark.parametrize(
    ("fault", "line", "place", "why"),
    [
        ("link: {bytes_per_second: 1000}", 5, "timeline[0].link.bytes_per_second", "counts no bytes"),
        ("kill: {region: east, server: prometheus}", 5, "timeline[0].kill.server", "it has postgres, dns, runtime"),
        ("freeze: {region: east, server: dns}", 5, "timeline[0].freeze.server", "freezes postgres and log-sync only"),
        ("cut: {region: east, server: postgres}", 5, "timeline[0].cut.server", "whole regions only"),
        ("spoil: {region: west, what: image-missing}", 5, "timeline[0].spoil.what", "can spoil certificate-missing, certificate-expired"),
        ("kill: {server: log-sync}", 5, "timeline[0].kill.server", "it has agent"),
    ],
)
def test_what_a_simulated_world_cannot_have_is_refused_with_its_line(
    tmp_path: Path, fault: str, line: int, place: str, why: str
) -> None:
    """Before anything runs."""
    acts = "acts:\n  - {at: 1s, intent: switchover, to: west}\nexpect: {runs: 1}\n"
    path = written(tmp_path, f"timeline:\n  - {{at: 1s, {fault}}}\n{acts}")
    with pytest.raises(FileError) as refused:
        SimDrill(path, obey)
    assert f"own.yaml:{line}: {place}" in str(refused.value)
    assert why in str(refused.value)


def test_a_platform_without_public_names_has_nobody_who_could_judge_it(tmp_path: Path) -> None:
    """The line of the runbook."""
    lab = (ROOT / "runbooks" / "lab.yaml").read_text()
    (tmp_path / "nameless.yaml").write_text(lab[: lab.index("  dns:")])
    path = tmp_path / "own.yaml"
    path.write_text("name: own\nrunbook: nameless.yaml\nworld: sim\nacts:\n  - {at: 1s, intent: switchover, to: west}\nexpect: {runs: 1}\n")
    with pytest.raises(FileError, match=r"own.yaml:2: runbook: it has no component of kind dns-records"):
        SimDrill(path, obey)


def test_the_command_says_world_and_seed_and_writes_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Report, JUnit and JSON as in the lab; nothing else is written anywhere."""
    path = ROOT / "scenarios" / "region-outage.yaml"
    asked = ["--junit", str(tmp_path / "junit.xml"), "--report", str(tmp_path / "page")]
    assert run(["drill", str(path), "--world", "sim", "--seed", "3", *asked]) == 0
    assert {page.name for page in (tmp_path / "page").iterdir()} == {"region-outage-seed-3.json", "region-outage-seed-3.html"}
    told = capsys.readouterr().out
    assert "passed: region-outage in the sim (seed 3)" in told
    assert sorted(item.relative_to(tmp_path).parts[0] for item in tmp_path.rglob("*") if item.is_file()) == ["junit.xml", "page", "page"]
    [page] = (tmp_path / "page").glob("*.json")
    report = DrillReport.model_validate_json(page.read_text())
    assert (report.seed, report.world) == (3, "sim")


def test_the_scenario_says_where_unless_a_person_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``world: sim`` in the file is played in virtual time; a seed for real servers is refused."""
    text = "workload: {deployments: 1, running_tasks: 1}\nacts:\n  - {at: 1s, intent: switchover, to: west}\nexpect: {exit_code: 0}\n"
    path = written(tmp_path, text)
    assert run(["drill", str(path)]) == 0
    assert "in the sim (seed 0)" in capsys.readouterr().out
    assert run(["drill", str(path), "--world", "lab", "--seed", "3"]) == 2
    assert "real servers know no seed" in capsys.readouterr().err


def test_a_failed_expectation_is_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in the lab."""
    text = "workload: {deployments: 1, running_tasks: 1}\nacts:\n  - {at: 1s, intent: switchover, to: west}\nexpect: {exit_code: 3}\n"
    assert run(["drill", str(written(tmp_path, text))]) == 1
    assert "exit_code: expected 3, was 0" in capsys.readouterr().out
