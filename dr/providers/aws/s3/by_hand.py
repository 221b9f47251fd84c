"""What a person types for a bucket."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from dr.model.by_hand import MARK, Typed
from dr.providers.aws.place import Place
from dr.providers.aws.s3 import batch, objects
from dr.providers.aws.s3.calls import CREATE_JOB, REPLICATION, ROUTES, SUBMIT, VERSIONING, VERSIONS
from dr.providers.aws.typed import cli

if TYPE_CHECKING:
    from dr.providers.aws.s3.kind import S3Bucket


class ByHand:
    """Of one component."""

    def __init__(self, owner: S3Bucket, places: Mapping[str, Place]) -> None:
        self._owner, self._places = owner, places

    def _flags(self, region: str) -> str:
        place = self._places[region]
        return f"--region {place.code}" + (f" --profile {shlex.quote(place.profile)}" if place.profile else "")

    def versioning(self, region: str) -> str:
        """Turns it on."""
        bucket = self._owner.bucket(region)
        return f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled {self._flags(region)}"

    def rule(self, region: str) -> str:
        """Sends from a region to the other one."""
        bucket = self._owner.bucket(region)
        return f"aws s3api put-bucket-replication --bucket {bucket} --replication-configuration file://rules.json {self._flags(region)}"

    def batch(self, region: str) -> str:
        """Sends what was not sent."""
        owner, place = self._owner, self._places[region]
        if owner.config.batch_role is None:
            return "batch_role: ARN, then dr reprotect"
        described = f"dr {MARK} out of {owner.bucket(region)}"
        return cli(CREATE_JOB, place, batch.parameters(owner, region, described, MARK, batch.chosen_by_s3(owner, region)))

    def looks(self, region: str) -> Typed:
        """The bucket is there."""
        told = cli(VERSIONING, self._places[region], {"Bucket": self._owner.bucket(region)}, query="Status", text=True)
        rules = cli(REPLICATION, self._places[region], {"Bucket": self._owner.bucket(region)})
        return Typed(f"{told}; {rules}", f"{told} | grep -qx Enabled")

    def writes(self, region: str, seen_in: str = "") -> Typed:
        """A marker, there and back; or seen in the other region, where that is named."""
        bucket, key = self._owner.bucket(region), self._owner.marker_key(region)
        body = f"printf %s {shlex.quote(objects.by_hand(MARK, region))} | aws s3 cp - s3://{bucket}/{key} {self._flags(region)}"
        there = seen_in or region
        return Typed(body, f"aws s3 cp s3://{self._owner.bucket(there)}/{key} - {self._flags(there)} | grep -qF {shlex.quote(MARK)}")

    def drained(self, source: str, target: str) -> Typed:
        """Both list the same keys with the same ETags."""
        one, other = (self._keys(region) for region in (source, target))
        return Typed(f"diff <({one}) <({other})", f"diff -q <({one}) <({other})")

    def preserved(self, source: str, target: str) -> Typed:
        """A list of what only the source has."""
        one, other = (self._keys(region) for region in (source, target))
        path = f"{self._owner.name}-{source}-{MARK}-preserved.txt"
        return Typed(f"comm -23 <({one}) <({other}) > {path}", f"test -e {path}")

    def brought(self, source: str, old: str) -> Typed:
        """Batch Replication out of the source; ``old`` lacks nothing afterwards."""
        one, other = (self._keys(region) for region in (source, old))
        do = self.batch(source)
        if self._owner.config.batch_role is None:  # one by one, through this machine's credentials; S3 copies within itself
            there, here = self._owner.bucket(source), self._owner.bucket(old)
            copy = f'aws s3 cp "s3://{there}/$key" "s3://{here}/$key" --source-region {self._places[source].code} {self._flags(old)}'
            do = f"comm -23 <({one}) <({other}) | cut -f 1 | while IFS= read -r key; do {copy} || break; done"
        return Typed(do, f'test -z "$(comm -23 <({one}) <({other}))"')

    def redirected(self, target: str) -> Typed:
        """The routes of the access point."""
        routes, place = self._owner.routes, self._places[target]
        assert routes is not None
        code = routes.codes(target)[0]
        do = cli(SUBMIT[code], place, {**routes.named, "RouteUpdates": routes.updates(target)})
        query = f"Routes[?Region=='{place.code}'].TrafficDialPercentage"
        return Typed(do, f"{cli(ROUTES[code], place, routes.named, query=query, text=True)} | grep -qx 100")

    def _keys(self, region: str) -> str:
        ours = self._owner.config.prefix
        query = f"Versions[?IsLatest && !starts_with(Key, '{ours}')].[Key, ETag]"
        return cli(VERSIONS, self._places[region], {"Bucket": self._owner.bucket(region)}, query=query, text=True) + " | sort"
