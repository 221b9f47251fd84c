"""A replica that is made anew: of what the runbook says, else of what the instance was like that it takes the place of.

CreateDBInstanceReadReplica takes the source's data and class. What it says nothing of is the region's default: the default VPC, open to the
internet where that has a gateway, and the engine's own parameter group. A parameter group is taken with the request for MySQL, Oracle and
Db2 alone; others are given theirs once they are there. An encrypted one needs a key of its own region, and a plain one must have none.
https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstanceReadReplica.html and
https://github.com/hashicorp/terraform-provider-aws/issues/38056 (what PostgreSQL's answers to a parameter group)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dr.errors import StepError
from dr.model.lag import Finding
from dr.providers.aws.as_it_was import AsItWas, chosen
from dr.providers.aws.calls import Use
from dr.providers.aws.rds_replica.calls import CREATE_REPLICA, MODIFY, WITH_KEY
from dr.providers.aws.rds_replica.instance import Instance, Side, groups, parameter_group, replica_of
from dr.providers.aws.rds_status import SERVES

if TYPE_CHECKING:
    from dr.providers.aws.rds_replica.kind import RdsReadReplica

_WITH_GROUP = ("mysql", "oracle", "db2")
"""Engines that take a parameter group while a replica is made elsewhere; the others refuse it."""
_PUBLIC = {"yes": True, "no": False}


def like(found: Instance) -> dict[str, str]:
    """What an instance is like, as DescribeDBInstances says it, by the words of the runbook; ``public``: the internet has its address."""
    options = (str(item.get("OptionGroupName", "")) for item in found.get("OptionGroupMemberships", ()))
    return {
        "kms_key": str(found.get("KmsKeyId") or "") if found.get("StorageEncrypted") else "",
        "subnet_group": str((found.get("DBSubnetGroup") or {}).get("DBSubnetGroupName", "")),
        "security_groups": " ".join(groups(found)), "parameter_group": parameter_group(found), "option_group": next(options, ""),
        "public": {True: "yes", False: "no"}.get(found.get("PubliclyAccessible", ""), ""),
    }  # fmt: skip


class Anew(AsItWas):
    """Of one component. Remembers what each region's instance is like, as long as it is there."""

    def __init__(self, owner: RdsReadReplica) -> None:
        super().__init__(owner, owner.config.regions, {region: side.instance for region, side in owner.config.regions.items()})
        self._owner = owner

    def keep(self, region: str, found: Instance | None) -> None:
        """Remembers an instance that is there. What was done to it for a while is not what it is like: then what was before holds."""
        if found is None:
            return
        seen = self.seen(region, found)
        if replica_of(found) and not chosen(seen["parameter_group"]):
            del seen["parameter_group"]  # a new one is given its own in a moment
        if len(seen) < len(like(found)):
            seen = {**self.before(region), **seen}
        self.remember(region, seen)

    def seen(self, region: str, found: Instance | None) -> dict[str, str]:
        """What an instance is like, without a quarantine that it is in."""
        if found is None:
            return {}
        quarantined = groups(found) == (self._owner.config.regions[region].quarantine,)
        return {word: value for word, value in like(found).items() if word != "security_groups" or not quarantined}

    def said(self, region: str) -> dict[str, str]:
        """What the runbook says; it says nothing of ``public``."""
        return {**super().said(region), "option_group": self._owner.config.regions[region].option_group or "", "public": ""}

    def parameters(self, source: str, target: Instance, left: Instance | None) -> dict[str, Any]:
        """Parameters of CreateDBInstanceReadReplica. target: who writes; left: the old instance, under its other name.

        Raises Permanent: a key is needed, and nobody knows one."""
        like = self.wanted(source, target, self.seen(source, left))
        if not str(target.get("Engine", "")).startswith(_WITH_GROUP):
            like.pop("parameter_group", None)
        return self._parameters(source, like)

    def group(self, source: str, found: Instance, left: Instance | None) -> str:
        """The parameter group that a new replica is still to be given; empty: none. One that somebody gave it stays."""
        return "" if chosen(parameter_group(found)) else self.like(source, self.seen(source, left)).get("parameter_group", "")

    def regrouped(self, source: str, group: str) -> dict[str, Any]:
        """Parameters of ModifyDBInstance that give it."""
        named = self._owner.config.regions[source].instance
        return {"DBInstanceIdentifier": named, "DBParameterGroupName": group, "ApplyImmediately": True}

    def _parameters(self, source: str, like: Mapping[str, str]) -> dict[str, Any]:
        owner, settings = self._owner, self._owner.config.regions[source]
        target, key = owner.config.other(source), like.get("kms_key")
        more = {
            "DBInstanceClass": settings.instance_class, "DBSubnetGroupName": like.get("subnet_group"),
            "VpcSecurityGroupIds": like.get("security_groups", "").split() or None, "OptionGroupName": like.get("option_group"),
            "DBParameterGroupName": like.get("parameter_group"), "PubliclyAccessible": _PUBLIC.get(like.get("public", "")),
            **({} if key is None else {"KmsKeyId": key, "SourceRegion": owner.places[target].code}),
        }  # fmt: skip
        return {
            "DBInstanceIdentifier": settings.instance, "SourceDBInstanceIdentifier": owner.arn(target),
            **{name: value for name, value in more.items() if value is not None},
        }  # fmt: skip

    def by_hand(self, source: str) -> str:
        """What a person types: what the runbook says, and a key in KMS_KEY where it names none. A parameter group is given afterwards:
        that is taken whatever the engine."""
        owner = self._owner
        said = {word: own for word, own in self.said(source).items() if own and word != "parameter_group"}
        command = owner.typed(owner.places[source], CREATE_REPLICA, self._parameters(source, said)) + self.key_by_hand(source)
        group = self.said(source)["parameter_group"]
        if not group:
            return command
        there = f"until {owner.shown(source, 'DBInstanceStatus')} | {SERVES}; do sleep 30; done"
        return f"{command} && {there} && {owner.typed(owner.places[source], MODIFY, self.regrouped(source, group))}"

    def uses(self, source: str) -> tuple[Use, ...]:
        """What making it needs to be allowed."""
        owner, settings = self._owner, self._owner.config.regions[source]
        place = owner.places[source]
        mine = f"arn:aws:rds:{place.code}:{place.account or '*'}"
        group = f"{mine}:pg:{settings.parameter_group or '*'}"
        made = self.allowed(
            source, CREATE_REPLICA, WITH_KEY, owner.arn(source), owner.arn(owner.config.other(source)),
            f"{mine}:subgrp:{settings.subnet_group or '*'}", group, f"{mine}:og:{settings.option_group or '*'}",
        )  # fmt: skip
        return (*made, Use(MODIFY, source, (owner.arn(source), group)))

    def findings(self, looks: Mapping[str, Side | StepError]) -> Iterator[Finding]:
        """What a missing instance could not be made of; of a silent region, what it could not be if it was lost."""
        for region, side in looks.items():
            other = looks.get(self._owner.config.other(region))
            if not isinstance(other, Side) or other.instance is None or (isinstance(side, Side) and side.instance is not None):
                continue
            yield from self.lacking(region, other.instance, silent=isinstance(side, StepError))
