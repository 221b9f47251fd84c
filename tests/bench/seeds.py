"""Simulated disasters by the hundred thousand, over nights: ``python tests/bench/seeds.py [--minutes M] [--jobs J] [RUNBOOK ...]``.

Each call goes on where the last one stopped and keeps count in ``reports/soak/seeds.json``, by runbook. Exits 1
where a story violated something, and prints how to repeat it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from dr.app.simulating import Simulating, Wanted
from dr.app.state import State
from dr.simulate.survey import Tally

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "reports" / "soak" / "seeds.json"
RUNBOOKS = ("lab", "platform", "careful", "airflow-aws")


def main() -> int:
    """One sitting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="for how long (default: 30)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each processor)")
    parser.add_argument("--deployments", type=int, default=8, help="in the simulated platform (default: 8)")
    parser.add_argument("runbook", nargs="*", default=RUNBOOKS, help="names without .yaml (default: all four)")
    wanted = parser.parse_args()
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    broken = 0
    for name in wanted.runbook:
        broken += _play(name, wanted.minutes / len(wanted.runbook), wanted.jobs, wanted.deployments, kept)
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        KEPT.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    total = sum(item["stories"] for item in kept.values())
    print(f"{total} stories in all, {sum(item['violations'] for item in kept.values())} with a violation")
    return 1 if broken else 0


def _play(name: str, minutes: float, jobs: int, deployments: int, kept: dict[str, dict[str, int]]) -> int:
    """Goes on with one runbook; how many stories violated something."""
    with tempfile.TemporaryDirectory() as folder:
        first = kept.get(name, {}).get("stories", 0)

        def say(found: Tally, seconds: float) -> None:
            print(f"\r{name}: {found.stories} stories in {seconds:.0f} s, {found.violations} violations", end="", flush=True)

        many = Wanted(ROOT / f"runbooks/{name}.yaml", str(first + 1), None, minutes, jobs, deployments)
        report = Simulating(State(Path(folder)), many, say=say).many()
    own = kept.setdefault(name, {"stories": 0, "violations": 0})
    own["stories"] += report.seeds
    own["violations"] += report.violations_total
    print(f"\r{name}: {report.seeds} stories, {report.violations_total} with a violation; {own['stories']} in all")
    for item in report.violations:
        # steps take what they are estimated to take: a state directory with runs of its own would tell another story
        print(f"  {item.rule}: {item.text}\n    {item.command} --state $(mktemp -d)")
    return report.violations_total


if __name__ == "__main__":
    sys.exit(main())
