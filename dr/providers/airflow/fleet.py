"""Everything that one component of this kind can reach: the runtimes of each region, the databases, the names. All its I/O starts here.

Opened lazily, kept open, shared by all steps of a process. The work itself stands in the step files.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from dr.errors import CredentialMissing, Permanent, StepError, Transient
from dr.model.identity import IdentitySnapshot, ImageUses
from dr.ports import Site
from dr.providers.airflow.config import DeploymentsConfig
from dr.providers.airflow.control import Control
from dr.providers.airflow.databases import Databases, DatabaseServers, Fan
from dr.providers.airflow.deployments import Deployment, OwnData, identity, image_use, read_deployments, read_own_data
from dr.providers.airflow.https import Https, Peer, failure
from dr.providers.airflow.names import NameServers, ask, servers_first
from dr.providers.selfhosted.certificates.files import flaws, in_folder
from dr.providers.selfhosted.certificates.judge import Flaw
from dr.providers.selfhosted.certificates.read import Certificates

if TYPE_CHECKING:
    from dr.providers.airflow.databases import Connection

DATABASE_THREADS = 8
"""More sessions at work than this only wait for each other on a small server (measured: 80 databases, 2 cores)."""

PROBE_SECONDS = 1.5

_WRITES = "SELECT NOT pg_is_in_recovery()"
_TIMELINE = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END"


class Fleet:
    """What the steps and views of one component share.

    Args:
        name: of the component.
        config: its settings.
        site: the rest of the world; peers are looked up when they are used.
    """

    def __init__(self, name: str, config: DeploymentsConfig, site: Site) -> None:
        self.name, self.config, self.site = name, config, site
        authority = self.path(config.certificate_authority)
        self._certificates = Certificates(authority)
        self.https = Https(authority)
        self._probe = Https(authority, timeout=PROBE_SECONDS)
        self.control = Control(config.regions, self.https, self._token)
        self.probe = Control(config.regions, self._probe, self._token)
        self.databases = Databases(self._servers)
        self.web = Fan(config.threads)
        self.sql = Fan(DATABASE_THREADS)
        self._opening = Lock()

    def path(self, text: str) -> Path:
        """A path of the runbook: relative ones start at its folder."""
        return self.site.base / text

    def deployments(self, region: str) -> tuple[Deployment, ...]:
        """All Deployments as the platform database of a region lists them. Raises StepError."""
        with self.databases.use(region) as connection:
            found = read_deployments(connection)
        if not found:
            raise Permanent(f"the platform database in {region} lists no Deployment", hint="check database: in the runbook")
        return found

    def flaws(self, region: str, hostnames: Sequence[str]) -> tuple[Flaw, ...]:
        """What is wrong with the certificates in the folder of a region. Raises KeyError for a region without one."""
        place = in_folder(self.path(self.config.folders[region]))
        return flaws(self._certificates, place, hostnames, region, self.site.clock.now(), self.config.expires_within)

    def public(self, region: str, hostname: str) -> Peer:
        """A public hostname, asked by address in a region."""
        endpoint = self.config.regions[region]
        return Peer(endpoint.address, endpoint.port, hostname)

    def write(self, peer: Peer, region: str, identifier: str) -> datetime:
        """One small write through the public API, which must be accepted by the region's own runtime.

        Repeatable: the same identifier is one row.

        Returns:
            When the answer came.

        Raises:
            Transient: refused for now (read-only, frozen, not reachable), or answered by another region.
            EffectUnknown: sent, and no answer.
            Permanent: refused for good.
        """
        answer = self.https.request(peer, "POST", "/write", {"id": identifier, "kind": "check"})
        if answer.status != 201:
            raise failure(peer, answer)
        said = answer.body if isinstance(answer.body, dict) else {}
        if said.get("region") != region:
            raise Transient(f"{peer}: the write was answered by {said.get('region')}, not by {region}")
        if said.get("id") != identifier:
            raise Transient(f"{peer}: another write was acknowledged than the one sent")
        return self.site.clock.now()

    def written(self, peer: Peer) -> frozenset[str]:
        """The identifiers of all check writes, read back through the public API. Raises as ``write``."""
        answer = self.https.request(peer, "GET", "/writes?kind=check")
        if answer.status != 200:
            raise failure(peer, answer)
        return frozenset(answer.body) if isinstance(answer.body, list) else frozenset()

    def lookup(self, region: str, hostname: str) -> str:
        """The one address that a public name leads to. Authoritative servers are asked, the region's own first.

        Raises:
            Transient: it leads nowhere, or to several places.
        """
        addresses = ask(hostname, servers_first(region, self._name_servers))
        if len(addresses) != 1:
            raise Transient(f"{hostname} leads to {', '.join(addresses)}")
        return addresses[0]

    def identities(self, region: str) -> IdentitySnapshot:
        """Who the Deployments are in a region now. Secrets appear as keyed digests only. Raises StepError."""
        digest = self.site.secrets.digest
        taken_at = self.site.clock.now()

        def one(deployment: Deployment) -> OwnData:
            with self.databases.use(region, deployment.database) as connection:
                return read_own_data(connection, self.config.canary)

        found = self.deployments(region)
        held = self.sql.each(one, found)
        read_until = self.site.clock.now()
        rows = tuple(identity(item, its, digest) for item, its in zip(found, held, strict=True))
        return IdentitySnapshot(taken_at=taken_at, read_until=read_until, region=region, deployments=rows)

    def image_uses(self, region: str) -> ImageUses:
        """Which images the Deployments of a region name, and whether its database takes writes. Raises StepError."""
        with self.databases.use(region) as connection:
            epoch = _epoch(connection)
            uses = tuple(image_use(item) for item in read_deployments(connection))
        return ImageUses(region=region, epoch=epoch, uses=uses)

    def open_lines(self, region: str, deployments: Sequence[Deployment]) -> int:
        """Opens a connection to every Deployment's API in a region, where there is none yet; returns how many are open.

        One caller at a time: who comes second (a run that overtakes its own head start) finds them open instead of opening them again.
        """
        with self._opening:
            results = self.web.results(self.https.warm, [self.public(region, item.api) for item in deployments])
        return sum(result is None for result in results)

    def warm(self, region: str) -> None:
        """A head start for a move to a region. Databases are left to the steps: 80 logins would compete with the promotion."""
        try:
            self.open_lines(region, self.deployments(region))
            self.control.status(region)
        except StepError:
            return  # the steps will meet it again and say it; nothing was promised here

    def close(self) -> None:
        """Closes every connection and ends the threads; safe to call twice."""
        self.web.close()
        self.sql.close()
        self.https.close()
        self._probe.close()
        self.databases.close()

    def _token(self) -> str:
        try:
            return self.site.secrets.get(self.config.control_token)
        except CredentialMissing as error:
            raise Permanent(error.message, hint=error.hint) from error

    def _servers(self) -> DatabaseServers:
        peer = self.site.peers.get(self.config.database)
        if not isinstance(peer, DatabaseServers):
            text = f"{self.name}: database: {self.config.database} is no component with databases"
            raise Permanent(text, hint="name a component of kind postgres")
        return peer

    def _name_servers(self) -> Sequence[NameServers]:
        return [peer for peer in self.site.peers.values() if isinstance(peer, NameServers)]


def _epoch(connection: Connection) -> int | None:
    """The timeline that a server writes; None: it is a secondary. 0 where it has none: Aurora hides its log, and says so."""
    from psycopg.errors import FeatureNotSupported

    try:
        row = connection.execute(_TIMELINE).fetchone()
    except FeatureNotSupported:
        row = connection.execute(_WRITES).fetchone()
        return 0 if row and row[0] else None
    return int(row[0], 16) if row and row[0] else None
