"""What the kind needs around it, without the other providers: servers, names, secrets and samples of the lab, and one attempt of a step."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from dr.engine.attempt import Attempted, attempt
from dr.errors import CredentialMissing, Permanent, Transient
from dr.lab.layout import DNS_PORT, POSTGRES_PORT, Layout
from dr.model.evidence import Evidence, Fenced
from dr.model.identity import IdentitySnapshot
from dr.model.lag import Beat, LagSample
from dr.model.plan import Acceptance
from dr.model.runbook import Region, SecretRef
from dr.model.words import FenceState, Intent
from dr.ports import AttemptContext, Clock, Kind, Site, Step
from dr.providers.airflow import AirflowDeployments, fleet
from dr.providers.airflow import kind as airflow_kind
from dr.providers.airflow.config import DeploymentsConfig

Connection = psycopg.Connection[tuple[Any, ...]]


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views of kinds made after it wait as long as healthy runtimes take on a busy machine: their own limits are for people who wait."""
    monkeypatch.setattr(airflow_kind, "VIEW_SECONDS", 30.0)
    monkeypatch.setattr(fleet, "PROBE_SECONDS", 30.0)


class Servers:
    """The lab's two PostgreSQL servers, as the kind ``postgres`` offers them."""

    kind = "postgres"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def connect(self, region: str, database: str | None = None) -> Connection:
        """As role ``dr``."""
        return self.open(region, database or "platform", "dr", "postgres")

    def admin(self, region: str, database: str = "postgres") -> Connection:
        """As superuser."""
        return self.open(region, database, "postgres", "postgres-admin")

    def open(self, region: str, database: str, user: str, secret: str) -> Connection:
        try:
            secret_file = self._layout.secret(secret).read_text()
        except OSError:
            raise Permanent(f"{secret} is not there") from None
        try:
            return psycopg.connect(
                host=self._layout.region(region).address, port=POSTGRES_PORT, dbname=database, user=user, connect_timeout=10,
                password=secret_file.strip(), autocommit=True, sslmode="disable", gssencmode="disable",
            )  # fmt: skip
        except psycopg.OperationalError as error:
            raise Transient(f"{region}: {str(error).splitlines()[0]}") from None


class Names:
    """The lab's name servers, as the kind ``dns-records`` offers them."""

    kind = "dns-records"

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def name_servers(self) -> Mapping[str, tuple[str, int]]:
        return {region.name: (region.address, DNS_PORT) for region in self._layout.regions}


class Files:
    """Credentials from files."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def get(self, ref: SecretRef) -> str:
        try:
            return (self._base / (ref.file or "")).read_text().rstrip("\n")
        except OSError:
            raise CredentialMissing(f"{ref.file} is not there") from None

    def digest(self, value: str) -> str:
        return hmac.new(b"key of the tests", value.encode(), hashlib.sha256).hexdigest()


@dataclass
class Kept:
    """Identity snapshots in memory."""

    snapshots: list[IdentitySnapshot] = field(default_factory=list)

    def add(self, runbook: str, samples: Iterable[LagSample], beats: Iterable[Beat] = ()) -> None: ...

    def latest(self, runbook: str) -> Mapping[str, LagSample]:
        return {}

    def history(self, runbook: str, since: datetime) -> Sequence[LagSample]:
        return ()

    def beats(self, runbook: str, since: datetime) -> Sequence[Beat]:
        return ()

    def keep_identities(self, runbook: str, component: str, snapshot: IdentitySnapshot) -> None:
        self.snapshots.append(snapshot)

    def troubles(self) -> Sequence[str]:
        return ()

    def identities(self, runbook: str, component: str, not_from: str | None = None) -> IdentitySnapshot | None:
        return next((item for item in reversed(self.snapshots) if item.region != not_from), None)


def config(layout: Layout, **changes: object) -> DeploymentsConfig:
    """The settings of runbooks/lab.yaml for a lab in any directory."""
    settings: dict[str, object] = {
        "database": "metadata-db",
        "certificate_authority": str(layout.authority),
        "certificates": {region.name: str(region.tls) for region in layout.regions},
        "control_token": {"file": str(layout.secret("control"))},
        "regions": {
            region.name: {"address": region.address, "port": 18443, "control": f"https://{region.address}:18444"}
            for region in layout.regions
        },
    }
    return DeploymentsConfig.model_validate(settings | changes)


def site(layout: Layout, clock: Clock, artefacts: Path) -> Site:
    """The rest of the world."""
    return Site(
        runbook="airflow-lab", regions={"east": Region(), "west": Region()}, hosts={}, clock=clock, secrets=Files(layout.state),
        samples=Kept(), artefacts=artefacts, base=layout.state,
        peers=cast("Mapping[str, Kind]", {"metadata-db": Servers(layout), "dns": Names(layout)}),
    )  # fmt: skip


FENCED = Fenced(component="metadata-db", region="east", state=FenceState.FENCED, proof="process gone")


@dataclass
class Run:
    """Performs steps one after the other, as the engine does, and keeps what they find."""

    kind: AirflowDeployments
    clock: Clock
    intent: Intent = Intent.FAILOVER
    source: str = "east"
    target: str = "west"
    id: str = "run-1"
    evidence: list[Evidence] = field(default_factory=list)
    acceptances: tuple[Acceptance, ...] = ()

    def step(self, name: str) -> Step:
        return next(step for step in self.kind.steps(self.intent, self.source, self.target) if step.spec.id == f"deployments/{name}")

    def context(self, step: Step, seconds: float = 30.0, number: int = 1) -> AttemptContext:
        return AttemptContext(
            run_id=self.id, step=step.spec, intent=self.intent, source=self.source, target=self.target, number=number,
            key=f"{self.id}/{step.spec.id}", epoch=1, actor="on-call", clock=self.clock, deadline=self.clock.monotonic() + seconds,
            rpo=timedelta(minutes=5), evidence=tuple(self.evidence), acceptances=self.acceptances,
        )  # fmt: skip

    def do(self, name: str, *, seconds: float = 30.0) -> Attempted:
        """One step, tried again while it says so, as the engine would."""
        step = self.step(name)
        until = self.clock.monotonic() + seconds
        number = 0
        while True:
            number += 1
            result = attempt(step.operation, self.context(step, seconds, number))
            if result.outcome not in ("retry", "unknown") or self.clock.monotonic() > until:
                self.evidence += result.evidence
                return result
            self.clock.sleep(0.05)

    def undo(self, name: str) -> None:
        step = self.step(name)
        step.operation.undo(replace(self.context(step), evidence=tuple(self.evidence)))
