"""East is killed and west promoted: every step of a failover on real servers, and what is left of every task."""

from __future__ import annotations

import json
import stat
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dns.query
import dns.tsigkeyring
import dns.update
import pytest

from dr.lab import credentials
from dr.lab.lab import Lab
from dr.lab.layout import DNS_PORT, TSIG_NAME, ZONE
from dr.model.evidence import Fenced, Healthy, Held, Identities, Promoted, TaskCount, WriteAccepted
from dr.model.plan import Acceptance
from dr.model.scenario import Fault, Target
from dr.model.words import FenceState, Guard, Intent, Outcome, Role, TaskFate
from dr.ports import Clock
from dr.providers.airflow import AirflowDeployments
from dr.providers.airflow.config import TaskPolicy
from dr.providers.airflow.reconcile import reconcile
from tests.airflow.world import FENCED, Kept, Run, Servers, config, site

pytestmark = pytest.mark.lab

IDS = tuple(f"d-{number:03d}" for number in range(1, 6))


@pytest.fixture
def lost(fresh_lab: Lab, clock: Clock, tmp_path: Path) -> Iterator[Run]:
    """East killed, west promoted, identities kept from before."""
    kind = AirflowDeployments("deployments", config(fresh_lab.layout), ["metadata-db"], site(fresh_lab.layout, clock, tmp_path / "kept"))
    run = Run(kind, clock)
    kind._site.samples.keep_identities("airflow-lab", "deployments", kind.identities("east"))
    fresh_lab.inject(Fault(at=timedelta(0), kill=Target(region="east")))
    with Servers(fresh_lab.layout).admin("west") as admin:
        admin.execute("SELECT pg_promote(true, 30)")
    run.evidence += [FENCED, Promoted(component="metadata-db", region="west", epoch=2, promoted_at=clock.now())]
    yield run
    kind.close()


def rows(lab: Lab, number: int, query: str) -> list[tuple[object, ...]]:
    with Servers(lab.layout).connect("west", f"airflow_{number:03d}") as connection:
        return connection.execute(query.encode()).fetchall()


def redirect(lab: Lab) -> None:
    """What the kind dns-records does."""
    region = lab.layout.region("west")
    ring = dns.tsigkeyring.from_text({TSIG_NAME: ("hmac-sha256", credentials.read_secret(lab.layout, credentials.TSIG))})
    update = dns.update.UpdateMessage(ZONE, keyring=ring)
    for number in range(1, 6):
        for sort in ("ui", "api", "remote"):
            update.replace(f"quiet-comet-{number:03d}.{sort}", 1, "A", region.address)
    dns.query.tcp(update, region.address, port=DNS_PORT, timeout=5)


def items(count: TaskCount) -> list[dict[str, object]]:
    assert count.items_path is not None
    path = Path(count.items_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return [json.loads(line) for line in path.read_text().splitlines()]


def counted(run: Run) -> TaskCount:
    return next(item for item in reversed(run.evidence) if isinstance(item, TaskCount))


def test_a_whole_failover(lost: Run, fresh_lab: Lab) -> None:
    """From the first write in west to the last DAG put back; each claim is read from west's own tables."""
    assert lost.kind.view().regions["west"].role is Role.PRIMARY
    for name in ("prepare", "verify-inside", "hold"):
        assert lost.do(name).outcome is Outcome.DONE
    inside = next(item for item in lost.evidence if isinstance(item, WriteAccepted))
    assert (inside.region, inside.route, len(inside.names)) == ("west", "inside", 5)
    held = next(item for item in lost.evidence if isinstance(item, Held))
    assert held.active["d-001"] == ("billing", "daily_report", "load_facts", "remote_sync")
    assert held.active["d-002"] == ("billing", "daily_report", "load_facts")

    in_flight = {
        number: Counter(
            (str(state), str(pool))
            for state, pool in rows(fresh_lab, number, "SELECT state, pool FROM task_instance WHERE state IN ('running','queued','deferred')")
        )
        for number in range(1, 6)
    }
    assert lost.do("reconcile").outcome is Outcome.DONE
    count = counted(lost)
    assert count.in_flight == sum(sum(one.values()) for one in in_flight.values()) == len(items(count))
    assert sum(count.fates.values()) == count.in_flight
    at_most_once = [item for item in items(count) if item["task_id"] == "charge"]
    assert len(at_most_once) == 10
    assert {item["fate"] for item in at_most_once} == {"failed"}
    assert rows(fresh_lab, 2, "SELECT count(*) FROM task_instance WHERE state IN ('running', 'queued', 'restarting')") == [(0,)]
    requeued = "SELECT count(*) FROM task_instance_history WHERE task_id = 'load' AND state = 'failed' AND end_date IS NOT NULL"
    assert rows(fresh_lab, 2, requeued) == [(sum(item["task_id"] == "load" and item["deployment"] == "d-002" for item in items(count)),)]
    assert rows(fresh_lab, 2, "SELECT count(*) FROM job WHERE state = 'running'") == [(0,)]

    assert lost.do("start").outcome is Outcome.DONE
    assert lost.do("canary").outcome is Outcome.DONE
    healthy = next(item for item in reversed(lost.evidence) if isinstance(item, Healthy))
    assert (healthy.healthy, healthy.total, healthy.unhealthy) == (5, 5, {})

    assert lost.do("verify-outside", seconds=0.2).outcome is Outcome.RETRY  # names still lead to east
    redirect(fresh_lab)
    assert lost.do("verify-outside").outcome is Outcome.DONE
    outside = next(item for item in reversed(lost.evidence) if isinstance(item, WriteAccepted))
    assert (outside.region, outside.route, len(outside.names)) == ("west", "outside", 15)

    assert rows(fresh_lab, 2, "SELECT dag_id FROM dag WHERE NOT is_paused ORDER BY 1") == [("canary",)]
    for _ in range(2):
        assert lost.do("release").outcome is Outcome.DONE
    assert rows(fresh_lab, 2, "SELECT dag_id FROM dag WHERE NOT is_paused ORDER BY 1") == [
        ("billing",), ("canary",), ("daily_report",), ("load_facts",),
    ]  # fmt: skip
    assert rows(fresh_lab, 2, "SELECT is_paused FROM dag WHERE dag_id = 'old_export'") == [(True,)]

    assert lost.do("fingerprint").outcome is Outcome.DONE
    same = next(item for item in reversed(lost.evidence) if isinstance(item, Identities))
    assert (same.checked, same.changed, same.missing, same.created_later) == (5, (), (), ())
    assert same.before_sha256 == same.after_sha256
    assert counted(lost).duplicated == 0
    assert rows(fresh_lab, 2, "SELECT DISTINCT state, try_number FROM task_instance WHERE task_id = 'charge'") == [("failed", 1)]


def test_a_crash_in_the_middle_of_reconcile_counts_nothing_twice(lost: Run, fresh_lab: Lab) -> None:
    """I18: two Deployments were decided before the crash; the repeated step decides the other three and lists all five once."""
    lost.do("hold")
    servers, highest = Servers(fresh_lab.layout), next(item for item in lost.evidence if isinstance(item, Held)).highest_job
    first = []
    for number in (1, 4):
        with servers.connect("west", f"airflow_{number:03d}") as connection:
            first += reconcile(connection, f"d-{number:03d}", lost.id, TaskPolicy(), highest[f"d-{number:03d}"], complete=False)
    assert first
    lost.do("reconcile")
    once = counted(lost)
    lost.do("reconcile")
    again = counted(lost)
    assert once.fates == again.fates
    listed = items(again)
    keys = [(item["deployment"], item["dag_id"], item["run_id"], item["task_id"], item["map_index"]) for item in listed]
    assert len(keys) == len(set(keys)) == again.in_flight
    assert {item["deployment"] for item in listed} == set(IDS)
    assert [item for item in listed if item["deployment"] in ("d-001", "d-004")] == [json.loads(item.line()) for item in first]
    assert rows(fresh_lab, 1, "SELECT count(*) FROM task_instance_history WHERE task_id = 'load' GROUP BY map_index HAVING count(*) > 1") == []


def test_schedulers_do_not_start_beside_ones_that_may_still_run(lost: Run, clock: Clock) -> None:
    """I3: an unacknowledged fence must be accepted by a named person first."""
    unknown = Fenced(component="metadata-db", region="east", state=FenceState.UNACKNOWLEDGED, proof="host did not answer")
    lost.evidence = [unknown if item is FENCED else item for item in lost.evidence]
    refused = lost.do("start")
    assert refused.outcome is Outcome.FAILED
    assert "--accept-split" in refused.reason
    lost.acceptances = (Acceptance(guard=Guard.FENCE, actor="lead", reason="region lost", at=clock.now()),)
    for name in ("hold", "reconcile", "start"):
        assert lost.do(name).outcome is Outcome.DONE


def test_what_was_changed_or_lost_is_named_and_somebody_must_accept_it(lost: Run, clock: Clock) -> None:
    """I7: a Deployment that was there before and is not any more, and an image that differs."""
    kept = lost.kind._site.samples
    assert isinstance(kept, Kept)
    before = kept.snapshots[-1]
    first = before.deployments[0]
    ghost = first.model_copy(update={"id": "d-099", "name": "ghost"})
    changed = first.model_copy(update={"image_digest": "sha256:0"})
    kept.snapshots.append(before.model_copy(update={"deployments": (changed, *before.deployments[2:], ghost)}))
    refused = lost.do("fingerprint")
    assert refused.outcome is Outcome.FAILED
    assert "d-001.image_digest, d-099" in refused.reason
    found = next(item for item in refused.evidence if isinstance(item, Identities))
    assert (found.missing, found.changed, found.created_later) == (("d-099",), ("d-001.image_digest",), ("d-002",))
    lost.acceptances = (Acceptance(guard=Guard.IDENTITIES, actor="lead", reason="known", at=clock.now()),)
    assert lost.do("fingerprint").outcome is Outcome.DONE


def test_without_a_snapshot_nothing_is_claimed(lost: Run) -> None:
    """Unknown is not "equal": no age, nothing checked, and the reason says what was missing."""
    kept = lost.kind._site.samples
    assert isinstance(kept, Kept)
    kept.snapshots.clear()
    result = lost.do("fingerprint")
    found = next(item for item in result.evidence if isinstance(item, Identities))
    assert (found.checked, found.before_taken_at, found.before_sha256) == (0, None, None)
    assert "no snapshot of before" in result.reason


def test_the_old_side_is_quieted_when_it_returns(lost: Run, fresh_lab: Lab) -> None:
    """Re-protect: east comes back writable with its schedulers; after the step it neither schedules nor accepts a write."""
    fresh_lab.inject(Fault(at=timedelta(0), bring_back=Target(region="east")))
    lost.intent = Intent.REPROTECT
    assert lost.do("quiesce").outcome is Outcome.DONE
    status = lost.kind._fleet.control.status("east").deployments
    assert all(item.frozen and not item.scheduling for item in status.values())
    assert lost.do("quiesce").outcome is Outcome.ALREADY
