"""What a runbook says about an RDS instance with a cross-region read replica."""

from __future__ import annotations

from pydantic import Field

from dr.model.base import Frozen
from dr.providers.aws.config import Arn, AwsConfig

_IDENTIFIER = r"^[a-zA-Z](-?[a-zA-Z0-9])*$"
_GROUP = r"^sg-[0-9a-f]+$"


class RegionInstance(Frozen):
    """One region's instance.

    instance: its identifier, whichever side is the replica. security_groups: those with which its clients reach it.
    quarantine: a security group that lets nobody in: what fences it, as long as its region answers. instance_class, kms_key, subnet_group,
    security_groups, parameter_group, option_group: of a replica that is made anew after a failover; default: the class of the instance
    that it follows, else those that it had when ``dr`` saw it last.
    """

    instance: str = Field(pattern=_IDENTIFIER, max_length=58)
    security_groups: tuple[str, ...] = ()
    quarantine: str | None = Field(None, pattern=_GROUP)
    instance_class: str | None = Field(None, pattern=r"^db\.[a-z0-9.]+$")
    kms_key: Arn | None = None
    subnet_group: str | None = Field(None, pattern=r"^[a-zA-Z0-9 _.-]+$", max_length=255)
    parameter_group: str | None = Field(None, pattern=_IDENTIFIER, max_length=255)
    option_group: str | None = Field(None, pattern=_IDENTIFIER, max_length=255)


class ReplicaConfig(AwsConfig):
    """Settings of the kind ``aws.rds-read-replica``."""

    regions: dict[str, RegionInstance] = Field(min_length=2, max_length=2)

    def other(self, region: str) -> str:
        """The region that is not this one."""
        return next(name for name in self.regions if name != region)
