"""The kind ``postgres``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from dr.errors import StepError
from dr.model.by_hand import Question
from dr.model.lag import Beat, ComponentView, Finding, LagSample, RegionView
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Role, Severity
from dr.ports import Site, Step
from dr.providers.clock_ahead import ClockAhead
from dr.providers.regions import same_regions
from dr.providers.selfhosted.postgres import findings
from dr.providers.selfhosted.postgres.by_hand import ByHand
from dr.providers.selfhosted.postgres.chains import KIND, Chains
from dr.providers.selfhosted.postgres.cluster import Cluster
from dr.providers.selfhosted.postgres.config import PostgresConfig
from dr.providers.selfhosted.postgres.connect import Bounded, Connections, Reach
from dr.providers.selfhosted.postgres.facts import Posture, Reading, Unread, everywhere, posture, read, try_read
from dr.providers.selfhosted.postgres.lag import Probe, decide
from dr.providers.selfhosted.postgres.server import Server


class Postgres:
    """A PostgreSQL server in each of two regions, the one following the other by streaming replication (PostgreSQL 13 or newer).

    Protects every database of the server at once: physical replication promotes them together.

    Needs: a role with LOGIN, REPLICATION, pg_monitor, pg_checkpoint, EXECUTE on pg_promote and on what pg_rewind reads with; its
    password in the password file of the servers' account on both hosts; ``host.exec`` in both regions, running as the servers'
    account; ``wal_log_hints`` or checksums; configuration outside the data directory, because pg_rewind replaces what is inside.
    Not for servers that somebody else promotes (Patroni, an operator, a cloud): those are recognised and refused.
    """

    kind: ClassVar[str] = KIND
    Config: ClassVar[type[KindConfig]] = PostgresConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, PostgresConfig), "the registry gives each kind its own Config"
        same_regions(name, config.regions, site)
        self.name, self.config, self.needs = name, config, tuple(needs)
        self._clock = site.clock
        self._connections = Connections(name, config, site.secrets, site.base)
        servers = {region: Server(region, settings, site.hosts.get(region)) for region, settings in config.regions.items()}
        self._clocks = ClockAhead(site, name)
        cluster = Cluster(name, config, self._connections, servers, site.clock, site.artefacts, self._clocks)
        self._by_hand = ByHand(name, config, site.regions, site.base)
        self._chains = Chains(cluster, self._by_hand)
        self._probe = Probe(name, config, self._connections, site.clock, self._clocks)

    def view(self) -> ComponentView:
        """Both regions now, at once. Bounded by the connection time-out, never raises."""
        asked = self._clock.now()
        seen = everywhere(self.config.regions, self._observe)
        readings = {region: reading for region, (reading, _) in seen.items() if isinstance(reading, Reading)}
        postures = {region: there for region, (_, there) in seen.items() if isinstance(there, Posture)}
        found = list(findings.judge(self.name, self.config, readings, postures))
        found += [
            Finding(component=self.name, severity=Severity.WARNING, fact=there, fix="see the permissions that dr plan names")
            for _, there in seen.values()
            if isinstance(there, str)
        ]
        seen_at = {region: reading for region, (reading, _) in seen.items()}
        primaries = [region for region, reading in readings.items() if not reading.recovering]
        return ComponentView(
            component=self.name, kind=KIND, at=self._clock.now(),
            regions={region: _region_view(reading) for region, (reading, _) in seen.items()},
            lag=self._probe.sample(primaries[0]) if len(primaries) == 1 else self._without_primary(seen_at, asked), findings=tuple(found),
        )  # fmt: skip

    def beat(self, region: str) -> Beat | None:
        """One heartbeat row in ``dr.heartbeat`` of the component's database; the table is made on the first time."""
        return self._probe.beat(region)

    def sample(self, primary: str | None) -> LagSample:
        """Lag and recovery point, read in the region that is not ``primary``."""
        return self._probe.sample(primary)

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. ``reprotect``: ``target`` is primary now, ``source`` shall follow it."""
        return self._chains.steps(intent, source, target)

    def question(self, region: str) -> Question:
        """How a person asks whether the region is the primary, and what it holds."""
        return self._by_hand.question(region)

    def psql(self, region: str, database: str | None = None) -> str:
        """What a person types to reach a database of the server, for kinds whose data lies there. ``database``: one word of the shell."""
        return self._by_hand.psql(region, database)

    def warm(self, target: str) -> None:
        """Opens connections to the target and asks the questions of a promotion once, so that they are planned and cached there."""
        with contextlib.suppress(StepError):
            self._connections.warm(target)
            read(self._connections, self.name, target)

    def connect(self, region: str, database: str | None = None) -> Bounded:
        """A new connection for kinds whose data lies on these servers, the caller's to close. Raises StepError."""
        return self._connections.open(region, database)

    def close(self) -> None:
        """Closes connections; safe to call twice."""
        self._connections.close()

    def _observe(self, region: str) -> tuple[Reading | Unread, Posture | str | None]:
        reading = try_read(self._connections, self.name, region)
        if isinstance(reading, Unread):
            return reading, None
        try:
            return reading, posture(self._connections, region)
        except StepError as error:
            return reading, error.message

    def _without_primary(self, seen: dict[str, Reading | Unread], asked: datetime) -> LagSample:
        """Out of what was read already: a silent primary is not asked a second time."""
        reasons = "; ".join(reading.reason for reading in seen.values() if isinstance(reading, Unread))
        followers = {region: reading for region, reading in seen.items() if isinstance(reading, Reading) and reading.recovering}
        if len(followers) == 1:
            (region, reading), = followers.items()
            if reading.stamped_ahead is not None:
                self._clocks.stamped(self.config.other(region), reading.stamped_ahead)
            told = self._clocks.told(self.config.other(region))
            return decide(self.name, self._clock.now(), reading, None, timedelta(0), why_not=reasons, asked=asked, clock=told)
        why = reasons or ("no region takes writes" if followers else "both regions take writes")
        return decide(self.name, self._clock.now(), Unread(why, None), None, timedelta(0), clock=self._clocks.told(None))


def _region_view(reading: Reading | Unread) -> RegionView:
    if isinstance(reading, Unread):
        return RegionView(role=reading.role, reason=reading.reason, late=reading.reach is Reach.SILENT)
    return RegionView(role=Role.SECONDARY if reading.recovering else Role.PRIMARY, epoch=reading.timeline)
