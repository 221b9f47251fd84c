"""The rendered runbook is typed literally, block by block, in the lab: the platform comes back, without ``dr``."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dr.lab import credentials
from dr.lab.account import servers_account
from dr.lab.extras.secrets import find_program
from dr.lab.lab import Lab
from dr.lab.layout import POSTGRES_PORT, Layout, deployments
from dr.lab.world import LabWorld
from dr.model.scenario import Fault, Workload
from dr.providers.airflow.config import TaskPolicy
from dr.providers.airflow.tasks import IN_FLIGHT, Task, decide
from tests.render.sheet import Person, steps

ROOT = Path(__file__).parents[2]
WORKLOAD = Workload(deployments=5, running_tasks=60, warm_up=timedelta(seconds=1))
NOT_REMOTE = "dag_id <> 'remote_sync'"
"""Tasks of the remote-execution agent live outside both regions: they may end at any moment, whoever decides about them."""


def rendered(*options: str, runbook: str = "lab.yaml") -> str:
    """The runbook as a person gets it on the quiet day before."""
    argv = [str(Path(sys.executable).with_name("dr")), "runbook", "render", str(ROOT / "runbooks" / runbook), *options]
    return subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def ask(layout: Layout, region: str, statement: str) -> list[tuple[str, tuple[Any, ...]]]:
    """Rows of every Deployment's database in a region, with the database's name."""
    found: list[tuple[str, tuple[Any, ...]]] = []
    password = credentials.read_secret(layout, credentials.POSTGRES_DR)
    for item in deployments(WORKLOAD.deployments):
        with psycopg.connect(
            host=layout.region(region).address, port=POSTGRES_PORT, dbname=item.database, user="dr", password=password, autocommit=True,
        ) as connection:  # fmt: skip
            found += [(item.database, row) for row in connection.execute(statement.encode()).fetchall()]
    return found


def due(layout: Layout) -> Counter[tuple[str, str, str, str]]:
    """The fate that the tool would give each task in flight: database, DAG, task, fate."""
    columns = "id::text, dag_id, run_id, task_id, map_index, state, try_number, max_tries, pool"
    states = ", ".join(f"'{state}'" for state in IN_FLIGHT)
    rows = ask(layout, "west", f"SELECT {columns} FROM task_instance WHERE state IN ({states}) AND {NOT_REMOTE}")
    tasks = [(database, Task(*row)) for database, row in rows]
    return Counter((database, task.dag_id, task.task_id, decide(task, TaskPolicy(), complete=False).fate.value) for database, task in tasks)


@pytest.mark.scenario
def test_region_outage_by_hand(no_lab: Lab, tmp_path: Path) -> None:
    """East dies. A person with psql, curl, dig and nsupdate types every command and every check of the page in its order.

    Then every public name takes writes in west, seen from outside; each task in flight has the fate that the tool would have given it, in
    the audit table; schedulers run in west; and the DAGs that were active are active again. Only the fence could not be done: that is what
    the page says, and the split is in the person's record.
    """
    world, person = LabWorld(no_lab), Person(tmp_path)
    layout = no_lab.layout
    try:
        page = rendered("--to", "west")
        world.up(WORKLOAD)
        secrets = [credentials.read_secret(layout, name) for name in ("postgres", "control", "tsig")]
        active = ask(layout, "east", "SELECT dag_id FROM dag WHERE NOT is_paused AND dag_id <> 'canary' ORDER BY 1")
        world.inject(Fault.model_validate({"at": "0s", "kill": {"region": "east"}}))
        wanted = due(layout)
        story, written = [], steps(page)
        for step in written:
            if step.id == "metadata-db/fence":
                assert person.type(step.do).returncode == 255
                assert person.type(step.check).returncode != 0
                record = next(block for block in page.split("```sh\n") if "split accepted" in block).partition("\n```")[0]
                assert person.type(record).returncode == 0
                continue
            story.append(person.do(step))
        world.settle(timedelta(seconds=30))
        fates = ask(layout, "west", f"SELECT dag_id, task_id, split_part(extra, ' ', 3) FROM log WHERE event = 'dr.task' AND {NOT_REMOTE}")
        again = "SELECT 1 FROM log WHERE event = 'dr.task' GROUP BY dag_id, run_id, task_id, map_index HAVING count(*) > 1"
        twice = ask(layout, "west", again)
        schedulers = ask(layout, "west", "SELECT 1 FROM job WHERE state = 'running' AND latest_heartbeat > now() - interval '30 seconds'")
        still_active = ask(layout, "west", "SELECT dag_id FROM dag WHERE NOT is_paused AND dag_id <> 'canary' ORDER BY 1")
        truth = world.truth()
    finally:
        left = world.down()
    assert left.ok
    assert len(written) > 15
    assert [step.id for step in written if step.irreversible] == ["metadata-db/promote"]
    assert truth.outage is not None, "\n\n".join(story)
    assert len(truth.hostnames) == 15
    assert all(name.first_ok_after is not None for name in truth.hostnames if name.first_fail is not None)
    assert set(truth.served_by.values()) == {"west"}
    assert sum(wanted.values()) > 0
    assert Counter((database, *row) for database, row in fates) == wanted
    assert twice == []
    assert {database for database, _ in schedulers} == {item.database for item in deployments(WORKLOAD.deployments)}
    assert still_active == active
    assert "split accepted yes: ann" in (person.folder / "dr-by-hand.txt").read_text()
    assert not any(secret in text for secret in secrets for text in [page, *story])


@pytest.mark.scenario
def test_after_the_outage_and_home_by_hand(no_lab: Lab, tmp_path: Path) -> None:
    """East comes back writing. The page for reprotect makes it follow west and keeps what only it had; the page for failback brings
    everything home without losing an acknowledged write, with east's own names, schedulers and active DAGs."""
    world, person = LabWorld(no_lab), Person(tmp_path)
    layout = no_lab.layout
    active = "SELECT dag_id FROM dag WHERE NOT is_paused AND dag_id <> 'canary' ORDER BY 1"
    try:
        world.up(WORKLOAD)
        before = ask(layout, "east", active)
        world.inject(Fault.model_validate({"at": "0s", "kill": {"region": "east"}}))
        typed(person, rendered(), leave=("metadata-db/fence",))
        world.inject(Fault.model_validate({"at": "0s", "bring_back": {"region": "east"}}))
        typed(person, rendered("--intent", "reprotect"))
        world.settle(timedelta(seconds=30))
        story = typed(person, rendered("--intent", "failback"))
        world.settle(timedelta(seconds=30))
        after = ask(layout, "east", active)
        follows = ask(layout, "west", "SELECT status FROM pg_stat_wal_receiver WHERE pg_is_in_recovery()")
        kept = [path for path in layout.region("east").postgres.iterdir() if "kept" in path.name]
        truth = world.truth()
    finally:
        left = world.down()
    assert left.ok
    assert set(truth.served_by.values()) == {"east"}, "\n\n".join(story)
    assert truth.outage is not None
    assert after == before
    assert {status for _, (status,) in follows} == {"streaming"}
    assert kept != []


def typed(person: Person, page: str, leave: Sequence[str] = ()) -> list[str]:
    """Every step of a page but those left out."""
    return [person.do(step) for step in steps(page) if step.id not in leave]


@pytest.mark.scenario
def test_the_whole_platform_by_hand(no_lab: Lab, tmp_path: Path) -> None:
    """The same with logs, images, secrets, certificates, silences and messages, there and home again: every check of the three pages
    passes, no value of a secret is ever shown, people were told, and no acknowledged object of logs is missing at home."""
    few = {"deployments": 2, "running_tasks": 10, "secrets": 5, "log_objects": 20}
    workload = WORKLOAD.model_copy(update={**few, "parts": ("logs", "images", "secrets", "alerts")})
    world, person = LabWorld(no_lab), Person(tmp_path)
    layout = no_lab.layout
    store = find_program(servers_account())
    assert store is not None
    (tmp_path / "bin" / "bao").symlink_to(store)
    told = layout.state / "dr" / "people.log"
    pages = {intent: rendered("--intent", intent, runbook="platform.yaml") for intent in ("failover", "reprotect", "failback")}
    story: list[str] = []
    try:
        world.up(workload)
        told.parent.mkdir(mode=0o700, exist_ok=True)
        world.inject(Fault.model_validate({"at": "0s", "kill": {"region": "east"}}))
        story += typed(person, pages["failover"], leave=("metadata-db/fence",))
        world.settle(timedelta(seconds=30))
        heard = told.read_text()
        world.inject(Fault.model_validate({"at": "0s", "bring_back": {"region": "east"}}))
        story += typed(person, pages["reprotect"])
        world.settle(timedelta(seconds=30))
        story += typed(person, pages["failback"])
        world.settle(timedelta(seconds=30))
        files = [path for path in layout.secrets.rglob("*") if path.is_file() and path.suffix != ".pem"]
        secrets = [path.read_bytes().decode(errors="replace").strip() for path in files]
        heard_again, truth = told.read_text().removeprefix(heard), world.truth()
    finally:
        told.unlink(missing_ok=True)
        left = world.down()
    assert left.ok
    assert set(truth.served_by.values()) == {"east"}, "\n\n".join(story)
    assert truth.outage is not None
    assert truth.acknowledged_objects and truth.lost_objects == 0, truth.lost_object_names
    assert "restored in west" in heard and "service is in east" in heard_again
    assert not any(secret in text for secret in secrets for text in story if secret)
