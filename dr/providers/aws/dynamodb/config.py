"""What a runbook says about a DynamoDB global table."""

from __future__ import annotations

from pydantic import Field

from dr.providers.aws.config import AwsConfig, Nothing


class GlobalTableConfig(AwsConfig):
    """Settings of ``aws.dynamodb-global-table``.

    table: its name, the same in both regions. regions: where its replicas are: ``{east: {}, west: {}}``.
    marker: the key of one item that ``dr`` may write: a value for each key attribute of the table. Without it no write is tried, and that
        the target takes writes is DynamoDB's word.
    """

    table: str = Field(pattern=r"^[a-zA-Z0-9_.-]{3,255}$")
    regions: dict[str, Nothing] = Field(min_length=2, max_length=2)
    marker: dict[str, str | int] = Field({}, max_length=2)

    def other(self, region: str) -> str:
        """The region that is not this one."""
        return next(name for name in self.regions if name != region)
