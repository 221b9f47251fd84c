"""Two real name servers (Knot) of one zone, apart from the lab's addresses and state."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import dns.message
import dns.query
import dns.rdatatype

from dr.lab.account import as_account, give, own, servers_account
from dr.lab.parts import find_programs
from dr.model.evidence import Evidence
from dr.model.lag import ComponentView, LagSample
from dr.model.runbook import Region
from dr.model.words import Intent
from dr.ports import AttemptContext, Look, Seen, Site, Step
from dr.providers.selfhosted.dns import DnsRecords, redirect
from tests.attempt import perform
from tests.postgres.rig import FixedSecrets, RealClock, poll

SERVER = {"east": "127.0.40.1", "west": "127.0.50.1"}
LEADS = {"east": "10.1.0.1", "west": "10.2.0.1"}
PATIENCE = redirect._PATIENCE
"""The product's own; the fixture ``servers`` gives a healthy server longer."""
KEY = "c2VjcmV0LXRzaWcta2V5LW9mLXRlc3RzLW9ubHkhISE="
CONF = """
server:
    listen: {address}@{port}
    rundir: "."
    udp-workers: 1
    tcp-workers: 2
    background-workers: 1
database:
    storage: "{folder}/db"
key:
  - id: dr-key
    algorithm: hmac-sha256
    secret: {key}
acl:
  - id: orchestrator
    key: dr-key
    action: [update, transfer]
zone:
  - domain: example.test
    storage: "{folder}"
    file: zone
    acl: orchestrator
    zonefile-sync: 0
"""
ZONE = """$ORIGIN example.test.
$TTL {ttl}
@ SOA ns hostmaster 1 60 60 3600 1
@ NS ns
ns A {address}
other A 10.9.9.9
"""


@dataclass
class Servers:
    """East's and west's name server in a directory."""

    base: Path
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.account, self.programs, self.clock = servers_account(), find_programs(), RealClock()

    def make(self, names: Iterable[str], ttl: int = 1, extra: str = "") -> None:
        """Both zones, in which all names lead to east; both servers."""
        own(self.base, self.account, 0o755)
        for region, address in SERVER.items():
            folder = own(self.base / region, self.account)
            own(folder / "db", self.account)
            conf = CONF.format(address=address, port=self.port, folder=folder, key=KEY)
            zone = ZONE.format(ttl=ttl, address=LEADS[region]) + extra + "".join(f"{name} A {LEADS['east']}\n" for name in names)
            for file, content in (("knot.conf", conf), ("zone", zone)):
                (folder / file).write_text(content)
                give(folder / file, self.account)
            self.start(region)

    def start(self, region: str) -> None:
        environment = {**os.environ, "LD_LIBRARY_PATH": self.programs.libraries}
        folder = self.base / region
        with (folder / "log").open("ab") as log:
            self.processes[region] = subprocess.Popen(
                [*as_account(self.account), "/usr/bin/env", f"LD_LIBRARY_PATH={self.programs.libraries}", str(self.programs.knotd), "-c",
                 str(folder / "knot.conf")], cwd=folder, stdout=log, stderr=log, env=environment,
            )  # fmt: skip
        poll(lambda: self.answer(region, "other.example.test", timeout=0.5) == {"10.9.9.9"}, f"the name server of {region}")

    def kill(self, region: str) -> None:
        process = self.processes.pop(region)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def freeze(self, region: str) -> None:
        self.processes[region].send_signal(signal.SIGSTOP)

    def thaw(self, region: str) -> None:
        self.processes[region].send_signal(signal.SIGCONT)

    def end(self) -> None:
        for region in list(self.processes):
            self.processes[region].send_signal(signal.SIGCONT)
            self.kill(region)

    def answer(self, region: str, name: str, timeout: float = 10.0) -> set[str]:
        """What a client gets from a region's server. A healthy one answers at some time, also on a busy machine."""
        with contextlib.suppress(OSError, dns.exception.DNSException):
            answer = dns.query.udp(dns.message.make_query(name, "A"), SERVER[region], timeout=timeout, port=self.port)
            return {data.address for rrset in answer.answer if rrset.rdtype == dns.rdatatype.A for data in rrset}
        return set()

    def kind(self, **changes: object) -> DnsRecords:
        """As a runbook describes it, with more patience than in production: what is silent has to be asked with the product's own."""
        settings: dict[str, object] = {
            "zone": "example.test", "names": ["*.example.test"],
            "tsig": {"name": "dr-key", "algorithm": "hmac-sha256", "key": {"env": "TSIG"}},
            "regions": {region: {"server": SERVER[region], "port": self.port, "address": LEADS[region]} for region in SERVER},
            "answer_timeout": "10s", "source_timeout": "10s", **changes,
        }  # fmt: skip
        site = Site(
            runbook="test", regions={region: Region() for region in SERVER}, hosts={}, clock=self.clock,
            secrets=FixedSecrets({"TSIG": KEY, "OTHER": "b3RoZXIta2V5LW9mLXRlc3RzLW9ubHkhISE="}), samples=None,  # type: ignore[arg-type]
            artefacts=self.base, base=self.base, peers={},
        )  # fmt: skip
        return DnsRecords("dns", DnsRecords.Config.model_validate(settings), (), site)

    def view(self, kind: DnsRecords) -> ComponentView:
        """The view once no server is late: its own limit is for people who wait, and a busy machine stands still for as long."""
        views: list[ComponentView] = []

        def answered() -> bool:
            views.append(kind.view())
            return not any(seen.late for seen in views[-1].regions.values())

        poll(answered, "an answer of both servers")
        return views[-1]

    def sample(self, kind: DnsRecords, primary: str) -> LagSample:
        """The same for a sample."""
        samples: list[LagSample] = []

        def answered() -> bool:
            samples.append(kind.sample(primary))
            return "no answer within" not in samples[-1].reason

        poll(answered, "an answer of both servers")
        return samples[-1]

    def context(self, step: Step, intent: Intent, source: str, target: str) -> AttemptContext:
        return AttemptContext(
            run_id="run-1", step=step.spec, intent=intent, source=source, target=target, number=1, key="key", epoch=1, actor="test",
            clock=self.clock, deadline=self.clock.monotonic() + 20, evidence=tuple(self.evidence),
        )  # fmt: skip

    def perform(self, step: Step, intent: Intent, source: str, target: str) -> Seen:
        """One attempt of one step, as the engine does it."""
        began = self.clock.monotonic()
        seen, found = perform(step, self.context(step, intent, source, target))
        self.seconds[step.spec.verb.value] = self.clock.monotonic() - began
        self.evidence += found
        return seen

    def perform_all(self, kind: DnsRecords, intent: Intent, source: str, target: str) -> dict[str, Seen]:
        self.evidence = []
        seen = {}
        for step in kind.steps(intent, source, target):
            seen[step.spec.verb.value] = self.perform(step, intent, source, target)
            assert seen[step.spec.verb.value].look is Look.DONE, f"{step.spec.id}: {seen[step.spec.verb.value].reason}"
        return seen
