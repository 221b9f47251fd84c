"""The orchestrator is killed at a random instant of a failover in the lab, by SIGKILL; the end is the one of an undisturbed failover."""

from __future__ import annotations

import os
import random

import pytest

from tests.crash.kills import kills

COUNT = 3


@pytest.mark.lab
@pytest.mark.scenario
@pytest.mark.long
@pytest.mark.usefixtures("no_lab")
def test_killed_anywhere_it_ends_as_if_nothing_had_happened() -> None:
    """Resumed, or given again: one promotion, one run, identities, tasks and RPA as the client's ledger has them. ``make soak`` kills
    more often; a seed in DR_KILLS_SEED draws the same instants again."""
    seed = int(os.environ.get("DR_KILLS_SEED") or random.SystemRandom().randrange(1_000_000))
    judged = list(kills(seed, COUNT))
    bad = [f"{item.kill}: {item.bad}" for item in judged if item.bad]
    assert bad == [], f"repeat with: python -m tests.bench.kills --kills {COUNT} --seed {seed}; what was printed: reports/kills"
    assert len(judged) == COUNT
    assert all(item.rta is not None for item in judged)
