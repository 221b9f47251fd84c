"""AWS KMS: a multi-Region key, usable in the other region for what the primary's region encrypted.

Nothing is promoted on the way out: a replica encrypts and decrypts by itself. Which region holds the primary key matters only for changing
the key, and can only be changed while both regions are there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator

from dr.errors import Permanent, StepError, Transient, UsageError
from dr.model.base import Frozen
from dr.model.by_hand import Typed
from dr.model.evidence import Evidence, Note
from dr.model.lag import Finding
from dr.model.runbook import KindConfig
from dr.model.words import Guard, Intent, Severity, Verb
from dr.ports import AttemptContext, Look, Seen, Site, Step
from dr.providers.artefacts import keep
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.config import Arn, AwsConfig, region_of
from dr.providers.aws.kind import AwsKind, AwsStep, Judged
from dr.providers.aws.place import Place
from dr.providers.aws.values import some
from dr.providers.regions import same_regions

_STATE = "the key must be Enabled in both regions: aws kms describe-key"
_GONE = "no such key there: correct regions.*.key, or replicate it: aws kms replicate-key --replica-region"

DESCRIBE = Call("kms", "DescribeKey", refusals={"NotFoundException": _GONE, "InvalidArnException": _GONE})
"""State, region of the primary, replicas. https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html; NotFoundException."""

ALIASES = Call("kms", "ListAliases", refusals={"NotFoundException": _GONE})
"""Aliases of one key; they belong to a region and are not replicated. IAM knows no resource for it.
https://docs.aws.amazon.com/kms/latest/APIReference/API_ListAliases.html; NotFoundException."""

POLICY = Call("kms", "GetKeyPolicy", refusals={"NotFoundException": _GONE})
"""A replica has a policy of its own. https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyPolicy.html; NotFoundException."""

_USABLE = {
    "DisabledException": "aws kms enable-key", "KMSInvalidStateException": _STATE, "NotFoundException": _GONE,
    "InvalidKeyUsageException": "the key is for signing: dr looks after keys that encrypt",
}  # fmt: skip
GENERATE = Call("kms", "GenerateDataKeyWithoutPlaintext", plane="data", refusals=_USABLE)
"""Encrypts a data key that nobody ever sees. https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKeyWithoutPlaintext.html;
DisabledException, KeyUnavailableException (ask again), KMSInvalidStateException, InvalidKeyUsageException, NotFoundException."""

DECRYPT = Call("kms", "Decrypt", plane="data", refusals={
    **_USABLE,
    "IncorrectKeyException": "it was encrypted by another key: the two are no replicas of each other",
    "InvalidCiphertextException": "the two keys do not share their material: the replica must be made by aws kms replicate-key",
})  # fmt: skip
"""https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html: with a replica of the key that encrypted;
IncorrectKeyException, InvalidCiphertextException, DisabledException, KMSInvalidStateException. What it gives back is dropped at once."""

UPDATE = Call("kms", "UpdatePrimaryRegion", act=True, refusals={
    "KMSInvalidStateException": _STATE,
    "DisabledException": _STATE,
    "NotFoundException": _GONE,
    "UnsupportedOperationException": "only the primary of a multi-Region key can hand over: aws kms describe-key",
})  # fmt: skip
"""The replica becomes the primary, the primary a replica; asked in the primary's region; IAM wants it for both.

https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdatePrimaryRegion.html: both must be Enabled; for a few seconds both are Updating,
and may both call themselves replicas; they encrypt and decrypt meanwhile. KMSInvalidStateException, UnsupportedOperationException."""

_CONTEXT = {"dr": "readiness"}
_PROBED = 600.0
"""Seconds for which a round trip serves: it costs money."""


class Primary(StrEnum):
    """Where the primary key is to be."""

    STAY = "stay"
    FOLLOW = "follow"


class RegionKey(Frozen):
    """One region. key: ARN of the key there."""

    key: Arn

    @field_validator("key")
    @classmethod
    def _a_key(cls, value: str) -> str:
        if ":kms:" not in value or ":key/" not in value:
            raise ValueError("expected the ARN of a key, such as arn:aws:kms:us-west-2:123456789012:key/mrk-…; aliases go into aliases")
        return value


class KmsConfig(AwsConfig):
    """Settings of the kind ``aws.kms-key``.

    aliases: that must lead to the key in both regions. primary: ``follow``: with a planned move, and with dr reprotect, the primary key
    moves into the leading region, so that the key can be changed there; ``stay``: it stays, and where that matters is a finding.
    """

    aliases: tuple[str, ...] = ()
    primary: Primary = Primary.STAY
    regions: dict[str, RegionKey] = Field(min_length=2, max_length=2)

    @field_validator("aliases")
    @classmethod
    def _aliases(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if any(not value.startswith("alias/") or value.startswith("alias/aws/") for value in values):
            raise ValueError("expected alias/NAME; keys of alias/aws/ belong to AWS and are in one region for ever")
        return values


@dataclass(frozen=True)
class Side:
    """One region's key. primary: AWS's name of the region of the primary key. policy: what it allows, region names taken out.

    trial: why it cannot be used for what the other region encrypted; empty: it can. tried: something of the other region's was at hand.
    """

    place: Place
    state: str
    multi: bool
    primary: str
    members: frozenset[str]
    aliases: frozenset[str]
    policy: str
    trial: str = ""
    tried: bool = False


class KmsKey(AwsKind[KmsConfig, Side]):
    """A multi-Region key of AWS KMS with a member in each region.

    Protects that what was encrypted in one region can be decrypted in the other: tried with data that the other region's member encrypted
    while it was there (kept beside the journal; it opens nothing). Takes no part in the move itself.
    """

    kind: ClassVar[str] = "aws.kms-key"
    Config: ClassVar[type[KindConfig]] = KmsConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        for region, place in self.places.items():
            if region_of(self.key(region)) != place.code:
                text = f"{name}: regions.{region}.key: the ARN is not of {place.code}"
                raise UsageError(text, hint="name each region's own member of the key")
        self._tried: dict[str, tuple[float, str, bool]] = {}

    def regions(self) -> Sequence[str]:
        """Both. Raises UsageError: not those of the runbook."""
        same_regions(self.name, self.config.regions, self.site)
        return tuple(self.config.regions)

    def look(self, place: Place) -> Side:
        """One region's key, and whether it can be used; tried every ten minutes, once something of the other region's was at hand."""
        now, known = self.site.clock.monotonic(), self._tried.get(place.region)
        if known is None or not known[2] or now - known[0] > _PROBED:
            known = self._tried[place.region] = (now, *self.trial(place.region))
        return self.side(place, known[1], known[2])

    def side(self, place: Place, trial: str, tried: bool, *, compare: bool = True) -> Side:
        """What the region says. compare: the policy, too, which only findings are made of. Raises StepError."""
        key = self.key(place.region)
        said = self.aws.read(place, DESCRIBE, KeyId=key)["KeyMetadata"]
        policy = self.aws.read(place, POLICY, KeyId=key, PolicyName="default")["Policy"] if compare else ""
        aliases = {item["AliasName"] for page in self.aws.pages(place, ALIASES, KeyId=key) for item in page["Aliases"]}
        family = said.get("MultiRegionConfiguration", {})
        members = [item["Region"] for item in (family.get("PrimaryKey"), *family.get("ReplicaKeys", ())) if item]
        return Side(
            place, said["KeyState"], bool(said.get("MultiRegion")), family.get("PrimaryKey", {}).get("Region", ""), frozenset(members),
            frozenset(aliases), _plain(policy, [other.code for other in self.places.values()]), trial, tried,
        )  # fmt: skip

    def trial(self, region: str) -> tuple[str, bool]:
        """Encrypts something for the others, decrypts what the others encrypted: why that did not go, and whether there was something.

        Raises Transient: nobody answers.
        """
        place, key = self.places[region], self.key(region)
        try:
            made = self.aws.read(place, GENERATE, KeyId=key, KeySpec="AES_256", EncryptionContext=_CONTEXT)["CiphertextBlob"]
            blobs = [made, *self._exchanged(region, made)]
            for blob in blobs:
                self.aws.read(place, DECRYPT, KeyId=key, CiphertextBlob=blob, EncryptionContext=_CONTEXT)
        except Permanent as error:
            return f"{error.message}; {error.hint}".rstrip("; "), True
        return "", len(blobs) > 1

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """Findings only."""
        found = list(self.silent(looks))
        sides = {region: side for region, side in looks.items() if isinstance(side, Side)}
        for region, side in sides.items():
            found += self._alone(region, side, sides.get(self.other(region)))
        if len(sides) == len(self.places) and len({side.policy for side in sides.values()}) > 1:
            fix = "compare: aws kms get-key-policy --policy-name default in both regions, then aws kms put-key-policy"
            found.append(self.finding(Severity.WARNING, "the key policies of the two regions differ (region names apart)", fix))
        return Judged(findings=found)

    def _alone(self, region: str, side: Side, other: Side | None) -> Iterator[Finding]:
        place, key = side.place, self.key(region)
        error = Severity.ERROR
        if not side.multi:
            yield self.finding(
                error, f"the key in {region} is a single-Region key: nothing that it encrypted can be decrypted elsewhere",
                "aws kms create-key --multi-region, aws kms replicate-key, re-encrypt what the old one encrypted, then name the new ARNs",
            )  # fmt: skip
            return
        gone = [place.code for name, place in self.places.items() if name != region and place.code not in side.members]
        if gone:
            fix = f"aws kms replicate-key --key-id {key} --replica-region {gone[0]} --region {side.primary}"
            yield self.finding(error, f"the key in {region} has no replica in {gone[0]}", fix, self.other(region))
        if side.state not in ("Enabled", "Updating"):
            fix = f"aws kms enable-key --key-id {key} --region {place.code}; PendingDeletion: cancel-key-deletion first"
            yield self.finding(error, f"the key in {region} is {side.state}", fix, region)
        elif side.trial:
            yield self.finding(error, f"the key in {region} cannot be used: {side.trial}", "", region)
        elif not side.tried:
            fix = "dr status once more, while both regions are there"
            yield self.finding(Severity.INFO, f"nothing that {self.other(region)} encrypted was tried in {region} yet", fix, region)
        for alias in sorted(set(self.config.aliases) - side.aliases):
            fix = f"aws kms create-alias --alias-name {alias} --target-key-id {key} --region {place.code}"
            yield self.finding(error, f"{alias} does not lead to the key in {region}", fix, region)
        if self.config.primary is Primary.STAY and side.primary == place.code and other is not None:
            elsewhere = self.other(region)
            yield self.finding(
                Severity.INFO, f"the primary key is in {region}: without it the key works in {elsewhere}, and cannot be changed there",
                "primary: follow moves it with planned moves and dr reprotect", elsewhere,
            )  # fmt: skip

    def watches(self) -> Sequence[Use]:
        """What the monitor calls."""
        return [use for region in self.places for use in self.reads(region)]

    def reads(self, region: str) -> tuple[Use, ...]:
        """A whole look at one region."""
        mine = (self.key(region),)
        return (
            Use(DESCRIBE, region, mine), Use(POLICY, region, mine), Use(ALIASES, region), Use(GENERATE, region, mine),
            Use(DECRYPT, region, mine),
        )  # fmt: skip

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """Before a move: usable in the target. ``primary: follow``: once service is back, and both regions are there, it moves, too."""
        prepare, move = self._prepare(source, target), self._move(source, target, ("prepare",) if intent.moves else ())
        follows = self.config.primary is Primary.FOLLOW and intent is not Intent.FAILOVER
        return (*((prepare,) if intent.moves else ()), *((move,) if follows else ()))

    def _prepare(self, source: str, target: str) -> Step:
        place, key = self.places[target], self.key(target)
        state = self.typed(place, DESCRIBE, {"KeyId": key}, query="KeyMetadata.KeyState", text=True) + " | grep -qx Enabled"
        parameters = {"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": _CONTEXT}
        made = self.typed(place, GENERATE, parameters, query="CiphertextBlob", text=True) + " > /dev/null"
        return self.step(
            Verb.PREPARE, target, f"the key can be used in {target}", Prepare(self, source, target),
            uses=[use for use in self.reads(target) if use.call is not POLICY],
            typed=Typed(f"{state} && {made}", f"{state} && {made}"), estimate=timedelta(milliseconds=300), budget=timedelta(minutes=2),
        )  # fmt: skip

    def _move(self, source: str, target: str, needs: tuple[str, ...]) -> Step:
        place = self.places[target]
        query = "KeyMetadata.MultiRegionConfiguration.PrimaryKey.Region"
        check = self.typed(place, DESCRIBE, {"KeyId": self.key(target)}, query=query, text=True) + f" | grep -qx {place.code}"
        return self.step(
            Verb.RELEASE, target, f"the primary key is in {target}", MovePrimary(self, source, target),
            uses=(
                Use(DESCRIBE, target, (self.key(target),)), Use(DESCRIBE, source, (self.key(source),)),
                Use(UPDATE, source, (self.key(source), self.key(target))),
            ),
            typed=Typed(self.typed(self.places[source], UPDATE, self.update(source, target)), check), estimate=timedelta(seconds=10),
            budget=timedelta(minutes=10), needs=needs, undoable=False,
        )  # fmt: skip

    def key(self, region: str) -> str:
        """The region's member."""
        return self.config.regions[region].key

    def update(self, source: str, target: str) -> dict[str, str]:
        """Parameters of UpdatePrimaryRegion."""
        return {"KeyId": self.key(source), "PrimaryRegion": self.places[target].code}

    def _exchanged(self, region: str, made: bytes) -> list[bytes]:
        """Leaves for the other region what this one encrypted, and takes what that one left. A head start: files may not be there."""
        with contextlib.suppress(Transient):
            keep(self._file(region), made)
        try:
            return [self._file(self.other(region)).read_bytes()]
        except OSError:
            return []

    def _file(self, region: str) -> Path:
        return self.site.artefacts / f"{self.name}-{region}-{self.key(region).rpartition('/')[2]}.encrypted"


class Prepare(AwsStep[KmsKey]):
    """The key is Enabled in the target, and decrypts there what the source's member encrypted when it last could."""

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED: it does not, and nobody accepted that."""
        trial, tried = self.owner.trial(self.target)
        side = self.owner.side(self.owner.places[self.target], trial, tried, compare=False)
        missing = sorted(set(self.owner.config.aliases) - side.aliases)
        wrong = [f"the key in {self.target} is {side.state}"] if side.state not in ("Enabled", "Updating") else []
        wrong += [f"it cannot be used: {trial}"] if trial else []
        wrong += [f"not leading to it: {some(missing)}"] if missing else []
        if wrong and not context.accepted(Guard.PREREQUISITES):
            return Seen(Look.BLOCKED, f"{'; '.join(wrong)} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)")
        how = f"what {self.source} encrypted was decrypted" if tried else f"nothing that {self.source} encrypted was at hand"
        return Seen(Look.DONE, "; ".join(wrong), (Note(text=f"{self.owner.name} in {self.target}: {'; '.join(wrong) or how}"),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing."""
        return ()


class MovePrimary(AwsStep[KmsKey]):
    """UpdatePrimaryRegion, asked in the region that holds the primary key."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it is in the target and settled. BLOCKED: it is in a third region."""
        here, there = self._said(self.target), self._said(self.source)
        codes = self.owner.places[self.target].code, self.owner.places[self.source].code
        if here[0] not in codes:
            return Seen(Look.BLOCKED, f"the primary key is in {here[0] or 'no region'}, which is not in the runbook")
        if here == (codes[0], "Enabled") and there[0] == codes[0]:
            return Seen(Look.DONE, "", (Note(text=f"{self.owner.name}: the primary key is in {self.target}"),))
        return Seen(Look.NEEDED, f"the primary key is in {here[0]}, {here[1]}")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Asks once, and only where it is not under way. Raises Transient: it is; StepError."""
        region, state = self._said(self.source)
        if state == "Updating":
            raise Transient(f"{self.owner.name}: the key is changing its primary region already", hint="wait a few seconds")
        if region == self.owner.places[self.source].code:
            self.call(context, self.source, UPDATE, **self.owner.update(self.source, self.target))
        return ()

    def _said(self, region: str) -> tuple[str, str]:
        said = self.read(region, DESCRIBE, KeyId=self.owner.key(region))["KeyMetadata"]
        return said.get("MultiRegionConfiguration", {}).get("PrimaryKey", {}).get("Region", ""), said["KeyState"]


def _plain(policy: str, codes: Sequence[str]) -> str:
    """A policy so that two that mean the same are one text: statements in order, regions by one word, labels left out."""
    for code in codes:
        policy = policy.replace(code, "REGION")
    try:
        said = json.loads(policy)
    except ValueError:
        return policy
    statements = said.get("Statement", [])
    listed = statements if isinstance(statements, list) else [statements]
    rows = [{key: value for key, value in item.items() if key != "Sid"} for item in listed]
    return json.dumps(sorted(rows, key=lambda row: json.dumps(row, sort_keys=True)), sort_keys=True)
