"""The kind ``aws.aurora-global-database``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from dr.errors import DrError, StepError, UsageError
from dr.model.lag import Beat, Finding, LagSample
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Known, Severity
from dr.ports import Site, Step
from dr.providers.aws.aurora import judge
from dr.providers.aws.aurora.anew import Anew
from dr.providers.aws.aurora.calls import ALARMS, CLUSTERS, GLOBAL, INSTANCES, PARAMETERS
from dr.providers.aws.aurora.chains import Chains
from dr.providers.aws.aurora.config import AuroraConfig
from dr.providers.aws.aurora.look import Looker, Side
from dr.providers.aws.calls import Use
from dr.providers.aws.kind import AwsKind, Judged
from dr.providers.aws.metrics import GET
from dr.providers.aws.place import Place
from dr.providers.regions import same_regions

if TYPE_CHECKING:
    from dr.providers.aws.aurora.sql import Writer
    from dr.providers.selfhosted.postgres.connect import Bounded


class AuroraGlobalDatabase(AwsKind[AuroraConfig, Side]):
    """An Aurora global database with a cluster in each of two regions (PostgreSQL or MySQL).

    Needs: the permissions that ``dr runbook permissions`` prints; with ``sql`` a database user that may create a schema ``dr``. A failover
    is FailoverGlobalCluster in the target's region with data loss allowed, which Aurora fences with as well as it can: it asks for
    ``--accept-split`` beforehand. A planned move is SwitchoverGlobalCluster, which loses nothing.
    """

    kind: ClassVar[str] = "aws.aurora-global-database"
    Config: ClassVar[type[KindConfig]] = AuroraConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        same_regions(name, self.config.regions, site)
        self.apart("a global database spans two AWS regions")
        self._looker = Looker(self.aws, self.config, self.places)
        self.writer = self._writer()
        self.anew = Anew(self)
        self._chains = Chains(self)

    def _writer(self) -> Writer | None:
        sql = self.config.sql
        if sql is None:
            return None
        from dr.providers.aws.aurora.sql import Writer  # a PostgreSQL driver costs a tenth of a second, and only this asks for it

        return Writer(self.name, sql, self.site.secrets, self.site.base, self.site.clock)

    def regions(self) -> Sequence[str]:
        """Both."""
        return tuple(self.config.regions)

    def look(self, place: Place) -> Side:
        """One region's side."""
        return self._looker.look(place)

    def looks(self, seconds: float) -> dict[str, Side | StepError]:
        """As the base does; what each cluster is like is kept for the day when it is gone."""
        found = super().looks(seconds)
        for side in found.values():
            if isinstance(side, Side):
                self.anew.keep(side)
        return found

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """Roles by what each region says of itself, findings, and the lag that the secondary's CloudWatch has."""
        roles = {region: judge.role(side) if isinstance(side, Side) else self.away(side) for region, side in looks.items()}
        told = self._by_sql(looks)
        found = [*judge.findings(self.name, self.config, looks), *self.anew.findings(looks), *self.silent(looks)]
        found += [told] if isinstance(told, Finding) else []
        for side in (look for look in looks.values() if isinstance(look, Side)):
            unasked = (side.lag, *side.settled.refused)
            found += [self.hidden(side.region, error) for error in unasked if isinstance(error, StepError)]
        return Judged(roles, found, told if isinstance(told, LagSample) else judge.lag(self.name, looks, self.site.clock.now()))

    def watches(self) -> Sequence[Use]:
        """What the monitor calls."""
        uses: list[Use] = []
        for region in self.config.regions:
            uses += [
                Use(GLOBAL, region, (self.global_arn(),)), Use(CLUSTERS, region, (self.cluster_arn(region),)),
                Use(INSTANCES, region), Use(PARAMETERS, region), Use(ALARMS, region), Use(GET, region),
            ]  # fmt: skip
        return uses

    def beat(self, region: str) -> Beat | None:
        """One heartbeat row where ``sql`` is given; else None."""
        return self.writer.beat(region) if self.writer is not None else None

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. ``reprotect``: ``target`` writes now, ``source`` shall follow it."""
        return self._chains.steps(intent, source, target)

    def warm(self, target: str) -> None:
        """Makes clients and opens connections in the target."""
        super().warm(target)
        if self.writer is not None:
            with contextlib.suppress(DrError):
                self.writer.warm(target)

    def connect(self, region: str, database: str | None = None) -> Bounded:
        """A new connection for kinds whose data lies there (``airflow-deployments``). Raises StepError, UsageError without ``sql``."""
        if self.writer is None:
            raise UsageError(f"{self.name}: sql: not given, and other components need to connect", hint="write sql: {database, user, …}")
        return self.writer.connect(region, database)

    def psql(self, region: str, database: str | None = None) -> str:
        """What a person types to reach the same databases. ``database``: one word of the shell. Without ``sql``: a pattern to fill in."""
        if self.writer is None:
            return f"psql -X -qAt -v ON_ERROR_STOP=1 -h WRITER_ENDPOINT_IN_{region.upper()} -d {database or 'DATABASE'}"
        return self.writer.psql(region, database)

    def close(self) -> None:
        """Closes connections; safe to call twice."""
        super().close()
        if self.writer is not None:
            self.writer.close()

    def recovery_point(self, region: str) -> datetime | None:
        """The newest moment whose data a region holds: out of the data itself where ``sql`` is given, else by its CloudWatch.

        Raises StepError.
        """
        if self.writer is not None:
            with contextlib.suppress(StepError):  # CloudWatch knows it, too, if less exactly
                if (point := self.writer.recovery_point(region)) is not None:
                    return point
        return self._looker.recovery_point(self.places[region])

    def _by_sql(self, looks: Mapping[str, Side | StepError]) -> LagSample | Finding | None:
        """Better than CloudWatch, which has one value a minute. A finding: it cannot be read. None: no ``sql``, or no heartbeat yet."""
        seconds = [side for side in looks.values() if isinstance(side, Side) and side.member is not None and not side.member.writer]
        if self.writer is None or len(seconds) != 1 or seconds[0].available == 0:
            return None
        region = seconds[0].region
        try:
            point = self.writer.recovery_point(region)
        except StepError as error:
            fix = error.hint or f"correct sql.reader_endpoints.{region}: a secondary's writer endpoint is inactive until it is promoted"
            return self.finding(Severity.WARNING, f"the recovery point cannot be read in {region} itself: {error.message}", fix, region)
        now = self.site.clock.now()
        if point is None:
            return None
        lag = max(now - point, timedelta(0))
        return LagSample(component=self.name, at=now, state=Known.KNOWN, lag=lag, recovery_point=point, follows=True)

    # --- what is sent, for steps and for people ---

    def account(self, region: str) -> str:
        """Whose the region's clusters are, for ARNs; ``*`` where the runbook does not say."""
        return self.places[region].account or "*"

    def global_arn(self) -> str:
        """The global database; it is in no region."""
        return f"arn:aws:rds::{self.account(next(iter(self.places)))}:global-cluster:{self.config.global_cluster}"

    def cluster_arn(self, region: str) -> str:
        """A region's cluster."""
        return f"arn:aws:rds:{self.places[region].code}:{self.account(region)}:cluster:{self.config.regions[region].cluster}"

    def switchover(self, arn: str) -> dict[str, Any]:
        """Parameters of SwitchoverGlobalCluster. ``arn``: of the target, as the global database lists it."""
        return {"GlobalClusterIdentifier": self.config.global_cluster, "TargetDbClusterIdentifier": arn}

    def failover(self, arn: str) -> dict[str, Any]:
        """Parameters of FailoverGlobalCluster."""
        return {**self.switchover(arn), "AllowDataLoss": True}

    def removal(self, arn: str) -> dict[str, Any]:
        """Parameters of RemoveFromGlobalCluster."""
        return {"GlobalClusterIdentifier": self.config.global_cluster, "DbClusterIdentifier": arn}

    def instance(self, region: str, name: str) -> dict[str, Any]:
        """Parameters of CreateDBInstance."""
        settings = self.config.regions[region]
        return {
            "DBInstanceIdentifier": name, "DBClusterIdentifier": settings.cluster, "DBInstanceClass": settings.instance_class,
            "Engine": settings.engine,
        }  # fmt: skip

    def rejoin_by_hand(self, region: str) -> str:
        """What a person types after a detach, once the old global database is not needed any more."""
        place = self.places[region]
        return (
            f"aws rds create-global-cluster --global-cluster-identifier {self.config.global_cluster}-2 "
            f"--source-db-cluster-identifier {self.cluster_arn(region)} --region {place.code}, then write global_cluster: "
            f"{self.config.global_cluster}-2"
        )
