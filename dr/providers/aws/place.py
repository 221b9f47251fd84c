"""Where a call goes, and as whom."""

from __future__ import annotations

from typing import NamedTuple

from dr.model.runbook import AwsRole


class Place(NamedTuple):
    """A region of the runbook as AWS knows it.

    region: the runbook's word. code: AWS's (``us-west-2``). profile: of the shared configuration; empty: the default chain.
    account: what it must be, 12 digits; empty: not said. role: taken on there for one component.
    endpoint: where the API is, where a resource has an address of its own (a cluster of routing controls); empty: where AWS has it.
    """

    region: str
    code: str
    profile: str = ""
    account: str = ""
    role: AwsRole | None = None
    endpoint: str = ""

    def __str__(self) -> str:
        return self.region if self.region == self.code else f"{self.region} ({self.code})"
