"""What a person types instead of a check ends with 0 where it holds and with another status where it does not; no secret is an argument."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.lab import fetch, hand_tools, parts
from dr.model.words import Intent
from dr.providers.generic.checks import by_hand
from dr.providers.generic.checks.base import Check
from dr.providers.generic.checks.dns_check import DnsCheck, DnsCheckConfig
from dr.providers.generic.checks.http_check import HttpCheck, HttpCheckConfig
from dr.providers.generic.checks.metric_check import MetricCheck, MetricCheckConfig
from dr.providers.generic.checks.names import Server
from dr.providers.generic.checks.waiting import Soak, SoakConfig
from dr.providers.generic.notify import Notify
from dr.providers.generic.notify.config import NotifyConfig
from tests.generic.served import HttpServer, World, says, step_of
from tests.generic.test_other_checks import Prometheus

pytestmark = pytest.mark.lab  # no server, but the tools that the lab gets where the system lacks them
SECRET = "planted-c2d9"
TOKEN = {"Authorization": {"prefix": "Bearer ", "file": "token"}}


@pytest.fixture(scope="module", autouse=True)
def _tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """curl, jq and dig are what an operator's machine has; here they come from the lab's doctor."""
    folder = tmp_path_factory.mktemp("tools")
    hand_tools.fix(fetch.make_cache(parts.cache()), lambda _text: None)
    hand_tools.collect(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        yield


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "token").write_text(SECRET + "\n")
    return World(tmp_path)


def typed(command: str, world: World) -> int:
    """As in a terminal, in a folder that is not the runbook's; its exit status."""
    bash = shutil.which("bash") or "bash"
    done = subprocess.run([bash, "-c", command], cwd="/", capture_output=True, text=True, timeout=30, check=False)
    assert SECRET not in command
    return done.returncode


def http(world: World, **settings: object) -> HttpCheck:
    return HttpCheck("smoke", HttpCheckConfig.model_validate(settings), [], world.site)


@pytest.mark.parametrize(
    ("settings", "held"),
    [
        ({}, True),
        ({"status": [204]}, False),
        ({"status": [200, 204], "contains": "we're"}, True),
        ({"contains": "east"}, False),
        ({"equals": {"/region": "{target}", "/list/0/up": True, "/a~1b": None}}, True),
        ({"equals": {"/region": "east"}}, False),
        ({"equals": {"/list/0/up": 1}}, False),
        ({"method": "POST", "body": "x y"}, True),
    ],
)
def test_urls(world: World, settings: dict[str, object], held: bool) -> None:
    """curl and jq say what the check says; the token arrives, and is on no command line."""
    with HttpServer(says({"region": "west", "list": [{"up": True}], "a/b": None, "say": "we're"})) as server:
        kind = http(world, urls=[server.url, f"{server.url}/b"], headers=TOKEN, **settings)
        assert (typed(step_of(kind).spec.by_hand, world) == 0) is held
        assert server.got[0].headers["Authorization"] == f"Bearer {SECRET}"
        assert server.got[0].body == str(settings.get("body", "")).encode()


def test_inside(world: World) -> None:
    """To the target's address, under the URL's name."""
    with HttpServer(says({}), address="127.0.0.3") as server:
        addresses = {"east": "127.0.0.2", "west": f"127.0.0.3:{server.port}"}
        kind = http(world, urls=["http://app.example.test/x"], route="inside", addresses=addresses)
        assert typed(step_of(kind).spec.by_hand, world) == 0
        assert server.got[0].headers["Host"] == "app.example.test"
    assert typed(step_of(kind).spec.by_hand, world) != 0


@pytest.mark.parametrize(
    ("values", "window", "held"),
    [([0.001], "0s", True), ([0.5], "0s", False), ([0.001, 0.002], "1m", True), ([0.001, 0.5], "1m", False), (None, "1m", False)],
)
def test_metrics(world: World, values: list[object] | None, window: str, held: bool) -> None:
    """Every value of every series, and nothing at all does not hold."""
    with HttpServer(Prometheus(*([values] if values else []))) as server:
        settings = {"query": "errors", "expect": "< 0.01", "source": server.url, "window": window, "headers": TOKEN}
        kind = MetricCheck("errors", MetricCheckConfig.model_validate(settings), [], world.site)
        assert (typed(step_of(kind).spec.by_hand, world) == 0) is held
        assert server.got[0].headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("printed", "expected", "held"),
    [
        ("5", 5, True), ("5", "< 5", False), ("5.5", ">= 5", True), ("", "< 5", False), ("done", "done", True), ("done", "!= failed", True),
        ("failed", "!= failed", False), ("t", True, True), ("f", True, False), ("it's", "it's", True),
    ],
)  # fmt: skip
def test_one_value(world: World, printed: str, expected: str | int | bool, held: bool) -> None:
    """As psql prints it."""
    assert (typed(by_hand.compared(f'printf %s "{printed}"', expected), world) == 0) is held


def test_names(world: World) -> None:
    """``all`` and ``any`` are the check's; the addresses are exactly these, in any order."""
    settings = {
        "names": ["app.test"], "resolvers": ["192.0.2.7", "192.0.2.8:5353"],
        "addresses": {"east": ["192.0.2.1"], "west": ["192.0.2.3", "2001:db8::1"]},
    }  # fmt: skip
    dig = 'dig() { case "$*" in *@192.0.2.7*AAAA) echo 2001:db8::1;; *@192.0.2.7*A) echo 192.0.2.3;; esac; }; '
    for policy, held in (("all", False), ("any", True)):
        kind = DnsCheck("names", DnsCheckConfig.model_validate({**settings, "policy": policy}), [], world.site)
        command = step_of(kind).spec.by_hand
        assert (typed(dig + command, world) == 0) is held
        assert "@192.0.2.8 -p 5353" in command
    assert by_hand.dig(Server("192.0.2.1", 53), "a.test", "A").startswith("dig @192.0.2.1 -p 53 +short")


@pytest.mark.parametrize(("status", "held"), [(200, True), (500, False)])
def test_a_soak_repeats_them(world: World, status: int, held: bool) -> None:
    """For its time, and no longer than the first that fails."""
    with HttpServer(says({}, status)) as server:
        world.peers["smoke"] = http(world, urls=[server.url])
        settings = SoakConfig.model_validate({"checks": ["smoke"], "duration": "1s", "every": "200ms"})
        soak = Soak("burn-in", settings, [], world.site)
        assert isinstance(soak, Check)
        assert (typed(step_of(soak).spec.by_hand, world) == 0) is held
        assert (len(server.got) > 1) is held


def test_messages(world: World) -> None:
    """To a file, a program and a webhook; the URL that is a secret is read when it is typed."""
    with HttpServer(says({})) as server:
        (world.base / "url").write_text(f"{server.url}/{SECRET}\n")
        to = [{"file": "told.log"}, {"command": ["sh", "-c", "cat > heard"]}, {"webhook": {"url": {"file": "url"}, "headers": TOKEN}}]
        kind = Notify("people", NotifyConfig.model_validate({"to": to, "stages": ["resolved"]}), [], world.site)
        [step] = kind.steps(Intent.FAILOVER, "east", "west")
        assert typed(step.spec.by_hand, world) == 0
        [got] = server.got
    assert got.path == f"/{SECRET}" and b"mine: the failover to west is done" in got.body
    assert got.headers["Authorization"] == f"Bearer {SECRET}"
    assert (world.base / "told.log").read_text() == (world.base / "heard").read_text()
