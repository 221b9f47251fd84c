"""``dr.permissions/1``: what each of three roles must be allowed, and nothing more."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dr.model.base import Frozen, Json


class Policy(Frozen):
    """One IAM policy document. ``characters``: without white space; AWS takes 6,144 for a managed policy."""

    role: Literal["monitor", "drill", "failover"]
    number: int
    characters: int
    document: dict[str, Json]


class OtherPermission(Frozen):
    """What IAM knows nothing of: a database's grants, a host's account, a token."""

    component: str
    text: str
    roles: tuple[str, ...]


class PermissionsReport(Frozen):
    """``dr.permissions/1``. roles: which policies each is given; monitor: read only; drill: acts only on what is tagged for it."""

    schema_: Literal["dr.permissions/1"] = Field("dr.permissions/1", alias="schema", serialization_alias="schema")
    runbook: str
    policies: tuple[Policy, ...]
    others: tuple[OtherPermission, ...]
