"""The emulated AWS as a test holds it: starts the server's process, sets faults and time, seeds directly."""

from __future__ import annotations

import configparser
import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
from botocore.config import Config

from tests.aws.emulator.proxy_names import ARC_ENDPOINTS, GLOBAL, GLOBAL_PROFILE_SERVICES

PROJECT = Path(__file__).parents[3]
ACCOUNT = "123456789012"
ACCESS_KEY, SECRET_KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"  # the documentation's own example
DIRECT = Config(
    retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60, inject_host_prefix=False, max_pool_connections=32,
    parameter_validation=True,
)  # fmt: skip


class EmulatorError(RuntimeError):
    """The server did not start, or refused a control."""


@dataclass(frozen=True)
class Made:
    """A call that reached a proxy. ``at``: seconds since the server began; ``status`` 0: it was never answered."""

    number: int
    at: float
    proxy: str
    region: str
    service: str
    operation: str
    actions: tuple[str, ...]
    fault: str
    status: int

    @property
    def name(self) -> str:
        """``service:Operation``."""
        return f"{self.service}:{self.operation}"


class Emulator:
    """An AWS of one account. ``with Emulator(regions) as aws:``; leaving ends the process and everything in it.

    Args:
        regions: that ``dr`` may reach, each through a proxy of its own; ``global`` and the five regions of ARC's endpoints come with them.
    """

    account = ACCOUNT

    def __init__(self, regions: Sequence[str] = ("us-west-2", "eu-west-1")) -> None:
        self.regions = tuple(regions)
        self.ports: dict[str, int] = {}
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._session: boto3.Session | None = None

    def __enter__(self) -> Emulator:
        self._folder = tempfile.TemporaryDirectory(prefix="emulated-aws-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.aws.emulator.server", "0", "--until-stdin-closes"],
            cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            self._begin()
        except BaseException:
            self._end()
            raise
        return self

    def _begin(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().split()
        if line[:1] != ["ready"]:
            raise EmulatorError("the emulator's server did not start: what it wrote is on stderr")
        self.port = int(line[1])
        for name in dict.fromkeys((*self.regions, GLOBAL, *ARC_ENDPOINTS)):
            self.ports[name] = self.control("open_proxy", region=name)
        self._place_endpoints()
        self._write_config()

    def _place_endpoints(self) -> None:
        endpoints = {region: f"{self.endpoint_of(region)}/v1" for region in ARC_ENDPOINTS}
        self.control("set_cluster_endpoints", endpoints=endpoints)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        for client in self._clients.values():
            client.close()
        try:
            self._process.communicate("", timeout=10)  # it ends when its stdin does
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._process.pid

    @property
    def endpoint(self) -> str:
        """The server's own door: every region, no faults, no record."""
        return f"http://127.0.0.1:{self.port}"

    def endpoint_of(self, region: str) -> str:
        """The proxy of a region or of ``global``."""
        return f"http://127.0.0.1:{self.ports[region]}"

    def control(self, do: str, **arguments: Any) -> Any:
        """Call one of the server's controls.

        Raises:
            EmulatorError: it refused, with its own words.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request("POST", "/_emulator", json.dumps({"do": do, "with": arguments}, default=_plain))
            answer = connection.getresponse()
            value = json.loads(answer.read())
        if answer.status != 200:
            raise EmulatorError(f"{do}: {value}")
        return value

    # what ``dr`` gets

    def _write_config(self) -> None:
        config = configparser.ConfigParser()
        config["default"] = {"endpoint_url": "http://127.0.0.1:9"}  # nothing listens there: a client without a profile reaches nobody
        for name in self.ports:
            keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
            region = "us-east-1" if name == GLOBAL else name
            config[f"profile {name}"] = {"region": region, "endpoint_url": self.endpoint_of(name), "services": "control-planes", **keys}
        lines = "".join(f"\n{service} =\n  endpoint_url = {self.endpoint_of(GLOBAL)}" for service in GLOBAL_PROFILE_SERVICES)
        with self.config_file.open("w") as file:
            config.write(file)
            file.write(f"[services control-planes]{lines}\n")

    @property
    def config_file(self) -> Path:
        """Profiles named like the regions, each with ``region`` and ``endpoint_url``; global services lead to the proxy ``global``."""
        return Path(self._folder.name) / "config"

    def environment(self) -> dict[str, str]:
        """Environment variables under which every AWS client reaches the emulator and nothing else."""
        return {
            "AWS_CONFIG_FILE": str(self.config_file),
            "AWS_SHARED_CREDENTIALS_FILE": str(Path(self._folder.name) / "none"),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    # faults

    def lose(self, region: str, how: str = "refuse") -> None:
        """The region is gone: ``refuse`` (closed ports), ``hang`` (accepted, never answered) or ``blackhole`` (connecting times out).

        With us-east-1 go the control planes that live there; ``global`` loses only those.
        """
        for name in self._lines(region):
            self.control("set_line", region=name, line=how)

    def bring_back(self, region: str) -> None:
        """The region answers again, with the data that it had."""
        for name in self._lines(region):
            self.control("set_line", region=name, line="up")

    def _lines(self, region: str) -> list[str]:
        return [region, GLOBAL] if region == "us-east-1" else [region]

    def fault(
        self, region: str, kind: str, call: str = "*", *, share: float = 1.0, times: int | None = None, seconds: float = 0.0,
        status: int = 500, code: str = "InternalFailure",
    ) -> None:  # fmt: skip
        """From now on the calls that match go wrong; see ``tests.aws.emulator.proxy.Fault``. ``region``: one, ``global`` or ``*``."""
        what = {"kind": kind, "call": call, "share": share, "times": times, "seconds": seconds, "status": status, "code": code}
        self.control("add_fault", region=region, **what)

    def deny(self, action: str, region: str = "*") -> None:
        """Refuse what needs this IAM action (a pattern such as ``rds:Failover*``) as AccessDenied."""
        self.fault(region, "deny", action)

    def allow_only(self, actions: Iterable[str]) -> None:
        """Refuse everything that needs another IAM action than these (patterns, as in a policy's Action)."""
        self.control("add_fault", region="*", kind="deny", allowed=list(actions))

    def clear_faults(self, region: str = "*") -> None:
        """No fault any more; lost regions stay lost."""
        self.control("clear_faults", region=region)

    def calls(self, service: str | None = None, operation: str | None = None, region: str | None = None) -> list[Made]:
        """What reached the proxies since the last ``clear_calls``, in order."""
        made = [Made(**{**record, "actions": tuple(record["actions"])}) for record in self.control("calls")]
        wanted = {"service": service, "operation": operation, "proxy": region}
        return [call for call in made if all(value in (None, getattr(call, name)) for name, value in wanted.items())]

    def clear_calls(self) -> None:
        """Forget what was called."""
        self.control("clear_calls")

    @contextlib.contextmanager
    def counted(self) -> Iterator[list[Made]]:
        """The calls made inside, in the list when leaving."""
        self.clear_calls()
        made: list[Made] = []
        yield made
        made.extend(self.calls())

    def reset(self) -> None:
        """No resources, no faults, no lost region, no record of calls, default times: as after the start, in a fraction of it."""
        self.clear_faults()
        for name in self.ports:
            self.control("set_line", region=name, line="up")
        self.control("reset")
        self._place_endpoints()
        self.clear_calls()

    # seeding

    def client(self, service: str, region: str, access_key: str = ACCESS_KEY) -> Any:
        """A client past the proxies: no faults, no record, no retries. One for each service and region."""
        key = (service, region, access_key)
        if key not in self._clients:
            self._session = self._session or boto3.Session()
            self._clients[key] = self._session.client(
                service, region_name=region, endpoint_url=self.endpoint, config=DIRECT,
                aws_access_key_id=access_key, aws_secret_access_key=SECRET_KEY,
            )  # fmt: skip
            if service == "s3control":
                self._clients[key].meta.events.register("before-sign.s3-control", _without_account)
        return self._clients[key]

    def set_seconds(self, what: str = "*", *, seconds: float) -> None:
        """How long ``what`` takes (``rds.failover``, ``s3.replication``, …; ``*``: all that is not set by name)."""
        self.control("set_seconds", what=what, seconds=seconds)

    def advance(self, seconds: float) -> None:
        """So much time passes at once: with times set long, a test sees every state in between, however slow the machine."""
        self.control("advance", seconds=seconds)

    def resolve(self, name: str, kind: str = "A") -> list[str]:
        """What the name servers answer now, health checks and routing controls considered; no control plane is asked."""
        return list(self.control("resolve", name=name, kind=kind))

    def set_metric(
        self, region: str, namespace: str, name: str, dimensions: Mapping[str, str], samples: Mapping[datetime, float] | float,
        unit: str = "None",
    ) -> None:  # fmt: skip
        """These samples are what CloudWatch has of the metric; a number alone means: that, at every minute until it is set again."""
        values = samples if isinstance(samples, int | float) else {moment.timestamp(): value for moment, value in samples.items()}
        self.control("set_metric", region=region, namespace=namespace, name=name, dimensions=dict(dimensions), samples=values, unit=unit)


def _without_account(request: Any, **_: Any) -> None:
    """S3 control puts the account before the host, and 123456789012.127.0.0.1 is no host."""
    request.url = request.url.replace(f"://{ACCOUNT}.", "://")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{value!r} cannot be handed to a control")
