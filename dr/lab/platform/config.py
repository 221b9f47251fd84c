"""What each process of the platform is told: one small JSON file each, written by the lab, read once at start.

Files that only the starter may read (passwords, tokens, keys) are named here and read before privileges are dropped.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from dr.errors import LabError
from dr.lab.layout import Deployment
from dr.model.base import Frozen

Config = TypeVar("Config", bound=Frozen)


class Endpoint(Frozen):
    """An address and a port."""

    address: str
    port: int


class Served(Frozen):
    """One Deployment as a process of the platform needs it: which public names lead to which database."""

    id: str
    database: str
    hostnames: tuple[str, ...]

    @classmethod
    def of(cls, deployment: Deployment) -> Served:
        """The Deployment of the lab's layout."""
        return cls(id=deployment.id, database=deployment.database, hostnames=deployment.hostnames)


class SecretsConfig(Frozen):
    """A region's own secret store, which has the Deployments' Fernet keys and pull secrets."""

    url: str
    authority: Path
    token_file: Path
    mount: str


class RegistryConfig(Frozen):
    """A region's own image registry, from which the Deployments' images are pulled."""

    endpoint: Endpoint
    authority: Path


class RuntimeConfig(Frozen):
    """``python -m dr.lab.platform.runtime``: one region's stand-in for its Airflow Deployments.

    account: who to become when started as root. tls: folder with ``<hostname>.pem`` (key and certificate) for each name and
    ``<address>.pem`` for the control port. schedulers: start them at start-up wherever the database is writable.
    secrets, registry: what a Deployment uses when it starts; None where the lab has none. A registry needs ``secrets``: they say who pulls.
    """

    region: str
    account: str | None = None
    address: str
    public_port: int
    control_port: int
    postgres: Endpoint
    postgres_user: str = "runtime"
    postgres_password_file: Path
    platform_database: str = "platform"
    control_token_file: Path
    tls: Path
    deployments: tuple[Served, ...]
    schedulers: bool = False
    secrets: SecretsConfig | None = None
    registry: RegistryConfig | None = None
    tick_seconds: float = Field(1.0, gt=0, description="a scheduler's heartbeat, and how often it looks for work")
    task_heartbeat_seconds: float = Field(5.0, gt=0)


class ClientConfig(Frozen):
    """``python -m dr.lab.platform.client``: the independent outside client.

    authority: certificate that the names' certificates must be signed by. dns: one server for each region, both are asked.
    writes_per_second: for each hostname. answer_seconds: how long to wait for a connection or an answer.
    retry_seconds: the longest wait after a write that was not acknowledged. keep_seconds: how long it keeps addresses; None: their TTL.
    """

    account: str | None = None
    ledger: Path
    authority: Path
    dns: tuple[Endpoint, ...] = Field(min_length=1)
    port: int
    deployments: tuple[Served, ...]
    writes_per_second: float = Field(10.0, gt=0)
    answer_seconds: float = Field(0.5, gt=0)
    retry_seconds: float = Field(0.25, gt=0)
    keep_seconds: float | None = Field(None, gt=0)


class AgentConfig(Frozen):
    """``python -m dr.lab.platform.agent``: a remote-execution agent of one Deployment, found by its public name only."""

    account: str | None = None
    ledger: Path
    authority: Path
    dns: tuple[Endpoint, ...] = Field(min_length=1)
    port: int
    hostname: str
    name: str = "agent-1"
    poll_seconds: float = Field(0.25, gt=0)
    work_seconds: float = Field(0.1, ge=0, description="how long one work item takes")
    answer_seconds: float = Field(0.5, gt=0)


def writes_per_second(deployments: int) -> float:
    """The client's rate for each hostname: 10 at up to 5 Deployments, falling to 1 at 50 and more, so that its load stays about equal."""
    return min(10.0, max(1.0, 50.0 / max(deployments, 1)))


def answer_seconds(deployments: int) -> float:
    """How long the client waits for an answer: 0.5 s at up to 5 Deployments, 2 s at 20 and more.

    There two processors serve two regions: an answer that is late because all of them start at once is no outage, as for any client.
    """
    return min(2.0, max(0.5, deployments / 10))


def write_config(path: Path, config: Frozen) -> Path:
    """Writes the file that ``read_config`` reads."""
    path.write_text(config.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def read_config(path: Path, kind: type[Config]) -> Config:
    """Reads a process's configuration.

    Raises:
        LabError: the file is not there or is not of this kind.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise LabError(f"configuration {path} cannot be read: {error.strerror}", hint="dr lab up writes it") from error
    except ValidationError as error:
        raise LabError(f"configuration {path} is not a {kind.__name__}: {error}", hint="dr lab down, then dr lab up") from error
