"""Whoever promotes may die before it can say that nothing was missing: what goes on finds that out again."""

from __future__ import annotations

import pytest

from dr.model.evidence import Fenced, RecoveryPoint
from dr.model.words import Intent, Verb
from dr.ports import Look
from dr.providers.selfhosted.postgres import Postgres
from tests.postgres.rig import Pair
from tests.postgres.test_failover import step

pytestmark = pytest.mark.lab


def test_a_planned_promotion_that_was_not_recorded_is_known_to_be_complete(pair: Pair, kind: Postgres) -> None:
    """The target forked no earlier than where the source ended. Where the source wrote further, or the fence is not known, it is not
    said."""
    for verb in (Verb.PREPARE, Verb.DRAIN, Verb.FENCE, Verb.PROMOTE):
        seen = pair.perform(step(kind, verb, Intent.SWITCHOVER), Intent.SWITCHOVER, "east", "west")
        assert seen.look is Look.DONE, seen.reason
    fence = next(item for item in pair.evidence if isinstance(item, Fenced))
    high, _, low = fence.final_position.partition("/")
    beyond = fence.model_copy(update={"final_position": f"{high}/{int(low, 16) + 0x1000000:X}"})
    promote = step(kind, Verb.PROMOTE, Intent.SWITCHOVER)
    for known, complete in (([fence], True), ([beyond], False), ([], False)):
        pair.evidence = list(known)
        seen = promote.operation.observe(pair.context(promote, Intent.SWITCHOVER, "east", "west"))
        assert seen.look is Look.DONE
        (point,) = [item for item in seen.evidence if isinstance(item, RecoveryPoint)]
        assert point.complete is complete
