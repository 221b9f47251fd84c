"""The page for people: complete, deterministic, made without a look at the world, and without a byte of a secret."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dr.app import App
from dr.app.by_hand import references, render, unseen
from dr.cli.main import run
from dr.config.runbook import load_runbook
from dr.errors import ExitCode
from dr.model.words import Intent, Verb
from dr.ports import Questioned
from tests.render.sheet import Written, steps

ROOT = Path(__file__).parents[2]
RUNBOOKS = ("lab.yaml", "platform.yaml", "careful.yaml")
WAY = {Intent.FAILOVER: ("east", "west"), Intent.SWITCHOVER: ("east", "west"), Intent.FAILBACK: ("west", "east"),
       Intent.REPROTECT: ("east", "west")}  # fmt: skip
PLACEHOLDER = re.compile(r"(?<![$\"'{\w])(?:[A-Z]{2,}_[A-Z_]+|TOKEN_FILE|HOSTNAME|THE LIST|FORK)(?![\w:])")


def page(tmp_path: Path, runbook: str, intent: Intent, to: str | None = None) -> str:
    app = App(tmp_path / "state")
    platform = app.load(ROOT / "runbooks" / runbook)
    try:
        return render(platform, intent, to)
    finally:
        platform.close()
        app.close()


def written(tmp_path: Path, runbook: str, intent: Intent) -> list[Written]:
    return steps(page(tmp_path, runbook, intent))


@pytest.mark.parametrize("runbook", RUNBOOKS)
@pytest.mark.parametrize("intent", list(Intent))
def test_every_step_of_the_plan_is_on_the_page_in_its_order(runbook: str, intent: Intent, tmp_path: Path) -> None:
    """The same steps as the plan, each after what it needs, `!` where it cannot be undone; what it comes after stands in its first line."""
    app = App(tmp_path / "state")
    platform = app.load(ROOT / "runbooks" / runbook)
    plan = unseen(platform, intent, *WAY[intent])
    platform.close()
    text = page(tmp_path, runbook, intent)
    on_page = steps(text)
    assert sorted(step.id for step in on_page) == sorted(step.id for step in plan.steps)
    place = {step.id: number for number, step in enumerate(on_page)}
    for spec in plan.steps:
        assert all(place[need] < place[spec.id] for need in spec.needs), spec.id
        assert on_page[place[spec.id]].irreversible == spec.irreversible
    numbers = {step.id: step.number for step in on_page}
    last = plan.steps[-1]
    after = ", ".join(str(number) for number in sorted(numbers[need] for need in last.needs))
    assert f"#### {numbers[last.id]}. {last.id} · {last.title}\n\nIn {last.region}" + (f", after {after}." if after else ".") in text


@pytest.mark.parametrize("runbook", RUNBOOKS)
@pytest.mark.parametrize("intent", list(Intent))
def test_every_command_is_complete_and_is_bash(runbook: str, intent: Intent, tmp_path: Path) -> None:
    """bash reads each block; no word in capitals is left for the person but variables, which refuse while they are not set."""
    found = written(tmp_path, runbook, intent)
    assert found
    for step in found:
        for command in (step.do, step.check):
            assert command.strip() and not command.startswith("#"), step.id
            read = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, check=False)
            assert read.returncode == 0, f"{step.id}: {read.stderr}\n{command}"
            outside_sql = re.sub(r"<<'SQL'.*?\nSQL$", "", re.sub(r"\$\{[^}]*\}", "", command), flags=re.DOTALL | re.MULTILINE)
            bare = [word for word in PLACEHOLDER.findall(outside_sql) if word not in ("ON_ERROR_STOP",) and f"{word}=" not in outside_sql]
            assert bare == [], f"{step.id}: {bare}\n{command}"


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_paths_are_absolute(runbook: str, tmp_path: Path) -> None:
    """Commands work in every folder: nothing starts at the runbook's own."""
    for intent in Intent:
        text = page(tmp_path, runbook, intent)
        assert not re.search(r"(?<![\w/])\.\.?/", text)
        assert f"{ROOT}/lab-state/" in text


def test_the_same_file_gives_the_same_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any folder, at any moment, whatever this machine has learned: byte for byte."""
    first = page(tmp_path, "lab.yaml", Intent.FAILOVER)
    monkeypatch.chdir(tmp_path)
    assert page(tmp_path, "lab.yaml", Intent.FAILOVER) == first
    assert load_runbook(ROOT / "runbooks/lab.yaml").sha256 in first
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", first)


def test_nothing_is_asked_and_no_secret_is_read(tmp_path: Path) -> None:
    """A runbook whose credentials and servers are nowhere renders; where they are, their bytes are not on the page."""
    text = (ROOT / "runbooks/lab.yaml").read_text().replace("../lab-state/secrets", "secrets")
    runbook = tmp_path / "r.yaml"
    runbook.write_text(text)
    app = App(tmp_path / "state")
    without = app.load(runbook)
    first = render(without, Intent.FAILOVER, None)
    without.close()
    (tmp_path / "secrets").mkdir()
    for name in ("postgres", "control", "tsig"):
        (tmp_path / "secrets" / name).write_text(f"hunter2-{name}\n")
    platform = app.load(runbook)
    assert render(platform, Intent.FAILOVER, None) == first
    assert "hunter2" not in first
    assert all(f"{tmp_path}/secrets/{name}" in first for name in ("postgres", "control", "tsig"))
    assert {where for where, _ in references(platform)} == {
        "components.metadata-db.password", "components.deployments.control_token", "components.dns.tsig.key",
    }  # fmt: skip
    platform.close()
    app.close()


def test_the_head_says_what_a_tired_person_asks_first(tmp_path: Path) -> None:
    """Objectives, which region is home, who agrees, how to tell the primary, what must hold before the promotion, what is owed after."""
    text = page(tmp_path, "lab.yaml", Intent.FAILOVER)
    for words in (
        "# airflow-lab: failover by hand, from east to west", "east (home), west", "| service back within (RTO) | 1h00m",
        "15m00s; metadata-db 5m00s", "asks for no approval", "## Which region is the primary", "Silence is no fence",
        "**metadata-db** · RPO 5m00s", "1. **Fence east**", "dr runbook render", "This is the point of no return",
        "Programs: `psql`, `curl`, `dig`, `nsupdate`.", "Outage began − newest of these = what is lost",
    ):  # fmt: skip
        assert words in text, words


def test_approvals_are_on_the_page(tmp_path: Path) -> None:
    """Each is a step before the promotion: somebody else's yes, in the person's record; the command refuses without a name."""
    runbook = tmp_path / "r.yaml"
    runbook.write_text((ROOT / "runbooks/lab.yaml").read_text() + "\napprovals: {failover: 1}\n")
    app = App(tmp_path / "state")
    platform = app.load(runbook)
    text = render(platform, Intent.FAILOVER, None)
    platform.close()
    app.close()
    found = {step.id: step for step in steps(text)}
    yes = found["approvals/1"]
    assert yes.number < found["metadata-db/promote"].number
    path = {"PATH": "/usr/bin:/bin"}
    refused = subprocess.run(["bash", "-c", yes.do], cwd=tmp_path, capture_output=True, text=True, check=False, env=path)
    assert refused.returncode != 0 and "who said yes" in refused.stderr
    for command in (yes.do, yes.check):
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, check=False, env={**path, "WHO": "bob"})
        assert done.returncode == 0
    assert "approvals/1 yes: bob" in (tmp_path / "dr-by-hand.txt").read_text()


def test_only_the_fence_may_fail_in_a_lost_region(tmp_path: Path) -> None:
    """A failover needs nothing of the lost region: of its steps only the fence, and what is best effort, happens there, and says when."""
    text = page(tmp_path, "platform.yaml", Intent.FAILOVER)
    for block in text.split("\n#### ")[1:]:
        name, first = block.partition(" · ")[0].split()[-1], block.split("\n\n")[1]
        if first.startswith("In east"):
            assert "**Only if** east can be reached" in first or "Best effort" in first, name


@pytest.mark.parametrize("runbook", RUNBOOKS)
def test_who_promotes_can_be_asked(runbook: str, tmp_path: Path) -> None:
    """Every kind that promotes something tells a person how to ask who is primary and what its recovery point is, in both regions."""
    app = App(tmp_path / "state")
    platform = app.load(ROOT / "runbooks" / runbook)
    promoted = {step.component for step in unseen(platform, Intent.FAILOVER, "east", "west").steps if step.verb is Verb.PROMOTE}
    assert "metadata-db" in promoted
    for name in promoted:
        kind = platform.kinds[name]
        assert isinstance(kind, Questioned), name
        assert all(kind.question(region).recovery_point for region in ("east", "west")), name
    platform.close()
    app.close()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To stdout or into a file, the same text; a region that is not there, or a failback to elsewhere, is a wrong command line."""
    runbook, target = str(ROOT / "runbooks/lab.yaml"), tmp_path / "page.md"
    assert run(["runbook", "render", runbook]) == 0
    text = capsys.readouterr().out
    assert run(["runbook", "render", runbook, "--intent", "failover", "--to", "west", "-o", str(target)]) == 0
    assert target.read_text() == text and capsys.readouterr().out == ""
    for wrong in (["--to", "mars"], ["--intent", "failback", "--to", "west"], ["-o", str(tmp_path / "no/page.md")]):
        assert run(["runbook", "render", runbook, *wrong]) == ExitCode.USAGE
        assert "Try:" in capsys.readouterr().err


def test_hosts_behind_ssh_are_quoted_for_the_shell_over_there(tmp_path: Path) -> None:
    """A word with blanks stays one word behind ssh; through a script it is one already."""
    assert shutil.which("bash")
    lab = (ROOT / "runbooks/lab.yaml").read_text()
    runbook = tmp_path / "r.yaml"
    runbook.write_text(lab.replace("exec: [../lab-state/east/exec]", "exec: [ssh, dba@east]"))
    app = App(tmp_path / "state")
    platform = app.load(runbook)
    follow = next(step for step in steps(render(platform, Intent.REPROTECT, None)) if step.id == "metadata-db/follow")
    platform.close()
    app.close()
    assert """ssh dba@east pg_rewind --target-pgdata "$data" --source-server '"host=127.0.10.9""" in follow.do
