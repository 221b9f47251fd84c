"""``dr drill`` in a world that a package brings: the emulated platform, registered through the entry point, every act a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from dr.cli.elsewhere import Drilled, inherited
from dr.cli.main import run
from dr.config import worlds
from dr.config.runbook import load_runbook
from dr.config.scenario import load_scenario
from dr.config.settings import world
from dr.engine.attempt import attempt
from dr.errors import FileError, Refused, UsageError
from dr.model.report import DrillReport
from dr.model.words import Intent
from dr.ports import AttemptContext
from dr.providers.generic.command import Command
from tests.aws.cloud import REGIONS, ROOT
from tests.aws.database import LAG, Database, Standing, Write
from tests.aws.drillworld import AwsEmulated
from tests.aws.rig import Rig
from tests.scenarios.files import of_worlds

A, B = REGIONS
SECONDS = 400
SCENARIOS = of_worlds(AwsEmulated.name)


FACTORY = "tests.aws.drillworld:AwsEmulated"


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what an installed package leaves that brings the world; this process finds it, too."""
    folder = package(tmp_path / "site", FACTORY)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def package(folder: Path, factory: str, name: str = AwsEmulated.name) -> Path:
    """As ``pip install`` would: https://packaging.python.org/en/latest/specifications/entry-points/"""
    info = folder / f"{folder.name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[dr.worlds]\n{name} = {factory}\n")
    return folder


def drilled(path: Path, brought: Path, folder: Path, *more: str) -> DrillReport:
    """One ``dr drill``, as a person types it, on a state directory of its own."""
    argv = [sys.executable, "-m", "dr", "drill", str(path.relative_to(ROOT)), "--state", str(folder / "records"), "--json", *more]
    environment = {**os.environ, "PYTHONPATH": f"{brought}{os.pathsep}{ROOT}", "DR_STATE": str(folder / "own")}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
    try:
        report = DrillReport.model_validate_json(done.stdout)
    except ValidationError:
        pytest.fail(f"no report; {' '.join(argv)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    unmet = [f"{line.name}: expected {line.expected}, was {line.actual} {line.detail}" for line in report.expectations if not line.met]
    assert (unmet, report.error, report.cleanup.leftovers) == ([], "", ()), done.stderr[-4000:]
    assert (report.verdict, report.world, done.returncode) == ("passed", AwsEmulated.name, 0)
    return report


def test_every_scenario_of_this_world_is_there() -> None:
    """A region lost, lost and back again, lost together with the control planes of us-east-1."""
    assert {path.stem for path in SCENARIOS} == {"aws-region-outage", "aws-round-trip", "aws-control-planes-down"}


SOAK = ("aws-region-outage", "aws-control-planes-down")
"""What the round trip and ``test_end_to_end.py`` show, too, and each a minute and a half: in ``make soak``."""


@pytest.mark.scenario
@pytest.mark.parametrize(
    "path", [pytest.param(path, id=path.stem, marks=[pytest.mark.soak] if path.stem in SOAK else []) for path in SCENARIOS]
)
def test_the_drill_passes(path: Path, brought: Path, tmp_path: Path) -> None:
    """All expectations are met, nothing is left over, the client wrote through every name, and the record says where it was."""
    report = drilled(path, brought, tmp_path, "--world", AwsEmulated.name)
    assert report.truth is not None and report.truth.acknowledged_writes > 0
    assert len(report.truth.hostnames) == 15
    assert all(name.first_fail is not None and name.first_ok_after is not None for name in report.truth.hostnames), "every name was away"
    assert [item.kind for item in report.faults] == [item.kind for item in load_scenario(path).timeline]
    [kept] = (tmp_path / "records" / "drills").glob("*.json")
    assert DrillReport.model_validate_json(kept.read_text()).world == AwsEmulated.name
    moved = [(run.intent, run.to_region) for run in report.runs if run.intent.moves]
    assert moved[0] == (Intent.FAILOVER, B) and len(moved) in (1, 2)
    assert all(item == (Intent.FAILBACK, A) for item in moved[1:])


# --- which worlds there are -------------------------------------------------------------------------------------------


def test_a_world_that_nobody_brings_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """In a scenario, at ``--world`` and in the environment; a person reads what is known."""
    for path in SCENARIOS:
        with pytest.raises(FileError, match="world: unknown world; known: lab, sim"):
            load_scenario(path)
    lab = str(ROOT / "scenarios" / "region-outage.yaml")
    assert run(["drill", lab, "--world", "moon"]) == 2
    said = capsys.readouterr().err
    assert "there is no world moon" in said and "one of: lab, sim" in said
    with pytest.raises(UsageError, match="DR_WORLD: there is no world aws-emulated"):
        world({"DR_WORLD": AwsEmulated.name})


BESIDE = """
apiVersion: dr/v1
name: beside
regions: {east: {aws: {region: us-west-2}}, west: {aws: {region: eu-west-1}}}
home: east
objectives: {rto: 1h, rpo: 15m}
components:
  tell: {kind: command, run: [touch, told], repeatable: true, worlds: [live, WORLD]}
  people: {kind: notify, to: [{file: people.log}], worlds: [lab, WORLD]}
  hook: {kind: aws.lambda, worlds: [WORLD], regions: {east: {function: hook}, west: {function: hook}}}
"""


@pytest.mark.usefixtures("brought")
def test_what_acts_on_others_may_name_a_world_that_a_package_brings(tmp_path: Path) -> None:
    """A command really runs in a drill there, and nowhere else that it does not name (I12)."""
    path = tmp_path / "beside.yaml"
    path.write_text(BESIDE.replace("WORLD", AwsEmulated.name))
    runbook = load_runbook(path)
    assert [getattr(item.config, "worlds", ()) for item in runbook.components.values()] == [
        ("live", AwsEmulated.name), ("lab", AwsEmulated.name), (AwsEmulated.name,),
    ]  # fmt: skip
    for here, outcome, ran in (("sim", "already", False), (AwsEmulated.name, "done", True)):
        site = Rig(tmp_path / here).site
        tell = Command("tell", runbook.components["tell"].config, (), replace(site, world=here, base=tmp_path))
        [step] = tell.steps(Intent.FAILOVER, "east", "west")
        context = AttemptContext(
            run_id="run-1", step=step.spec, intent=Intent.FAILOVER, source="east", target="west", number=1, key="key", epoch=1,
            actor="test", clock=site.clock, deadline=site.clock.monotonic() + 20, evidence=(), acceptances=(),
        )  # fmt: skip
        assert (attempt(step.operation, context).outcome.value, (tmp_path / "told").exists()) == (outcome, ran)


@pytest.mark.usefixtures("brought")
@pytest.mark.parametrize("component", ["tell", "people", "hook"])
def test_an_unknown_world_of_a_component_is_refused_with_those_that_there_are(component: str, tmp_path: Path) -> None:
    """Where the runbook is read, with its line; not taken for a world in which nothing happens."""
    path = tmp_path / "beside.yaml"
    lines = BESIDE.replace("WORLD", AwsEmulated.name).splitlines()
    number = next(number for number, line in enumerate(lines) if line.strip().startswith(f"{component}:"))
    lines[number] = lines[number].replace(AwsEmulated.name, "mars")
    path.write_text("\n".join(lines))
    expected = rf"components\.{component}\.worlds\S*: unknown world; known: aws-emulated, lab, live, sim"
    with pytest.raises(FileError, match=expected) as caught:
        load_runbook(path)
    assert "dr.worlds" in caught.value.hint and f":{number + 1}" in str(caught.value)


@pytest.mark.usefixtures("brought")
def test_a_world_that_a_package_brings_is_known_everywhere() -> None:
    """As in the processes of its drills."""
    assert worlds.known() == ("lab", "sim", AwsEmulated.name)
    assert worlds.factory(AwsEmulated.name) is AwsEmulated
    assert world({"DR_WORLD": AwsEmulated.name}) == AwsEmulated.name
    assert {load_scenario(path).world for path in SCENARIOS} == {AwsEmulated.name}
    with pytest.raises(UsageError, match="there is no world aws-emulatd") as caught:
        worlds.check("aws-emulatd")
    assert AwsEmulated.name in caught.value.hint


def test_for_our_own_worlds_nobody_reads_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs tens of milliseconds, at three o'clock in the morning, too."""

    def slow(**_asked: str) -> None:
        raise AssertionError("the entry points were read")

    monkeypatch.setattr("importlib.metadata.entry_points", slow)
    assert load_scenario(ROOT / "scenarios" / "region-outage.yaml").world == "lab"
    assert [world({"DR_WORLD": name}) for name in worlds.OURS] == ["live", "lab", "sim"]
    with pytest.raises(AssertionError, match="were read"):
        worlds.is_known("moon")


@pytest.mark.parametrize("name", ["lab", "live", AwsEmulated.name])
def test_a_name_has_one_owner(name: str, brought: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ours nor another package's is taken over by the order of a path."""
    assert brought.is_dir()
    monkeypatch.syspath_prepend(str(package(brought.parent / "other", "other.world:Factory", name)))
    with pytest.raises(UsageError, match=f"world {name} has two owners"):
        worlds.check(AwsEmulated.name)


@pytest.mark.parametrize("where", ["no.such.module:Factory", "tests.aws.drillworld:NoSuchFactory"])
def test_a_world_that_cannot_be_loaded_says_so(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the entry point says."""
    monkeypatch.syspath_prepend(str(package(tmp_path / "site", where, "moon")))
    with pytest.raises(UsageError, match=f"world moon: {where} cannot be loaded"):
        worlds.factory("moon")


def test_a_world_of_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal, the record and DR_WORLD would each say something else."""
    monkeypatch.syspath_prepend(str(package(tmp_path / "site", FACTORY, "moon")))
    path = written(tmp_path, "world: moon")
    with pytest.raises(UsageError, match="it says that it is aws-emulated"):
        Drilled.of("moon", path, tmp_path / "state")


# --- nothing outside of it (I12) ----------------------------------------------------------------------------------------


def written(folder: Path, *lines: str, runbook: str = "airflow-aws", workload: str = "running_tasks: 0") -> Path:
    """A scenario of our own."""
    path = folder / "own.yaml"
    text = ["name: own", f"runbook: {ROOT / 'runbooks' / runbook}.yaml", f"workload: {{{workload}}}", "expect: {}", *lines]
    path.write_text("\n".join([*text, "acts:", "  - {at: 0s, intent: failback}"]) + "\n")
    return path


@pytest.mark.usefixtures("brought")
def test_a_runbook_of_somebody_else_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """A lab's scenario played here by mistake: exit 3, and no state is left that a drill was begun in."""
    path = written(tmp_path, "world: lab", runbook="lab")
    with pytest.raises(Refused, match="not of the world aws-emulated"):
        Drilled.of(AwsEmulated.name, path, tmp_path / "state")
    records = tmp_path / "records"
    assert run(["drill", str(path), "--world", AwsEmulated.name, "--state", str(records)]) == 3
    assert not records.exists()


@pytest.mark.usefixtures("brought")
@pytest.mark.parametrize(
    ("line", "workload", "sentence"),
    [
        ("timeline: []", "running_tasks: 60", "no task runs in this world"),
        ("timeline: []", "running_tasks: 0, parts: [logs]", "no parts"),
        ("timeline: []", "running_tasks: 0, ttl: 5s", "a TTL of 1s"),
        ("timeline: [{at: 1s, link: {reset: true}}]", "running_tasks: 0", "can only kill and bring_back"),
        ("timeline: [{at: 1s, kill: {region: us-west-2, server: postgres}}]", "running_tasks: 0", "whole regions"),
    ],
)
def test_what_this_world_cannot_have_is_refused(line: str, workload: str, sentence: str, tmp_path: Path) -> None:
    """Instead of a drill that proves something else than its file says."""
    path = written(tmp_path, "world: aws-emulated", line, workload=workload)
    with pytest.raises(FileError, match=sentence):
        Drilled.of(AwsEmulated.name, path, tmp_path / "state")


def test_nothing_of_a_persons_own_platform_comes_along() -> None:
    """Credentials, profiles, addresses, home: AWS_ENDPOINT_URL would even win over the profiles of the world."""
    person = {"AWS_PROFILE": "prod", "AWS_ENDPOINT_URL": "https://prod", "PGPASSFILE": "/prod", "HOME": "/home/ann", "DR_STATE": "/prod"}
    needed = {"PATH": "/bin", "PYTHONPATH": "/lib", "LC_ALL": "C"}
    assert inherited({**person, **needed}) == needed


@dataclass
class Elsewhere(AwsEmulated):
    """A world that says what would lead its drill out of the drill."""

    said: dict[str, str] = field(default_factory=dict)

    def runbook(self) -> Path:
        return Path("there.yaml")

    def environment(self) -> dict[str, str]:
        return self.said


def test_a_world_says_how_it_is_reached_and_not_where_a_drill_keeps_its_records(tmp_path: Path) -> None:
    """I12: what its processes are told of the world and the state is the drill's."""
    says = Elsewhere({"AWS_CONFIG_FILE": "there", "DR_WORLD": "live", "DR_STATE": "/prod"})
    told = Drilled(says, tmp_path).environment
    assert told["AWS_CONFIG_FILE"] == "there"
    assert (told["DR_WORLD"], told["DR_STATE"], told["HOME"]) == (AwsEmulated.name, str(tmp_path), str(tmp_path))


# --- the emulated database: truth must be able to be bad ----------------------------------------------------------------


@dataclass
class Said:
    """What RDS answers."""

    standing: Standing = field(default_factory=lambda: Standing(A, moving=False, loses=False))

    def write(self, database: Database, region: str, identity: str) -> bool:
        """One write, in a group of its own."""
        write = Write(region, "deployment-000", identity)
        database.commit([write])
        return write.taken


def test_only_the_writer_takes_writes_and_nobody_while_a_move_is_under_way() -> None:
    """As RDS says it, asked after the write had come."""
    said, lost = Said(), set[str]()
    database = Database(lambda: said.standing, lost)
    assert (said.write(database, A, "1"), said.write(database, B, "2")) == (True, False)
    said.standing = Standing(A, moving=True, loses=False)
    assert (said.write(database, A, "3"), database.writes_in(A)) == (False, False)
    said.standing = Standing(B, moving=False, loses=False)
    assert (said.write(database, A, "4"), said.write(database, B, "5")) == (False, True)
    assert database.held("deployment-000") == ["1", "5"], "a switchover loses nothing"


def test_what_had_not_arrived_when_the_region_was_lost_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what had arrived is there, however late somebody promotes."""
    now = [100.0]
    monkeypatch.setattr("tests.aws.database.time.monotonic", lambda: now[0])
    said, lost = Said(), set[str]()
    database = Database(lambda: said.standing, lost)
    assert said.write(database, A, "arrived")
    now[0] += LAG * 2
    assert said.write(database, A, "under way")
    now[0] += LAG / 2
    database.lose(A)
    lost.add(A)
    assert not said.write(database, A, "too late")
    now[0] += 60
    said.standing = Standing(B, moving=False, loses=True)
    assert said.write(database, B, "new")
    assert database.held("deployment-000") == ["arrived", "new"]
