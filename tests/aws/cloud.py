"""The whole platform in two emulated regions, with people at its door: public names by DNS, a front door in each region, a runbook.

The runbook is the one that ships, ``runbooks/airflow-aws.yaml``, with its names and ARNs replaced by those of the platform.
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dr.store.samples import SqliteSamples
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.emulator.seed import DOMAIN, Platform, seed, self_signed
from tests.aws.names import name_server, of_zone

ROOT = Path(__file__).parents[2]
REGIONS = ("us-west-2", "eu-west-1")
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
ADDRESSES = (f"127.0.{91 + 2 * _WORKER}.1", f"127.0.{92 + 2 * _WORKER}.1")
"""Of the doors: each worker of a parallel test run has its own."""
PORT = 18443
REPLICATED = {"metadata-db", "sessions", "task-logs", "dags"}


@dataclass
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)


@dataclass
class Cloud:
    """Everything. ``dr`` runs the command as another process on another machine would: ``machine`` names its state directory."""

    emulator: Emulator
    platform: Platform
    folder: Path
    runbook: Path
    lost: set[str] = field(default_factory=set)
    name_server: str = ""

    def environment(self, machine: str, shared: str | None = None) -> dict[str, str]:
        """Of a process on a machine."""
        home = self.folder / machine
        home.mkdir(exist_ok=True)
        state = shared if shared is not None else str(home / "dr")
        return {**os.environ, **self.emulator.environment(), "HOME": str(home), "XDG_STATE_HOME": str(home), "DR_STATE": state}

    def dr(self, *words: str, machine: str = "laptop", shared: str | None = None, timeout: float = 240.0) -> Said:
        """One command, to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "dr", *words], env=self.environment(machine, shared), capture_output=True, text=True, timeout=timeout,
            cwd=ROOT, check=False,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    def begin(self, *words: str, machine: str, shared: str) -> subprocess.Popen[str]:
        """One command, begun."""
        return subprocess.Popen(
            [sys.executable, "-m", "dr", *words], env=self.environment(machine, shared), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip

    def watched(self, *machines: str, seconds: float = 60.0, shared: str | None = None) -> None:
        """The monitor has seen all that replicates, on each of these machines: what a failover decides by when a region is silent."""
        for machine in machines:
            watching = subprocess.Popen(
                [sys.executable, "-m", "dr", "monitor", str(self.runbook), "--port", "0"], env=self.environment(machine, shared),
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT,
            )  # fmt: skip
            samples = SqliteSamples(self.folder / machine / "dr")
            deadline = time.monotonic() + seconds
            while {name for name, item in samples.latest("airflow-aws").items() if item.recovery_point} < REPLICATED:
                assert watching.poll() is None and time.monotonic() < deadline, samples.latest("airflow-aws")
                time.sleep(0.2)
            watching.send_signal(signal.SIGINT)
            watching.wait(30)
            samples.close()

    def lose(self, region: str, how: str = "refuse") -> None:
        """The region is gone, and its front door with it."""
        self.lost.add(region)
        self.emulator.lose(region, how)

    def bring_back(self, region: str) -> None:
        """It answers again."""
        self.lost.discard(region)
        self.emulator.bring_back(region)

    def writer(self) -> str:
        """The region where the metadata database writes, asked past the proxies."""
        rds = self.emulator.client("rds", REGIONS[1])
        [whole] = rds.describe_global_clusters(GlobalClusterIdentifier=self.platform.global_cluster)["GlobalClusters"]
        [arn] = [item["DBClusterArn"] for item in whole["GlobalClusterMembers"] if item["IsWriter"]]
        return next(region for region in REGIONS if f":{region}:" in arn)

    def control_on(self, check: str) -> bool:
        """Whether the routing control behind a health check lets people in."""
        number = self.platform.health_checks.index(check)
        cluster = self.emulator.client("route53-recovery-cluster", "eu-west-1")
        state = cluster.get_routing_control_state(RoutingControlArn=self.platform.routing_controls[number])
        return bool(state["RoutingControlState"] == "On")


Door = Callable[[Cloud, str, str], AbstractContextManager[None]]
"""What stands in front of a region at an address, for as long as a block lasts."""


@contextmanager
def cloud(folder: Path, deployments: int = 5, door: Door | None = None) -> Iterator[Cloud]:
    """It is up for as long as the block lasts."""
    with ExitStack() as stack:
        emulator = stack.enter_context(Emulator(REGIONS))
        platform = seed(emulator, *REGIONS, deployments=deployments, addresses=ADDRESSES)
        made = Cloud(emulator, platform, folder, folder / "airflow-aws.yaml")
        certificate, key = self_signed(DOMAIN, f"*.{DOMAIN}")
        (folder / "secrets").mkdir()
        (folder / "secrets" / "ca.pem").write_bytes(certificate)
        (folder / "door.pem").write_bytes(certificate + key)
        for region, address in zip(REGIONS, ADDRESSES, strict=True):
            stack.enter_context((door or _door)(made, region, address))
        made.name_server = stack.enter_context(name_server(of_zone(emulator, platform.zone, made.control_on)))
        made.runbook.write_text(runbook_text(made, made.name_server))
        yield made


@contextmanager
def _door(made: Cloud, region: str, address: str) -> Iterator[None]:
    """HTTPS of a region: 200 where the database of that region writes, 503 elsewhere; silent where the region is lost."""

    class Door(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if region in made.lost:
                self.close_connection = True
                return
            self.send_response(200 if made.writer() == region else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer((address, PORT), Door) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.folder / "door.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def runbook_text(made: Cloud, name_server: str) -> str:
    """The shipped runbook for this platform."""
    text, platform = (ROOT / "runbooks" / "airflow-aws.yaml").read_text(), made.platform
    keys = {region: f"arn:aws:kms:{region}:{ACCOUNT}:key/{platform.key}" for region in REGIONS}
    replaced: Mapping[str, str] = {
        "profile: airflow-": "profile: ",
        "Z0123456789ABCDEFGHIJ": platform.zone,
        "192.0.2.10": ADDRESSES[0],
        "198.51.100.10": ADDRESSES[1],
        "    flipped_by: traffic\n": "    flipped_by: traffic\n    ttl: 1s\n",
        "    kind: aws.arc-routing-control\n": "    kind: aws.arc-routing-control\n    ttl: 1s\n    takes: 1s\n",
        "127.0.0.1:53": name_server,
        "https://{name}/health": f"https://{{name}}:{PORT}/health",
        "00000000-0000-0000-0000-00000000000a": platform.mappings[0],
        "00000000-0000-0000-0000-00000000000b": platform.mappings[1],
        **{f"arn:aws:kms:{region}:123456789012:key/mrk-1234abcd12ab34cd56ef1234567890ab": keys[region] for region in REGIONS},
    }
    controls = "arn:aws:route53-recovery-control::123456789012:controlpanel/0123456789abcdef0123456789abcdef/routingcontrol/"
    replaced = {
        **replaced,
        f"{controls}0123456789abcdea": platform.routing_controls[0],
        f"{controls}0123456789abcdeb": platform.routing_controls[1],
    }
    for before, after in replaced.items():
        assert before in text, before
        text = text.replace(before, after)
    lines = []
    for line in text.splitlines():
        region = line.strip().partition(":")[0]
        endpoint = "/v1" in line and region in made.emulator.ports
        lines.append(f"      {region}: {made.emulator.endpoint_of(region)}/v1" if endpoint else line)
        if line == "    names:":
            lines += [f"      - {name}" for name in platform.hostnames[3:]]
    return "\n".join(lines) + "\n"
