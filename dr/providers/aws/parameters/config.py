"""What a runbook says about parameters."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, field_validator, model_validator

from dr.model.base import Frozen
from dr.providers.aws.config import Arn, AwsConfig
from dr.providers.aws.values import fits


class Copy(StrEnum):
    """What ``dr`` may write into the other region: what is missing there, also what is older there, or nothing at all."""

    MISSING = "missing"
    NEWER = "newer"
    NEVER = "never"


class RegionParameters(Frozen):
    """One region. kms_key: ARN of the key that SecureString parameters are written there with; none: ``alias/aws/ssm``."""

    kms_key: Arn | None = None


class ParametersConfig(AwsConfig):
    """Settings of the kind ``aws.ssm-parameters``.

    names: parameters by their whole name. paths: all below them (``/airflow/``). per_region: patterns of those that hold another value in
    each region on purpose: they must be there, and are neither compared nor copied.
    copies: what is brought over when both sides are there. ``newer``: what is missing, and what is older by its history; a value that is
    newer there, or has no common history, is never overwritten but by the side that leads, and stays in the history then.
    database: the component whose primary leads; without it newer and diverged values are left alone, and listed.
    lost_region_words: by region, what in a value leads into it. None given: AWS's name of the region, as in host names and ARNs.
    """

    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    per_region: tuple[str, ...] = ()
    copies: Copy = Copy.NEWER
    database: str | None = None
    lost_region_words: dict[str, tuple[str, ...]] = {}
    regions: dict[str, RegionParameters] = Field(min_length=2, max_length=2)

    @field_validator("paths")
    @classmethod
    def _paths(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if any(not value.startswith("/") or "*" in value or value.startswith("/aws/") for value in values):
            raise ValueError("expected paths such as /airflow/, without *")
        return values

    @model_validator(mode="after")
    def _together(self) -> Self:
        if not self.names and not self.paths:
            raise ValueError("expected names or paths, or both")
        unknown = sorted(self.lost_region_words.keys() - self.regions.keys())
        if unknown:
            raise ValueError(f"lost_region_words names {', '.join(unknown)}, which regions does not have")
        return self

    def own(self, name: str) -> bool:
        """Whether each region has a value of its own."""
        return fits(name, self.per_region)
