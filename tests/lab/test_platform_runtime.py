"""The runtime on real servers: writes, freeze, schedulers, and the rules that tasks are run by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import httpx
import psycopg
import pytest

from dr.lab import credentials
from dr.lab.lab import Lab
from dr.lab.layout import CONTROL_PORT, PUBLIC_PORT, Deployment
from dr.lab.platform import ledger
from dr.lab.platform.config import ClientConfig, read_config
from dr.lab.platform.outside import Reply
from dr.lab.platform.tls import client_context
from dr.model.base import Json
from dr.model.scenario import Fault
from dr.ports import Clock

pytestmark = pytest.mark.lab
WORKING, QUIET = Deployment(1), Deployment(5)
"""The client writes through all of them; tests hold and change the quiet one only."""


@dataclass(frozen=True)
class Region:
    """One region's runtime, asked by address."""

    lab: Lab
    name: str
    web: httpx.Client
    clock: Clock

    @property
    def address(self) -> str:
        return self.lab.layout.region(self.name).address

    def public(self, method: str, path: str, body: Json = None, hostname: str = QUIET.hostname_api) -> Reply:
        """As a client that found this address behind the name."""
        answer = self.web.request(
            method, f"https://{self.address}:{PUBLIC_PORT}{path}", json=body,
            headers={"Host": hostname}, extensions={"sni_hostname": hostname},
        )  # fmt: skip
        return Reply(answer.status_code, answer.content)

    def write(self, identity: str, kind: str = "check") -> tuple[int, dict[str, Json]]:
        answer = self.public("POST", "/write", {"id": identity, "kind": kind})
        return answer.status, json.loads(answer.body)

    def control(self, method: str, path: str, body: Json = None) -> tuple[int, dict[str, Json]]:
        token = credentials.read_secret(self.lab.layout, credentials.CONTROL)
        answer = self.web.request(
            method, f"https://{self.address}:{CONTROL_PORT}{path}", json=body, headers={"Authorization": f"Bearer {token}"}
        )
        return answer.status_code, answer.json()

    def order(self, path: str, **body: Json) -> tuple[int, dict[str, Json]]:
        """An order for the quiet Deployment."""
        return self.control("POST", path, {"deployments": [QUIET.id], **body})

    def status(self) -> dict[str, Json]:
        code, body = self.control("GET", f"/status?deployments={QUIET.id}")
        assert (code, body["region"], list(body["deployments"])) == (200, self.name, [QUIET.id])
        return dict(body["deployments"][QUIET.id])

    def query(self, statement: str, *values: object) -> list[tuple[Json, ...]]:
        server = self.lab.servers().postgres_of(self.lab.layout.region(self.name))
        with psycopg.connect(server.conninfo(QUIET.database, "dr"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), values)
            return list(cursor.fetchall()) if cursor.description else []

    def until(self, holds: Callable[[], bool]) -> bool:
        """Whether it comes to hold within 20 s."""
        deadline = self.clock.monotonic() + 20
        while not (held := holds()) and self.clock.monotonic() < deadline:
            self.clock.sleep(0.02)
        return held


def _region(lab: Lab, name: str, clock: Clock) -> Iterator[Region]:
    with httpx.Client(verify=client_context(lab.layout.authority), timeout=10) as web:
        yield Region(lab, name, web, clock)


@pytest.fixture
def east(lab: Lab, clock: Clock) -> Iterator[Region]:
    """The primary; whatever a test did to the quiet Deployment is taken back."""
    for region in _region(lab, "east", clock):
        yield region
        assert region.order("/thaw")[0] == 200
        assert region.order("/start", component="scheduler")[0] == 200


@pytest.fixture
def west(lab: Lab, clock: Clock) -> Iterator[Region]:
    """The hot standby."""
    yield from _region(lab, "west", clock)


def test_same_write_twice_is_one_row(east: Region) -> None:
    """A write is acknowledged with its region; the same id again is acknowledged too and is still one row."""
    identity = f"twice-{uuid4()}"
    for _ in range(2):
        status, body = east.write(identity)
        assert (status, body["id"], body["region"]) == (201, identity, "east")
    assert east.query("SELECT count(*) FROM log WHERE extra = %s AND event = 'check'", identity) == [(1,)]
    listed = json.loads(east.public("GET", "/writes?kind=check").body)
    assert listed.count(identity) == 1
    assert identity not in json.loads(east.public("GET", "/writes?kind=outside").body)


@pytest.mark.parametrize(
    "body", [{"id": "x", "kind": "other"}, {"id": ""}, {"id": 7}, {"id": "x" * 201}, ["x"]], ids=["kind", "empty", "number", "long", "list"]
)
def test_bad_write(east: Region, body: Json) -> None:
    """A write that is none is refused with what was expected, and nothing is written."""
    answer = east.public("POST", "/write", body)
    assert answer.status == 400 and b"expected" in answer.body


def test_every_name_leads_to_its_own_deployment(east: Region) -> None:
    """What was written through one Deployment's names is listed by all of its own, and by no other one's."""
    identity = f"own-{uuid4()}"
    assert east.write(identity)[0] == 201
    for hostname in QUIET.hostnames:
        assert identity in json.loads(east.public("GET", "/writes?kind=check", hostname=hostname).body)
    assert identity not in json.loads(east.public("GET", "/writes?kind=check", hostname=WORKING.hostname_api).body)


def test_standby_takes_no_writes(west: Region) -> None:
    """On the hot standby a write is answered 503 read-only, health says so, and the schedulers are stopped with the API up."""
    status, body = west.write(f"refused-{uuid4()}")
    assert (status, body["error"], body["region"]) == (503, "read-only", "west")
    health = json.loads(west.public("GET", "/api/v2/monitor/health").body)
    assert (health["metadatabase"]["status"], health["region"], health["writable"]) == ("healthy", "west", False)
    seen = west.status()
    assert (seen["components"], seen["database"], seen["scheduler_job"]) == (
        {"api-server": "running", "scheduler": "stopped"}, "read-only", None,
    )  # fmt: skip


def test_standby_does_not_schedule(west: Region) -> None:
    """A scheduler is refused on a read-only database with 409, however often; stopping what does not run is fine."""
    for _ in range(2):
        code, body = west.order("/start", component="scheduler")
        assert (code, body["error"], list(body["refused"])) == (409, "read-only", [QUIET.id])
    assert west.order("/stop", component="scheduler")[0] == 200
    assert west.status()["components"]["scheduler"] == "stopped"


def test_freeze_and_thaw(east: Region) -> None:
    """Frozen: writes are refused and nothing is written; the scheduler starts no task; thawed, both go on. Each may be said twice."""
    for _ in range(2):
        assert east.order("/freeze") == (200, {"region": "east", "frozen": 1})
    identity = f"frozen-{uuid4()}"
    status, body = east.write(identity)
    assert (status, body["error"]) == (503, "frozen")
    run = trigger(east, "canary")
    before = east.status()
    assert before["frozen"] and before["components"]["scheduler"] == "running"
    assert east.until(lambda: east.status()["scheduler_heartbeat"] > before["scheduler_heartbeat"])
    assert state_of(east, run) == (None, 0)
    for _ in range(2):
        assert east.order("/thaw")[0] == 200
    assert east.write(identity)[0] == 201
    assert east.until(lambda: state_of(east, run) == ("success", 1))


def test_stop_and_start(east: Region) -> None:
    """Stopped, the job row has ended and tasks keep their rows; started, there is one new job with a newer id. Each may be said twice."""
    first = east.status()
    running = east.query("SELECT count(*) FROM task_instance WHERE state = 'running' AND dag_id IN ('load_facts', 'billing')")
    for _ in range(2):
        assert east.order("/stop", component="scheduler")[0] == 200
    stopped = east.status()
    assert (stopped["components"]["scheduler"], stopped["scheduler_job"], stopped["tasks_running"]) == ("stopped", None, 0)
    assert east.query("SELECT state, end_date IS NOT NULL FROM job WHERE id = %s", first["scheduler_job"]) == [("success", True)]
    assert running == east.query("SELECT count(*) FROM task_instance WHERE state = 'running' AND dag_id IN ('load_facts', 'billing')")
    jobs = {east.order("/start", component="scheduler")[1]["scheduler_job"][QUIET.id] for _ in range(2)}
    assert len(jobs) == 1 and jobs.pop() > first["scheduler_job"]
    assert east.query("SELECT count(*) FROM job WHERE job_type = 'SchedulerJob' AND state = 'running'") == [(1,)]
    assert east.until(lambda: east.status()["tasks_running"] >= running[0][0])


def test_retired_scheduler_ends(east: Region) -> None:
    """A scheduler whose job row somebody retired does not go on."""
    job = east.status()["scheduler_job"]
    east.query("UPDATE job SET state = 'failed', end_date = now() WHERE id = %s", job)
    assert east.until(lambda: east.status()["components"]["scheduler"] == "stopped")
    assert east.query("SELECT state FROM job WHERE id = %s", job) == [("failed",)]


def trigger(region: Region, dag: str, **task: object) -> str:
    """A new run of a DAG, with one task where it is described; returns the run's id."""
    run = f"manual__{uuid4()}"
    fields: dict[str, object] = {"task_id": "work", "state": None, "try_number": 0, "max_tries": 0, "pool": "default_pool"}
    fields |= {"operator": "PythonOperator"} | task
    columns = ", ".join(fields)
    marks = ", ".join("%s" for _ in fields)
    # one statement: a scheduler that sees the queued run gives it a task of its own where there is none
    region.query(
        "WITH triggered AS (INSERT INTO dag_run (dag_id, run_id, run_type, queued_at, state) VALUES (%s, %s, 'manual', now(), 'queued'))"
        f" INSERT INTO task_instance (dag_id, run_id, {columns}) VALUES (%s, %s, {marks})",
        dag, run, dag, run, *fields.values(),
    )  # fmt: skip
    return run


def state_of(region: Region, run: str) -> tuple[Json, ...]:
    """State and try of a run's only task."""
    [row] = region.query("SELECT state, try_number FROM task_instance WHERE run_id = %s", run)
    return row


def test_task_runs_once(east: Region) -> None:
    """A triggered run is picked up: its task succeeds at its first try, leaves an XCom that names the region, and the run succeeds."""
    run = trigger(east, "canary")
    assert east.until(lambda: east.query("SELECT state FROM dag_run WHERE run_id = %s", run) == [("success",)])
    assert state_of(east, run) == ("success", 1)
    assert east.query("SELECT value ->> 'region' FROM xcom WHERE run_id = %s", run) == [("east",)]


def test_retries_are_honoured(east: Region) -> None:
    """A task that fails is tried again while tries are left, each failed try kept once in the history; without tries left it fails."""
    again = trigger(east, "canary", operator="FlakyOperator", max_tries=1)
    never = trigger(east, "canary", operator="FlakyOperator", max_tries=0)
    assert east.until(lambda: state_of(east, again) == ("success", 2))
    assert east.until(lambda: state_of(east, never) == ("failed", 1))
    assert east.query("SELECT try_number, state FROM task_instance_history WHERE run_id = %s", again) == [(1, "failed")]
    assert east.query("SELECT count(*) FROM task_instance_history WHERE run_id = %s", never) == [(0,)]


@pytest.mark.parametrize("state", [None, "scheduled", "queued", "up_for_retry"])
def test_at_most_once_is_never_started_twice(east: Region, state: str | None) -> None:
    """A task of the pool that was started before fails instead of being started again, whatever state somebody put it into."""
    run = trigger(east, "canary", pool="at_most_once")
    assert east.until(lambda: state_of(east, run) == ("success", 1))
    [(started,)] = east.query("SELECT start_date FROM task_instance WHERE run_id = %s", run)
    east.query(  # at once: between two statements the scheduler would see a run whose tasks are over, and end it
        "WITH again AS (UPDATE dag_run SET state = 'running', end_date = NULL WHERE run_id = %s)"
        " UPDATE task_instance SET state = %s, end_date = NULL WHERE run_id = %s",
        run, state, run,
    )  # fmt: skip
    assert east.until(lambda: state_of(east, run) == ("failed", 1))
    assert east.query("SELECT start_date FROM task_instance WHERE run_id = %s", run) == [(started,)]


def test_at_most_once_remembers_by_history(east: Region) -> None:
    """Also where only the history tells that it was started: a requeued task has no start of its own."""
    assert east.order("/freeze")[0] == 200
    run = trigger(east, "canary", pool="at_most_once", max_tries=3)
    east.query(
        "INSERT INTO task_instance_history (task_instance_id, task_id, dag_id, run_id, try_number, state, pool)"
        " VALUES (gen_random_uuid(), 'work', 'canary', %s, 1, 'failed', 'at_most_once')",
        run,
    )
    assert east.order("/thaw")[0] == 200
    assert east.until(lambda: state_of(east, run)[0] == "failed")
    assert east.query("SELECT start_date FROM task_instance WHERE run_id = %s", run) == [(None,)]


def test_full_pool_and_paused_dag_wait(east: Region) -> None:
    """The seeded queue waits for its full pool, and a paused DAG starts nothing, while other tasks run."""
    waiting = trigger(east, "old_export")
    done = trigger(east, "canary")
    assert east.until(lambda: state_of(east, done) == ("success", 1))
    assert state_of(east, waiting) == (None, 0)
    assert east.query("SELECT DISTINCT state, try_number FROM task_instance WHERE task_id = 'backfill'") == [("queued", 1)]
    east.query("DELETE FROM dag_run WHERE run_id = %s", waiting)


def test_control_refuses_strangers(east: Region) -> None:
    """Without the token nothing is told or done; an unknown Deployment, component and path are named."""
    url = f"https://{east.address}:{CONTROL_PORT}"
    assert east.web.get(f"{url}/status").status_code == 401
    assert east.web.post(f"{url}/freeze", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert not east.status()["frozen"]
    assert east.control("POST", "/freeze", {"deployments": ["d-999"]})[0] == 404
    assert east.order("/stop", component="api-server")[0] == 400
    assert east.order("/nothing")[0] == 404


def test_capacity_that_comes_late(east: Region, west: Region) -> None:
    """A slow Deployment takes no write although its database could; a standby refuses as ever, for the time counts from its promotion."""
    for region in (east, west):
        assert region.order("/slow", seconds=3600)[0] == 200
    assert east.write(f"slow-{uuid4()}") == (503, {"error": "starting", "region": "east"})
    assert west.write(f"slow-{uuid4()}")[1]["error"] == "read-only"
    assert east.order("/slow", seconds="long")[0] == 400
    for region in (east, west):
        assert region.order("/slow", seconds=0)[0] == 200
    assert east.write(f"slow-{uuid4()}")[0] == 201


def test_certificates(east: Region) -> None:
    """A name that the region has no certificate for is refused by who verifies it; a name without a Deployment has no page."""
    with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
        east.public("GET", "/writes", hostname="stranger.dr.test")
    assert east.web.get(f"https://{east.address}:{PUBLIC_PORT}/writes").status_code == 404


def test_planted_secrets_are_in_the_platform(east: Region) -> None:
    """Connections and variables carry the marker that tests look for in everything that dr leaves behind."""
    marker = credentials.read_secret(east.lab.layout, credentials.MARKER)
    [(passwords,)] = east.query("SELECT count(*) FROM connection WHERE password LIKE %s || '%%'", marker)
    [(variables,)] = east.query("SELECT count(*) FROM variable WHERE val LIKE %s || '%%'", marker)
    assert (passwords, variables) == (2, 1)


def test_outside_sees_a_healthy_platform(lab: Lab, clock: Clock) -> None:
    """Client and agent work through all names; nothing is lost, and every acknowledged write is where its Deployment says."""
    config = read_config(lab.layout.client / "client.json", ClientConfig)
    since, deadline = clock.now(), clock.monotonic() + 20
    while not ledger.settled(config, lab.layout.agent_ledger, since) and clock.monotonic() < deadline:
        clock.sleep(0.05)
    found = ledger.truth(config, lab.layout.agent_ledger)
    assert set(found.served_by.values()) == {"east"} and len(found.served_by) == 15
    assert found.acknowledged_writes >= 15 and found.agent_polls_after > 0
    assert (found.lost_writes, found.unconfirmed_writes, found.loss_window) == (0, 0, timedelta(0))


def test_database_comes_back(west: Region) -> None:
    """While the database is gone the runtime says unreachable and stays up; soon after its return it answers through open connections."""
    west.lab.inject(Fault.model_validate({"at": "0s", "kill": {"region": "west", "server": "postgres"}}))
    assert west.until(lambda: west.write(f"gone-{uuid4()}")[1]["error"] == "unreachable")
    assert west.status()["database"] == "unreachable"
    assert not json.loads(west.public("GET", "/api/v2/monitor/health").body)["writable"]
    assert west.order("/start", component="scheduler")[0] == 503
    west.lab.inject(Fault.model_validate({"at": "0s", "bring_back": {"region": "west", "server": "postgres"}}))
    assert west.until(lambda: west.status()["database"] == "read-only")
    assert west.write(f"refused-{uuid4()}")[1]["error"] == "read-only"
    primary = west.lab.servers().postgres_of(west.lab.layout.region("east"))
    primary.wait_streaming("west")
