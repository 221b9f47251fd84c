"""What a runbook says about an Aurora global database."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from dr.model.base import Frozen
from dr.model.runbook import SecretRef
from dr.providers.aws.config import Arn, AwsConfig

_IDENTIFIER = r"^[a-zA-Z](-?[a-zA-Z0-9])*$"


class Promotion(StrEnum):
    """How a failover promotes: ``managed`` keeps the global database; ``detach`` takes the target out of it, for versions that differ."""

    MANAGED = "managed"
    DETACH = "detach"


class RegionCluster(Frozen):
    """One region's cluster.

    instances: how many it must have as the writer; where it has fewer (a headless secondary), a move creates them, of ``instance_class``.
    engine: of these instances. kms_key, subnet_group, security_groups, parameter_group: of a cluster that is made anew by a re-protect,
    because there is none any more; default: those that it had when ``dr`` saw it last.
    """

    cluster: str = Field(pattern=_IDENTIFIER, max_length=63)
    instances: int = Field(1, ge=1, le=16)
    instance_class: str | None = Field(None, pattern=r"^db\.[a-z0-9.]+$")
    engine: str = Field("aurora-postgresql", pattern=r"^aurora-(postgresql|mysql)$")
    kms_key: Arn | None = None
    subnet_group: str | None = Field(None, pattern=r"^[a-zA-Z0-9 _.-]+$", max_length=255)
    security_groups: tuple[Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]+$")], ...] = ()
    parameter_group: str | None = Field(None, pattern=_IDENTIFIER, max_length=255)


class Sql(Frozen):
    """How a write is proven, and the recovery point read out of the data itself: Aurora PostgreSQL only.

    endpoints: by region, the cluster's own writer endpoint (not the global one: each side is asked for itself).
    reader_endpoints: where a secondary is read; default: the writer endpoint, which a secondary has, too, but inactive.
    """

    database: str
    user: str
    password: SecretRef | None = None
    sslmode: str | None = Field("verify-full", pattern=r"^(disable|allow|prefer|require|verify-ca|verify-full)$")
    sslrootcert: str | None = None
    endpoints: dict[str, str] = Field(min_length=2, max_length=2)
    reader_endpoints: dict[str, str] = {}
    port: int = Field(5432, ge=1, le=65535)


class AuroraConfig(AwsConfig):
    """Settings of the kind ``aws.aurora-global-database``.

    global_cluster: its identifier. promotion: see ``Promotion``; ``dr runbook check`` says where ``managed`` would be refused.
    sql: none: whether the writer takes writes is told by RDS alone, and the recovery point by CloudWatch.
    """

    global_cluster: str = Field(pattern=_IDENTIFIER, max_length=63)
    regions: dict[str, RegionCluster] = Field(min_length=2, max_length=2)
    promotion: Promotion = Promotion.MANAGED
    sql: Sql | None = None

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.sql is not None and self.sql.endpoints.keys() != self.regions.keys():
            raise ValueError(f"sql.endpoints: expected one for each of {', '.join(self.regions)}")
        if self.sql is not None and any("mysql" in side.engine for side in self.regions.values()):
            raise ValueError("sql: for Aurora PostgreSQL only")
        return self

    def other(self, region: str) -> str:
        """The region that is not this one."""
        return next(name for name in self.regions if name != region)
