"""A secondary cluster that is made anew: of what the runbook says, else of what it was like when it was last seen.

CreateDBCluster takes a global database's data, and nothing else of it: without a subnet group the cluster is in the default VPC, without
security groups it has that one's, without a version it is of the engine's default, which need not be the writer's. An encrypted one needs a
key of its own region, and a request that is signed for the source's region, too, which boto3 makes of ``SourceRegion``.
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBCluster.html and
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-global-database-attaching.html
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dr.errors import Permanent, StepError
from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.aws.aurora.calls import ADD_CLUSTER, CLUSTERS, WITH_KEY
from dr.providers.aws.aurora.look import Side
from dr.providers.aws.calls import Use
from dr.providers.aws.memory import Memory

if TYPE_CHECKING:
    from dr.providers.aws.aurora.kind import AuroraGlobalDatabase

_DEFAULT = "default"
"""What AWS calls what nobody chose begins with this; it is chosen anew."""


class Anew:
    """Of one component. Remembers what each region's cluster is like, as long as it is there."""

    def __init__(self, owner: AuroraGlobalDatabase) -> None:
        self._owner, self._memory = owner, Memory(owner.site, owner.name)

    def keep(self, side: Side) -> None:
        """Remembers a cluster that is there."""
        if side.arn:
            self._memory.keep(side.region, side.like)

    def like(self, region: str) -> Mapping[str, str]:
        """What a region's cluster shall be like, by the words of the runbook; what nobody knows is not among it."""
        settings, last = self._owner.config.regions[region], self._memory.last(region)
        said = {
            "kms_key": settings.kms_key, "subnet_group": settings.subnet_group, "security_groups": " ".join(settings.security_groups),
            "parameter_group": settings.parameter_group,
        }  # fmt: skip
        known = {} if last is None else {word: value for word, value in last.items.items() if not value.startswith(_DEFAULT)}
        return {word: value for word, own in said.items() if (value := own or known.get(word, ""))}

    def lacks(self, region: str, writer: Mapping[str, Any]) -> str:
        """Why a region's cluster cannot be made anew, with what to write; empty: it can. writer: the other region's, as described."""
        if not writer.get("StorageEncrypted") or "kms_key" in self.like(region):
            return ""
        code, cluster = self._owner.places[region].code, self._owner.config.regions[region].cluster
        return (
            f"{cluster} is not there in {region}, its storage has to be encrypted, and with which key it was is not known: "
            f"write regions.{region}.kms_key: the ARN of a key of {code}"
        )

    def parameters(self, region: str, writer: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of CreateDBCluster for a region. Raises Permanent: a key is needed, and nobody knows one."""
        if why := self.lacks(region, writer):
            raise Permanent(why, hint="dr runbook check")
        like = self.like(region)
        if not writer.get("StorageEncrypted"):
            like = {word: value for word, value in like.items() if word != "kms_key"}
        return {**self._parameters(region, like), "EngineVersion": str(writer["EngineVersion"])}

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
        owner, settings = self._owner, self._owner.config.regions[region]
        other = owner.config.other(region)
        said = {
            "kms_key": settings.kms_key, "subnet_group": settings.subnet_group, "security_groups": " ".join(settings.security_groups),
            "parameter_group": settings.parameter_group,
        }  # fmt: skip
        command = owner.typed(owner.places[region], ADD_CLUSTER, self._parameters(region, {word: own for word, own in said.items() if own}))
        named = {"DBClusterIdentifier": owner.config.regions[other].cluster}
        version = owner.typed(owner.places[other], CLUSTERS, named, query="DBClusters[0].EngineVersion", text=True)
        if settings.kms_key is None:
            source = shlex.quote(owner.places[other].code)
            command += f' ${{KMS_KEY:+--storage-encrypted --kms-key-id "$KMS_KEY" --source-region {source}}}'
        return f'{command} --engine-version "$({version})"'

    def uses(self, region: str) -> tuple[Use, ...]:
        """What making it needs to be allowed. A key only where the runbook names it: a policy that lets every key be used is none."""
        owner, settings = self._owner, self._owner.config.regions[region]
        place = owner.places[region]
        mine = f"arn:aws:rds:{place.code}:{owner.account(region)}"
        made = Use(ADD_CLUSTER, region, (
            owner.cluster_arn(region), owner.global_arn(), f"{mine}:subgrp:{settings.subnet_group or '*'}",
            f"{mine}:cluster-pg:{settings.parameter_group or '*'}", f"{mine}:og:*",
        ))  # fmt: skip
        return (made,) if settings.kms_key is None else (made, Use(WITH_KEY, region, (settings.kms_key,)))

    def findings(self, looks: Mapping[str, Side | StepError]) -> Iterator[Finding]:
        """What a missing cluster could not be made of; of a silent region, what it could not be if it was lost."""
        for region, side in looks.items():
            other = looks.get(self._owner.config.other(region))
            if not isinstance(other, Side) or (isinstance(side, Side) and side.arn):
                continue
            if why := self.lacks(region, {"StorageEncrypted": other.encrypted}):
                fact, _, fix = why.partition(": ")
                severity = Severity.WARNING
                if isinstance(side, StepError):
                    fact, severity = f"if {self._owner.config.regions[region].cluster} is gone from {region}: {fact}", Severity.INFO
                yield self._owner.finding(severity, f"{fact}: re-protect could not make it anew", fix, region)
            if isinstance(side, Side) and "subnet_group" not in self.like(region):
                fact = f"in which subnets {self._owner.config.regions[region].cluster} was in {region} is not known: the default VPC's"
                fix = f"write regions.{region}.subnet_group and security_groups, where a new one shall be elsewhere"
                yield self._owner.finding(Severity.INFO, fact, fix, region)
