"""What a runbook says about a bucket that S3 replicates."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from dr.model.base import Frozen
from dr.providers.aws.config import Arn, AwsConfig


def _prefix(value: str) -> str:
    if not value.endswith("/") or value.startswith("/") or "//" in value:
        raise ValueError("expected a prefix of keys that ends with a slash, such as .dr/")
    return value


class RegionBucket(Frozen):
    """One region's bucket. kms_key: ARN of the key that it encrypts with by default, where that is the customer's: ``dr`` needs it to
    write its marker."""

    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    kms_key: Arn | None = None


class S3BucketConfig(AwsConfig):
    """Settings of ``aws.s3-bucket``.

    prefix: keys under it are ours: a marker for each region, lists for Batch Replication and its reports. They never count as data.
    access_point: ARN of the Multi-Region Access Point in front of both buckets; its routes are moved, where it is given.
    batch_role: the role that S3 Batch Operations takes on to replicate what is missing. Without one re-protect can only name it.
    inventory_objects: buckets with more objects than this are not compared; then only Batch Replication's own choice is brought over.
    """

    regions: dict[str, RegionBucket] = Field(min_length=2, max_length=2)
    prefix: Annotated[str, AfterValidator(_prefix)] = ".dr/"
    access_point: str | None = Field(None, pattern=r"^arn:aws[a-z-]*:s3::\d{12}:accesspoint/[a-z0-9-]+\.mrap$")
    batch_role: str | None = Field(None, pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/\S+$")
    inventory_objects: int = Field(200_000, ge=0)

    def other(self, region: str) -> str:
        """The region that is not this one."""
        return next(name for name in self.regions if name != region)
