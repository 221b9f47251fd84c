"""Who asked for a run is who started it, whoever goes on with it later."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.cli.main import run
from dr.errors import ExitCode
from tests.cli import toy
from tests.cli.test_edited_runbook import paused
from tests.cli.test_whole_commands import answered

Output = pytest.CaptureFixture[str]
GATED = toy.RUNBOOK.replace("folder: db}", "folder: db, needs: [customers]}") + (
    '  customers: {kind: gate, text: "customers were told", requester: false, evidence: EVIDENCE}\n'
)


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    from dr.providers import registry

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()


def gated(tmp_path: Path, evidence: str = "optional") -> Path:
    runbook = toy.make(tmp_path)
    runbook.write_text(GATED.replace("EVIDENCE", evidence))
    return runbook


@pytest.mark.parametrize(("attests", "resumes", "outcome"), [("ann", "bob", "paused"), ("bob", "bob", "completed")])
def test_a_gate_that_is_not_for_the_requester(attests: str, resumes: str, outcome: str, tmp_path: Path, capsys: Output) -> None:
    """Ann started it. That Bob goes on with it neither makes her word count nor takes his away."""
    run_id, _ = paused(gated(tmp_path), tmp_path)
    assert run(["approve", run_id, "customers/gate", "--actor", attests, "--reason", "ticket 7"]) == 0
    code, report = answered(capsys, "resume", run_id, "--actor", resumes)
    assert (report["outcome"], code == ExitCode.PAUSED) == (outcome, outcome == "paused")
    if outcome == "paused":
        assert "ann asked for this run, so somebody else must answer" in str(report["reason"])
