"""The small things that commands print with ``--json``; runs, drills, periods and what looking prints have modules of their own.

Every printed object says what it is in ``schema``. ``dr runbook schema NAME`` prints the JSON Schema of each (``dr.config.outputs``).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dr.model.base import Frozen, Json
from dr.model.by_hand import Question
from dr.model.words import Intent, Verb


class RefusingGuard(Frozen):
    """One guard that refused, and why."""

    name: str
    reason: str


class ErrorReport(Frozen):
    """``dr.error/1``: what went wrong, and what to type. ``error``: its class, see ``dr.errors``. ``guards``: where guards refused."""

    schema_: Literal["dr.error/1"] = Field("dr.error/1", alias="schema", serialization_alias="schema")
    error: str
    message: str
    hint: str
    exit_code: int
    guards: tuple[RefusingGuard, ...] = ()


class RequestReport(Frozen):
    """``dr.request/1``: an answer to a run that another process holds; that process takes it up. ``event``: see ``dr.model.events``."""

    schema_: Literal["dr.request/1"] = Field("dr.request/1", alias="schema", serialization_alias="schema")
    run_id: str
    event: str
    actor: str
    handed_over: Literal[True] = True


class MonitorReport(Frozen):
    """``dr.monitor/1``: printed once, when watching begins. ``metrics``: where they are served; null where they are not."""

    schema_: Literal["dr.monitor/1"] = Field("dr.monitor/1", alias="schema", serialization_alias="schema")
    runbook: str
    metrics: str | None


class SchemaReport(Frozen):
    """``dr.schema/1``: the JSON Schema of a file that people write, or of what a command prints."""

    schema_: Literal["dr.schema/1"] = Field("dr.schema/1", alias="schema", serialization_alias="schema")
    name: str
    document: Json


class RenderedStep(Frozen):
    """One step of the page. ``after``: numbers of the steps whose checks must pass first. ``conditions``: sentences of Markdown."""

    number: int
    wave: int
    id: str
    component: str
    kind: str
    verb: Verb
    region: str
    title: str
    after: tuple[int, ...]
    irreversible: bool
    optional: bool
    estimate_seconds: float
    budget_seconds: float
    conditions: tuple[str, ...]
    do: str
    check: str


class CredentialPlace(Frozen):
    """Where a credential lies that a command reads; never the credential. ``use``: the place in the runbook that names it."""

    use: str
    place: str


class RenderReport(Frozen):
    """``dr.render/1``: the runbook for people, as fields and as the same page of Markdown."""

    schema_: Literal["dr.render/1"] = Field("dr.render/1", alias="schema", serialization_alias="schema")
    tool_version: str
    runbook: str
    runbook_path: str
    runbook_sha256: str
    intent: Intent
    from_region: str
    to_region: str
    rto_seconds: float
    rpo_seconds: float
    predicted_rta_seconds: float
    credentials: tuple[CredentialPlace, ...]
    questions: tuple[Question, ...]
    steps: tuple[RenderedStep, ...]
    markdown: str
