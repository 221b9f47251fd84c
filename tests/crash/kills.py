"""A region is lost, and the process that fails over is killed at a random instant; somebody goes on. One drill in the lab each time."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dr.model.report import DrillReport

ROOT = Path(__file__).parents[2]
LONGEST_SECONDS = 300
SPAN = 3.0
"""Seconds from the command to the end of its run, on a machine that does nothing else; a kill is drawn from them."""
TOO_LATE = "no orchestrator was running"
_TRIES = 6

SCENARIO = """\
name: killed-{number}
title: The orchestrator is killed {when}, then {way}
runbook: {root}/runbooks/lab.yaml
world: lab
workload: {{deployments: 5, running_tasks: 60}}
timeline:
  - {{at: 5s, kill: {{region: east}}}}
  - {{{fault}, kill: {{process: orchestrator}}}}
acts:
  - {{at: 5s, {command}, actor: on-call}}
  - {{on: orchestrator.killed, {again}, actor: second}}
expect:
  outcome: completed
  exit_codes: [137, 0]
  runs: 1
  promotions: 1
  rta: 5m
  rto_met: true
  rpo_met: true
  rta_matches_truth: true
  rpa_not_below_truth: true
  identities: preserved
  lost_tasks: 0
  duplicated_tasks: 0
  fence: split-accepted
  primary: west
  agent_continues: true
"""
COMMAND = "intent: failover, to: west, accept_data_loss: 15m, accept_split: true, reason: region east is lost"


@dataclass(frozen=True)
class Kill:
    """When, and how somebody goes on. ``seconds``: from the command; with ``resume`` from the first record of its run, so that there is
    something to resume. Else the same command is given again, also where nothing was recorded yet."""

    number: int
    seconds: float
    resume: bool

    def __str__(self) -> str:
        since, how = ("run.started", "dr resume") if self.resume else ("the command", "the same command")
        return f"kill {self.number}: {self.seconds:.3f} s after {since}, then {how}"

    @property
    def scenario(self) -> str:
        """What ``dr drill`` reads. The region dies as the command is typed: 5 s into the time line."""
        fault = f"on: run.started, after: {self.seconds * 1000:.0f}ms" if self.resume else f"at: {5000 + self.seconds * 1000:.0f}ms"
        return SCENARIO.format(
            number=self.number, when=f"after {self.seconds:.3f} s", way="resumed" if self.resume else "the same command", root=ROOT,
            fault=fault, command=COMMAND, again="command: resume" if self.resume else COMMAND,
        )  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What came of one kill. ``bad``: what is not as it must be; empty where all is. ``rta``: in seconds; None where it is not known."""

    kill: Kill
    bad: str
    rta: float | None = None


def kills(seed: int, count: int) -> Iterator[Judged]:
    """So many drills with a kill that hit. One that came too late hit nothing, and is drawn again from half of the time.

    Args:
        seed: draws the instants; what they hit depends on the machine, too.
    """
    draw = random.Random(f"kills {seed}")
    for number in range(1, count + 1):
        span = SPAN
        for _ in range(_TRIES):
            kill = Kill(number, draw.uniform(0.0, span), resume=number % 2 == 0)
            judged = drill(kill)
            if TOO_LATE not in judged.bad:
                break
            span /= 2
        yield judged


def drill(kill: Kill) -> Judged:
    """One drill, judged by the scenario's expectations and the client's ledger."""
    folder = ROOT / "reports" / "kills"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"killed-{kill.number}.yaml"
    path.write_text(kill.scenario, encoding="utf-8")
    argv = [str(Path(sys.executable).with_name("dr")), "drill", str(path), "--json"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    (folder / f"killed-{kill.number}.txt").write_text(f"{kill}\nexit {done.returncode}\n{done.stderr}\n{done.stdout}", encoding="utf-8")
    try:
        report = DrillReport.model_validate_json(done.stdout)
    except ValidationError:
        return Judged(kill, f"no report: {done.stderr[-2000:]}")
    lines = [line for line in report.expectations if not line.met]
    if kill.resume and [(line.name, line.actual) for line in lines] == [("exit_codes", [137, 3])]:
        return Judged(kill, "", report.runs[-1].objectives.rta_seconds)  # it died behind its last record: "run ... has ended: completed"
    unmet = [f"{line.name}: expected {line.expected}, was {line.actual} {line.detail}" for line in lines]
    bad = [text for text in (report.error, *unmet, *report.cleanup.leftovers) if text]
    if done.returncode != 0 and not bad:
        bad = [f"exit {done.returncode}"]
    return Judged(kill, "; ".join(bad), report.runs[-1].objectives.rta_seconds if report.runs else None)
