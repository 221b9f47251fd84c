"""``dr runbook permissions``: what each role is given, that nothing is destroyed, and that no more is allowed than is declared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dr.app import App
from dr.app.permissions import MOST_CHARACTERS, permissions
from dr.cli.main import run
from dr.errors import ExitCode
from dr.model.permission import PermissionsReport
from dr.model.words import Intent
from dr.ports import Watching

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "runbooks" / "airflow-aws.yaml"
READS = ("Get", "List", "Describe", "BatchGet", "Head", "Lookup", "Decrypt", "GenerateDataKey", "Query")


def made(tmp_path: Path, shared: str | None = None) -> PermissionsReport:
    app = App(tmp_path)
    return permissions(app.load(RUNBOOK), shared)


def allowed(report: PermissionsReport, role: str) -> list[dict[str, Any]]:
    statements = [item for policy in report.policies if policy.role == role for item in policy.document["Statement"]]
    return [item for item in statements if item["Effect"] == "Allow"]


def test_a_monitor_reads_and_marks_and_nothing_else(tmp_path: Path) -> None:
    """Every action of the monitor's role reads."""
    actions = {action for item in allowed(made(tmp_path), "monitor") for action in item["Action"]}
    assert actions and not {action for action in actions if not action.partition(":")[2].startswith(READS)}


def test_a_failover_has_what_every_step_declares(tmp_path: Path) -> None:
    """Each action of each step, of all intents in both directions, on the very resources; and none that no step or look declares."""
    platform = App(tmp_path).load(RUNBOOK)
    declared: set[str] = set()
    for source, target in (("us-west-2", "eu-west-1"), ("eu-west-1", "us-west-2")):
        for intent in Intent:
            chains = platform.chains(intent, source, target).values()
            declared |= {text for chain in chains for step in chain for text in step.spec.permissions}
    declared |= {text for kind in platform.kinds.values() if isinstance(kind, Watching) for text in kind.rights()}
    statements = allowed(permissions(platform), "failover")
    given = {f"{action} on {resource}" for item in statements for action in item["Action"] for resource in item["Resource"]}
    iam = {text for text in declared if " on arn:" in text or text.endswith(" on *")}
    everywhere = {text.partition(" ")[0] for text in given if text.endswith(" on *")}
    assert {text for text in iam if text not in given and text.partition(" ")[0] not in everywhere} == set()
    assert given <= iam


def test_nothing_is_destroyed_whoever_allows_it(tmp_path: Path) -> None:
    """An explicit deny in each role, which denies nothing that the role itself needs."""
    report = made(tmp_path)
    for role in ("monitor", "drill", "failover"):
        denied = [
            item for policy in report.policies if policy.role == role for item in policy.document["Statement"] if item["Effect"] == "Deny"
        ]  # fmt: skip
        patterns = {action for item in denied for action in item["Action"]}
        assert {"rds:Delete*", "s3:Delete*", "secretsmanager:Delete*"} <= patterns, role
        own = {action for item in allowed(report, role) for action in item["Action"]}
        assert not {action for action in own for pattern in patterns if action.startswith(pattern.rstrip("*"))}


def test_a_drill_acts_only_on_what_is_tagged_for_it(tmp_path: Path) -> None:
    """Everything that is no read stands under the tag."""
    for item in allowed(made(tmp_path), "drill"):
        acts = [action for action in item["Action"] if not action.partition(":")[2].startswith(READS)]
        assert not acts or item["Condition"] == {"StringEquals": {"aws:ResourceTag/dr-drill": "true"}}, acts


def test_each_policy_fits_and_is_the_same_every_time(tmp_path: Path) -> None:
    """AWS takes 6,144 characters; the same file gives the same policies."""
    first, second = made(tmp_path), made(tmp_path)
    assert first == second
    for policy in first.policies:
        assert policy.characters == len(json.dumps(policy.document, separators=(",", ":"))) <= MOST_CHARACTERS


def test_shared_state_is_part_of_it(tmp_path: Path) -> None:
    """Its one table, for every role."""
    report = made(tmp_path, "dynamodb://dr-state?region=eu-west-1")
    for role in ("monitor", "drill", "failover"):
        resources = {resource for item in allowed(report, role) for resource in item["Resource"]}
        assert "arn:aws:dynamodb:eu-west-1:123456789012:table/dr-state" in resources, role


def test_what_iam_knows_nothing_of_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A self-hosted platform has no policies, and grants of its own."""
    code = run(["runbook", "permissions", str(ROOT / "runbooks" / "lab.yaml"), "--state", str(tmp_path), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (code, report["policies"]) == (ExitCode.DONE, [])
    assert any("pg_promote" in item["text"] for item in report["others"])
