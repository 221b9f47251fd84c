"""What a runbook says about routing controls."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from dr.model.base import Duration, Frozen
from dr.providers.aws.config import AwsConfig

_ARN = r"^arn:aws[a-z-]*:route53-recovery-control::\d{12}:controlpanel/[0-9a-f]+/"


def _url(value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise ValueError("expected an address such as https://1a2b3c.route53-recovery-cluster.us-west-2.amazonaws.com/v1")
    return value


class RegionControl(Frozen):
    """One region: the routing control that lets traffic in while it is On."""

    control: str = Field(pattern=_ARN + r"routingcontrol/[0-9a-zA-Z]+$")


class RoutingControlConfig(AwsConfig):
    """Settings of ``aws.arc-routing-control``.

    endpoints: all five of the cluster, by AWS region (``aws route53-recovery-control-config describe-cluster``, in us-west-2: which may be
        away on the day). Whichever answers is used.
    override_safety_rules: rules that may be overridden where they refuse a move, and a person accepts ``prerequisites`` with a reason.
    takes: so long after a flip every name server of Route 53 has seen it. ttl: of the record sets that hang on the controls.
    """

    endpoints: dict[Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")], Annotated[str, AfterValidator(_url)]] = Field(
        min_length=1, max_length=5
    )
    regions: dict[str, RegionControl] = Field(min_length=2, max_length=2)
    override_safety_rules: tuple[Annotated[str, StringConstraints(pattern=_ARN + r"safetyrule/[0-9a-zA-Z]+$")], ...] = ()
    takes: Duration = timedelta(seconds=20)
    ttl: Duration = timedelta(seconds=60)
