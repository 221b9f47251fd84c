"""The runbook for people: a plan without a look at the world, and what each kind says of itself. Connects to nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from dr import __version__
from dr.app.platform import Platform
from dr.engine.planner import make_plan
from dr.errors import UsageError
from dr.model.base import Json
from dr.model.plan import Plan
from dr.model.runbook import SecretRef
from dr.model.words import Intent
from dr.ports import Questioned
from dr.providers import shell
from dr.report.by_hand import Sheet, markdown


def regions(platform: Platform, intent: Intent, to: str | None) -> tuple[str, str]:
    """Source and target where nobody looks who is primary: a move leads away from home, a failback there, home follows what it lost to.

    Raises:
        UsageError: no such region; or more than two, so that the target must be named.
    """
    home = platform.runbook.home
    if to is None:
        to = home if intent is Intent.FAILBACK else platform.other(home)
    target = platform.region(to)
    if intent is Intent.FAILBACK and target != home:
        raise UsageError(f"failback leads to {home}, the home of {platform.runbook.name}", hint=f"--intent switchover --to {target}")
    return platform.other(target), target


def unseen(platform: Platform, intent: Intent, source: str, target: str) -> Plan:
    """The plan as it follows from the runbook alone: nothing observed, nothing learned."""
    return make_plan(platform.runbook, platform.chains(intent, source, target), intent, source, target).plan


def render(platform: Platform, intent: Intent, to: str | None) -> str:
    """The runbook for people, as Markdown; the same file gives the same text. Raises UsageError as ``regions``."""
    return markdown(sheet(platform, intent, to))


def sheet(platform: Platform, intent: Intent, to: str | None) -> Sheet:
    """What is on the page. Raises UsageError as ``regions``."""
    source, target = regions(platform, intent, to)
    kinds = platform.kinds.values()
    questions = [kind.question(region) for kind in kinds if isinstance(kind, Questioned) for region in (target, source)]
    credentials = [(f"{where}", _place(platform, ref)) for where, ref in references(platform)]
    return Sheet(platform.runbook, unseen(platform, intent, source, target), questions, credentials, __version__)


def references(platform: Platform) -> Iterator[tuple[str, SecretRef]]:
    """Every credential that the runbook names, by its dotted place in the file."""
    for name, component in platform.runbook.components.items():
        yield from _within(f"components.{name}", component.config)


def _within(where: str, value: Json) -> Iterator[tuple[str, SecretRef]]:
    if isinstance(value, SecretRef):
        yield where, value
    elif isinstance(value, BaseModel):
        for field in type(value).model_fields:
            yield from _within(f"{where}.{field}", getattr(value, field))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _within(f"{where}.{key}", item)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for number, item in enumerate(value):
            yield from _within(f"{where}.{number}", item)


def _place(platform: Platform, ref: SecretRef) -> str:
    return f"the variable `{ref.env}`" if ref.file is None else f"`{shell.absolute(platform.site.base, ref.file)}`"
