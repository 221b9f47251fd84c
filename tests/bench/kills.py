"""The orchestrator killed at random instants: ``python -m tests.bench.kills [--kills N] [--seed S]``, a line each, exit 1 on a failure.

A region is lost, the failover dies, somebody resumes it or gives the same command again; expectations and ledger judge. What the drills
printed is kept in ``reports/kills``, with the scenario that ``dr drill`` plays again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from tests.crash.kills import kills


def main() -> int:
    """All of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25, help="how many (default: 25)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="of the instants (default: drawn)")
    wanted = parser.parse_args()
    print(f"seed {wanted.seed}", flush=True)
    failed, began = 0, time.monotonic()
    for judged in kills(wanted.seed, wanted.kills):
        failed += bool(judged.bad)
        rta = "RTA unknown" if judged.rta is None else f"RTA {judged.rta:.1f} s"
        print(f"{judged.kill}: {judged.bad or 'as it must be'}, {rta}", flush=True)
    each = (time.monotonic() - began) / wanted.kills
    print(f"{wanted.kills - failed}/{wanted.kills} as they must be, {each:.0f} s each, seed {wanted.seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
