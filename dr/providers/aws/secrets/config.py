"""What a runbook says about secrets in AWS Secrets Manager."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, field_validator, model_validator

from dr.model.base import Frozen
from dr.providers.aws.config import Arn, AwsConfig
from dr.providers.aws.values import fits

PRESERVED = "dr-preserved/"
"""Where versions are kept that only an old primary had: never compared, never replicated."""


class Keep(StrEnum):
    """What happens to versions that only the old primary has, before it is overwritten."""

    COPY = "copy"
    LIST = "list"


class RegionSecrets(Frozen):
    """One region. kms_key: ARN of the key that secrets made there are encrypted with; none: ``aws/secretsmanager``."""

    kms_key: Arn | None = None


class SecretsConfig(AwsConfig):
    """Settings of the kind ``aws.secretsmanager``.

    names: secrets by their whole name. prefixes: all whose names begin so. per_region: patterns of those that hold another value in each
    region on purpose: they must be there and readable, and are not compared, promoted or overwritten.
    promote: after service is back, replicas in the new region stand alone, so that they can be changed and rotated there; without it they
    stay replicas of the old region's secrets, which is enough for reading, for ever.
    preserve: before an old primary's secret is overwritten, its versions that the new one does not have are copied to
    ``dr-preserved/AWS-REGION/NAME/VERSION`` in the leading region; ``list`` where no policy allows that: they are listed by version id and
    keyed digest, and their values are lost.
    database: the component whose primary leads; without it a secret that was changed last in the old region is left alone, and listed.
    lost_region_words: by region, what in a value leads into it. None given: AWS's name of the region, as in host names and ARNs.
    """

    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    per_region: tuple[str, ...] = ()
    promote: bool = False
    preserve: Keep = Keep.COPY
    database: str | None = None
    lost_region_words: dict[str, tuple[str, ...]] = {}
    regions: dict[str, RegionSecrets] = Field(min_length=2, max_length=2)

    @field_validator("names", "prefixes")
    @classmethod
    def _named(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not value or value.startswith(("arn:", "!", PRESERVED)) or "*" in value:
                raise ValueError("expected names such as airflow/fernet, and beginnings of names such as airflow/, without *")
        return values

    @model_validator(mode="after")
    def _together(self) -> Self:
        if not self.names and not self.prefixes:
            raise ValueError("expected names or prefixes, or both")
        unknown = sorted(self.lost_region_words.keys() - self.regions.keys())
        if unknown:
            raise ValueError(f"lost_region_words names {', '.join(unknown)}, which regions does not have")
        return self

    def protects(self, name: str) -> bool:
        """Whether a secret is one of those that are looked after."""
        return not name.startswith(PRESERVED) and (name in self.names or name.startswith(self.prefixes or ("\0",)))

    def own(self, name: str) -> bool:
        """Whether each region has a value of its own."""
        return fits(name, self.per_region)
