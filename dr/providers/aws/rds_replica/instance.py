"""An RDS instance as DescribeDBInstances says it, and what is read out of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dr.errors import StepError
from dr.providers.aws.metrics import Value

Instance = Mapping[str, Any]


@dataclass(frozen=True)
class Side:
    """One region's instance; None: there is none. lag: of a replica, by its own CloudWatch, or why that does not say."""

    instance: Instance | None
    lag: Value | StepError | None


def replica_of(instance: Instance) -> str:
    """What it follows: an identifier, or an ARN where that is elsewhere; empty: it is nobody's replica."""
    return str(instance.get("ReadReplicaSourceDBInstanceIdentifier") or "")


def groups(instance: Instance) -> tuple[str, ...]:
    """Its security groups."""
    return tuple(sorted(str(item["VpcSecurityGroupId"]) for item in instance.get("VpcSecurityGroups", ())))


def parameter_group(instance: Instance) -> str:
    """Its parameter group; empty: it does not say."""
    return next((str(item.get("DBParameterGroupName", "")) for item in instance.get("DBParameterGroups", ())), "")
