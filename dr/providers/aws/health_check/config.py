"""What a runbook says about the health checks that keep each region in the answers of Route 53."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from dr.model.base import Duration, Frozen
from dr.providers.aws.config import AwsConfig


class ObjectSwitch(Frozen):
    """An object that the checkers read over HTTPS, flipped by writing it; nothing is ever deleted.

    The check: type HTTPS_STR_MATCH, search string ``away``, inverted. So it is unhealthy as long as the object says ``away``, and healthy
    when the object cannot be read: with the other region lost, people are led back here.

    ``in_region``: another region of the runbook than the one that it leads people out of. bucket, key: readable for the checkers.
    """

    in_region: str
    bucket: str = Field(min_length=3, max_length=63)
    key: str = Field(min_length=1, max_length=1024)
    here: str = Field("HERE", min_length=1, max_length=255)
    away: str = Field("AWAY", min_length=1, max_length=255)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.here in self.away or self.away in self.here:
            raise ValueError("here, away: expected two texts of which none contains the other")
        return self


class MetricSwitch(Frozen):
    """A metric of CloudWatch, flipped by writing values; the check is on an alarm in the same region: its Maximum above a threshold between
    ``here`` and ``away``.

    Route 53 looks at the values themselves, not at the state of the alarm: setting that state (SetAlarmState) changes nothing for it
    (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html, from memory). Where no new
    values come it must keep the last status (InsufficientDataHealthStatus: LastKnownStatus). It takes alarms on Average, Minimum, Maximum,
    Sum or SampleCount, none of a metric finer than a minute: https://docs.aws.amazon.com/Route53/latest/APIReference/API_AlarmIdentifier.html

    ``in_region``: another region of the runbook than the one that it leads people out of. periods: so many periods the alarm looks back.
    """

    in_region: str
    namespace: str
    name: str
    dimensions: dict[str, str] = {}
    here: float = 0.0
    away: float = 1.0
    periods: int = Field(1, ge=1, le=60)
    seconds: int = Field(60, ge=60)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.here >= self.away:
            raise ValueError("here, away: expected away above here: the alarm looks at the Maximum")
        return self


class RegionCheck(Frozen):
    """A region: the health check of its record sets, and what flips that. Without a check: it gets whom the other one does not get.

    Without a switch the check itself is edited (disabled and inverted in one call), in us-east-1: a fallback.
    """

    health_check: str | None = Field(None, pattern=r"^[0-9a-zA-Z-]{1,64}$")
    object: ObjectSwitch | None = None
    metric: MetricSwitch | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.object is not None and self.metric is not None:
            raise ValueError("expected object: or metric:, not both")
        if self.health_check is None and (self.object is not None or self.metric is not None):
            raise ValueError("health_check: expected the id of the check that it flips")
        return self

    @property
    def switch(self) -> ObjectSwitch | MetricSwitch | None:
        """What flips the check; None: it is edited."""
        return self.object or self.metric


class HealthCheckConfig(AwsConfig):
    """Settings of ``aws.route53-health-check``.

    takes: so long after a flip the world's checkers agree: request interval × failure threshold, and a little. It counts where no name can
        be asked by DNS (no ``aws.route53-records`` names this component in ``flipped_by``).
    ttl: of the record sets that hang on the checks: so long caches hold the old answer.
    """

    regions: dict[str, RegionCheck] = Field(min_length=2, max_length=2)
    takes: Duration = timedelta(seconds=100)
    ttl: Duration = timedelta(seconds=60)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not any(region.health_check for region in self.regions.values()):
            raise ValueError("regions: expected health_check in one of them")
        for name, region in self.regions.items():
            switch = region.switch
            if switch is not None and (switch.in_region == name or switch.in_region not in self.regions):
                raise ValueError(
                    f"regions.{name}: in_region: expected the other region: a switch must not be lost with what it leads people out of"
                )
        return self
