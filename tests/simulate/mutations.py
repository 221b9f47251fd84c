"""Proof that the checkers bite: plants one bug after the other, and plays seeds until the rule that it breaks speaks.

    python tests/simulate/mutations.py [--seeds N] [--only NAME]

prints how many seeds each took, and exits with 1 where one is not found. A seed counts only where the same story without the bug is fine.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from dr.app.simulation import Studio, new_stage
from dr.simulate.checks import ALL as CHECKERS
from dr.simulate.faults import CATALOGUE, draw
from dr.simulate.play import play
from dr.simulate.stage import Violation
from dr.simulate.story import frame

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # run as a file, its own folder is looked in, not the project's

from tests.simulate.planted import NAMES  # noqa: E402 - see above
from tests.simulate.planting import Mutation  # noqa: E402 - see above

SEEDS = 20_000


@dataclass(frozen=True)
class Found:
    """A planted bug and the seeds that it took; None: not found. ``rule``: which one spoke."""

    mutation: Mutation
    seeds: int | None
    rule: str = ""
    text: str = ""


def first_violation(studio: Studio, seed: str, deployments: int) -> Violation | None:
    """Of one story with the faults of its seed and all checkers. A bug that ends the whole simulation is none that a checker found."""
    story = draw(frame(seed, deployments), studio.runbook)
    try:
        return next(iter(play(new_stage(studio, story), story, CATALOGUE, CHECKERS()).violations), None)
    except Exception:  # noqa: BLE001 - whatever a planted bug breaks
        return None


def hunt(mutation: Mutation, seeds: int) -> Found:
    """Seeds 0, 1, 2 … until one of its rules speaks."""
    book = ROOT / "runbooks" / mutation.runbook
    fine, studio = Studio(book), Studio(book)
    try:
        for number in range(seeds):
            with mutation.planted():
                first = first_violation(studio, str(number), mutation.deployments)
            if first is None or first.rule not in mutation.rules:
                continue
            known = first_violation(fine, str(number), mutation.deployments)
            if known is None or known.rule != first.rule:
                return Found(mutation, number + 1, first.rule, first.text)
        return Found(mutation, None)
    finally:
        fine.close()
        studio.close()


def main() -> int:
    """The table. 1: one was not found."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--seeds", type=int, default=SEEDS)
    given.add_argument("--only", default="")
    options = given.parse_args()
    missed = 0
    sys.stdout.write(f"{'planted bug':<28} {'found by':<9} {'seeds':>6}  what it said\n")
    for mutation in NAMES.values():
        if options.only in mutation.name:
            found = hunt(mutation, options.seeds)
            missed += found.seeds is None
            sys.stdout.write(f"{mutation.name:<28} {found.rule or 'nobody':<9} {found.seeds or '-':>6}  {found.text:.90}\n")
            sys.stdout.flush()
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
