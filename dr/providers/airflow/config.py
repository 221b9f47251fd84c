"""Settings of the kind ``airflow-deployments``: what people write in a runbook."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from dr.model.base import Duration, Frozen
from dr.model.runbook import KindConfig, SecretRef


class Retryable(StrEnum):
    """What becomes of a running task that has retries left."""

    REQUEUE = "requeue"
    FAIL = "fail"


class TaskPolicy(Frozen):
    """Fates of tasks that were in flight.

    at_most_once: always ``fail``; written down so that a reader of the runbook knows it.
    pool: the pool whose tasks run at most once.
    """

    retryable: Retryable = Retryable.REQUEUE
    at_most_once: Literal["fail"] = "fail"
    pool: str = "at_most_once"


class Endpoint(Frozen):
    """One region's runtime: public HTTPS at ``address:port``, asked by address with SNI and Host; ``control`` is its control API."""

    address: str
    port: int = Field(443, ge=1, le=65535)
    control: str

    @field_validator("control")
    @classmethod
    def _https(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError("expected an address such as https://127.0.10.1:18444")
        return value


class DeploymentsConfig(KindConfig):
    """Settings of ``airflow-deployments``.

    database: the component whose servers hold the platform database and one database for each Deployment.
    certificate_authority: PEM file that every certificate of the runtimes is verified with.
    certificates: the component of kind ``tls-certificates`` that looks at them (one of ``needs``). Or: region → directory with
        ``<hostname>.pem`` files where ``dr`` can read them; a region left out is checked by a handshake for every hostname instead.
    expires_within: a certificate that ends sooner is a finding.
    drain: how long a planned move waits for running tasks to end. What still runs then gets its fate in the target.
    lock_expires: after which the lock of deploys ends by itself, should it be forgotten; a planned move renews it when it freezes.
    canary: id of the DAG that proves that the scheduler runs tasks; made where it is missing.
    wave: how many Deployments get their DAGs back at once.
    threads: requests under way at once.
    """

    database: str
    certificate_authority: str
    certificates: str | dict[str, str] = {}
    expires_within: Duration = timedelta(days=14)
    control_token: SecretRef
    regions: dict[str, Endpoint] = Field(min_length=2)
    tasks: TaskPolicy = TaskPolicy()
    drain: Duration = timedelta(0)
    lock_expires: Duration = Field(timedelta(hours=4), gt=timedelta(0), le=timedelta(hours=24))
    canary: str = Field("canary", pattern=r"^[A-Za-z0-9_.-]+$")
    wave: int = Field(20, ge=1)
    threads: int = Field(16, ge=1, le=64)

    @model_validator(mode="after")
    def _regions(self) -> Self:
        unknown = sorted(set(self.folders) - set(self.regions))
        if unknown:
            raise ValueError(f"certificates names {', '.join(unknown)}, which regions does not have")
        return self

    @property
    def folders(self) -> dict[str, str]:
        """Region → directory with certificates; empty where another component looks at them."""
        return {} if isinstance(self.certificates, str) else self.certificates
