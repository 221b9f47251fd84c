"""``make bench``: measures what the README says, on this machine, and prints one table: what, goal, measured.

Nothing here fails for being slow: machines are shared and noisy, so figures are printed and ratios are taken within this one run.

Usage: python tests/bench/bench.py [--runs N] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
DR = [sys.executable, "-m", "dr"]
RUNBOOK, PLATFORM = "runbooks/lab.yaml", "runbooks/platform.yaml"
STATE = ROOT / "lab-state"


class Row(NamedTuple):
    """One line of the table."""

    what: str
    goal: str
    measured: str


def dr(*argv: str, env: dict[str, str] | None = None, codes: Sequence[int] = (0,)) -> str:
    """Runs one command; its stdout. Ends the benchmark when it fails."""
    done = subprocess.run([*DR, *argv], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **(env or {})}, check=False)
    if done.returncode not in codes:
        sys.exit(f"dr {' '.join(argv)}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def timed(count: int, *argv: str, env: dict[str, str] | None = None) -> str:
    """Median and range of a command's wall time after one warm-up."""
    took = []
    for number in range(count + 1):
        started = time.monotonic()
        dr(*argv, env=env)
        if number:
            took.append(time.monotonic() - started)
    return spread([value * 1000 for value in took], "ms", 0)


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """``median (min to max)``."""
    return f"{statistics.median(values):.{digits}f} {unit} ({min(values):.{digits}f} to {max(values):.{digits}f}, n={len(values)})"


def drill(scenario: str) -> dict[str, Any]:
    """One drill's ``dr.drill/1``, whose expectations must be met."""
    report: dict[str, Any] = json.loads(dr("drill", f"scenarios/{scenario}.yaml", "--json"))
    return report


def between(run: dict[str, Any], start: str, end: str) -> float:
    """Seconds between two stamps of a run."""
    return (datetime.fromisoformat(run["stamps"][end]) - datetime.fromisoformat(run["stamps"][start])).total_seconds()


def step(run: dict[str, Any], step_id: str) -> dict[str, Any]:
    """One step of a run's report."""
    found: dict[str, Any] = next(item for item in run["steps"] if item["id"] == step_id)
    return found


def after(run: dict[str, Any], start: str, step_id: str) -> float:
    """Seconds from a stamp to the end of a step."""
    return (datetime.fromisoformat(step(run, step_id)["finished_at"]) - datetime.fromisoformat(run["stamps"][start])).total_seconds()


def start_up(runs: int) -> list[Row]:
    """Start-up is part of the product."""
    with tempfile.TemporaryDirectory() as empty:
        rows = [
            Row("dr --help", "≤ 100 ms", timed(runs, "--help")),
            Row("dr status, empty state", "≤ 200 ms", timed(runs, "status", env={"DR_STATE": empty})),
        ]
    up = []
    for _ in range(runs):
        started = time.monotonic()
        dr("lab", "up")
        up.append(time.monotonic() - started)
        dr("lab", "down")
    rows.append(Row("lab up, 5 Deployments, the first run has its parts already", "≤ 6 s", spread(up, "s", 1)))
    dr("lab", "up")
    try:
        with tempfile.TemporaryDirectory() as state:
            took = timed(runs, "status", RUNBOOK, env={"DR_STATE": state})
            rows.append(Row("dr status RUNBOOK, lab up", "≤ 600 ms + slowest probe", took))
    finally:
        dr("lab", "down")
    return rows


def region_outage(runs: int) -> list[Row]:
    """Five Deployments, region killed and failed over at the same moment."""
    reports = [drill("region-outage") for _ in range(runs)]
    moves = [item["runs"][-1] for item in reports]
    execute = [item["rta_breakdown_seconds"]["execute"] for item in moves]
    outage = [item["truth"]["outage_seconds"] for item in reports]
    apart = [move["objectives"]["rta_seconds"] - seen for move, seen in zip(moves, outage, strict=True)]
    loss = [move["objectives"]["rpa_seconds"] - item["truth"]["loss_window_seconds"] for move, item in zip(moves, reports, strict=True)]
    return [
        Row("region-outage, 5 Deployments: decided → redirected", "≤ 0.6 s", spread(execute, "s")),
        Row("region-outage: outage of the last hostname, TTL of 1 s included", "median ≤ 1.8 s", spread(outage, "s")),
        Row("reported RTA minus the client's outage", "−0.3 s to +1.3 s", spread(apart, "s")),
        Row("reported RPA (bound) minus the ledger's loss window", "≥ 0", spread(loss, "s")),
    ]


def planned(runs: int) -> list[Row]:
    """Planned switchover, five Deployments."""
    reports = [drill("planned-switchover") for _ in range(runs)]
    first = [after(item["runs"][-1], "outage_began", "deployments/verify-inside") for item in reports]
    pause = [item["truth"]["outage_seconds"] for item in reports]
    lost = [item["truth"]["lost_writes"] for item in reports]
    return [
        Row("planned switchover: freeze → every Deployment took a write in B", "≤ 1 s", spread(first, "s")),
        Row("planned switchover: write pause as the client saw it", "≤ 1 s + TTL", spread(pause, "s")),
        Row("planned switchover: acknowledged writes lost", "0", str(sum(lost))),
    ]


def floor() -> dict[str, float]:
    """The bare script on the same platform, region killed."""
    dr("lab", "up", "--deployments", "80", "--tasks", "1250")
    try:
        dr("lab", "fault", "kill", "east")
        script = [sys.executable, str(ROOT / "tests/bench/floor.py"), str(STATE), "80"]
        done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
        result: dict[str, float] = json.loads(done.stdout)
        return result
    finally:
        dr("lab", "down")


def scale(runs: int) -> list[Row]:
    """80 Deployments, 1,250 running tasks, beside the bare script."""
    bare, reports = [], []
    for _ in range(runs):
        bare.append(floor()["verified"] / 1000)
        reports.append(drill("scale-80"))
    moves = [item["runs"][-1] for item in reports]
    inside = [after(move, "decided", "deployments/verify-inside") for move in moves]
    overhead = [move["overhead_seconds"] / move["critical_path"]["seconds"] * 100 for move in moves]
    reconcile = [step(move, "deployments/reconcile")["duration_seconds"] for move in moves]
    ratios = [mine / theirs for mine, theirs in zip(inside, bare, strict=True)]
    outage = [item["truth"]["outage_seconds"] for item in reports]
    return [
        Row("scale: outage of the last of 240 hostnames as the client saw it", "≤ 3 s", spread(outage, "s")),
        Row("scale: bare script, all 80 verified", "(the floor)", spread(bare, "s")),
        Row("scale: decided → all 80 verified inside", "≤ 3 × the floor", f"{spread(inside, 's')}; ratio {spread(ratios, '×')}"),
        Row("scale: reconcile of 1,250 tasks over 80 databases", "≤ 2 s", spread(reconcile, "s")),
        Row("scale: overhead of the critical path", "≤ 10 %", spread(overhead, "%", 1)),
        Row("scale: dr's share of execute", "", spread([move["overhead_seconds"] * 1000 for move in moves], "ms", 0)),
    ]


def platform(runs: int) -> list[Row]:
    """Everything that a region holds: start, memory, one status, and the scale scenario with all parts."""
    up, memory = [], []
    with tempfile.TemporaryDirectory() as state:
        for _ in range(min(runs, 3)):
            started = time.monotonic()
            dr("lab", "up", "--everything")
            up.append(time.monotonic() - started)
            try:
                memory.append(lab_memory())
                took = timed(min(runs, 5), "status", PLATFORM, env={"DR_STATE": state})
            finally:
                dr("lab", "down")
    reports = [drill("platform-scale") for _ in range(min(runs, 3))]
    moves = [item["runs"][-1] for item in reports]
    outage = [item["truth"]["outage_seconds"] for item in reports]
    counted = {
        name: [step(move, f"{name}/fingerprint")["duration_seconds"] for move in moves] for name in ("images", "secrets", "task-logs")
    }
    return [
        Row("lab up, everything, second start", "≤ 10 s", spread(up, "s", 1)),
        Row("lab, everything: memory of its own (anonymous and shared)", "≤ 600 MiB", spread(memory, "MiB", 0)),
        Row("dr status of the full platform", "≤ 2 s", took),
        Row("platform-scale: outage of the last of 240 hostnames", "≤ 3 s", spread(outage, "s")),
        Row("platform-scale: reported RTA", "", spread([move["objectives"]["rta_seconds"] for move in moves], "s")),
        Row("platform-scale: 200 images counted, beside the start of all", "≤ 10 s", spread(counted["images"], "s")),
        Row("platform-scale: 400 secrets counted, beside the start of all", "≤ 10 s", spread(counted["secrets"], "s")),
        Row("platform-scale: 10,000 log objects counted, beside it", "≤ 10 s", spread(counted["task-logs"], "s")),
    ]


def lab_memory() -> float:
    """MiB that the lab's servers have for themselves: what is mapped from files (their programs) can be dropped at any time."""
    servers = json.loads(dr("lab", "status", "--json"))["servers"]
    pids = {server["pid"] for server in servers if server["pid"]}
    parents = {int(path.name): parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    while more := {pid for pid, above in parents.items() if above in pids} - pids:
        pids |= more
    return sum(own_kilobytes(pid) for pid in pids) / 1024


def parent(process: Path) -> int:
    """Whose child it is; 0 for one that is gone."""
    try:
        return int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def own_kilobytes(pid: int) -> int:
    """Its share of anonymous and shared memory."""
    try:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    except OSError:
        return 0
    return sum(int(fields[name].split()[0]) for name in ("Pss_Anon", "Pss_Shmem"))


def engine(_runs: int) -> list[Row]:
    """The engine alone: prints its own table."""
    done = subprocess.run([sys.executable, str(ROOT / "tests/bench/bench_engine.py")], cwd=ROOT, check=False)
    return [] if done.returncode == 0 else [Row("engine", "", f"bench_engine.py ended with {done.returncode}")]


def aws(runs: int) -> list[Row]:
    """The calls that AWS counts, and a failover with a region really gone, against the emulator."""
    command = [sys.executable, "-m", "tests.bench.aws", "--runs", str(min(runs, 3))]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    rows = [Row(*json.loads(line)) for line in done.stdout.splitlines()]
    return rows if done.returncode == 0 else [*rows, Row("aws", "", f"tests.bench.aws ended with {done.returncode}")]


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "start-up": start_up, "region-outage": region_outage, "planned": planned, "scale": scale, "platform": platform,
    "engine": engine, "aws": aws,
}  # fmt: skip


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="runs of each drill (scale: at most 3)")
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    print(f"| {'what':72} | {'goal':26} | measured |\n|{'-' * 74}|{'-' * 28}|---|", flush=True)
    for name in options.only:
        for row in PARTS[name](min(options.runs, 3) if name == "scale" else options.runs):
            print(f"| {row.what:72} | {row.goal:26} | {row.measured} |", flush=True)


if __name__ == "__main__":
    main()
