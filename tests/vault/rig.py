"""Two real OpenBao servers, apart from the lab's addresses and state; each test has an engine (mount) of its own in both."""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from dr.errors import StepError
from dr.lab import parts
from dr.lab.account import as_account, give, own, servers_account
from dr.lab.extras.secrets import SecretStores, find_program
from dr.model.evidence import Evidence
from dr.model.plan import Acceptance
from dr.model.runbook import Region, SecretRef
from dr.model.words import Guard, Intent
from dr.ports import AttemptContext, Seen, Site, Step
from dr.providers.selfhosted.vault import VaultKv
from dr.providers.selfhosted.vault.secret import Secret, Value
from dr.providers.selfhosted.vault.store import Store
from dr.providers.selfhosted.vault.wire import Server
from dr.store.samples import SqliteSamples
from tests.attempt import perform
from tests.postgres.rig import RealClock, free_port, new_place, poll

ADDRESS = {"east": "127.0.40.1", "west": "127.0.50.1"}
OTHER = {"east": "west", "west": "east"}
CONF = """
storage "raft" {{
  path = "{folder}/data"
  node_id = "n"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "{address}:{port}"
  tls_disable = true
}}
api_addr = "http://{address}:{port}"
cluster_addr = "http://{address}:{cluster}"
log_level = "error"
"""
POLICY = """
path "{mount}/data/*" {{ capabilities = ["create", "read", "update"] }}
path "{mount}/metadata/*" {{ capabilities = ["create", "read", "update", "list"] }}
{more}
"""
SCAN = 'path "{mount}/detailed-metadata/*" {{ capabilities = ["list", "scan"] }}'


class KeyedSecrets:
    """Credentials of a test, and keyed digests as in production."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = dict(values)

    def get(self, ref: SecretRef) -> str:
        return self.values[ref.env or ""]

    def digest(self, value: str) -> str:
        return hmac.new(b"key of this test", value.encode(), hashlib.sha256).hexdigest()


class Servers:
    """East's and west's server, started once for all tests of a session."""

    def __init__(self) -> None:
        self.base, self.account, self.clock = new_place(), servers_account(), RealClock()
        if not all(part.found for part in SecretStores().doctor(self.account)):
            SecretStores().fix(parts.cache(), self.account, lambda _text: None)
        self.port = free_port(list(ADDRESS.values()), 17200)
        self.cluster = free_port(list(ADDRESS.values()), self.port + 1)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.keys: dict[str, str] = {}
        self.roots: dict[str, str] = {}
        own(self.base, self.account, 0o755)

    def start(self) -> None:
        for region in ADDRESS:
            folder = own(self.base / region, self.account)
            own(folder / "data", self.account)
            conf = CONF.format(folder=folder, address=ADDRESS[region], port=self.port, cluster=self.cluster)
            (folder / "server.hcl").write_text(conf)
            give(folder / "server.hcl", self.account)
            self.run(region)
        for region in ADDRESS:
            self.initialise(region)
            self.unseal(region)

    def initialise(self, region: str) -> None:
        api = self.api(region, lambda: "")
        self.until(lambda: api.ask("GET", "sys/seal-status").status == 200)
        told = api.ask("POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, timeout=60).body
        self.keys[region], self.roots[region] = told["keys"][0], told["root_token"]
        api.close()

    def run(self, region: str) -> None:
        folder = self.base / region
        with (folder / "log").open("ab") as log:
            self.processes[region] = subprocess.Popen(
                [*as_account(self.account), str(find_program(self.account)), "server", f"-config={folder / 'server.hcl'}"],
                cwd=folder, stdout=log, stderr=log, env={**os.environ, "GOMEMLIMIT": "60MiB"},
            )  # fmt: skip

    def unseal(self, region: str) -> None:
        api = self.api(region, lambda: "")
        self.until(lambda: api.ask("POST", "sys/unseal", {"key": self.keys[region]}).body["sealed"] is False)
        self.until(lambda: api.ask("GET", "sys/leader").body["is_self"])
        api.close()

    def seal(self, region: str) -> None:
        with self.admin(region) as api:
            api.ask("POST", "sys/seal", {})

    def kill(self, region: str) -> None:
        process = self.processes.pop(region)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def back(self, region: str) -> None:
        self.run(region)
        self.unseal(region)

    def signal(self, region: str, number: int) -> None:
        self.processes[region].send_signal(number)

    def end(self) -> None:
        for region in list(self.processes):
            self.processes[region].send_signal(signal.SIGCONT)
            self.kill(region)
        shutil.rmtree(self.base, ignore_errors=True)

    def url(self, region: str) -> str:
        return f"http://{ADDRESS[region]}:{self.port}"

    def api(self, region: str, token: Callable[[], str]) -> Server:
        return Server(f"{region}", self.url(region), token, None, 10.0)

    @contextmanager
    def admin(self, region: str) -> Iterator[Server]:
        api = self.api(region, lambda: self.roots[region])
        try:
            yield api
        finally:
            api.close()

    def until(self, holds: Callable[[], Any]) -> None:
        def quiet() -> bool:
            try:
                return bool(holds())
            except StepError:
                return False

        poll(quiet, "OpenBao", timedelta(seconds=60))


@dataclass
class Pair:
    """One mount in both regions, a token for ``dr`` in each, and the kind on top of them."""

    servers: Servers
    mount: str
    folder: Path
    evidence: list[Evidence] = field(default_factory=list)
    acceptances: tuple[Acceptance, ...] = ()
    peers: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clock = self.servers.clock
        self.secrets = KeyedSecrets({})
        self.samples = SqliteSamples(self.folder / "samples.db")
        self.opened: list[VaultKv] = []
        self.stores: dict[str, Store] = {}
        for region in ADDRESS:
            self.mount_in(region)
            self.token(region)

    def mount_in(self, region: str) -> None:
        body = {"type": "kv", "options": {"version": "2"}}
        with self.servers.admin(region) as api:
            self.servers.until(lambda: api.ask("POST", f"sys/mounts/{self.mount}", body).status == 204)
            self.servers.until(lambda: api.ask("GET", f"{self.mount}/config").status == 200)
        self.stores[region] = Store(self.servers.api(region, lambda: self.servers.roots[region]), self.mount, self.clock.now)

    def token(self, region: str, more: str = SCAN) -> None:
        """A new token of the policy that the kind asks for."""
        with self.servers.admin(region) as api:
            text = POLICY.format(mount=self.mount, more=more.format(mount=self.mount))
            api.ask("POST", f"sys/policies/acl/{self.mount}", {"policy": text})
            body = {"policies": [self.mount], "no_default_policy": True}
            self.secrets.values[region] = api.ask("POST", "auth/token/create", body).body["auth"]["client_token"]

    def close(self) -> None:
        for kind in self.opened:
            kind.close()
        for store in self.stores.values():
            store.server.close()
        self.samples.close()

    def kind(self, **changes: object) -> VaultKv:
        settings: dict[str, object] = {
            "mount": self.mount, "regions": {region: {"url": self.servers.url(region), "token": {"env": region}} for region in ADDRESS},
            "source_timeout": "10s", **changes,
        }  # fmt: skip
        site = Site(
            runbook="test", regions={region: Region() for region in ADDRESS}, hosts={}, clock=self.clock, secrets=self.secrets,
            samples=self.samples, artefacts=self.folder / "artefacts", base=self.folder, peers=self.peers,
        )  # fmt: skip
        needs = tuple(self.peers)
        self.opened.append(VaultKv("secrets", VaultKv.Config.model_validate(settings), needs, site))
        return self.opened[-1]

    # --- contents, with the root token ---

    def put(self, region: str, path: str, *values: str, name: str = "value") -> None:
        """New versions on top."""
        for value in values:
            there = self.look(region, path)
            self.stores[region].write(path, Value({name: value}), there.current if there else 0)

    def get(self, region: str, path: str, version: int = 0) -> str | None:
        value = self.stores[region].read(path, version)
        return None if value is None else value.text("value")

    def look(self, region: str, path: str) -> Secret | None:
        return self.stores[region].look(path)

    def all(self, region: str) -> dict[str, Secret]:
        return self.stores[region].secrets(lambda _path: True, lambda work, paths: map(work, paths))

    def delete(self, region: str, path: str) -> None:
        """The newest version, softly."""
        self.stores[region].server.ask("DELETE", f"{self.mount}/data/{path}")

    def destroy(self, region: str, path: str, *versions: int) -> None:
        self.stores[region].server.ask("POST", f"{self.mount}/destroy/{path}", {"versions": list(versions)})

    # --- steps, as the engine does them ---

    def context(self, step: Step, intent: Intent, source: str, target: str) -> AttemptContext:
        return AttemptContext(
            run_id="run-1", step=step.spec, intent=intent, source=source, target=target, number=1, key="key", epoch=1, actor="test",
            clock=self.clock, deadline=self.clock.monotonic() + 30, evidence=tuple(self.evidence), acceptances=self.acceptances,
        )  # fmt: skip

    def perform(self, step: Step, intent: Intent, source: str, target: str) -> Seen:
        seen, found = perform(step, self.context(step, intent, source, target))
        self.evidence += found
        return seen

    def run(self, kind: VaultKv, name: str, intent: Intent, source: str = "east", target: str = "west") -> Seen:
        """One step of a chain, by its name."""
        [step] = [step for step in kind.steps(intent, source, target) if step.spec.id == f"secrets/{name}"]
        return self.perform(step, intent, source, target)

    def accept(self, guard: Guard) -> None:
        self.acceptances += (Acceptance(guard=guard, actor="lead", reason="known", at=self.clock.now()),)

    def found(self, fact: type[Evidence]) -> Any:
        """The newest evidence of a class."""
        return next(item for item in reversed(self.evidence) if isinstance(item, fact))
