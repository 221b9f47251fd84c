"""The routes of a Multi-Region Access Point: read and changed in any of five regions, of which the lost one is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dr.errors import Transient
from dr.ports import AttemptContext
from dr.providers.aws.calls import Use
from dr.providers.aws.config import account_of
from dr.providers.aws.hub import Answer, Aws
from dr.providers.aws.place import Place
from dr.providers.aws.s3.calls import ROUTE_CODES, ROUTES, SUBMIT
from dr.providers.aws.s3.config import S3BucketConfig

ACTIVE, PASSIVE = 100, 0


class Routes:
    """Of one component with an access point."""

    def __init__(self, aws: Aws, config: S3BucketConfig, places: Mapping[str, Place]) -> None:
        assert config.access_point is not None, "made only where there is one"
        self._aws, self._config, self._places = aws, config, places
        self.arn = config.access_point
        self.named: dict[str, str] = {"AccountId": account_of(self.arn), "Mrap": self.arn}

    def codes(self, target: str) -> Sequence[str]:
        """Where they are asked for a move to the target: there first where it is one of the five, in the other region of the runbook
        never."""
        lost = {place.code for region, place in self._places.items() if region != target}
        own = self._places[target].code
        return tuple(sorted((code for code in ROUTE_CODES if code not in lost), key=lambda code: code != own))

    def updates(self, target: str) -> list[dict[str, object]]:
        """All traffic to the target."""
        return [
            {
                "Bucket": self._config.regions[region].bucket, "Region": place.code,
                "TrafficDialPercentage": ACTIVE if region == target else PASSIVE,
            }
            for region, place in self._places.items()
        ]  # fmt: skip

    def uses(self, target: str, *, submit: bool = True) -> tuple[Use, ...]:
        """What a step calls for a move to the target."""
        tables = (ROUTES, SUBMIT) if submit else (ROUTES,)
        return tuple(Use(table[code], target, (self.arn,)) for table in tables for code in self.codes(target))

    def now(self, place: Place) -> dict[str, int]:
        """By bucket: 100 gets traffic, 0 none. Raises StepError: none of the endpoints answered, or one refused."""
        refused: Transient | None = None
        for code in self.codes(place.region):
            try:
                return _read(self._aws.read(place, ROUTES[code], **self.named))
            except Transient as error:
                refused = refused or error
        assert refused is not None, "there are five endpoints"
        raise refused

    def move(self, context: AttemptContext, to: str, asking: str) -> None:
        """All traffic to a region, by the first endpoint that takes the call. Raises StepError.

        Args:
            asking: the target of the run, whose endpoints are asked.
        """
        place, refused = self._places[asking], None
        for code in self.codes(asking):
            try:
                self._aws.act(context, place, SUBMIT[code], **self.named, RouteUpdates=self.updates(to))
            except Transient as error:  # nothing was changed there
                refused = refused or error
            else:
                return
        assert refused is not None, "there are five endpoints"
        raise refused


def _read(answer: Answer) -> dict[str, int]:
    return {str(item["Bucket"]): int(item["TrafficDialPercentage"]) for item in answer.get("Routes", ())}
