"""What a runbook says about secrets."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from dr.model.base import Duration, Frozen
from dr.model.runbook import KindConfig, SecretRef

PRESERVED = "dr-preserved/"
"""Where versions are kept that only an old side had: never compared, never copied."""

_PATH = re.compile(r"^[A-Za-z0-9_.{}*@-]+(/[A-Za-z0-9_.{}*@-]+)*$")


class Copy(StrEnum):
    """What ``dr`` may write into the other region: what is missing there, also what is older there, or nothing at all."""

    MISSING = "missing"
    NEWER = "newer"
    NEVER = "never"


class Fernet(Frozen):
    """Where the key of a Deployment's encrypted connections and variables is. ``path`` holds ``{id}`` or ``{namespace}``."""

    path: str = "deployments/{id}/fernet"
    field: str = "key"


class RegionServer(Frozen):
    """One region's server. ``token``: of a policy that may list, read, create and update the protected paths (see the kind)."""

    url: str
    token: SecretRef

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.path not in ("", "/") or parts.username:
            raise ValueError("expected an address such as https://10.0.1.5:8200")
        return value.rstrip("/")


class VaultConfig(KindConfig):
    """Settings of the kind ``vault-kv``.

    certificate_authority: PEM file that the servers' certificates are verified with; none: the system's authorities.
    mount: of the key/value engine (version 2). prefixes: what is protected; none named: everything that the token may list.
    copies: what is brought over when both sides are there (``newer``: what is missing and what is older; a newer one is never overwritten).
    per_region: patterns of secrets that hold other values in each region on purpose: they must be there, and are not compared.
    needed: paths without which a Deployment does not start, with ``{id}`` or ``{namespace}``; checked for each one that ``database`` lists.
    fernet: where the Deployments' keys are; they must decrypt what is in the databases of the same region. Needs ``database``.
    database: the component that holds the platform's databases: which region is primary, and which Deployments there are, is read there.
    lost_region_words: by region, what in a value leads into that region. None given: the address of its server here, and its name as a part
        of a host name (``postgres.east.internal``, not ``eastern`` and not ``us-east-1``).
    answer_timeout: for one answer. source_timeout: for the source, which may be lost. width: requests under way at once.
    """

    certificate_authority: str | None = None
    mount: str = Field("secret", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    prefixes: tuple[str, ...] = ()
    copies: Copy = Copy.NEWER
    per_region: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    fernet: Fernet | None = None
    database: str | None = None
    lost_region_words: dict[str, tuple[str, ...]] = {}
    regions: dict[str, RegionServer] = Field(min_length=2, max_length=2)
    answer_timeout: Duration = timedelta(seconds=3)
    source_timeout: Duration = timedelta(milliseconds=500)
    width: int = Field(16, ge=1, le=64)

    @field_validator("prefixes", "needed")
    @classmethod
    def _paths(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not _PATH.match(value.rstrip("/")) or value.startswith(PRESERVED):
                raise ValueError("expected paths below the mount such as deployments/ or shared/smtp")
        return values

    @model_validator(mode="after")
    def _together(self) -> Self:
        unknown = sorted(self.lost_region_words.keys() - self.regions.keys())
        if unknown:
            raise ValueError(f"lost_region_words names {', '.join(unknown)}, which regions does not have")
        if (self.fernet or self.needed) and self.database is None:
            raise ValueError("fernet and needed ask for each Deployment: name the component that lists them in database")
        return self

    def other(self, region: str) -> str:
        """The region that is not this one."""
        return next(name for name in self.regions if name != region)

    def protects(self, path: str) -> bool:
        """Whether a path is one of those that are looked after."""
        return not path.startswith(PRESERVED) and (not self.prefixes or path.startswith(self.prefixes))
