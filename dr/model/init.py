"""What ``dr init`` prints: what was found, what is missing, what nobody could say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dr.model.base import Frozen


class InitComponent(Frozen):
    """A component of the runbook. ``active``: false where it is written as a comment, because as it is it would protect nothing."""

    name: str
    kind: str
    active: bool
    needs: tuple[str, ...]


class InitGap(Frozen):
    """Something in the primary that has no counterpart in the secondary, or is not replicated there; ``fix``: a command or a setting."""

    component: str
    what: str
    why: str
    fix: str


class InitRefusal(Frozen):
    """A question without an answer: what it was about, what was said, and what to do. Everything else was asked all the same."""

    about: str
    fact: str
    fix: str


class InitReport(Frozen):
    """``dr.init/1``: a runbook of what there is in two regions, and what it lacks.

    ``path``: where it was written; null: nowhere, ``text`` has it. ``calls``: to AWS, all of them reads. ``unknown``: what no API tells,
    for a person to fill in; the same stands in the text as comments. ``exit_code`` 3: nothing is replicated, so it is no runbook yet.
    """

    schema_: Literal["dr.init/1"] = Field("dr.init/1", alias="schema", serialization_alias="schema")
    runbook: str
    primary: str
    secondary: str
    account: str
    path: str | None
    calls: int
    components: tuple[InitComponent, ...]
    not_replicated: tuple[InitGap, ...]
    not_asked: tuple[InitRefusal, ...]
    unknown: tuple[str, ...]
    text: str
    exit_code: int
