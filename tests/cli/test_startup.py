"""Start-up is part of the product: help names what there is and loads nothing that it does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = [
    "status", "plan", "lag", "runs", "runbook", "init", "failover", "switchover", "failback", "reprotect", "resume", "pause", "cancel",
    "approve", "skip", "drill", "simulate", "lab", "monitor", "report",
]  # fmt: skip
HEAVY = {
    "networkx", "psycopg", "httpx", "boto3", "ruamel", "pydantic", "rich", "structlog", "cryptography", "dns", "greenlet",
    "dr.app", "dr.model",
}  # fmt: skip
_RUN = "import sys; from dr.cli.main import run; code = run(sys.argv[1:]); print(*sys.modules, file=sys.stderr); sys.exit(code)"


def modules(*argv: str) -> tuple[int, str, set[str]]:
    """Exit code, stdout and the modules that were loaded in a fresh process."""
    done = subprocess.run([sys.executable, "-c", _RUN, *argv], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, set(done.stderr.split())


def test_help_lists_exactly_what_was_built() -> None:
    """Every command of the issue, none that is not there."""
    code, out, _ = modules("--help")
    assert code == 0
    listed = [line.split()[0] for line in out.splitlines() if line.startswith("  ") and line[2] not in " -" and line.split()[0] in COMMANDS]
    assert listed == COMMANDS
    assert "\n  audit " not in out


@pytest.mark.parametrize("argv", [
    ("--help",), ("--version",), ("status",), ("status", "--json"), ("nonsense",), ("failover", "--help"), ("simulate", "--help"),
    ("init", "aws", "--help"),
])  # fmt: skip
def test_light_commands_load_no_heavy_library(argv: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Help, version, an empty status and a mistyped command need click and nothing else."""
    monkeypatch.setenv("DR_STATE", str(tmp_path / "none"))
    _, _, loaded = modules(*argv)
    assert "dr.cli.main" in loaded
    assert not HEAVY & loaded


def test_a_status_loads_only_what_it_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is primary and what would be lost is asked at 03:00: no run is started, no page is drawn, no cloud is called."""
    monkeypatch.setenv("DR_STATE", str(tmp_path / "none"))
    code, out, loaded = modules("status", str(Path(__file__).parents[2] / "runbooks/lab.yaml"), "--json")
    assert (code, '"dr.status/1"' in out) == (0, True)
    unused = {"networkx", "jinja2", "boto3", "structlog", "tenacity", "rich", "httpx", "prometheus_client", "markupsafe"}
    assert not unused & loaded
    assert not {"dr.engine.runner", "dr.app.conduct", "dr.model.scenario", "dr.report.html", "dr.drill", "dr.lab"} & loaded


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    """Each command can be asked what it does, and says that it prints JSON."""
    from click.testing import CliRunner

    from dr.cli.main import cli

    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert "--json" in result.output or "Commands:" in result.output


def test_python_m_dr_is_dr() -> None:
    """``python -m dr`` works too."""
    done = subprocess.run([sys.executable, "-m", "dr", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "dr,")
