"""ARNs of things that a runbook names without writing them out."""

from __future__ import annotations

from dr.providers.aws.place import Place


def partition(place: Place) -> str:
    """Which of AWS's separate worlds a region belongs to."""
    return "aws-cn" if place.code.startswith("cn-") else "aws-us-gov" if place.code.startswith("us-gov-") else "aws"


def arn(place: Place, service: str, resource: str, *, everywhere: bool = False) -> str:
    """The ARN of a resource; ``*`` for an account that the runbook does not say. everywhere: it belongs to no region (IAM)."""
    return f"arn:{partition(place)}:{service}:{'' if everywhere else place.code}:{place.account or '*'}:{resource}"
