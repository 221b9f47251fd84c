"""Each scenario of the lab many times in a row: ``python tests/bench/soak.py [--times N] [SCENARIO ...]``.

Prints a line each, exits 1 on a failure.

A scenario that fails once in fifty runs has found something: what it printed is kept in ``reports/soak``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "reports" / "soak"


def once(name: str, number: int) -> tuple[bool, float]:
    """One drill: passed or not, and its seconds."""
    began = time.monotonic()
    argv = [str(Path(sys.executable).with_name("dr")), "drill", f"scenarios/{name}.yaml", "--json"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{name}-{number}.txt").write_text(f"exit {done.returncode}\n{done.stderr}\n{done.stdout}", encoding="utf-8")
    return done.returncode == 0, time.monotonic() - began


def _of_the_lab() -> list[str]:
    """Those of worlds that packages bring are left out: ``dr`` alone does not know them."""
    read = YAML(typ="safe")
    return [path.stem for path in sorted((ROOT / "scenarios").glob("*.yaml")) if read.load(path)["world"] in ("lab", "sim")]


def main() -> int:
    """All scenarios of the lab, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="in a row, of each (default: 20)")
    parser.add_argument("scenario", nargs="*", help="names without .yaml (default: all of the lab)")
    wanted = parser.parse_args()
    names = wanted.scenario or _of_the_lab()
    failed = 0
    for name in names:
        results = [once(name, number) for number in range(1, wanted.times + 1)]
        bad = sum(not passed for passed, _seconds in results)
        failed += bad
        spent = sum(seconds for _passed, seconds in results)
        sys.stdout.write(f"{name:32} {wanted.times - bad}/{wanted.times} passed  {spent / wanted.times:6.1f} s each\n")
        sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
