"""Single objects of a bucket: the markers that ``dr`` writes, and what S3 leaves there for it to read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from dr.errors import Permanent, Transient
from dr.model.base import Frozen, Moment
from dr.ports import AttemptContext
from dr.providers.aws.place import Place
from dr.providers.aws.s3.calls import GET_OBJECT, HEAD, NO_KEY, PUT
from dr.providers.aws.s3.listing import Version

if TYPE_CHECKING:
    from dr.providers.aws.s3.kind import S3Bucket


class Marker(Frozen):
    """What a marker says: which run wrote it where, and when."""

    run: str
    region: str
    at: Moment


@dataclass(frozen=True)
class Found:
    """An object. replication: PENDING, COMPLETED, FAILED or REPLICA; empty: no rule has anything to do with it."""

    body: bytes
    replication: str = ""


def read(owner: S3Bucket, place: Place, key: str) -> Found | None:
    """A small object; None: it is not there. Raises StepError."""
    from botocore.exceptions import BotoCoreError

    try:
        answer = owner.aws.read(place, GET_OBJECT, Bucket=owner.bucket(place.region), Key=key)
    except Permanent as error:
        if f": {NO_KEY}" in error.message:
            return None
        raise
    try:
        return Found(answer["Body"].read(), str(answer.get("ReplicationStatus", "")))
    except BotoCoreError:
        problem = Transient(f"{key} in {place}: it ended in the middle", late=True)
    raise problem


def marker(owner: S3Bucket, region: str, of: str | None = None) -> tuple[Marker, str] | None:
    """The newest marker that a region wrote, as a region has it, with its replication status; None: there is none. Raises StepError.

    Args:
        region: where it is looked for. of: who wrote it; None: the same.
    """
    found = read(owner, owner.places[region], owner.marker_key(of or region))
    if found is None:
        return None
    try:
        return Marker.model_validate_json(found.body), found.replication
    except ValueError:
        raise Permanent(
            f"{owner.bucket(region)} in {region}: {owner.marker_key(of or region)} is not ours", hint="another prefix in the runbook"
        ) from None


def mark(owner: S3Bucket, context: AttemptContext, region: str) -> Marker:
    """Writes a region's marker there. One that is not ours is left alone. Raises StepError."""
    marker(owner, region)
    made = Marker(run=context.run_id, region=region, at=context.clock.now())
    put(owner, context, region, owner.marker_key(region), made.model_dump_json().encode())
    return made


def replication(owner: S3Bucket, region: str, item: Version) -> str:
    """What came of sending a version out of a region: PENDING, COMPLETED, FAILED or REPLICA; empty: no rule has anything to do with it.

    Raises StepError.
    """
    answer = owner.aws.read(owner.places[region], HEAD, Bucket=owner.bucket(region), Key=item.key, VersionId=item.version)
    return str(answer.get("ReplicationStatus", ""))


def put(owner: S3Bucket, context: AttemptContext, region: str, key: str, body: bytes) -> str:
    """An object; its ETag. Raises StepError."""
    answer = owner.aws.act(context, owner.places[region], PUT, Bucket=owner.bucket(region), Key=key, Body=body)
    return str(answer.get("ETag", ""))


def by_hand(run: str, region: str) -> str:
    """The body of a marker, as a person writes it."""
    return json.dumps({"run": run, "region": region, "at": datetime.fromisoformat("2000-01-01T00:00:00+00:00").isoformat()})
