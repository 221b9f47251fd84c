"""The lock of deploys on the lab's real servers: refused by both regions, taken away at the end and by a rollback, never for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from dr.lab.lab import Lab
from dr.model.evidence import PutBack, Temporary
from dr.model.scenario import Fault, Target
from dr.model.words import Intent, Outcome, Severity
from dr.ports import Clock
from dr.providers.airflow import AirflowDeployments
from tests.airflow.world import Run
from tests.freeze.conftest import Outside, environment

pytestmark = pytest.mark.lab

HELD = {"owner": "somebody-else", "reason": "a release", "expires_seconds": 600}


@pytest.fixture
def planned(kind: AirflowDeployments, clock: Clock) -> Run:
    """A switchover from east to west."""
    return Run(kind, clock, intent=Intent.SWITCHOVER, id="run-7")


def test_deploys_are_refused_in_both_regions_until_the_end(planned: Run, outside: Outside) -> None:
    """423 with run and reason while locked, nothing changed; the lock replicates; after the unlock a deploy goes through."""
    assert planned.do("lock").outcome is Outcome.DONE
    for _ in range(2):
        status, said = outside.deploy("east", "no")
        assert (status, said["error"]) == (423, "locked")
        assert "run-7" in said["detail"] and "switchover from east to west" in said["detail"] and "on-call" in said["detail"]
        assert said["lock"]["owner"] == "airflow-lab/run-7"
    assert outside.until(lambda: outside.deploy("west", "no")[0] == 423), "the other region sees it, too"
    assert "CHANGED_BY_TEST" not in environment(outside, "east")
    [fact] = [item for item in planned.evidence if isinstance(item, Temporary)]
    assert fact.until is not None and "unlock" in fact.by_hand
    [finding] = [item for item in planned.kind.view().findings if "locked" in item.fact]
    assert finding.severity is Severity.INFO and "airflow-lab/run-7" in finding.fact
    planned.kind._fleet.control.unlock("east", "airflow-lab")
    digest = f"sha256:{'a' * 64}"
    status, said = outside.deploy("east", "yes", digest)
    assert (status, said["image_digest"], environment(outside, "east")["CHANGED_BY_TEST"]) == (200, digest, "yes")
    assert outside.deploy("east", None)[0] == 200
    assert "CHANGED_BY_TEST" not in environment(outside, "east")


def test_a_lock_is_taken_once_and_undone_by_a_rollback(planned: Run, outside: Outside) -> None:
    """As after a crash: found, not repeated. The undo takes it away, also the second time."""
    assert planned.do("lock").outcome is Outcome.DONE
    again = planned.do("lock")
    assert (again.outcome, again.acted) == (Outcome.ALREADY, False)
    assert [item for item in again.evidence if isinstance(item, Temporary)], "a crash before the journal loses no fact"
    assert outside.owners("east") == [("airflow-lab/run-7", True)]
    planned.undo("lock")
    planned.undo("lock")
    assert outside.owners("east") == []
    assert outside.deploy("east", None)[0] == 200


def test_the_freeze_renews_a_lock_that_has_expired(planned: Run, outside: Outside) -> None:
    """An old TTL of hours is waited out between lock and freeze."""
    assert planned.do("lock").outcome is Outcome.DONE
    outside.rows("east", "UPDATE deploy_lock SET expires_at = now() - interval '1 second'")
    assert outside.owners("east") == [], "an expired lock is none"
    assert outside.deploy("east", None)[0] == 200
    assert planned.do("freeze").outcome is Outcome.DONE
    assert outside.owners("east") == [("airflow-lab/run-7", True)]
    planned.undo("freeze")
    planned.undo("lock")


def test_a_forgotten_lock_ends_by_itself(outside: Outside) -> None:
    """Nobody takes it away, and deploys come back."""
    order = {"owner": "airflow-lab/forgotten", "reason": "x", "expires_seconds": 1.0}
    assert outside.control("east", "/lock", order)[0] == 200
    assert outside.until(lambda: outside.deploy("east", None)[0] == 200)
    assert outside.owners("east") == []


def test_the_unlock_takes_away_what_earlier_runs_left_and_nothing_else(kind: AirflowDeployments, clock: Clock, outside: Outside) -> None:
    """A run that was cancelled left its lock; the next one's unlock takes both; another owner's stays and is named."""
    back = Run(kind, clock, intent=Intent.SWITCHOVER, source="west", target="east", id="run-9")
    for order in ({**HELD, "owner": "airflow-lab/run-8"}, HELD):
        assert outside.control("east", "/lock", order)[0] == 200
    result = back.do("unlock")
    assert result.outcome is Outcome.DONE
    assert "somebody-else" in result.reason
    [fact] = [item for item in back.evidence if isinstance(item, PutBack)]
    assert "airflow-lab/run-8" in fact.text
    assert outside.deploy("east", None)[0] == 423
    assert outside.control("east", "/unlock", {"owner": "somebody-else"}) == (200, {"region": "east", "unlocked": ["somebody-else"]})
    assert back.do("unlock").outcome is Outcome.DONE, "repeatable"


BAD: tuple[dict[str, object], ...] = (
    {}, {"owner": "x", "reason": "y"}, {**HELD, "expires_seconds": 0}, {**HELD, "owner": " "}, {**HELD, "reason": 1},
)  # fmt: skip


@pytest.mark.parametrize("order", BAD)
def test_a_lock_without_owner_reason_or_end_is_refused(outside: Outside, order: dict[str, object]) -> None:
    """Never open-ended, never anonymous."""
    status, said = outside.control("east", "/lock", order)
    assert (status, said["error"]) == (400, "expected owner, reason: text, and expires_seconds: a number above 0")
    assert outside.owners("east") == []


def test_what_is_under_way_when_the_lock_comes_is_through_or_refused(outside: Outside) -> None:
    """Deploys race with the lock: none that was acknowledged is missing, and once the lock was acknowledged none goes through."""
    done: list[tuple[int, int]] = []

    def deploy(number: int) -> None:
        done.append((number, outside.deploy("east", f"race-{number}")[0]))

    with ThreadPoolExecutor(4) as pool:  # they wait for each other on one connection, and the runtime gives each 2 s in all
        racing = [pool.submit(deploy, number) for number in range(8)]
        assert outside.control("east", "/lock", HELD)[0] == 200
        frozen = environment(outside, "east").get("CHANGED_BY_TEST")
        for item in racing:
            item.result()
    assert environment(outside, "east").get("CHANGED_BY_TEST") == frozen, "changed after the lock was acknowledged"
    assert {status for _, status in done} <= {200, 423}
    outside.control("east", "/unlock", {"owner": "somebody-else"})
    assert outside.deploy("east", None)[0] == 200


def test_a_lock_survives_a_restart_and_a_promotion(fresh_lab: Lab, planned: Run, outside: Outside) -> None:
    """Taken in east; its runtime dies and comes back, then east is lost and west promoted: locked all the time, until west unlocks."""
    assert planned.do("lock").outcome is Outcome.DONE
    fresh_lab.inject(Fault(at="0s", kill=Target(region="east", server="runtime")))
    fresh_lab.inject(Fault(at="0s", bring_back=Target(region="east", server="runtime")))
    assert outside.deploy("east", "no")[0] == 423
    assert outside.until(lambda: outside.owners("west") == [("airflow-lab/run-7", True)])
    fresh_lab.inject(Fault(at="0s", kill=Target(region="east")))
    outside.rows("west", "SELECT pg_promote(true, 20)")
    assert outside.deploy("west", "no")[0] == 423
    assert planned.do("unlock").outcome is Outcome.DONE
    assert outside.until(lambda: outside.deploy("west", "yes")[0] == 200)


def test_a_failover_locks_a_standby_at_once_and_writes_it_when_it_can(
    fresh_lab: Lab, kind: AirflowDeployments, clock: Clock, outside: Outside
) -> None:
    """East is gone: west's runtime refuses before the promotion, and its database has the lock after it; nobody waited for that."""
    run = Run(kind, clock, id="run-3")
    step = run.step("lock").spec
    assert step.optional and not step.needs and {touch.region for touch in step.touches} == {"west"}
    fresh_lab.inject(Fault(at="0s", kill=Target(region="east")))
    assert run.do("lock").outcome is Outcome.DONE
    assert outside.owners("west") == [("airflow-lab/run-3", False)]
    status, said = outside.deploy("west", "no")
    assert (status, said["lock"]["owner"]) == (423, "airflow-lab/run-3")
    outside.rows("west", "SELECT pg_promote(true, 20)")
    assert outside.until(lambda: outside.owners("west") == [("airflow-lab/run-3", True)])
    assert outside.rows("west", "SELECT owner FROM deploy_lock") == [("airflow-lab/run-3",)]
    assert run.do("unlock").outcome is Outcome.DONE
    assert outside.until(lambda: outside.deploy("west", "yes")[0] == 200)


def test_a_failover_that_is_cancelled_before_the_promotion_leaves_no_lock(kind: AirflowDeployments, clock: Clock, outside: Outside) -> None:
    """West takes no writes and never did: what its runtime holds is gone with the undo."""
    run = Run(kind, clock, id="run-4")
    assert run.do("lock").outcome is Outcome.DONE
    run.undo("lock")
    assert outside.owners("west") == []
