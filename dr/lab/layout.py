"""Where everything of the lab is: addresses, ports, names and paths. Data only.

``runbooks/lab.yaml`` says the same in its own words, and a test compares them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dr.lab.account import place_of_data

POSTGRES_PORT = 15432
DNS_PORT = 15353
PUBLIC_PORT = 18443
CONTROL_PORT = 18444
LINK_CONTROL = ("127.0.0.1", 18700)
OPENBAO_PORT = 18200
REGISTRY_PORT = 18600
SECRETS_MOUNT = "platform"
ZONE = "dr.test"
TTL_SECONDS = 1
TSIG_NAME = "dr-key"
TSIG_ALGORITHM = "hmac-sha256"
PLATFORM_DATABASE = "platform"
STATE_VARIABLE = "DR_LAB_STATE"
REGIONS = ("east", "west")
HOME = "east"
_ADDRESSES = {"east": "127.0.10.1", "west": "127.0.20.1"}
_LINK_ADDRESSES = {"east": "127.0.10.9", "west": "127.0.20.9"}
_DOOR_ADDRESSES = {"east": "127.0.10.8", "west": "127.0.20.8"}


@dataclass(frozen=True)
class Deployment:
    """Who the n-th Deployment of the lab is (n from 1). Everything follows from the number, so every part of the lab agrees."""

    number: int

    @property
    def id(self) -> str:
        """For example ``d-001``."""
        return f"d-{self.number:03d}"

    @property
    def name(self) -> str:
        """For example ``deployment-001``."""
        return f"deployment-{self.number:03d}"

    @property
    def namespace(self) -> str:
        """For example ``quiet-comet-001``; the first label of every hostname."""
        return f"quiet-comet-{self.number:03d}"

    @property
    def workspace(self) -> str:
        """Ten Deployments share a workspace."""
        return f"workspace-{(self.number - 1) // 10 + 1:02d}"

    @property
    def database(self) -> str:
        """For example ``airflow_001``."""
        return f"airflow_{self.number:03d}"

    @property
    def pull_secret(self) -> str:
        """Name of the secret (username, password, registry) with which its images are pulled, for example ``pull/d-001``."""
        return f"pull/{self.id}"

    @property
    def hostname_ui(self) -> str:
        """Name of the user interface."""
        return f"{self.namespace}.ui.{ZONE}"

    @property
    def hostname_api(self) -> str:
        """Name of the REST API."""
        return f"{self.namespace}.api.{ZONE}"

    @property
    def hostname_remote(self) -> str:
        """Name of the remote-execution API."""
        return f"{self.namespace}.remote.{ZONE}"

    @property
    def hostnames(self) -> tuple[str, str, str]:
        """UI, API and remote execution."""
        return (self.hostname_ui, self.hostname_api, self.hostname_remote)


def deployments(count: int) -> tuple[Deployment, ...]:
    """The first ``count`` Deployments of the lab."""
    return tuple(Deployment(number) for number in range(1, count + 1))


@dataclass(frozen=True)
class RegionLayout:
    """One region. ``directory`` belongs to who runs the lab, ``data`` to the servers' account (often the same path).

    address: all servers of the region listen there. link: listener of the link in this region; it leads to the other region's PostgreSQL.
    """

    name: str
    address: str
    link: str
    directory: Path
    data: Path

    @property
    def door(self) -> str:
        """Leads to ``address``, for who is to be parted from the region by a ``cut`` (see ``dr.lab.door``)."""
        return _DOOR_ADDRESSES[self.name]

    @property
    def exec(self) -> Path:
        """The script that runs its arguments on the region's host, or exits 255."""
        return self.directory / "exec"

    @property
    def reachable(self) -> Path:
        """Exists while commands reach the region's host."""
        return self.directory / "reachable"

    @property
    def silent(self) -> Path:
        """Exists while commands to the region's host get no answer at all."""
        return self.directory / "silent"

    @property
    def tls(self) -> Path:
        """One ``<hostname>.pem`` each with key and certificate; ``<address>.pem`` for the control port."""
        return self.directory / "tls"

    @property
    def postgres(self) -> Path:
        """What PostgreSQL needs: ``data`` (PGDATA), ``local.conf``, ``hba.conf``, ``pgpass``, ``log``."""
        return self.data / "postgres"

    @property
    def pgdata(self) -> Path:
        """PGDATA."""
        return self.postgres / "data"

    @property
    def dns(self) -> Path:
        """What Knot needs: ``knot.conf``, ``db``, the zone, ``log``."""
        return self.data / "dns"

    @property
    def runtime(self) -> Path:
        """The runtime's own directory."""
        return self.data / "runtime"

    def folder_of(self, server: str) -> Path:
        """The directory of a server of an extra part."""
        return self.data / server


@dataclass(frozen=True)
class Layout:
    """All places of one lab.

    state: the state directory. data: where the servers' data is; another place than ``state`` where the servers'
    account cannot reach that (see ``account.place_of_data``).
    """

    state: Path
    data: Path

    @classmethod
    def find(cls, start: Path) -> Layout:
        """The lab that belongs to a directory: ``$DR_LAB_STATE``, else ``lab-state`` beside the nearest ``runbooks`` folder
        at or above ``start``, else ``start/lab-state``."""
        named = os.environ.get(STATE_VARIABLE)
        if named:
            state = Path(named).absolute()
        else:
            start = start.absolute()
            project = next((folder for folder in (start, *start.parents) if (folder / "runbooks").is_dir()), start)
            state = project / "lab-state"
        return cls(state, place_of_data(state))

    def region(self, name: str) -> RegionLayout:
        """One region. Raises KeyError for a name that the lab does not have."""
        return RegionLayout(name, _ADDRESSES[name], _LINK_ADDRESSES[name], self.state / name, self.data / name)

    @cached_property
    def regions(self) -> tuple[RegionLayout, ...]:
        """East and west."""
        return tuple(self.region(name) for name in REGIONS)

    def other(self, name: str) -> RegionLayout:
        """The region that is not ``name``."""
        return next(region for region in self.regions if region.name != name)

    @property
    def records(self) -> Path:
        """What runs: pids with start times."""
        return self.state / "records"

    @property
    def secrets(self) -> Path:
        """0700: ``postgres``, ``postgres-admin``, ``postgres-runtime``, ``control``, ``tsig``, ``ca.key`` (all 0600) and ``ca.pem``."""
        return self.state / "secrets"

    def secret(self, name: str) -> Path:
        """The file of one secret."""
        return self.secrets / name

    @property
    def authority(self) -> Path:
        """Certificate of the lab's own authority."""
        return self.secrets / "ca.pem"

    @property
    def link(self) -> Path:
        """Configuration and log of the link."""
        return self.state / "link"

    @property
    def client(self) -> Path:
        """The outside client's ledger and the remote-execution agent's log, outside both regions."""
        return self.state / "client"

    @property
    def client_config(self) -> Path:
        """What the outside client was told."""
        return self.client / "client.json"

    @property
    def ledger(self) -> Path:
        """The outside client's record of acknowledged writes."""
        return self.client / "ledger.jsonl"

    @property
    def agent_ledger(self) -> Path:
        """The remote-execution agent's record of its polls."""
        return self.client / "agent.jsonl"

    @property
    def orchestrator(self) -> Path:
        """State of ``dr`` in drills: journal, samples."""
        return self.state / "dr"
