"""I15: no secret byte, nor a bare hash of one, in anything that a drill leaves behind or prints."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.lab import credentials
from dr.lab.lab import Lab

ROOT = Path(__file__).parents[2]
DR = str(Path(sys.executable).with_name("dr"))
SCENARIO = """\
name: secrets
runbook: {runbook}
world: lab
workload: {{deployments: 2, running_tasks: 10}}
timeline:
  - {{at: 2s, kill: {{region: east}}}}
  - {{on: failover.ended, after: 1s, bring_back: {{region: east}}}}
acts:
  - {{at: 2s, intent: failover, to: west, accept_data_loss: 15m, accept_split: true, reason: lost, actor: on-call}}
  - {{on: failover.ended, after: 2s, intent: reprotect, reason: back, actor: on-call}}
  - {{on: reprotect.ended, command: status}}
expect: {{outcome: completed}}
"""


def forms(name: str, value: bytes) -> Iterator[tuple[str, bytes]]:
    """A secret as it is, as an encoding, and as a bare hash."""
    yield name, value
    for how in ("sha256", "sha1", "md5", "sha512"):
        digest = hashlib.new(how, value, usedforsecurity=False).digest()
        yield f"{how} of {name}", digest.hex().encode()
        yield f"{how} of {name} in base64", base64.b64encode(digest)
    yield f"{name} in base64", base64.b64encode(value).rstrip(b"=")
    yield f"{name} in hex", value.hex().encode()


def planted(lab: Lab) -> list[tuple[str, bytes]]:
    """Everything that must be nowhere: passwords, tokens, keys, and what stands in the platform's environment and connections."""
    found: list[tuple[str, bytes]] = []
    for path in sorted(path for path in lab.layout.secrets.iterdir() if path.is_file()):
        raw = path.read_bytes()
        try:
            text = raw.decode().strip()
        except UnicodeDecodeError:  # a key of random bytes
            found += forms(path.name, raw)
            continue
        if "BEGIN CERTIFICATE" in text:
            continue
        if "PRIVATE KEY" in text:
            found.append((path.name, text.splitlines()[1].encode()))
            continue
        values = [json.loads(text)["password"]] if text.startswith("{") else [text]  # a pull secret: its user is no secret
        if path.name == credentials.MARKER:
            values += [f"{text}{end}" for end in ("-connection-password", "-connection-key", "-variable")]
            values += [f"postgresql://loader:{text}-environment-{number}@warehouse.example:5432/facts" for number in (1, 2)]
        for value in values:
            found += forms(path.name, value.encode())
        if path.name == credentials.TSIG:
            found.append(("tsig, decoded", base64.b64decode(text)))
    return found


def leaks(places: dict[str, bytes], secrets: list[tuple[str, bytes]]) -> list[str]:
    return [f"{name} in {where}" for where, content in places.items() for name, secret in secrets if secret in content]


@pytest.mark.scenario
def test_no_artefact_of_a_drill_holds_a_secret(no_lab: Lab, tmp_path: Path) -> None:
    """A failover, a preserved divergence and a re-protect: journal, samples, snapshots, lists, logs, JSON, HTML, JUnit, both outputs."""
    scenario, state = tmp_path / "secrets.yaml", tmp_path / "state"
    scenario.write_text(SCENARIO.format(runbook=ROOT / "runbooks/lab.yaml"))
    argv = [DR, "drill", str(scenario), "--json", "--state", str(state)]
    argv += ["--junit", str(tmp_path / "junit.xml"), "--report", str(tmp_path / "reports")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-4000:].decode()
    secrets = planted(no_lab)
    assert {"postgres", "postgres-admin", "postgres-runtime", "control", "tsig", "marker", "ca.key"} <= {name for name, _ in secrets}
    places = {"stdout": done.stdout, "stderr": done.stderr}
    places |= {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    [held] = state.glob("states/*")
    for argv in (["runs"], ["runs", json.loads(done.stdout)["runs"][0]["run_id"]], ["status", "runbooks/lab.yaml"],
                 ["plan", "runbooks/lab.yaml", "--to", "west"]):  # fmt: skip
        shown = subprocess.run([DR, *argv, "--json", "--state", str(held)], cwd=ROOT, capture_output=True, timeout=60, check=False)
        places[" ".join(argv)] = shown.stdout + shown.stderr
    for wanted in ("journal.db", "samples.db", "junit.xml", ".html", ".json", ".jsonl", ".sha256", ".wal.txt"):
        assert any(where.endswith(wanted) and content for where, content in places.items()), wanted
    assert leaks(places, secrets) == []


def test_what_is_looked_for_would_be_found() -> None:
    """The search itself: plain, hashed and encoded."""
    secrets = list(forms("password", b"hunter2-planted"))
    for content in (b"x hunter2-planted y", hashlib.sha256(b"hunter2-planted").hexdigest().encode(), base64.b64encode(b"hunter2-planted")):
        assert leaks({"place": b"..." + content + b"..."}, secrets)
    assert leaks({"place": b"nothing"}, secrets) == []
