"""The part ``alerts``: an Alertmanager and a Prometheus in each region, from Debian's packages, unpacked and never installed.

Prometheus watches its region's own servers of this part and ``dr monitor`` where somebody runs it, evaluates ``dashboards/alerts.yaml``
and tells its region's Alertmanager. Alerts carry the labels ``platform`` and ``region``. Nobody receives anything: nothing leaves the lab.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import dr
from dr.errors import LabError, UsageError
from dr.lab import fetch, parts
from dr.lab.account import Account, as_account, give, own, reaches
from dr.lab.credentials import write_private
from dr.lab.extras.extra import Say
from dr.lab.layout import RegionLayout
from dr.lab.parts import FIX_COMMAND, Part
from dr.lab.servers import Servers
from dr.model.scenario import Workload

ALERTMANAGER_PORT = 18650
PROMETHEUS_PORT = 18660
MONITOR = "127.0.0.1:9642"
PLATFORM = "airflow-platform"
RELOCATED = "alertmanager-relocated"
_TEMPLATED = "prometheus-alertmanager"
_TEMPLATES = "/usr/share/prometheus/alertmanager"
_PROGRAMS = Path("usr/bin")
RULES = Path(dr.__file__).parents[1] / "dashboards" / "alerts.yaml"
_READY_SECONDS = 30.0
_POLL_SECONDS = 0.05
_LIMITS = {"GOMAXPROCS": "1", "GOMEMLIMIT": "100MiB"}

_ALERTMANAGER = """\
route: {receiver: nobody, group_by: [alertname, region], group_wait: 1s, group_interval: 5s, repeat_interval: 1h}
receivers: [{name: nobody}]
"""

_PROMETHEUS = """\
global: {{scrape_interval: 5s, scrape_timeout: 2s, evaluation_interval: 5s, external_labels: {{platform: {platform}, region: {region}}}}}
rule_files: [rules.yaml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{address}:{alertmanager}"]}}]}}]}}
scrape_configs:
  - {{job_name: alertmanager, static_configs: [{{targets: ["{address}:{alertmanager}"]}}]}}
  - {{job_name: prometheus, static_configs: [{{targets: ["{address}:{prometheus}"]}}]}}
  - {{job_name: dr-monitor, static_configs: [{{targets: ["{monitor}"]}}]}}
"""


@dataclass(frozen=True)
class Program:
    """One server program: its Debian package, its name there, what people call it, and the checker that comes with it."""

    package: str
    name: str
    title: str
    checker: str
    port: int

    def find(self, account: Account | None) -> Path | None:
        """Where it is: in the lab's cache, else on the system; None where the servers' account reaches neither."""
        cached = parts.cache() / self.package / _PROGRAMS / (RELOCATED if self.package == _TEMPLATED else self.name)
        system = shutil.which(self.name)
        candidates = [cached, *([Path(system)] if system else [])]
        return next((path for path in candidates if path.exists() and reaches(path, account)), None)

    def version(self, program: Path, account: Account | None) -> str:
        """What it says of itself. Raises LabError when it does not start."""
        return parts.run_version([*as_account(account), str(program), "--version"], "")

    def tool(self, account: Account | None) -> Path | None:
        """The checker of its configuration, beside it."""
        found = self.find(account)
        return found.with_name(self.checker) if found is not None and found.with_name(self.checker).exists() else None


SERVERS = {
    "alertmanager": Program("prometheus-alertmanager", "prometheus-alertmanager", "Alertmanager", "amtool", ALERTMANAGER_PORT),
    "prometheus": Program("prometheus", "prometheus", "Prometheus", "promtool", PROMETHEUS_PORT),
}


class Alerts:
    """Silences and alerts are real: what a runbook silences would have rung here."""

    name: ClassVar[str] = "alerts"
    servers: ClassVar[tuple[str, ...]] = tuple(SERVERS)
    outside: ClassVar[tuple[str, ...]] = ()
    spoils: ClassVar[tuple[str, ...]] = ()
    ports: ClassVar[tuple[int, ...]] = tuple(program.port for program in SERVERS.values())

    def doctor(self, account: Account | None) -> Sequence[Part]:
        """Both programs, found or missing. Reads only."""
        return [_part(program, account) for program in SERVERS.values()]

    def fix(self, place: Path, account: Account | None, say: Say) -> None:
        """Downloads and unpacks what is missing. Raises LabError with the command to try by hand."""
        for program in SERVERS.values():
            if not _part(program, account).found:
                say(f"downloading {program.title} to {place} (apt-get download, no root, nothing is installed)")
                version = _version_of(program)
                fetch.debian(place, program.package, program.package, program.title, version, say)
                if program.package == _TEMPLATED:
                    relocate(place / program.package)

    def start(self, servers: Servers, workload: Workload, say: Say) -> None:
        """All four servers at once; nothing is seeded. Raises LabError."""
        with ThreadPoolExecutor(4, thread_name_prefix="alerts") as pool:
            wanted = [(region, server) for region in servers.layout.regions for server in SERVERS]
            for started in [pool.submit(self.start_server, servers, region, server) for region, server in wanted]:
                started.result()
        say("Alertmanager and Prometheus answer in both regions")

    def start_server(self, servers: Servers, region: RegionLayout | None, server: str) -> None:
        """Writes its configuration, starts it where it does not run, and waits until it is ready. Raises LabError."""
        assert region is not None, "both run in a region"
        program = SERVERS[server]
        found = program.find(servers.account)
        if found is None:
            raise LabError(f"the lab misses: {program.title}", hint=FIX_COMMAND)
        folder = own(region.folder_of(server), servers.account)
        own(folder / "data", servers.account)
        for name, text in files(server, found, region).items():
            write_private(folder / name, text)
            give(folder / name, servers.account)
        servers.launch(server, region, _argv(server, found, folder, region), folder=folder, variables=_LIMITS)
        servers.wait_listening(server, region, ((region.address, program.port),), folder / "log")
        _wait_ready(servers, region, server)

    def spoil(self, servers: Servers, region: RegionLayout, what: str) -> None:
        """Knows nothing to spoil. Raises UsageError."""
        raise UsageError(f"the part {self.name} cannot spoil {what!r}")


def relocate(root: Path) -> None:
    """Makes a copy of an unpacked Alertmanager that reads its message templates from its working directory.

    Debian's build reads them from an absolute path, where nothing is installed, and does not start without them. In the copy that one
    constant is a relative path of the same length, which Go cleans before it opens it.

    Raises:
        LabError: this build does not have the constant exactly once.
    """
    programs = root / _PROGRAMS
    data = (programs / SERVERS["alertmanager"].name).read_bytes()
    places = [found.start() for found in re.finditer(re.escape(_TEMPLATES.encode()) + rb"(?!/)", data)]
    if len(places) != 1:
        raise LabError(f"{_TEMPLATED}: this build keeps its templates elsewhere", hint=f"apt-get install {_TEMPLATED}")
    here = b"./" * (len(_TEMPLATES) // 2)
    new = programs / f".{RELOCATED}"
    new.write_bytes(data[: places[0]] + here + data[places[0] + len(here) :])
    new.chmod(0o755)
    new.replace(programs / RELOCATED)


def _templates(program: Path) -> dict[str, str]:
    """Debian's message templates, as they came with a program; none for one that finds its own."""
    folder = program.parents[2] / _TEMPLATES.lstrip("/")
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.tmpl")} if program.name == RELOCATED else {}


def files(server: str, program: Path, region: RegionLayout) -> dict[str, str]:
    """What a server reads from its directory, by name: ``config.yaml``, and what that names."""
    if server == "alertmanager":
        return {"config.yaml": _ALERTMANAGER, **_templates(program)}
    config = _PROMETHEUS.format(
        platform=PLATFORM, region=region.name, address=region.address, alertmanager=ALERTMANAGER_PORT, prometheus=PROMETHEUS_PORT,
        monitor=MONITOR,
    )  # fmt: skip
    rules = RULES.read_text(encoding="utf-8") if RULES.exists() else "groups: []\n"  # installed without the project's dashboards
    return {"config.yaml": config, "rules.yaml": rules}


def _argv(server: str, program: Path, folder: Path, region: RegionLayout) -> list[str]:
    argv = [str(program), f"--config.file={folder / 'config.yaml'}", "--log.level=warn"]
    listen = f"--web.listen-address={region.address}:{SERVERS[server].port}"
    if server == "alertmanager":
        return [*argv, listen, f"--storage.path={folder / 'data'}", "--cluster.listen-address="]
    return [*argv, listen, f"--storage.tsdb.path={folder / 'data'}", "--storage.tsdb.retention.time=1h"]


def _wait_ready(servers: Servers, region: RegionLayout, server: str) -> None:
    deadline = servers.clock.monotonic() + _READY_SECONDS
    while not _ready(region.address, SERVERS[server].port):
        if servers.clock.monotonic() > deadline or not servers.alive(region, server):
            log = region.folder_of(server) / "log"
            raise LabError(f"{SERVERS[server].title} of {region.name} is not ready", hint=f"see {log}")
        servers.clock.sleep(_POLL_SECONDS)


def _ready(address: str, port: int) -> bool:
    line = http.client.HTTPConnection(address, port, timeout=2)
    try:
        line.request("GET", "/-/ready")
        return line.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


def _part(program: Program, account: Account | None) -> Part:
    found = program.find(account)
    apt = all(shutil.which(name, path=os.environ.get("PATH")) for name in ("apt-get", "dpkg-deb"))
    fix = FIX_COMMAND if apt else f"install {program.title} (the program {program.name}) with this system's package manager"
    if found is None:
        return Part(program.title, False, "not found", "", fix)
    try:
        return Part(program.title, True, str(found), program.version(found, account), "")
    except LabError as error:
        return Part(program.title, False, error.message, "", fix)


def _version_of(program: Program) -> Callable[[Path], str]:
    return lambda root: program.version(root / "usr" / "bin" / program.name, None)
