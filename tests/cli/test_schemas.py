"""``--json`` on every command: what is printed names its schema, and matches the schema that ``dr runbook schema`` prints for it."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from dr.cli.main import cli, run
from dr.config.outputs import FILES, NAMES, OUTPUTS, schema_of
from dr.errors import ExitCode
from dr.lab.lab import LabStatus
from dr.model.base import Json
from dr.model.truth import CleanUp
from tests.cli import toy
from tests.cli.conftest import T0, FakeApp
from tests.report.schema import problems

ROOT = Path(__file__).parents[2]
Output = pytest.CaptureFixture[str]

MOVE = ["RUNBOOK", "--yes", "--reason", "x"]
TYPED: dict[str, list[list[str]]] = {
    "status": [[], ["RUNBOOK"]],
    "plan": [["RUNBOOK", "--to", "west"]],
    "lag": [["RUNBOOK"]],
    "runs": [[]],
    "runbook check": [["RUNBOOK"], ["RUNBOOK", "--offline"]],
    "runbook permissions": [["RUNBOOK"]],
    "runbook render": [["RUNBOOK"], ["RUNBOOK", "--intent", "reprotect", "-o", "PAGE"]],
    "runbook schema": [[], ["scenario"], *([name] for name in OUTPUTS)],
    "init aws": [["--primary", "us-west-2", "--secondary", "us-west-2"]],
    "failover": [["RUNBOOK", "--to", "west", "--yes"], [*MOVE, "--to", "west"], [*MOVE, "--to", "nowhere"]],
    "reprotect": [MOVE],
    "failback": [MOVE],
    "switchover": [[*MOVE, "--to", "west"]],
    "resume": [["r-9"]],
    "pause": [["r-9"]],
    "cancel": [["r-9"]],
    "approve": [["r-9", "db/promote"]],
    "skip": [["r-9", "db/promote", "--reason", "x"]],
    "drill": [["none.yaml"]],
    "simulate": [["LAB", "--seeds", "1"], ["RUNBOOK", "--seeds", "1"], ["RUNBOOK", "--explain"]],
    "monitor": [["RUNBOOK", "--port", "0"]],
    "report": [["--from", "2026-01-01"], ["RUNBOOK", "--from", "2026-01-01"]],
    "lab up": [[]],
    "lab down": [[]],
    "lab status": [[]],
    "lab doctor": [[]],
    "lab fault kill": [["east"]],
    "lab fault freeze": [["east/postgres"]],
    "lab fault thaw": [["east/postgres"]],
    "lab fault cut": [["east"]],
    "lab fault bring-back": [["east"]],
    "lab fault spoil": [["west", "image-missing"]],
    "lab fault slow": [["west", "15s"]],
    "lab fault link": [["--delay", "20ms"], ["--heal"]],
}
"""Each command, and what is typed after it; without any server. In this order: later ones meet what earlier ones did."""


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from leaves(found, (*path, name))
        else:
            yield " ".join((*path, name)), found


COMMANDS = dict(leaves(cli))


@pytest.fixture
def runbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()
    monkeypatch.chdir(tmp_path)
    return toy.make(tmp_path)


@pytest.fixture
def laboratory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab in which nothing runs."""
    status = LabStatus(state="up", directory="/lab-state", reachable={"east": True})
    stub = SimpleNamespace(
        up=lambda *_: None, status=lambda: status, down=lambda: CleanUp(leftovers=("a process",)), running=lambda: None,
        inject=lambda fault: T0, layout=SimpleNamespace(orchestrator=Path("dr")), clock=SimpleNamespace(now=lambda: T0),
    )  # fmt: skip
    monkeypatch.setattr("dr.cli.lab.laboratory", lambda: stub)


def printed(capsys: Output, *argv: str) -> dict[str, Json]:
    """The one object on stdout; it matches the schema that it names."""
    capsys.readouterr()
    run([*argv, "--json"])
    body = json.loads(capsys.readouterr().out)
    assert isinstance(body, dict), argv
    assert body["schema"] in OUTPUTS, argv
    assert problems(body, schema_of(body["schema"])) == [], argv
    return body


def belongs(leaf: str, name: str) -> bool:
    """Whether the list says that the command prints it."""
    entries = [entry.removesuffix(" RUN") for entry in OUTPUTS[name].commands.split(", ")]
    return any(leaf == entry or leaf.startswith(entry.removesuffix("…")) for entry in entries)


def test_every_command_has_json() -> None:
    """All leaves, however deep."""
    assert [path for path, command in COMMANDS.items() if not any("--json" in option.opts for option in command.params)] == []


def test_every_command_prints_what_is_listed(runbook: Path, laboratory: None, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    """Good answers, refusals and mistakes; each is an object of a listed schema, and the list knows that the command prints it."""
    assert set(TYPED) == set(COMMANDS), "a new command is typed here, too"
    monkeypatch.setattr("dr.app.App.monitor", lambda *_, **__: None)
    words = {"RUNBOOK": str(runbook), "LAB": str(ROOT / "runbooks/lab.yaml"), "PAGE": str(runbook.with_name("page.md"))}
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    met: set[str] = set()
    try:
        for leaf, all_typed in TYPED.items():
            for typed in all_typed:
                body = printed(capsys, *leaf.split(), *(words.get(word, word) for word in typed))
                met.add(body["schema"])
                assert body["schema"] == "dr.error/1" or belongs(leaf, body["schema"]), leaf
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    printed(capsys, "runs", printed(capsys, "runs")["runs"][0]["run_id"])
    # a drill needs servers, a request a second process (see below), init an AWS (tests/aws/test_init.py)
    assert set(OUTPUTS) - met == {"dr.drill/1", "dr.request/1", "dr.init/1"}


@pytest.mark.parametrize("argv", [["pause", "r-1"], ["cancel", "r-1"], ["approve", "r-1", "gate"], ["skip", "r-1", "x", "--reason", "y"]])
def test_what_is_handed_over_is_a_request(argv: list[str], app: type[FakeApp], capsys: Output) -> None:
    """Another process holds the run."""
    body = printed(capsys, *argv)
    assert (body["schema"], body["run_id"], body["actor"]) == ("dr.request/1", "r-1", "ann")
    assert belongs(argv[0], "dr.request/1")


def test_refusing_guards_are_in_the_error(runbook: Path, capsys: Output) -> None:
    """``dr.error/1`` is printed without its model: the check above must see what it looks like with guards, too."""
    from dr.cli.console import emit_error
    from dr.errors import GuardsRefused

    emit_error(GuardsRefused((("fence", "nobody fenced it"),), hint="dr status"))
    body = json.loads(capsys.readouterr().out)
    assert problems(body, schema_of("dr.error/1")) == []
    assert body["guards"] == [{"name": "fence", "reason": "nobody fenced it"}]


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_can_be_printed(name: str, capsys: Output) -> None:
    """Plain: the JSON Schema itself, for a file; with --json in an envelope; both the same document."""
    assert run(["runbook", "schema", name]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["$schema"].startswith("https://json-schema.org/") and plain["properties"]
    assert (plain == printed(capsys, "runbook", "schema", name)["document"]) is True
    if name in OUTPUTS:
        assert plain["properties"]["schema"]["const"] == name
        assert "schema" in plain["required"]


def test_an_unknown_schema_lists_all(capsys: Output) -> None:
    """Exit 2."""
    assert run(["runbook", "schema", "dr.run/9"]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert all(name in said for name in NAMES)


def test_the_list_is_whole() -> None:
    """Every model that carries a schema is listed under its own name, and nothing that the command line prints is missing."""
    sources = {path: path.read_text() for path in (ROOT / "dr").rglob("*.py")}
    models = {name for text in sources.values() for name in re.findall(r'schema_: Literal\["(dr\.[a-z.]+/\d+)"\]', text)}
    assert models == set(OUTPUTS)
    typed = {name for path, text in sources.items() if path.parent.name == "cli" for name in re.findall(r'"(dr\.[a-z.]+/\d+)"', text)}
    assert typed <= set(OUTPUTS)


def test_the_readme_has_all_of_them_in_one_table() -> None:
    """Name and commands, as the list has them; and how to print a schema."""
    text = (ROOT / "README.md").read_text()
    rows = dict(re.findall(r"^\| `(dr\.[a-z.]+/\d+)` \| (.+?) \|$", text, re.MULTILINE))
    assert rows == {name: output.commands for name, output in OUTPUTS.items()}
    assert "dr runbook schema NAME" in text


def test_the_page_as_fields_is_the_page(runbook: Path, capsys: Output) -> None:
    """The same Markdown; each step with its command and check, after what it needs; -o writes the page beside."""
    page = runbook.with_name("page.md")
    body = printed(capsys, "runbook", "render", str(runbook), "-o", str(page))
    assert page.read_text() == body["markdown"]
    assert run(["runbook", "render", str(runbook)]) == 0
    assert capsys.readouterr().out == body["markdown"]
    steps = {step["id"]: step for step in body["steps"]}
    assert [step["number"] for step in body["steps"]] == list(range(1, len(steps) + 1))
    promote = steps["db/promote"]
    assert promote["irreversible"] and promote["after"] == [steps["db/fence"]["number"]] and promote["wave"] == 2
    for step in steps.values():
        assert step["do"] and step["do"] in body["markdown"] and step["check"] and step["check"] in body["markdown"]
        assert all(text in body["markdown"] for text in step["conditions"])


def test_a_scenario_of_ours_matches_the_schema_for_editors() -> None:
    """What editors are told fits what is there; a fault that does not exist does not."""
    from ruamel.yaml import YAML

    read = YAML(typ="safe")
    schema = schema_of("scenario")
    for path in sorted((ROOT / "scenarios").glob("*.yaml")):
        assert problems(read.load(path.read_text()), schema) == [], path.name
    assert problems({"name": "x", "runbook": "r", "world": "sim", "acts": [], "expect": {}}, schema)
    assert FILES == ("runbook", "scenario")
