"""The kind ``aws.s3-bucket``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from dr.errors import StepError, UsageError
from dr.model.runbook import KindConfig
from dr.model.words import Intent
from dr.ports import Site, Step
from dr.providers.aws.calls import Use
from dr.providers.aws.kind import Judged
from dr.providers.aws.metrics import GET
from dr.providers.aws.place import Place
from dr.providers.aws.s3.by_hand import ByHand
from dr.providers.aws.s3.chains import Chains
from dr.providers.aws.s3.config import S3BucketConfig
from dr.providers.aws.s3.judge import Judge
from dr.providers.aws.s3.look import Looker, Side
from dr.providers.aws.s3.routes import Routes
from dr.providers.aws.two_way import TwoWay
from dr.providers.regions import same_regions


class S3Bucket(TwoWay[S3BucketConfig, Side]):
    """A bucket in each of two regions, each with a rule that replicates to the other one.

    Needs: versioning and a rule in both; metrics or Replication Time Control, or its lag is not known; a running ``dr monitor``, which
    remembers what the source said last; a role for S3 Batch Operations for the way back. Limits: what a lost region had not sent is known
    only once that is back; a deletion on the old side that was not replicated is undone by the way back.
    """

    kind: ClassVar[str] = "aws.s3-bucket"
    Config: ClassVar[type[KindConfig]] = S3BucketConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        super().__init__(name, config, needs, site)
        one, other = self.config.regions
        if self.bucket(one) == self.bucket(other):
            raise UsageError(f"{name}: regions: both are the bucket {self.bucket(one)}", hint="each region needs its own")
        self.apart("a bucket is lost with its region")
        self.routes = Routes(self.aws, self.config, self.places) if self.config.access_point is not None else None
        self.looker = Looker(self.aws, self.config, self.routes)
        self.by_hand = ByHand(self, self.places)
        self._judge = Judge(name, self.config, {region: place.code for region, place in self.places.items()}, self.by_hand)
        self._chains = Chains(self)

    def regions(self) -> Sequence[str]:
        """Both. Raises UsageError."""
        same_regions(self.name, self.config.regions, self.site)
        return tuple(self.config.regions)

    def look(self, place: Place) -> Side:
        """One region's bucket."""
        return self.looker.look(place)

    def judge(self, looks: Mapping[str, Side | StepError]) -> Judged:
        """No roles: both take writes. The lag of the direction that is further behind."""
        told = {region: side if isinstance(side, StepError) else side.told for region, side in looks.items()}
        return Judged({}, (*self._judge.findings(looks), *self.unmeasured(told), *self.silent(looks)), self.lag(told))

    def watches(self) -> Sequence[Use]:
        """What the monitor calls."""
        return [use for region in self.places for use in (*self._chains.settings(region), Use(GET, region))]

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain for an intent. ``reprotect``: ``target`` leads now, ``source`` shall follow it."""
        return self._chains.steps(intent, source, target)

    def bucket(self, region: str) -> str:
        """The name of a region's bucket."""
        return self.config.regions[region].bucket

    def arn(self, region: str) -> str:
        """A region's bucket."""
        return f"arn:aws:s3:::{self.bucket(region)}"

    def key_arn(self, region: str) -> str:
        """The key that a region's bucket encrypts with, as far as the runbook says."""
        place = self.places[region]
        return self.config.regions[region].kms_key or f"arn:aws:kms:{place.code}:{place.account or '*'}:key/*"

    def marker_key(self, region: str) -> str:
        """Where a region writes that it takes writes."""
        return f"{self.config.prefix}written-in-{region}"
