"""Settings of the kind ``oci-registry``: what people write in a runbook."""

from __future__ import annotations

import string
from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from dr.model.base import Duration, Frozen
from dr.model.runbook import KindConfig, SecretRef

WORDS = ("deployment", "namespace", "workspace")
"""What ``repository`` may carry in braces."""


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.path not in ("", "/") or parts.username or parts.query:
        raise ValueError("expected an address such as https://registry.example.com:5000, without path and without credentials")
    return value.rstrip("/")


def _repository(value: str) -> str:
    fields = [field for _, field, _, _ in string.Formatter().parse(value) if field is not None]
    if any(field not in WORDS for field in fields):
        raise ValueError(f"expected a repository such as airflow or {{namespace}}/airflow; in braces: {', '.join(WORDS)}")
    return value


class Credentials(Frozen):
    """With which ``dr`` itself reads and, where it copies to, writes."""

    username: str
    password: SecretRef


class RegionRegistry(Frozen):
    """One region's registry. ``certificate_authority``: PEM file that its certificate is verified with, else the system's."""

    url: Annotated[str, AfterValidator(_url)]
    certificate_authority: str | None = None
    credentials: Credentials | None = None


class PullSecrets(Frozen):
    """Where the Deployments' own pull secrets lie, each with ``username`` and ``password``.

    folder: one JSON file for each name, ``/`` in a name as ``-``: ``pull/d-001`` is ``pull-d-001.json``.
    component: of this runbook, which has them in both regions (kind ``vault-kv``).
    """

    folder: str | None = None
    component: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.folder is None) == (self.component is None):
            raise ValueError("expected exactly one of folder: PATH or component: NAME")
        return self


class OciConfig(KindConfig):
    """Settings of ``oci-registry``.

    deployments: the component whose Deployments name the digests that are needed.
    repository: where their images lie; ``{deployment}``, ``{namespace}`` and ``{workspace}`` are filled in for each.
    rollback: how many earlier images of each Deployment are needed beside the one that runs.
    repositories: of which every tag is needed, whoever uses it.
    threads: requests under way at once, for each registry.
    check_every: how old what was seen may be before a look asks for it again; a manifest that is in use is asked for every 30 s.
    answer_timeout: for one answer. source_timeout: for the first answer of a registry that may be lost.
    """

    regions: dict[str, RegionRegistry] = Field(min_length=2, max_length=2)
    deployments: str | None = None
    repository: Annotated[str, AfterValidator(_repository)] | None = None
    rollback: int = Field(3, ge=0)
    repositories: tuple[str, ...] = ()
    pull_secrets: PullSecrets | None = None
    threads: int = Field(8, ge=1, le=64)
    check_every: Duration = timedelta(minutes=5)
    answer_timeout: Duration = timedelta(seconds=10)
    source_timeout: Duration = timedelta(seconds=1)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if (self.deployments is None) != (self.repository is None):
            raise ValueError("expected deployments: COMPONENT and repository: NAME together")
        if self.deployments is None and not self.repositories:
            raise ValueError("expected deployments: and repository:, or repositories:")
        return self

    def other(self, region: str) -> str:
        """The region that is not this one."""
        return next(name for name in self.regions if name != region)
