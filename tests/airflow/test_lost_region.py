"""East is killed and west promoted: every step of a failover on real servers, and what is left of every task."""

from __future__ import annotations

import json
import stat
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
from dr.model.evidence import Evidence, Fenced, Healthy, Held, Identities, Promoted, RecoveryPoint, TaskCount, WriteAccepted
from dr.model.identity import IdentitySnapshot
from dr.model.plan import Acceptance
from dr.model.scenario import Fault, Target
from dr.model.words import FenceState, Guard, Intent, Outcome, Role, TaskFate
from dr.ports import Clock
from dr.providers.airflow import AirflowDeployments
from dr.providers.airflow.config import TaskPolicy
from dr.providers.airflow.reconcile import reconcile
from dr.providers.airflow.tasks import IN_FLIGHT
from tests.airflow.world import FENCED, Kept, Run, Servers, config, site
from tests.conftest import WORKLOAD
from tests.postgres.rig import poll

pytestmark = pytest.mark.lab

IDS = tuple(f"d-{number:03d}" for number in range(1, 6))


def lose_east(lab: Lab, kind: AirflowDeployments, clock: Clock, run: Run) -> None:
    """Kills east, promotes west, and notes what the kind postgres would have found. West has all that was seen in east until now."""
    with Servers(lab.layout).connect("east") as connection:
        [end] = connection.execute("SELECT pg_current_wal_lsn()").fetchone() or [None]
    with Servers(lab.layout).connect("west") as connection:
        # replication lags on a busy machine; what a snapshot of east counted and west never got would be a loss that no test here planned
        replayed = "SELECT pg_last_wal_replay_lsn() >= %s"
        poll(lambda: connection.execute(replayed, [end]).fetchone() == (True,), "west to replay what east has written")
    lab.inject(Fault(at=timedelta(0), kill=Target(region="east")))
    with Servers(lab.layout).admin("west") as admin:
        admin.execute("SELECT pg_promote(true, 30)")
    run.evidence += [FENCED, Promoted(component="metadata-db", region="west", epoch=2, promoted_at=clock.now())]


@pytest.fixture
def lost(fresh_lab: Lab, clock: Clock, tmp_path: Path) -> Iterator[Run]:
    """A lab of one's own: east killed, west promoted, identities kept from before."""
    kind = AirflowDeployments("deployments", config(fresh_lab.layout), ["metadata-db"], site(fresh_lab.layout, clock, tmp_path / "kept"))
    run = Run(kind, clock)
    kind._site.samples.keep_identities("airflow-lab", "deployments", kind.identities("east"))
    lose_east(fresh_lab, kind, clock, run)
    yield run
    kind.close()


@pytest.fixture(scope="module")
def promoted(lab: Lab, clock: Clock) -> Iterator[tuple[Lab, list[Evidence], IdentitySnapshot]]:
    """The same for the tests that can share one, in the order in which they stand here."""
    lab.down()
    lab.up(WORKLOAD, owned=True)
    kind = AirflowDeployments("deployments", config(lab.layout), ["metadata-db"], site(lab.layout, clock, lab.layout.orchestrator))
    run, before = Run(kind, clock), kind.identities("east")
    lose_east(lab, kind, clock, run)
    yield lab, run.evidence, before
    kind.close()
    lab.down()
    lab.up(WORKLOAD, owned=True)


@pytest.fixture
def west(
    promoted: tuple[Lab, list[Evidence], IdentitySnapshot], clock: Clock, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Run]:
    """A run of its own in the shared lab."""
    lab, evidence, before = promoted
    kind = AirflowDeployments("deployments", config(lab.layout), ["metadata-db"], site(lab.layout, clock, tmp_path / "kept"))
    kind._site.samples.keep_identities("airflow-lab", "deployments", before)
    yield Run(kind, clock, id=f"run-{request.node.name[5:25]}", evidence=list(evidence))
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

    states = ", ".join(f"'{state}'" for state in IN_FLIGHT)
    in_flight = sum(len(rows(fresh_lab, number, f"SELECT id FROM task_instance WHERE state IN ({states})")) for number in range(1, 6))
    assert lost.do("reconcile").outcome is Outcome.DONE
    count = counted(lost)
    assert count.in_flight == in_flight == len(items(count))
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

    # re-protect: east comes back writable, with its schedulers
    fresh_lab.inject(Fault(at=timedelta(0), bring_back=Target(region="east")))
    lost.intent = Intent.REPROTECT
    assert lost.do("quiesce").outcome is Outcome.DONE
    status = lost.kind._fleet.control.status("east").deployments
    assert all(item.frozen and not item.scheduling for item in status.values())
    assert lost.do("quiesce").outcome is Outcome.ALREADY


def test_a_planned_move_puts_back_in_west_what_it_held_in_east(fresh_lab: Lab, clock: Clock, tmp_path: Path) -> None:
    """What east's hold recorded rides on the data; tasks that are still running are decided in west; nothing is lost on the way."""
    given = config(fresh_lab.layout, drain="300ms")
    kind = AirflowDeployments("deployments", given, ["metadata-db"], site(fresh_lab.layout, clock, tmp_path / "kept"))
    run = Run(kind, clock, intent=Intent.SWITCHOVER)
    for name in ("prepare", "snapshot", "freeze", "drain"):
        assert run.do(name).outcome is Outcome.DONE
    held = next(item for item in run.evidence if isinstance(item, Held))
    drained = counted(run)
    assert drained.in_flight == sum(drained.fates.values()) > 0
    lose_east(fresh_lab, kind, clock, run)
    run.evidence.append(
        RecoveryPoint(component="metadata-db", region="west", read_at=clock.now(), recovery_point=clock.now(), complete=True)
    )
    for name in ("verify-inside", "hold", "reconcile", "start", "canary", "release", "fingerprint"):
        assert run.do(name).outcome is Outcome.DONE, name
    again = next(item for item in reversed(run.evidence) if isinstance(item, Held))
    assert (again.region, again.active) == ("west", held.active)
    final = counted(run)
    assert final.fates[TaskFate.FINISHED] == drained.fates[TaskFate.FINISHED]
    assert sum(final.fates.values()) == final.in_flight
    assert final.duplicated == 0
    for number in range(1, 6):
        paused = "SELECT dag_id FROM dag WHERE NOT is_paused AND dag_id <> 'canary' ORDER BY 1"
        assert tuple(row[0] for row in rows(fresh_lab, number, paused)) == held.active[f"d-{number:03d}"]
    kind.close()


def test_what_was_changed_or_lost_is_named_and_somebody_must_accept_it(west: Run, clock: Clock) -> None:
    """I7: a Deployment that was there before and is not any more, and an image that differs."""
    kept = west.kind._site.samples
    assert isinstance(kept, Kept)
    before = kept.snapshots[-1]
    first = before.deployments[0]
    ghost = first.model_copy(update={"id": "d-099", "name": "ghost"})
    changed = first.model_copy(update={"image_digest": "sha256:0"})
    kept.snapshots.append(before.model_copy(update={"deployments": (changed, *before.deployments[2:], ghost)}))
    refused = west.do("fingerprint")
    assert refused.outcome is Outcome.FAILED
    assert "d-001.image_digest, d-099" in refused.reason
    found = next(item for item in refused.evidence if isinstance(item, Identities))
    assert (found.missing, found.changed, found.created_later) == (("d-099",), ("d-001.image_digest",), ("d-002",))
    west.acceptances = (Acceptance(guard=Guard.IDENTITIES, actor="lead", reason="known", at=clock.now()),)
    assert west.do("fingerprint").outcome is Outcome.DONE


def test_spoilt_contents_are_named_and_a_planned_move_is_not_over_with_them(west: Run, lab: Lab, clock: Clock) -> None:
    """I7 on real tables: a variable, a pool, a DAG and two runs of the history are not in west what they were in east."""
    kept = west.kind._site.samples
    assert isinstance(kept, Kept)
    [contents] = [item.contents for item in kept.snapshots[-1].deployments if item.id == "d-002"]
    west.intent = Intent.SWITCHOVER
    same = west.do("fingerprint")
    assert same.outcome is Outcome.DONE, same.reason
    first = next(item for item in same.evidence if isinstance(item, Identities))
    assert (first.contents, first.fewer) == ((), {})
    assert first.rows["dag_run"] >= 25 and first.rows["xcom"] >= 45  # three days and what runs, in each of five
    spoil = """
        UPDATE variable SET val = 'another' WHERE key = 'environment';
        UPDATE slot_pool SET slots = slots + 1 WHERE pool = 'default_pool';
        UPDATE dag SET is_stale = true WHERE dag_id = 'old_export';
        CREATE TABLE gone AS SELECT * FROM xcom;
        DELETE FROM xcom
    """
    mend = """
        UPDATE variable SET val = 'production' WHERE key = 'environment';
        UPDATE slot_pool SET slots = slots - 1 WHERE pool = 'default_pool';
        UPDATE dag SET is_stale = false WHERE dag_id = 'old_export';
        INSERT INTO xcom SELECT * FROM gone;
        DROP TABLE gone
    """
    with Servers(lab.layout).connect("west", "airflow_002") as connection:
        connection.execute(spoil.encode())
        try:
            refused = west.do("fingerprint")
        finally:
            connection.execute(mend.encode())
    assert refused.outcome is Outcome.FAILED
    found = next(item for item in refused.evidence if isinstance(item, Identities))
    assert found.contents == ("d-002.variable.environment", "d-002.pool.default_pool", "d-002.dag.old_export")
    assert contents is not None and found.fewer == {"d-002.xcom": contents.rows["xcom"]}  # its own: not all five have equally many
    assert "another" not in found.model_dump_json()
    assert "--accept identities" in refused.reason and "d-002.dag.old_export" in refused.reason


def test_without_a_snapshot_nothing_is_claimed(west: Run) -> None:
    """Unknown is not "equal": no age, nothing checked, and the reason says what was missing."""
    kept = west.kind._site.samples
    assert isinstance(kept, Kept)
    kept.snapshots.clear()
    result = west.do("fingerprint")
    found = next(item for item in result.evidence if isinstance(item, Identities))
    assert (found.checked, found.before_taken_at, found.before_sha256) == (0, None, None)
    assert "no snapshot of before" in result.reason


def test_a_crash_in_the_middle_of_reconcile_counts_nothing_twice(west: Run, lab: Lab) -> None:
    """I18: two Deployments were decided before the crash; the repeated step decides the other three and lists all five once."""
    west.do("hold")
    servers, highest = Servers(lab.layout), next(item for item in west.evidence if isinstance(item, Held)).highest_job
    first = []
    for number in (1, 4):
        with servers.connect("west", f"airflow_{number:03d}") as connection:
            first += reconcile(connection, f"d-{number:03d}", west.id, TaskPolicy(), highest[f"d-{number:03d}"], complete=False)
    assert first
    west.do("reconcile")
    once = counted(west)
    west.do("reconcile")
    again = counted(west)
    assert once.fates == again.fates
    listed = items(again)
    keys = [(item["deployment"], item["dag_id"], item["run_id"], item["task_id"], item["map_index"]) for item in listed]
    assert len(keys) == len(set(keys)) == again.in_flight
    assert {item["deployment"] for item in listed} == set(IDS)
    assert [item for item in listed if item["deployment"] in ("d-001", "d-004")] == [json.loads(item.line()) for item in first]
    twice = "SELECT count(*) FROM task_instance_history WHERE task_id = 'load' GROUP BY map_index HAVING count(*) > 1"
    assert rows(lab, 1, twice) == []


def test_schedulers_do_not_start_beside_ones_that_may_still_run(west: Run, clock: Clock) -> None:
    """I3: an unacknowledged fence must be accepted by a named person first."""
    unknown = Fenced(component="metadata-db", region="east", state=FenceState.UNACKNOWLEDGED, proof="host did not answer")
    west.evidence = [unknown if item is FENCED else item for item in west.evidence]
    refused = west.do("start")
    assert refused.outcome is Outcome.FAILED
    assert "--accept-split" in refused.reason
    west.acceptances = (Acceptance(guard=Guard.FENCE, actor="lead", reason="region lost", at=clock.now()),)
    for name in ("hold", "reconcile", "start"):
        assert west.do(name).outcome is Outcome.DONE
