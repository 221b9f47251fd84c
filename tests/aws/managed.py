"""A small managed Airflow on AWS: real PostgreSQL behind an emulated global database, real runtimes, names in an emulated hosted zone.

What ``tests.aws.cloud`` has of everything, this has of one thing, but that is real: Deployments with databases, tasks and public names that
take writes over TLS.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from dr.lab.account import own
from dr.lab.credentials import Authority
from dr.lab.layout import Deployment, Layout, deployments
from dr.lab.platform.config import Endpoint, RuntimeConfig, Served, write_config
from dr.lab.platform.seed import new_marker, seed
from dr.providers.system import SystemClock
from dr.store.samples import SqliteSamples
from tests.aws.cloud import ROOT, Said
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.names import name_server, of_zone
from tests.aws.servers import WRITER_ADDRESS, Aurora
from tests.postgres.rig import ADDRESS, PASSWORD, Pair, free_port, new_place

CODES = {"east": "us-west-2", "west": "eu-west-1"}
RUNTIME_ADDRESS = {"east": "127.0.41.1", "west": "127.0.51.1"}
NAME, GLOBAL_CLUSTER = "airflow-aurora", "airflow"
CLUSTERS = {region: f"airflow-{region}" for region in CODES}
ENGINE = {"Engine": "aurora-postgresql", "EngineVersion": "16.4"}
TASKS = 12
_RUNTIME_ROLE = "CREATE ROLE runtime LOGIN PASSWORD {}; GRANT pg_read_all_data, pg_write_all_data TO runtime"
_HIDDEN = """
CREATE FUNCTION aurora.{name} RETURNS {answer} LANGUAGE plpgsql AS
$$ BEGIN RAISE feature_not_supported USING MESSAGE = 'Function {name} is currently not supported for Aurora'; END $$
"""
_LOG = {
    "pg_current_wal_lsn()": "pg_lsn", "pg_last_wal_receive_lsn()": "pg_lsn", "pg_last_wal_replay_lsn()": "pg_lsn",
    "pg_last_xact_replay_timestamp()": "timestamptz", "pg_walfile_name(lsn pg_lsn)": "text",
}  # fmt: skip
"""What Aurora PostgreSQL refuses to say of its log, and the type of each answer; by field reports, no page of AWS lists them. For the role
``dr`` these come before PostgreSQL's own."""
_UP_SECONDS = 60.0

RUNBOOK = """\
apiVersion: dr/v1
name: {name}
regions:
  east: {{aws: {{region: us-west-2, profile: us-west-2, account: "{account}"}}}}
  west: {{aws: {{region: eu-west-1, profile: eu-west-1, account: "{account}"}}}}
home: east
objectives: {{rto: 1h, rpo: 15m}}
components:
  metadata-db:
    kind: aws.aurora-global-database
    rpo: 5m
    global_cluster: airflow
    regions: {{east: {{cluster: airflow-east}}, west: {{cluster: airflow-west}}}}
    sql:
      database: platform
      user: dr
      password: {{file: secrets/postgres}}
      sslmode: disable
      port: {port}
      endpoints: {{east: {east_writer}, west: {west_writer}}}
      reader_endpoints: {{east: {east_reader}, west: {west_reader}}}

  deployments:
    kind: airflow-deployments
    needs: [metadata-db]
    database: metadata-db
    certificate_authority: secrets/ca.pem
    certificates: {{east: tls/east, west: tls/west}}
    control_token: {{file: secrets/control}}
    regions:
      east: {{address: {east}, port: {public}, control: "https://{east}:{control}"}}
      west: {{address: {west}, port: {public}, control: "https://{west}:{control}"}}

  names:
    kind: aws.route53-records
    needs: [deployments]
    zone: {zone}
    deployments: deployments
    mode: edit
    ttl: 1s
    name_servers: ["{name_server}"]
    regions: {{east: {{values: [{east}]}}, west: {{values: [{west}]}}}}

  # --- what is no kind of AWS, beside them ---

  smoke:
    kind: http-check
    needs: [names]
    urls: ["https://quiet-comet-001.api.dr.test:{public}/api/v2/monitor/health"]
    equals: {{/region: "{{target}}", /writable: true}}
    certificate_authority: secrets/ca.pem

  history:
    kind: sql-check
    needs: [metadata-db, names]
    database: metadata-db
    catalog: airflow_001
    query: SELECT count(*) FROM dag_run WHERE run_type = 'scheduled' AND state = 'success'
    value: ">= 3"

  resolved:
    kind: dns-check
    needs: [names]
    names: [quiet-comet-001.ui.dr.test]
    resolvers: ["{name_server}"]
    addresses: {{east: [{east}], west: [{west}]}}

  told:
    kind: command
    needs: [names]
    run: [sh, -c, "echo {{intent}} {{source}} {{target}} >> told"]
    repeatable: true
"""


@dataclass
class Managed:
    """The platform. ``dr`` runs the command as a person does, on one machine."""

    emulator: Emulator
    aurora: Aurora
    layout: Layout
    people: tuple[Deployment, ...]
    public: int
    control: int
    runbook: Path
    zone: str = ""
    runtimes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Of every process of ``dr``."""
        home = str(self.layout.state)
        return {**os.environ, **self.emulator.environment(), "HOME": home, "XDG_STATE_HOME": home, "DR_STATE": f"{home}/dr"}

    def dr(self, *words: str, timeout: float = 120.0) -> Said:
        """One command, to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "dr", *words], env=self.environment, capture_output=True, text=True, timeout=timeout, cwd=ROOT,
            check=False,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    def watched(self) -> None:
        """The monitor has seen what the secondary holds and who the Deployments are."""
        argv = [sys.executable, "-m", "dr", "monitor", str(self.runbook), "--port", "0"]
        with (self.layout.state / "monitor.log").open("wb") as log:
            watching = subprocess.Popen(argv, env=self.environment, stdout=log, stderr=log, cwd=ROOT)
        samples = SqliteSamples(self.layout.state / "dr")
        try:
            deadline = time.monotonic() + _UP_SECONDS
            while True:
                known = samples.latest(NAME).get("metadata-db")
                if known is not None and known.recovery_point is not None and samples.identities(NAME, "deployments") is not None:
                    return
                assert watching.poll() is None and time.monotonic() < deadline, (self.layout.state / "monitor.log").read_text()[-2000:]
                time.sleep(0.2)
        finally:
            watching.send_signal(signal.SIGINT)
            watching.wait(30)
            samples.close()

    def start_runtime(self, region: str) -> None:
        """Waits until it listens."""
        config = RuntimeConfig(
            region=region, account=self.aurora.pair.account.name if self.aurora.pair.account else None, address=RUNTIME_ADDRESS[region],
            public_port=self.public, control_port=self.control, postgres=Endpoint(address=ADDRESS[region], port=self.aurora.pair.port),
            postgres_password_file=self.layout.secret("postgres"), control_token_file=self.layout.secret("control"),
            tls=self.layout.state / "tls" / region, deployments=tuple(Served.of(item) for item in self.people), schedulers=True,
        )  # fmt: skip
        path = write_config(self.layout.state / f"runtime-{region}.json", config)
        with (self.layout.state / f"runtime-{region}.log").open("ab") as log:
            self.runtimes[region] = subprocess.Popen(
                [sys.executable, "-P", "-m", "dr.lab.platform.runtime", "--config", str(path)], env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=log, stderr=log, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + _UP_SECONDS
        while not _listens(RUNTIME_ADDRESS[region], self.control):
            assert self.runtimes[region].poll() is None and time.monotonic() < deadline, Path(log.name).read_text()[-2000:]
            time.sleep(0.05)

    def lose(self, region: str) -> None:
        """Everything of it is gone: servers, RDS, the runtime."""
        self.runtimes[region].kill()
        self.runtimes.pop(region).wait()
        self.aurora.lose(region)

    def bring_back(self, region: str) -> None:
        """Everything of it is there again."""
        self.aurora.bring_back(region)
        self.start_runtime(region)

    def identities(self, region: str) -> list[tuple[Any, ...]]:
        """Who the Deployments are, as a region's database has them."""
        columns = "id, name, namespace, workspace, hostname_ui, hostname_api, hostname_remote, image_digest, environment::text, database"
        with self.aurora.pair.admin(region, "platform") as admin:
            return list(admin.execute(f"SELECT {columns} FROM deployment ORDER BY id"))

    def connect(self, region: str, database: str | None = None) -> Any:
        """As the runbook's user, as the component with the databases does it."""
        return psycopg.connect(
            host=ADDRESS[region], port=self.aurora.pair.port, user="dr", password=PASSWORD, dbname=database or "platform", autocommit=True
        )

    def write(self, hostname: str, identity: str) -> tuple[int, Any]:
        """One write as anybody outside makes it: the name as the zone has it, over TLS that is verified."""
        [address] = self.emulator.resolve(hostname)
        context = ssl.create_default_context(cafile=str(self.layout.authority))
        with socket.create_connection((address, self.public), 5) as plain, context.wrap_socket(plain, server_hostname=hostname) as safe:
            connection = http.client.HTTPConnection(hostname)
            connection.sock = safe
            connection.request("POST", "/write", json.dumps({"id": identity}))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def end(self) -> None:
        """Ends the runtimes."""
        for process in self.runtimes.values():
            process.terminate()
        for process in self.runtimes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def managed(count: int = 3) -> Iterator[Managed]:
    """It is up, in east, for as long as the block lasts."""
    base = new_place()
    try:
        with ExitStack() as stack:
            emulator = stack.enter_context(Emulator(tuple(CODES.values())))
            pair = Pair(base, free_port([*ADDRESS.values(), *WRITER_ADDRESS.values()], 16632))
            stack.callback(pair.end)
            pair.make()
            for region in ADDRESS:
                pair.start(region)
            made = _platform(emulator, pair, base / "platform", deployments(count))
            stack.callback(made.end)
            server = stack.enter_context(name_server(of_zone(emulator, made.zone)))
            made.runbook.write_text(_runbook(made, server))
            stack.enter_context(made.aurora.serving())
            for region in CODES:
                made.start_runtime(region)
            yield made
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _platform(emulator: Emulator, pair: Pair, state: Path, people: tuple[Deployment, ...]) -> Managed:
    layout = Layout(state, state)
    own(state, None, 0o755)
    own(layout.secrets, None)
    public = free_port(list(RUNTIME_ADDRESS.values()), 18800)
    aurora = Aurora(emulator, GLOBAL_CLUSTER, pair, CODES)
    made = Managed(emulator, aurora, layout, people, public, free_port(list(RUNTIME_ADDRESS.values()), public + 1), state / "runbook.yaml")
    for name, content in (("postgres", PASSWORD), ("control", "a token of this test")):
        layout.secret(name).write_text(content)
        layout.secret(name).chmod(0o600)
    authority = Authority.create(layout, SystemClock().now())
    hostnames = [hostname for item in people for hostname in item.hostnames]
    for region, address in RUNTIME_ADDRESS.items():
        authority.issue(state / "tls" / region, (*hostnames, address))
    _global_cluster(emulator)
    made.zone = _hosted_zone(emulator, hostnames)
    with pair.admin("east") as admin:
        admin.execute(sql.SQL(_RUNTIME_ROLE).format(sql.Literal(PASSWORD)))
    with pair.admin("east", "template1") as admin:  # what every database that is made from now on is made from
        admin.execute("CREATE SCHEMA aurora; GRANT USAGE ON SCHEMA aurora TO PUBLIC")
        admin.execute("ALTER ROLE dr SET search_path = aurora, pg_catalog, public")
        for name, answer in _LOG.items():
            admin.execute(_HIDDEN.format(name=name, answer=answer).encode())
    server = Endpoint(address=ADDRESS["east"], port=pair.port)
    seed(server, "admin", people, TASKS, region="east", marker=new_marker(), images=3, fernet={})
    pair.caught_up("east")
    return made


def _global_cluster(emulator: Emulator) -> None:
    emulator.client("rds", CODES["west"]).create_global_cluster(GlobalClusterIdentifier=GLOBAL_CLUSTER, **ENGINE)
    for region, code in CODES.items():
        rds, name = emulator.client("rds", code), CLUSTERS[region]
        login = {"MasterUsername": "airflow", "MasterUserPassword": "a-long-password"} if region == "east" else {}
        rds.create_db_cluster(DBClusterIdentifier=name, GlobalClusterIdentifier=GLOBAL_CLUSTER, **ENGINE, **login)
        rds.create_db_instance(
            DBInstanceIdentifier=f"{name}-1", DBClusterIdentifier=name, DBInstanceClass="db.r6g.large", Engine="aurora-postgresql"
        )


def _hosted_zone(emulator: Emulator, hostnames: list[str]) -> str:
    route53 = emulator.client("route53", "us-east-1")
    zone = str(route53.create_hosted_zone(Name="dr.test", CallerReference="managed")["HostedZone"]["Id"].rpartition("/")[2])
    values = [{"Value": RUNTIME_ADDRESS["east"]}]
    changes = [
        {"Action": "CREATE", "ResourceRecordSet": {"Name": name, "Type": "A", "TTL": 1, "ResourceRecords": values}} for name in hostnames
    ]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})
    return zone


def _runbook(made: Managed, server: str) -> str:
    return RUNBOOK.format(
        name=NAME, account=ACCOUNT, port=made.aurora.pair.port, public=made.public, control=made.control, zone=made.zone,
        name_server=server, **RUNTIME_ADDRESS, **{f"{region}_writer": address for region, address in WRITER_ADDRESS.items()},
        **{f"{region}_reader": address for region, address in ADDRESS.items()},
    )  # fmt: skip


def _listens(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0
