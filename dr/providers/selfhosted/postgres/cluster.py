"""What every step of a PostgreSQL component is given, and what the steps share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from dr.ports import AttemptContext, Clock
from dr.providers.clock_ahead import ClockAhead
from dr.providers.one_way import OneWay
from dr.providers.selfhosted.postgres.config import PostgresConfig
from dr.providers.selfhosted.postgres.connect import Connections
from dr.providers.selfhosted.postgres.server import Server

NEWEST_COPY = "newest-copy"
"""The guard that is named where a step would overwrite the newest copy; no acceptance overrides it."""


@dataclass(frozen=True)
class Cluster:
    """The two servers of one component, by connection and by host."""

    component: str
    config: PostgresConfig
    connections: Connections
    servers: Mapping[str, Server]
    clock: Clock
    artefacts: Path
    clocks: ClockAhead

    def at(self, region: str) -> str:
        """Address and port, for messages and proofs."""
        server = self.config.regions[region]
        return f"{server.address}:{server.port}"

    def left(self, context: AttemptContext, most: timedelta) -> timedelta:
        """The time until the attempt's deadline, at least a second, at most ``most``."""
        return min(most, timedelta(seconds=max(1.0, context.deadline - context.clock.monotonic())))


class ClusterStep(OneWay):
    """Base of the steps."""

    def __init__(self, cluster: Cluster, source: str, target: str) -> None:
        self.cluster, self.source, self.target = cluster, source, target
