"""Roles and findings follow from what the runtimes say, and from nothing that is configured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dr.errors import StepError, Transient
from dr.model.words import Role, Severity
from dr.providers.airflow.control import DeploymentStatus, RegionStatus
from dr.providers.airflow.look import findings, roles
from dr.providers.selfhosted.certificates.judge import Flaw, judge

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def region(name: str, database: str, scheduler: str, ids: tuple[str, ...] = ("d-001", "d-002"), frozen: bool = False) -> RegionStatus:
    one = DeploymentStatus.model_validate(
        {"frozen": frozen, "components": {"api-server": "running", "scheduler": scheduler}, "database": database}
    )
    return RegionStatus(region=name, deployments=dict.fromkeys(ids, one))


def gone(name: str) -> StepError:
    return Transient(f"{name}: not reachable")


@pytest.mark.parametrize(
    ("east", "west", "expected"),
    [
        (region("east", "writable", "running"), region("west", "read-only", "stopped"), (Role.PRIMARY, Role.SECONDARY)),
        (gone("east"), region("west", "read-only", "stopped"), (Role.UNREACHABLE, Role.SECONDARY)),
        (gone("east"), region("west", "writable", "stopped"), (Role.UNREACHABLE, Role.PRIMARY)),
        (region("east", "writable", "stopped"), region("west", "writable", "running"), (Role.STOPPED, Role.PRIMARY)),
        (region("east", "writable", "running"), region("west", "writable", "running"), (Role.PRIMARY, Role.PRIMARY)),
        (region("east", "unreachable", "stopped"), region("west", "read-only", "stopped"), (Role.UNKNOWN, Role.SECONDARY)),
        (region("east", "writable", "running", ids=()), region("west", "read-only", "stopped"), (Role.UNKNOWN, Role.SECONDARY)),
    ],
)
def test_roles(east: RegionStatus | StepError, west: RegionStatus | StepError, expected: tuple[Role, Role]) -> None:
    """Primary is where databases take writes and schedulers run; amid a move, where they take writes; two are shown as two."""
    found = roles({"east": east, "west": west})
    assert (found["east"].role, found["west"].role) == expected
    assert all(view.reason for view in found.values())


def test_only_what_is_missing_where_we_would_go_refuses_a_run() -> None:
    """A Deployment or certificate missing in the secondary is an error; in the primary or a lost region it is a warning."""
    listed = frozenset({"d-001", "d-002", "d-003"})
    flaws = [Flaw("a.dr.test", "west", "no certificate", usable=False), Flaw("a.dr.test", "east", "no certificate", usable=False)]
    seen: dict[str, RegionStatus | StepError] = {
        "east": region("east", "writable", "running"), "west": region("west", "read-only", "stopped"),
    }  # fmt: skip
    found = findings("deployments", seen, roles(seen), listed, flaws)
    assert [(item.severity, "west" in item.fact) for item in found] == [
        (Severity.WARNING, False), (Severity.ERROR, True), (Severity.ERROR, True), (Severity.WARNING, False),
    ]  # fmt: skip
    assert all(item.fix for item in found)
    lost: dict[str, RegionStatus | StepError] = {"east": gone("east"), "west": seen["west"]}
    severe = [item for item in findings("deployments", lost, roles(lost), listed, flaws) if item.severity is Severity.ERROR]
    assert all("west" in item.fact for item in severe)
    assert len(severe) == 2


@pytest.mark.parametrize(
    ("until", "fact", "usable"),
    [
        (None, "no certificate", False),
        (NOW - timedelta(seconds=1), "certificate expired on 2026-02-28 23:59 UTC", False),
        (NOW + timedelta(days=2), "certificate expires in 48h00m", True),
    ],
)
def test_flaws_of_a_certificate(until: datetime | None, fact: str, usable: bool) -> None:
    """Missing, expired and soon to expire are told apart; the fix names hostname and region."""
    flaw = judge("a.dr.test", "west", until, NOW, timedelta(days=14))
    assert flaw is not None
    assert (flaw.fact, flaw.usable) == (fact, usable)
    assert "a.dr.test" in flaw.fix
    assert "west" in flaw.fix


def test_a_good_certificate_has_no_flaw() -> None:
    """Good for longer than the margin."""
    assert judge("a.dr.test", "west", NOW + timedelta(days=15), NOW, timedelta(days=14)) is None


@pytest.mark.parametrize(
    ("scheduler", "job", "beat", "lives"),
    [
        ("running", 8, NOW + timedelta(seconds=1), True),
        ("running", 7, NOW + timedelta(seconds=1), False),
        ("running", 8, NOW - timedelta(seconds=1), False),
        ("running", 8, None, False),
        ("stopped", 8, NOW + timedelta(seconds=1), False),
    ],
)
def test_a_new_scheduler_is_one_above_the_highest_job_with_a_heartbeat_after_the_promotion(
    scheduler: str, job: int, beat: datetime | None, lives: bool
) -> None:
    """Replicated rows of the lost region's scheduler never pass for a new one."""
    status = DeploymentStatus(
        frozen=False, components={"scheduler": scheduler}, scheduler_job=job, scheduler_heartbeat=beat, database="writable"
    )
    assert status.scheduled_since(7, NOW) is lives
