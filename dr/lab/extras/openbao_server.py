"""The secret store (OpenBao) of one region: raft storage of one node, TLS with the region's certificate, unsealed with a key of the lab."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dr.errors import LabError, StepError
from dr.lab import credentials
from dr.lab.account import Account, give, own
from dr.lab.layout import OPENBAO_PORT, SECRETS_MOUNT, Layout, RegionLayout
from dr.model.base import Json
from dr.ports import Clock
from dr.providers.selfhosted.vault.store import Store
from dr.providers.selfhosted.vault.wire import Server

PORT, CLUSTER_PORT = OPENBAO_PORT, 18201
NAME = "openbao"
MOUNT = SECRETS_MOUNT
_READY_SECONDS = 60.0
_POLL_SECONDS = 0.02

# performance_multiplier 1: the node waits 1 s for others before it leads itself, not 5; nothing else of it matters with one node
_CONF = """\
storage "raft" {{
  path = "{folder}/data"
  node_id = "{region}"
  performance_multiplier = 1
}}
listener "tcp" {{
  address = "{address}:{port}"
  tls_cert_file = "{folder}/tls.pem"
  tls_key_file = "{folder}/tls.pem"
}}
api_addr = "https://{address}:{port}"
cluster_addr = "https://{address}:{cluster}"
log_level = "warn"
"""

_POLICIES = {
    "dr": f"""
path "{MOUNT}/data/*" {{ capabilities = ["create", "read", "update"] }}
path "{MOUNT}/metadata/*" {{ capabilities = ["create", "read", "update", "list"] }}
path "{MOUNT}/detailed-metadata/*" {{ capabilities = ["list", "scan"] }}
""",
    "runtime": f"""
path "{MOUNT}/data/deployments/*" {{ capabilities = ["read"] }}
path "{MOUNT}/data/pull/*" {{ capabilities = ["read"] }}
""",
}


@dataclass(frozen=True)
class OpenBaoServer:
    """One region's store. Its unseal key and root token lie in the lab's secrets, 0600."""

    layout: Layout
    region: RegionLayout
    program: Path
    account: Account | None
    clock: Clock

    @property
    def folder(self) -> Path:
        """Its working directory."""
        return self.region.folder_of(NAME)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://{self.region.address}:{PORT}"

    @property
    def argv(self) -> list[str]:
        """What runs the server in the foreground."""
        return [str(self.program), "server", f"-config={self.folder / 'server.hcl'}"]

    @property
    def environment(self) -> dict[str, str]:
        """A small heap: 60 MiB instead of 100 with 400 secrets (measured)."""
        return {"GOMEMLIMIT": "60MiB", "GOGC": "50", "BAO_DISABLE_USER_LOCKOUT": "true"}

    def configure(self) -> None:
        """Writes its configuration, and the region's certificate where its account can read it."""
        own(self.folder, self.account)
        own(self.folder / "data", self.account)
        conf = _CONF.format(folder=self.folder, region=self.region.name, address=self.region.address, port=PORT, cluster=CLUSTER_PORT)
        certificate = (self.region.tls / f"{self.region.address}.pem").read_bytes()
        for name, content in (("server.hcl", conf.encode()), ("tls.pem", certificate)):
            credentials.write_private(self.folder / name, content)
            give(self.folder / name, self.account)

    def open(self, alive: Callable[[], bool]) -> None:
        """Until it answers; then it is initialised where it is new, and unsealed. Raises LabError."""
        api = self._api(lambda: "")
        try:
            status = self._until(lambda: api.ask("GET", "sys/seal-status").body, alive)
            if not status["initialized"]:
                told = api.ask("POST", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, timeout=_READY_SECONDS).body
                credentials.write_private(self._secret("unseal"), told["keys"][0] + "\n")
                credentials.write_private(self._secret("root"), told["root_token"] + "\n")
            if status["sealed"]:
                key = self._secret("unseal").read_text(encoding="utf-8").strip()
                self._until(lambda: api.ask("POST", "sys/unseal", {"key": key}).body, alive)
            self._until(lambda: api.ask("GET", "sys/leader").body["is_self"] or None, alive)
        finally:
            api.close()

    def prepare(self, alive: Callable[[], bool]) -> None:
        """The engine, and tokens of least privilege for ``dr`` and the runtime; their values were made with the lab's other secrets."""
        api = self._api(self.root)
        try:
            self._taken(api, f"sys/mounts/{MOUNT}", {"type": "kv", "options": {"version": "2"}}, alive)
            for role, policy in _POLICIES.items():
                self._taken(api, f"sys/policies/acl/{role}", {"policy": policy}, alive)
            for role, secret in (("dr", credentials.OPENBAO), ("runtime", credentials.OPENBAO_RUNTIME)):
                body = {
                    "id": credentials.read_secret(self.layout, f"{secret}-{self.region.name}"), "policies": [role], "no_parent": True,
                    "no_default_policy": True, "ttl": "720h", "renewable": False,
                }  # fmt: skip
                self._taken(api, "auth/token/create", body, alive)
            self._until(lambda: api.ask("GET", f"{MOUNT}/config").status == 200 or None, alive)  # the engine upgrades itself first
        finally:
            api.close()

    def store(self) -> Store:
        """Its engine, with all rights: for seeding and spoiling. The caller closes ``store.server``."""
        return Store(self._api(self.root), MOUNT, self.clock.now)

    def root(self) -> str:
        """The root token."""
        return self._secret("root").read_text(encoding="utf-8").strip()

    def _secret(self, what: str) -> Path:
        return self.layout.secret(f"{NAME}-{what}-{self.region.name}")

    def _api(self, token: Callable[[], str]) -> Server:
        return Server(f"OpenBao of {self.region.name}", self.url, token, self.layout.authority, 10.0)

    def _taken(self, api: Server, path: str, body: Json, alive: Callable[[], bool]) -> None:
        """Until a request was taken: a node that does not lead yet refuses for a moment. Raises as ``_until``."""
        self._until(lambda: api.ask("POST", path, body).status in (200, 204) or None, alive)

    def _until(self, ask: Callable[[], Json], alive: Callable[[], bool]) -> Json:
        """The first answer that is not None. Raises LabError when the time is over, or it is not ``alive`` any more."""
        deadline, said = self.clock.monotonic() + _READY_SECONDS, "no answer"
        while True:
            try:
                answer = ask()
            except StepError as error:
                answer, said = None, error.message
            if answer is not None:
                return answer
            if self.clock.monotonic() > deadline or not alive():
                raise LabError(f"OpenBao of {self.region.name} is not ready: {said}", hint=f"see {self.folder / 'log'}")
            self.clock.sleep(_POLL_SECONDS)


def config(layout: Layout) -> dict[str, Json]:
    """Settings of the kind ``vault-kv`` for the lab, as ``runbooks/platform.yaml`` says them."""
    regions = {
        region.name: {"url": f"https://{region.address}:{PORT}", "token": {"file": f"secrets/{credentials.OPENBAO}-{region.name}"}}
        for region in layout.regions
    }
    return {"certificate_authority": "secrets/ca.pem", "mount": MOUNT, "regions": regions}
