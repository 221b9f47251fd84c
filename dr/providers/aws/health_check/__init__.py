"""Health checks of Route 53 that lead people out of a region and back: best by an object or a metric in another region, else by an edit."""

from dr.providers.aws.health_check.kind import HealthCheck

__all__ = ["HealthCheck"]
