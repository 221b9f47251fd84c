"""A database that is made anew is made as it was: of what the runbook says, else of what it was like when it was last seen.

What makes a copy of a database in another region takes the data along and little else: without a subnet group it is in the default VPC, and
the copy of an encrypted one needs a key of its own region, and a request that is signed for the source's region, too, which boto3 makes of
``SourceRegion``. What each operation wants besides is said where the kinds use it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from dr.errors import Permanent
from dr.model.lag import Finding
from dr.model.words import Severity
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.kind import AwsKind
from dr.providers.aws.memory import Memory

_DEFAULT = re.compile(r"default([.:].*)?")
"""What AWS calls what nobody chose: ``default``, ``default.postgres16``, ``default:postgres-16``; it is chosen anew. A subnet group that
the console called ``default-vpc-0ab`` was chosen: it is of that VPC."""
_NOTHING: Mapping[str, str] = {}


def chosen(value: str) -> bool:
    """Somebody chose it: it is neither empty nor AWS's default."""
    return bool(value) and not _DEFAULT.fullmatch(value)


class Settings(Protocol):
    """What a runbook may say of one region's database, for the day when it is made anew."""

    @property
    def kms_key(self) -> str | None:
        """ARN of a key of the region."""

    @property
    def subnet_group(self) -> str | None:
        """Where it is."""

    @property
    def security_groups(self) -> tuple[str, ...]:
        """Who reaches it."""

    @property
    def parameter_group(self) -> str | None:
        """How it is set."""


class AsItWas:
    """Of one component. Remembers what each region's database is like, as long as it is there.

    ``seen``: what is read of it this moment (of the old one, under another name); it comes before what is remembered.
    """

    def __init__(self, owner: AwsKind[Any, Any], settings: Mapping[str, Settings], names: Mapping[str, str]) -> None:
        self._at, self._settings, self._names, self._memory = owner, settings, names, Memory(owner.site, owner.name)

    def remember(self, region: str, like: Mapping[str, str]) -> None:
        """Keeps what a region's database is like now, by the words of the runbook."""
        self._memory.keep(region, like)

    def before(self, region: str) -> Mapping[str, str]:
        """What it was like when it was last seen; empty: nobody knows."""
        last = self._memory.last(region)
        return _NOTHING if last is None else last.items

    def said(self, region: str) -> dict[str, str]:
        """What the runbook says, for every word that there is; empty: nothing."""
        own = self._settings[region]
        return {
            "kms_key": own.kms_key or "", "subnet_group": own.subnet_group or "", "security_groups": " ".join(own.security_groups),
            "parameter_group": own.parameter_group or "",
        }  # fmt: skip

    def like(self, region: str, seen: Mapping[str, str] = _NOTHING) -> dict[str, str]:
        """What a region's database shall be like; what nobody knows is not among it."""
        before = self.before(region)
        found: dict[str, str] = {}
        for word, own in self.said(region).items():
            known = (value for value in (seen.get(word, ""), before.get(word, "")) if chosen(value))
            if value := own or next(known, ""):
                found[word] = value
        return found

    def lacks(self, region: str, leader: Mapping[str, Any], seen: Mapping[str, str] = _NOTHING) -> str:
        """Why a region's database cannot be made anew, with what to write; empty: it can. leader: the other region's, as described."""
        if not leader.get("StorageEncrypted") or "kms_key" in self.like(region, seen):
            return ""
        return (
            f"{self._names[region]} is not there in {region}, its storage has to be encrypted, and with which key it was is not known: "
            f"write regions.{region}.kms_key: the ARN of a key of {self._at.places[region].code}"
        )

    def wanted(self, region: str, leader: Mapping[str, Any], seen: Mapping[str, str] = _NOTHING) -> dict[str, str]:
        """As ``like``, with a key where there must be one, and only there. Raises Permanent: nobody knows it."""
        if why := self.lacks(region, leader, seen):
            raise Permanent(why, hint="dr runbook check")
        return {word: value for word, value in self.like(region, seen).items() if word != "kms_key" or leader.get("StorageEncrypted")}

    def key_by_hand(self, region: str, *flags: str) -> str:
        """What a person adds to the command: a key in KMS_KEY where the runbook names none and there is one. ``flags``: come first."""
        if self._settings[region].kms_key is not None:
            return ""
        words = (*flags, '--kms-key-id "$KMS_KEY" --source-region', shlex.quote(self._at.places[self._at.other(region)].code))
        return f" ${{KMS_KEY:+{' '.join(words)}}}"

    def allowed(self, region: str, call: Call, with_key: Call, *resources: str) -> tuple[Use, ...]:
        """What making it needs to be allowed. A key only where the runbook names it: a policy that lets every key be used is none."""
        made, key = Use(call, region, resources), self._settings[region].kms_key
        return (made,) if key is None else (made, Use(with_key, region, (key,)))

    def lacking(self, region: str, leader: Mapping[str, Any], *, silent: bool) -> Iterator[Finding]:
        """What a database that is gone could not be made of; of a silent region, what it could not be if it was lost."""
        if why := self.lacks(region, leader):
            fact, _, fix = why.partition(": ")
            severity = Severity.WARNING
            if silent:
                fact, severity = f"if {self._names[region]} is gone from {region}: {fact}", Severity.INFO
            yield self._at.finding(severity, f"{fact}: re-protect could not make it anew", fix, region)
        if not silent and "subnet_group" not in self.like(region):
            fact = f"in which subnets {self._names[region]} was in {region} is not known: the default VPC's"
            fix = f"write regions.{region}.subnet_group and security_groups, where a new one shall be elsewhere"
            yield self._at.finding(Severity.INFO, fact, fix, region)
