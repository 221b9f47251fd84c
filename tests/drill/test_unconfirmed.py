"""A Deployment that does not answer in the end proves nothing: what it may have lost is unknown, and unknown is never met."""

from __future__ import annotations

import pytest

from dr.drill.scorecard import Results, score
from dr.model.base import Json
from dr.model.scenario import Expect
from tests.drill.fakes import TRUTH
from tests.drill.test_scorecard import BASE

SILENT = TRUTH.model_copy(update={"lost_writes": 0, "unconfirmed_writes": 7})


@pytest.mark.parametrize(
    ("name", "wanted"), [("lost_writes", 0), ("max_lost_writes", 5), ("min_lost_writes", 0), ("rpa_not_below_truth", True)]
)
def test_unconfirmed_writes_are_neither_kept_nor_lost(name: str, wanted: Json) -> None:
    """Seven acknowledged writes of a silent Deployment: no claim about losses holds."""
    [line] = score(Expect.model_validate({name: wanted}), Results((BASE,), SILENT, (0,), 0))
    assert (line.actual, line.met) == (None, False)
    [line] = score(Expect.model_validate({name: wanted}), Results((BASE,), SILENT.model_copy(update={"unconfirmed_writes": 0}), (0,), 0))
    assert line.met
