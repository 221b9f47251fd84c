"""What every AWS component may say in a runbook, and the shapes of names that AWS gives."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from dr.model.base import Frozen
from dr.model.runbook import AwsRole, KindConfig

Arn = Annotated[str, StringConstraints(pattern=r"^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:(\d{12}|aws)?:\S+$")]
"""``arn:aws:rds:us-west-2:123456789012:cluster:airflow``."""


class AwsConfig(KindConfig):
    """Base of the settings of every AWS kind.

    roles: by region, a role that is taken on for this component there (another account's); without one, the region's own credentials.
    """

    roles: dict[str, AwsRole] = Field({}, description="by region: a role for this component, taken on through the region's own STS")


class Nothing(Frozen):
    """A region of a component about which there is nothing to say: ``west: {}``."""


def region_of(arn: str) -> str:
    """The AWS region in an ARN; empty where the resource has none."""
    return arn.split(":", 4)[3]


def account_of(arn: str) -> str:
    """The account in an ARN; empty where the resource has none."""
    return arn.split(":", 5)[4]
