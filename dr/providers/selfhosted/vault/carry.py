"""Writes one side's versions into the other, each on condition of what was read: nothing newer is ever overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dr.errors import StepError, Transient
from dr.providers.selfhosted.vault.accounts import Compared, Item, Side
from dr.providers.selfhosted.vault.config import Copy
from dr.providers.selfhosted.vault.files import write_private
from dr.providers.selfhosted.vault.lineage import History, Standing, to_carry
from dr.providers.selfhosted.vault.secret import COPIED_VERSION, MARKS, SOURCE_REGION, SOURCE_VERSION, Secret
from dr.providers.selfhosted.vault.vaults import Vaults
from dr.providers.selfhosted.vault.wire import Conflict

POLICY = {
    Copy.NEVER: frozenset[Standing](),
    Copy.MISSING: frozenset({Standing.MISSING}),
    Copy.NEWER: frozenset({Standing.MISSING, Standing.OLDER}),
}
"""What may be brought over without asking anybody."""


@dataclass(frozen=True)
class Carried:
    """What a copying came to. ``conflicts``: somebody wrote there in between; left alone."""

    done: tuple[Item, ...]
    conflicts: tuple[Item, ...]


def allowed(compared: Compared, policy: Copy, *, leading: bool = False) -> tuple[Item, ...]:
    """What is to be written into the judged side.

    Args:
        leading: the original's region leads by its epoch, and what only the judged side had is preserved: its newer and diverged values are
            writes of an old primary and give way, too (I17). They stay there as older versions.
    """
    standings = POLICY[policy]
    if leading and policy is Copy.NEWER:
        standings |= {Standing.NEWER, Standing.DIVERGED}
    return tuple(item for item in compared.of(*standings) if not item.own)


def carry(
    vaults: Vaults, original: Side, copy: Side, items: Sequence[Item], *,
    may_act: Callable[[], bool] = lambda: True, cancelled: Callable[[], bool] = lambda: False,
) -> Carried:  # fmt: skip
    """Writes the items of the original that its copy lacks, a few at a time; each stands on its own, so it may be repeated.

    Raises:
        StepError: the gravest of what went wrong, after the others were done; what was written stays.
    """

    def one(item: Item) -> bool:
        if cancelled() or not may_act():
            raise Transient(f"{vaults.component}: {item.path} was not copied: the run was cancelled, or the lease is not ours any more")
        secret = copy.secrets.get(item.path)
        held = vaults.history(copy.region, secret) if secret is not None and item.standing is not Standing.MISSING else None
        try:
            _write(vaults, vaults.history(original.region, original.secrets[item.path]), copy.region, secret, held)
        except Conflict:
            return False
        return True

    results = vaults.results(one, items)
    wrong = [result for result in results if isinstance(result, StepError)]
    if wrong:
        raise sorted(wrong, key=lambda error: isinstance(error, Transient))[0]
    told = list(zip(items, results, strict=True))
    return Carried(tuple(item for item, written in told if written is True), tuple(item for item, written in told if written is False))


def _write(vaults: Vaults, original: History, region: str, there: Secret | None, held: History | None) -> None:
    source, target, path = vaults.stores[original.region], vaults.stores[region], original.secret.path
    last = there.current if there is not None else 0
    for number in to_carry(original, held):
        value = source.read(path, number)
        if value is None:
            raise Transient(f"{source.server.where}: version {number} of {path} was deleted just now")
        last = target.write(path, value, last)
    own = {key: text for key, text in original.secret.marks.items() if key not in MARKS}
    marks = {SOURCE_REGION: original.region, SOURCE_VERSION: str(original.secret.current), COPIED_VERSION: str(last)}
    target.describe(path, {**own, **marks}, original.secret.settings)


def listed(path: Path, compared: Compared) -> str | None:
    """One JSON line for each item that is not equal, for those who want all names; None where everything is.

    Raises:
        Permanent: the file cannot be written.
    """
    if not compared.items:
        return None
    lines = [json.dumps({"path": item.path, "standing": item.standing, "why": item.why}) for item in compared.items]
    write_private(path, "\n".join(lines) + "\n")
    return str(path)
