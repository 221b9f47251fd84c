"""What the commands of ``dr lab`` print with ``--json``; ``dr.lab.status/1`` is ``dr.lab.lab.LabStatus``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dr.model.base import Frozen, Moment
from dr.model.scenario import Fault


class LabDown(Frozen):
    """``dr.lab.down/1``: what is left over after everything was ended."""

    schema_: Literal["dr.lab.down/1"] = Field("dr.lab.down/1", alias="schema", serialization_alias="schema")
    ok: bool
    leftovers: tuple[str, ...]


class LabPart(Frozen):
    """One thing that the lab needs. ``fix``: what to do where it was not found, else empty."""

    name: str
    found: bool
    where: str
    version: str
    fix: str


class LabDoctor(Frozen):
    """``dr.lab.doctor/1``."""

    schema_: Literal["dr.lab.doctor/1"] = Field("dr.lab.doctor/1", alias="schema", serialization_alias="schema")
    parts: tuple[LabPart, ...]


class LabFault(Frozen):
    """``dr.lab.fault/1``: what was broken or mended, and since when."""

    schema_: Literal["dr.lab.fault/1"] = Field("dr.lab.fault/1", alias="schema", serialization_alias="schema")
    kind: str
    fault: Fault
    observed_at: Moment
