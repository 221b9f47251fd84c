"""Reads one region's secrets: what is there in pages of a hundred, values in batches of twenty, each version's once in five minutes."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from dr.providers.aws.calls import Call
from dr.providers.aws.hub import Answer, Aws
from dr.providers.aws.place import Place
from dr.providers.aws.secrets.calls import BATCH, DESCRIBE, GET, LIST, VERSIONS
from dr.providers.aws.secrets.config import SecretsConfig
from dr.providers.aws.together import together
from dr.providers.aws.values import Fact, Words, chunks, leads_into

FRESH, RECENT = timedelta(0), timedelta(minutes=5)
"""How old a value may be that is believed: read anew; as the last look had it. What is there is always listed anew."""
_PREFIXES, _PAGE, _VALUES, _MOST_PAGES = 10, 100, 20, 100
_CURRENT = "AWSCURRENT"


@dataclass(frozen=True)
class Secret:
    """What a region says of a secret without its value.

    current: version id of what readers get; empty: none. primary: AWS's name of the region that it is a replica of; empty: it is none.
    """

    name: str
    arn: str
    current: str
    primary: str = ""
    rotates: bool = False


@dataclass(frozen=True)
class Side:
    """One region. facts: of current values, by name. created: when those versions were made. unread: why one cannot be read."""

    place: Place
    secrets: Mapping[str, Secret]
    facts: Mapping[str, Fact] = field(default_factory=dict)
    created: Mapping[str, datetime] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)

    def follows(self, name: str, code: str) -> bool:
        """Whether it is there, as a replica of that AWS region's."""
        return name in self.secrets and self.secrets[name].primary == code

    def alone(self, name: str) -> bool:
        """Whether it is there, and no replica."""
        return name in self.secrets and not self.secrets[name].primary


class Reader:
    """Asks. Threads may use it at once."""

    def __init__(self, aws: Aws, config: SecretsConfig, known: Words) -> None:
        self._aws, self._config, self._words = aws, config, known
        self._known: dict[tuple[str, str, str], tuple[float, Fact, datetime]] = {}

    def side(self, place: Place, age: timedelta, *, values: bool = True) -> Side:
        """What is there, and keyed digests of current values that are not older. Raises StepError: it cannot be listed."""
        secrets = self._list(place)
        if not values:
            return Side(place, secrets)
        since = self._aws.site.clock.monotonic() - age.total_seconds()
        wanted = [item for item in secrets.values() if self._kept(place, item, since) is None]
        unread = self._read(place, wanted)
        held = {item.name: kept for item in secrets.values() if item.name not in unread and (kept := self._kept(place, item, None))}
        return Side(
            place, secrets, {name: kept[1] for name, kept in held.items()}, {name: kept[2] for name, kept in held.items()},
            {**unread, **dict.fromkeys(secrets.keys() - held.keys() - unread.keys(), "it has no current version")},
        )  # fmt: skip

    def versions(self, place: Place, arn: str) -> dict[str, datetime]:
        """Every version, by id. Raises StepError."""
        pages = self._pages(place, VERSIONS, SecretId=arn, IncludeDeprecated=True)
        return {item["VersionId"]: item["CreatedDate"] for page in pages for item in page.get("Versions", ())}

    def value(self, place: Place, arn: str, version: str) -> dict[str, Any]:
        """One version's value, as the one call that copies it takes it. Raises StepError."""
        found = self._aws.read(place, GET, SecretId=arn, VersionId=version)
        return {key: found[key] for key in ("SecretString", "SecretBinary") if key in found}

    def fact(self, name: str, value: Mapping[str, Any]) -> Fact:
        """What is kept of a value."""
        text = value["SecretString"] if "SecretString" in value else base64.b64encode(value.get("SecretBinary", b"")).decode()
        return Fact(self._aws.site.secrets.digest(f"{name}\0{text}"), leads_into(text, self._words))

    def digests(self, place: Place, names: Mapping[str, str]) -> dict[str, str]:
        """Keyed digests of current values. names: as a secret is called there → the name that its digest is made with. Raises StepError."""
        found = {}
        for item in self._batches(place, list(names))[0]:
            found[item["Name"]] = self.fact(names[item["Name"]], item).digest
        return found

    def failed(self, place: Place, arns: Iterable[str], code: str) -> list[str]:
        """Why replicas of these in another AWS region failed. Raises StepError."""

        def one(arn: str) -> str:
            found = self._aws.read(place, DESCRIBE, SecretId=arn)
            for status in found.get("ReplicationStatus", ()):
                if status["Region"] == code and status.get("Status") == "Failed":
                    return f"{found['Name']}: {status.get('StatusMessage', 'no reason given')}"
            return ""

        return [text for text in together(self._aws, [partial(one, arn) for arn in arns]) if text]

    def _list(self, place: Place) -> dict[str, Secret]:
        def one(beginnings: list[str]) -> list[Answer]:
            pages = self._aws.pages(place, LIST, Filters=[{"Key": "name", "Values": beginnings}], MaxResults=_PAGE)
            return [item for page in pages for item in page["SecretList"]]

        found = {}
        for item in (entry for part in together(self._aws, [partial(one, part) for part in self.beginnings()]) for entry in part):
            if self._config.protects(item["Name"]):
                current = [version for version, labels in item.get("SecretVersionsToStages", {}).items() if _CURRENT in labels]
                primary = item.get("PrimaryRegion", "")
                found[item["Name"]] = Secret(
                    item["Name"], item["ARN"], current[0] if current else "", "" if primary == place.code else primary,
                    bool(item.get("RotationEnabled")),
                )  # fmt: skip
        return found

    def beginnings(self) -> list[list[str]]:
        """What to ask for: a filter takes ten beginnings of names."""
        alone = [name for name in self._config.names if not name.startswith(self._config.prefixes or "\0")]
        return chunks([*self._config.prefixes, *alone], _PREFIXES)

    def _kept(self, place: Place, secret: Secret, since: float | None) -> tuple[float, Fact, datetime] | None:
        found = self._known.get((place.region, secret.arn, secret.current))
        return found if found is not None and (since is None or found[0] > since) else None

    def _read(self, place: Place, secrets: Sequence[Secret]) -> dict[str, str]:
        """Reads and keeps; why some cannot be read, by name."""
        asked = {item.arn: item for item in secrets}
        values, errors = self._batches(place, list(asked))
        now = self._aws.site.clock.monotonic()
        for item in values:
            secret = asked[item["ARN"]]
            self._known[place.region, secret.arn, secret.current] = now, self.fact(secret.name, item), item["CreatedDate"]
        return {asked[arn].name: why for arn, why in errors.items() if arn in asked}

    def _batches(self, place: Place, ids: Sequence[str]) -> tuple[list[Answer], dict[str, str]]:
        """The values, and for ids of which there is none the API's error code."""

        def one(part: list[str]) -> list[Answer]:
            return list(self._pages(place, BATCH, SecretIdList=part))

        answers = [page for pages in together(self._aws, [partial(one, part) for part in chunks(ids, _VALUES)]) for page in pages]
        values = [item for page in answers for item in page.get("SecretValues", ())]
        return values, {item["SecretId"]: item["ErrorCode"] for page in answers for item in page.get("Errors", ())}

    def _pages(self, place: Place, call: Call, **parameters: Any) -> Iterator[Answer]:
        """All pages of calls that botocore has no paginator for; no answer of Secrets Manager has more than a few."""
        token: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            page = self._aws.read(place, call, **parameters, **token)
            yield page
            if not page.get("NextToken"):
                return
            token = {"NextToken": page["NextToken"]}
