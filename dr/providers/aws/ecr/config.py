"""What a runbook says about images in Amazon ECR."""

from __future__ import annotations

import string
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from dr.providers.aws.config import AwsConfig, Nothing
from dr.providers.selfhosted.oci.config import WORDS

Named = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._/-]*(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})$")]
"""``airflow:2.10`` or ``airflow@sha256:…``, without the registry."""


def _repository(value: str) -> str:
    fields = [field for _, field, _, _ in string.Formatter().parse(value) if field is not None]
    if any(field not in WORDS for field in fields):
        raise ValueError(f"expected a repository such as airflow or {{namespace}}/airflow; in braces: {', '.join(WORDS)}")
    return value


class EcrConfig(AwsConfig):
    """Settings of ``aws.ecr``.

    regions: ``{east: {}, west: {}}``. images: those that are needed in any case, by tag or digest.
    deployments: the component whose Deployments name the digests that are needed, as their database lists them.
    repository: where their images lie; ``{deployment}``, ``{namespace}`` and ``{workspace}`` are filled in for each.
    rollback: how many earlier images of each Deployment are needed beside the one that runs.
    """

    regions: dict[str, Nothing] = Field(min_length=2, max_length=2)
    images: tuple[Named, ...] = ()
    deployments: str | None = None
    repository: Annotated[str, AfterValidator(_repository)] | None = None
    rollback: int = Field(3, ge=0)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if (self.deployments is None) != (self.repository is None):
            raise ValueError("expected deployments: COMPONENT and repository: NAME together")
        if self.deployments is None and not self.images:
            raise ValueError("expected images:, or deployments: and repository:")
        return self

    def other(self, region: str) -> str:
        """The region that is not this one."""
        return next(name for name in self.regions if name != region)

    def repositories(self) -> tuple[str, ...]:
        """Every repository that may be looked at, with ``*`` where a word is filled in."""
        own = (item.partition("@")[0] if "@" in item else item.rpartition(":")[0] for item in self.images)
        theirs = () if self.repository is None else (self.repository.format(**dict.fromkeys(WORDS, "*")),)
        return tuple(dict.fromkeys((*theirs, *own)))
