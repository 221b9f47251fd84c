"""Comparisons as evidence: totals, some names, and a file with all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from dr.model.evidence import NAMED, Accounted
from dr.providers.artefacts import keep_lines
from dr.providers.selfhosted.s3.objects import Difference, Item, Repair

Row = dict[str, str | int | None]


def accounts(
    component: str, run_id: str, source: str, target: str, at: datetime, found: Difference, plan: Repair, done: frozenset[str],
    artefacts: Path,
) -> tuple[Accounted, Accounted]:  # fmt: skip
    """One account for each side: what the target lacked of the source, and the other way round.

    Args:
        plan: what was to be done about the difference. done: the keys that are equal by now.
    """
    sides = []
    for region, missing, stale in (
        (target, found.only_source, [there for _, there in plan.to_target if there is not None]),
        (source, found.only_target, [there for _, there in plan.to_source if there is not None]),
    ):  # fmt: skip
        newer_here = [pair[1 if region == target else 0] for pair in plan.conflicts]
        rows = [*_rows("missing", missing, done), *_rows("differing", stale, done), *_rows("conflict", newer_here, done)]
        sides.append(
            Accounted(
                component=component, region=region, at=at, checked=found.checked,
                equal=found.checked - len(missing) - len(stale) - len(newer_here),
                missing=_names(missing), missing_total=len(missing), differing=_names(stale), differing_total=len(stale),
                conflicts=_names(newer_here), conflicts_total=len(newer_here),
                repaired=sum(item.key in done for item in (*missing, *stale)),
                items_path=items_file(artefacts, f"{component}-{region}", run_id, rows),
            )
        )  # fmt: skip
    return sides[0], sides[1]


def lost(
    component: str, run_id: str, region: str, at: datetime, checked: int, missing: Sequence[Item], stale: Sequence[Item], artefacts: Path
) -> Accounted:
    """The account of a region whose other side is gone, against what was known of it: never complete."""
    rows = [*_rows("missing", missing, frozenset()), *_rows("differing", stale, frozenset())]
    return Accounted(
        component=component, region=region, at=at, checked=checked, equal=checked - len(missing) - len(stale),
        missing=_names(missing), missing_total=len(missing), differing=_names(stale), differing_total=len(stale),
        complete=False, items_path=items_file(artefacts, f"{component}-{region}-lost", run_id, rows),
    )  # fmt: skip


def items_file(artefacts: Path, name: str, run_id: str, rows: Sequence[Row]) -> str | None:
    """Keeps all rows beside the journal; None where there are none. Raises Transient."""
    if not rows:
        return None
    path = artefacts / f"{name}-{run_id}.jsonl"
    keep_lines(path, rows)
    return str(path)


def _names(items: Iterable[Item]) -> tuple[str, ...]:
    return tuple(item.key for item in items)[:NAMED]


def _rows(what: str, items: Iterable[Item], done: frozenset[str]) -> list[Row]:
    return [
        {"found": what, "key": item.key, "etag": item.etag, "bytes": item.size, "modified": item.modified.isoformat(),
         "repaired": "yes" if item.key in done else "no"}
        for item in items
    ]  # fmt: skip
