"""I15: no secret byte, nor a bare hash of one, in anything that a drill of the whole platform leaves behind, prints, shows or logs."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from dr.lab import credentials
from dr.lab.lab import Lab
from dr.lab.layout import deployments
from dr.ports import Clock
from tests.postgres.rig import free_port

ROOT = Path(__file__).parents[2]
DR = str(Path(sys.executable).with_name("dr"))
RUNBOOK = "runbooks/platform.yaml"
COUNT, SHARED, VERSIONS = 2, 4, 3
"""Deployments, secrets beside theirs, and at most so many versions of each."""
SCENARIO = f"""\
name: secrets
runbook: {ROOT / RUNBOOK}
world: lab
workload:
  deployments: {COUNT}
  running_tasks: 10
  parts: [logs, images, secrets, alerts]
  log_objects: 20
  images: 3
  secrets: {SHARED}
  warm_up: 6s
timeline:
  - {{at: 2s, kill: {{region: east}}}}
  - {{on: failover.ended, after: 1s, bring_back: {{region: east}}}}
acts:
  - {{at: 2s, intent: failover, to: west, accept_data_loss: 15m, accept_split: true, reason: lost, actor: on-call}}
  - {{on: failover.ended, after: 2s, intent: reprotect, reason: back, actor: on-call}}
  - {{on: reprotect.ended, command: status}}
expect: {{outcome: completed}}
"""
LONGEST_SECONDS = 400
CONTENTS = ("secrets", "pgdata", "data", "volume", "tls")
"""Folders of the lab's servers that hold what they serve, and the lab's own credentials."""


def forms(name: str, value: bytes) -> Iterator[tuple[str, bytes]]:
    """A secret as it is, as an encoding (in base64 wherever in a longer text it stands), and as a bare hash."""
    yield name, value
    for how in ("sha256", "sha1", "md5", "sha512"):
        digest = hashlib.new(how, value, usedforsecurity=False).digest()
        yield f"{how} of {name}", digest.hex().encode()
        yield f"{how} of {name} in base64", base64.b64encode(digest)
    for before in range(3):
        # the characters that this secret alone decides, after so many bytes of something else
        whole = base64.b64encode(bytes(before) + value).rstrip(b"=")
        decided = whole[(0, 2, 3)[before] : -1 if (before + len(value)) % 3 else None]
        yield f"{name} in base64, {before} bytes in", decided
        yield f"{name} in URL-safe base64, {before} bytes in", decided.translate(bytes.maketrans(b"+/", b"-_"))
    yield f"{name} in hex", value.hex().encode()
    for quoted in {quote(value), quote(value, safe=""), quote_plus(value)}:
        yield f"{name} in a URL", quoted.encode()
    if value.isascii():
        yield f"{name} in JSON", json.dumps(value.decode())[1:-1].encode()


def values(lab: Lab) -> Iterator[tuple[str, bytes]]:
    """Everything that must be nowhere: passwords, tokens, keys, and what stands in the platform's environments, databases and stores."""
    for path in sorted(path for path in lab.layout.secrets.iterdir() if path.is_file() and path.suffix != ".db"):
        raw = path.read_bytes()
        try:
            text = raw.decode().strip()
        except UnicodeDecodeError:  # a key of random bytes
            yield path.name, raw
            continue
        if "BEGIN CERTIFICATE" in text:
            continue
        if "PRIVATE KEY" in text:
            yield path.name, text.splitlines()[1].encode()
        elif text.startswith("{"):
            yield path.name, json.loads(text)["password"].encode()  # a pull secret: its user is no secret
        else:
            yield path.name, text.encode()
    marker = credentials.read_secret(lab.layout, credentials.MARKER)
    yield "tsig, decoded", base64.b64decode(credentials.read_secret(lab.layout, credentials.TSIG))
    for end in ("connection-password", "connection-key", "connection-extra", "variable"):
        yield end, f"{marker}-{end}".encode()
    for item in deployments(COUNT):
        yield f"fernet key of {item.id}", credentials.fernet_key(lab.layout, item).encode()
        yield f"environment of {item.id}", f"postgresql://loader:{marker}-environment-{item.number}@warehouse.example:5432/facts".encode()
    for number in range(1, SHARED + 1):
        for version in range(1, VERSIONS + 1):
            yield f"secret {number}, version {version}", f"{marker}-secret-{number}-{version}".encode()


def planted(lab: Lab) -> list[tuple[str, bytes]]:
    """All of that in all forms."""
    return [form for name, value in values(lab) for form in forms(name, value)]


def leaks(places: dict[str, bytes], secrets: Iterable[tuple[str, bytes]]) -> list[str]:
    found = list(secrets)
    return [f"{name} in {where}" for where, content in places.items() for name, secret in found if secret in content]


class Beside:
    """What is there only while the drill runs: the logs of the lab's servers, and ``dr monitor`` with its /metrics."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab, self._folder = lab, folder
        self._monitor: subprocess.Popen[bytes] | None = None
        # bound only once the lab is warm: below the range from which any connection may take its own port meanwhile
        self._port = free_port(["127.0.0.1"], 18900)
        self.seen: dict[str, bytes] = {}

    def look(self, *, warm: bool) -> None:
        """Once: everything that was written since the last look, or before it was written anew."""
        if warm and self._monitor is None:
            argv = [DR, "monitor", RUNBOOK, "--port", str(self._port), "--no-fence", "--state", str(self._folder / "watch")]
            with (self._folder / "monitor.log").open("wb") as log:
                self._monitor = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
        for top in {self._lab.layout.state, self._lab.layout.data}:
            for folder, below, files in os.walk(top):  # which minds nothing that is removed meanwhile
                below[:] = [name for name in below if name not in CONTENTS]
                for name in files:
                    if name == "log" or name.endswith(".log"):
                        self._keep(Path(folder) / name)
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            line.request("GET", "/metrics")
            self.seen["/metrics"] = self.seen.get("/metrics", b"") + line.getresponse().read()
        except OSError:
            return  # it starts, or has ended
        finally:
            line.close()

    def _keep(self, path: Path) -> None:
        try:
            new = path.read_bytes()
        except OSError:
            return  # the lab has just removed it
        old = self.seen.get(str(path), b"")
        self.seen[str(path)] = new if new.startswith(old) else old + new

    def end(self) -> None:
        """The monitor ends as a service ends it."""
        if self._monitor is not None:
            self._monitor.send_signal(signal.SIGTERM)
            assert self._monitor.wait(30) == 0


@pytest.mark.scenario
def test_no_artefact_of_a_drill_holds_a_secret(no_lab: Lab, clock: Clock, tmp_path: Path) -> None:
    """A failover of the whole platform, a preserved divergence and a re-protect: journal, samples, snapshots, lists, logs of ``dr`` and of
    the lab, JSON, HTML, JUnit, the period's report, the page for people, /metrics, all outputs."""
    scenario, state = tmp_path / "secrets.yaml", tmp_path / "state"
    scenario.write_text(SCENARIO)
    argv = [DR, "drill", str(scenario), "--json", "--state", str(state)]
    argv += ["--junit", str(tmp_path / "junit.xml"), "--report", str(tmp_path / "reports")]
    out, err = tmp_path / "stdout", tmp_path / "stderr"
    beside, until = Beside(no_lab, tmp_path), clock.monotonic() + LONGEST_SECONDS
    with out.open("wb") as to, err.open("wb") as said:
        drill = subprocess.Popen(argv, cwd=ROOT, stdout=to, stderr=said)
    try:
        while drill.poll() is None and clock.monotonic() < until:
            beside.look(warm=b"warming up" in err.read_bytes())
            clock.sleep(0.3)
    finally:
        beside.end()
        if drill.poll() is None:
            drill.send_signal(signal.SIGINT)  # it ends its lab
    assert drill.wait(60) == 0, err.read_text()[-4000:]
    told = json.loads(out.read_bytes())
    worked = {(run["intent"], step["kind"]) for run in told["runs"] for step in run["steps"] if step["state"] in ("done", "already")}
    kinds = ("postgres", "vault-kv", "oci-registry", "s3-bucket", "dns-records", "airflow-deployments")
    unused = {(intent, kind) for intent in ("failover", "reprotect") for kind in kinds} - worked
    assert unused == set(), "the absence of a credential that nobody used proves nothing"

    secrets = planted(no_lab)
    names = {name for name, _ in secrets}
    assert names >= {
        "postgres", "postgres-admin", "postgres-runtime", "control", "tsig", "marker", "ca.key", "registry", "fernet", "logs-access",
        "logs-secret", "openbao-east", "openbao-west", "openbao-runtime-west", "openbao-root-east", "openbao-unseal-west",
        "pull-d-001.json", "fernet key of d-002",
    }, names  # fmt: skip
    places = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} | beside.seen
    [held] = state.glob("states/*")
    for words in (["runs"], ["runs", told["runs"][0]["run_id"]], ["status", RUNBOOK], ["plan", RUNBOOK, "--to", "west"],
                  ["runbook", "check", RUNBOOK], ["runbook", "render", RUNBOOK, "--to", "west"],
                  ["report", "--from", "2020-01-01", "--html", str(tmp_path / "period.html")]):  # fmt: skip
        shown = subprocess.run([DR, *words, "--json", "--state", str(held)], cwd=ROOT, capture_output=True, timeout=60, check=False)
        assert shown.stdout, (words, shown.stderr)
        places[" ".join(words)] = shown.stdout + shown.stderr
    page = [DR, "runbook", "render", RUNBOOK, "--to", "west", "--state", str(held)]
    places["page"] = subprocess.run(page, cwd=ROOT, capture_output=True, timeout=60, check=True).stdout
    places["period.html"] = (tmp_path / "period.html").read_bytes()
    for wanted in ("journal.db", "samples.db", "junit.xml", ".html", ".json", ".jsonl", ".sha256", ".wal.txt", "/metrics", "page",
                   "monitor.log", "runtime/log", "openbao/log", "client.log"):  # fmt: skip
        assert any(where.endswith(wanted) and (content or wanted.endswith("log")) for where, content in places.items()), wanted
    assert b"dr_" in places["/metrics"]
    assert leaks(places, secrets) == []


def test_what_is_looked_for_would_be_found() -> None:
    """The search itself: plain, hashed, encoded, and in the middle of something that is encoded as a whole."""
    value = b"hunter2-planted/+=\"?"
    secrets = list(forms("password", value))
    shown = [value, hashlib.sha256(value).hexdigest().encode(), quote(value).encode(), json.dumps({"a": value.decode()}).encode()]
    for user in (b"", b"d:", b"dr:", b"dr2:"):
        shown += [base64.b64encode(user + value + b"!"), base64.urlsafe_b64encode(user + value)]
    for content in shown:
        assert leaks({"place": b"..." + content + b"..."}, secrets), content
    assert leaks({"place": b"nothing"}, secrets) == []
