"""What a runbook says about sizes."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from dr.providers.aws.config import AwsConfig

Size = Annotated[int, Field(ge=0, le=10_000)] | Annotated[str, StringConstraints(pattern=r"^(primary|\d{1,3}%)$")]
"""``primary``: as many as the region that is left has, or had when it was last seen; ``12``; ``50%`` of the primary's, rounded up."""

Names = dict[str, str] | tuple[str, ...]
"""The groups of a region: ``{workers: ng-4711}`` (the runbook's word and AWS's name), or a list where both are one."""


class CapacityConfig(AwsConfig, ABC):
    """What all capacity kinds may say.

    size: what the target must have, of every group. sizes: of single groups, by the runbook's word.
    if_unknown: where ``size`` depends on the primary, and nobody knows what that had.
    stand_by: what a region that only stands by is scaled back to, by re-protect; none: it is left as it is.
    zones: in so many availability zones they must be ready, as soon as there are as many.
    writers: its members write to what it needs, which ``needs`` must name. A planned move takes all of them down in the region that is
    left, and waits until none is there, before any of that is drained; their minimum must be 0 for it. A failover takes nobody down: the
    region is lost. Afterwards the region that was left has none: re-protect gives it ``stand_by``; without that it stays so. A group that
    has none counts with what it was seen with last. Without ``writers`` nobody here stops them: what they write to a bucket or a table
    after its drain is not in what that drain called complete, unless another component (``airflow-deployments``) stops them.
    """

    size: Size = "primary"
    sizes: dict[str, Size] = {}
    if_unknown: int | None = Field(None, ge=0, le=10_000, description="where nobody knows what the primary had")
    stand_by: Size | None = None
    zones: int = Field(2, ge=1, le=6, description="ready in so many availability zones")
    writers: bool = Field(False, description="its members write to what it needs: a planned move takes them down before that is drained")

    @abstractmethod
    def groups(self, region: str) -> Mapping[str, str]:
        """By the runbook's word, AWS's name."""

    @abstractmethod
    def named_regions(self) -> tuple[str, ...]:
        """The regions that the settings name."""

    def wanted(self, word: str, primary: int | None) -> int | None:
        """How many of a group the target must have; None: it depends on the primary, and nobody knows."""
        found = share(self.sizes.get(word, self.size), primary)
        return self.if_unknown if found is None else found


def share(size: Size, primary: int | None) -> int | None:
    """A size in numbers; None: it depends on what is not known."""
    if isinstance(size, int):
        return size
    if primary is None:
        return None
    return primary if size == "primary" else math.ceil(primary * int(size.removesuffix("%")) / 100)


def by_word(names: Names) -> Mapping[str, str]:
    """Names by the runbook's word."""
    return names if isinstance(names, dict) else {name: name for name in names}
