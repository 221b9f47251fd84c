"""A secondary cluster that is made anew: of what the runbook says, else of what it was like when it was last seen.

CreateDBCluster takes a global database's data, and nothing else of it: without a subnet group the cluster is in the default VPC, without
security groups it has that one's, without a version it is of the engine's default, which need not be the writer's. An encrypted one needs a
key of its own region, and a request that is signed for the source's region, too, which boto3 makes of ``SourceRegion``.
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBCluster.html and
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-global-database-attaching.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dr.errors import StepError
from dr.model.lag import Finding
from dr.providers.aws.as_it_was import AsItWas
from dr.providers.aws.aurora.calls import ADD_CLUSTER, CLUSTERS, WITH_KEY
from dr.providers.aws.aurora.look import Side
from dr.providers.aws.calls import Use

if TYPE_CHECKING:
    from dr.providers.aws.aurora.kind import AuroraGlobalDatabase


class Anew(AsItWas):
    """Of one component. Remembers what each region's cluster is like, as long as it is there."""

    def __init__(self, owner: AuroraGlobalDatabase) -> None:
        super().__init__(owner, owner.config.regions, {region: side.cluster for region, side in owner.config.regions.items()})
        self._owner = owner

    def keep(self, side: Side) -> None:
        """Remembers a cluster that is there."""
        if side.arn:
            self.remember(side.region, side.like)

    def parameters(self, region: str, writer: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of CreateDBCluster for a region. Raises Permanent: a key is needed, and nobody knows one."""
        return {**self._parameters(region, self.wanted(region, writer)), "EngineVersion": str(writer["EngineVersion"])}

    def _parameters(self, region: str, like: Mapping[str, str]) -> dict[str, Any]:
        owner, settings = self._owner, self._owner.config.regions[region]
        key = like.get("kms_key")
        source = owner.places[owner.config.other(region)].code
        more = {
            "DBSubnetGroupName": like.get("subnet_group"), "VpcSecurityGroupIds": like.get("security_groups", "").split() or None,
            "DBClusterParameterGroupName": like.get("parameter_group"),
            **({} if key is None else {"StorageEncrypted": True, "KmsKeyId": key, "SourceRegion": source}),
        }  # fmt: skip
        return {
            "DBClusterIdentifier": settings.cluster, "Engine": settings.engine, "GlobalClusterIdentifier": owner.config.global_cluster,
            **{name: value for name, value in more.items() if value is not None},
        }  # fmt: skip

    def by_hand(self, region: str) -> str:
        """What a person types: what the runbook says, the writer's version, and a key in KMS_KEY where the runbook names none."""
        owner = self._owner
        other = owner.config.other(region)
        said = {word: own for word, own in self.said(region).items() if own}
        command = owner.typed(owner.places[region], ADD_CLUSTER, self._parameters(region, said))
        named = {"DBClusterIdentifier": owner.config.regions[other].cluster}
        version = owner.typed(owner.places[other], CLUSTERS, named, query="DBClusters[0].EngineVersion", text=True)
        return f'{command}{self.key_by_hand(region, "--storage-encrypted")} --engine-version "$({version})"'

    def uses(self, region: str) -> tuple[Use, ...]:
        """What making it needs to be allowed."""
        owner, settings = self._owner, self._owner.config.regions[region]
        mine = f"arn:aws:rds:{owner.places[region].code}:{owner.account(region)}"
        return self.allowed(
            region, ADD_CLUSTER, WITH_KEY, owner.cluster_arn(region), owner.global_arn(), f"{mine}:subgrp:{settings.subnet_group or '*'}",
            f"{mine}:cluster-pg:{settings.parameter_group or '*'}", f"{mine}:og:*",
        )  # fmt: skip

    def findings(self, looks: Mapping[str, Side | StepError]) -> Iterator[Finding]:
        """What a missing cluster could not be made of; of a silent region, what it could not be if it was lost."""
        for region, side in looks.items():
            other = looks.get(self._owner.config.other(region))
            if not isinstance(other, Side) or (isinstance(side, Side) and side.arn):
                continue
            yield from self.lacking(region, {"StorageEncrypted": other.encrypted}, silent=isinstance(side, StepError))
