"""What a runbook says about a replicated bucket."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from dr.model.base import Duration, Frozen
from dr.model.runbook import KindConfig, SecretRef


def _endpoint(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query or "@" in parts.netloc:
        raise ValueError("expected http(s)://HOST or http(s)://HOST:PORT, without path, query or password")
    return f"{parts.scheme}://{parts.netloc}"


def _prefix(value: str) -> str:
    if not value.endswith("/") or value.startswith("/") or "//" in value:
        raise ValueError("expected a prefix of keys that ends with a slash, such as .dr/")
    return value


class RegionBucket(Frozen):
    """One region's bucket. Addressed by path (``ENDPOINT/BUCKET/KEY``), which every store understands.

    region_name: what the store calls its region; part of each signature. certificate_authority: where it is not one of the system's.
    """

    endpoint_url: Annotated[str, AfterValidator(_endpoint)]
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    region_name: str = "us-east-1"
    access_key: SecretRef
    secret_key: SecretRef
    certificate_authority: str | None = None


class S3Config(KindConfig):
    """Settings of the kind ``s3-bucket``.

    control_prefix: keys under it are ours: who is primary, heartbeats, checks. They are replicated like all others and never count as data.
    answer_timeout: for one exchange with a store. source_timeout: for the source's store, which may be lost.
    stalled_after: a heartbeat that has not arrived for so long means that the replication does not run.
    failed_after: an object counts as failed, no longer as pending, once something has arrived that was written so much later: a store
        without a replication status gives no other sign. Longer than a replication that keeps no order takes to catch up after a pause.
    inventory_objects: buckets with more objects are not listed by the monitor; then nobody can name what a disaster cost.
    """

    regions: dict[str, RegionBucket] = Field(min_length=2, max_length=2)
    control_prefix: Annotated[str, AfterValidator(_prefix)] = ".dr/"
    answer_timeout: Duration = timedelta(seconds=3)
    source_timeout: Duration = timedelta(seconds=1)
    stalled_after: Duration = timedelta(seconds=30)
    failed_after: Duration = timedelta(minutes=5)
    inventory_objects: int = Field(100_000, ge=0)

    def other(self, region: str) -> str:
        """The region that is not this one."""
        return next(name for name in self.regions if name != region)
