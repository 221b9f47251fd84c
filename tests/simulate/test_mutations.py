"""The planted bugs that few seeds find are found; the whole table is ``python tests/simulate/mutations.py``."""

from __future__ import annotations

import pytest

from tests.simulate.mutations import hunt
from tests.simulate.planted import NAMES

FEW = 12
QUICK = (
    "no fence", "guards asleep", "time-out is a fence", "any loss will do", "planned moves may lose", "DNS first", "schedulers first",
    "at most once, requeued", "never released", "journal after effect", "epoch ignored", "tail dropped", "errors told in full",
    "another world", "nothing was lost", "fence forgotten", "no word",
)  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_bug_is_found(name: str) -> None:
    found = hunt(NAMES[name], FEW)
    assert found.seeds is not None, f"not found in {FEW} seeds"
    assert found.rule in NAMES[name].rules


def test_the_table_has_every_rule() -> None:
    assert len(NAMES) >= 20
    spoken = {rule for mutation in NAMES.values() for rule in mutation.rules}
    assert spoken == {f"I{number}" for number in range(1, 19)} | {"L1", "L2"}
