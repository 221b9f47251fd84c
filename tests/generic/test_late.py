"""A server that does not answer in time is lost or only slow: each kind says that it does not know. A refusal is an answer."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dr.errors import StepError, Transient
from dr.lab.credentials import Authority
from dr.lab.layout import Layout
from dr.model.lag import LagSample, RegionView
from dr.model.runbook import SecretRef
from dr.model.words import Known, Role
from dr.ports import Clock
from dr.providers.airflow import look
from dr.providers.airflow.https import Https, Peer
from dr.providers.selfhosted.dns import view as names
from dr.providers.selfhosted.dns.config import DnsConfig, RegionNames, Tsig
from dr.providers.selfhosted.dns.wire import NameServers
from dr.providers.selfhosted.postgres import kind as postgres
from dr.providers.selfhosted.postgres.connect import Reach
from dr.providers.selfhosted.postgres.facts import Unread
from dr.providers.selfhosted.s3 import view as buckets
from dr.providers.selfhosted.s3.config import S3Config
from dr.providers.selfhosted.s3.wire import Store
from dr.providers.selfhosted.vault import findings as secrets
from dr.providers.selfhosted.vault.wire import Server
from tests.postgres.rig import FixedSecrets

AT = datetime(2026, 1, 1, tzinfo=UTC)
BRIEF = timedelta(milliseconds=200)


@pytest.fixture(params=["silent", "refuses"])
def asked(request: pytest.FixtureRequest) -> Iterator[tuple[int, bool]]:
    """A port that takes connections and never says a word, or one that nobody listens on; and whether its answer is late."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "silent":
            listener.listen()
        yield listener.getsockname()[1], request.param == "silent"


def _told(seen: RegionView, late: bool, refused: Role) -> None:
    assert (seen.role, seen.late) == ((Role.UNREACHABLE, True) if late else (refused, False))


def test_a_name_server(asked: tuple[int, bool]) -> None:
    """Silence, by the transfer of a zone; the reason says how long."""
    port, late = asked
    config = DnsConfig(
        zone="example.test", names=("*.example.test",), tsig=Tsig(name="k", key=SecretRef(env="K")),
        regions={name: RegionNames(server="127.0.0.1", port=port, address=f"10.0.0.{end}") for end, name in enumerate(("east", "west"), 1)},
    )  # fmt: skip
    key = FixedSecrets({"K": base64.b64encode(b"k" * 32).decode()})
    with pytest.raises(StepError) as error:
        NameServers("dns", config, key).read("west", BRIEF)
    _told(names.judge("dns", AT, config, {"east": error.value, "west": error.value}).regions["west"], late, Role.STOPPED)
    assert ("no answer within 0.2 s" in error.value.message) is late


def test_a_runtime(asked: tuple[int, bool], tmp_path: Path) -> None:
    """Silence, by its control API."""
    port, late = asked
    layout = Layout(tmp_path, tmp_path)
    layout.secrets.mkdir(mode=0o700)
    Authority.create(layout, datetime.now(UTC))
    https = Https(layout.authority, BRIEF.total_seconds())
    with pytest.raises(StepError) as error:
        https.request(Peer("127.0.0.1", port, "127.0.0.1"), "GET", "/status")
    _told(look.roles({"east": error.value})["east"], late, Role.UNREACHABLE)


def test_a_bucket(asked: tuple[int, bool], clock: Clock, tmp_path: Path) -> None:
    """Silence, by a listing."""
    port, late = asked
    where = {"endpoint_url": f"http://127.0.0.1:{port}", "bucket": "logs", "access_key": {"env": "A"}, "secret_key": {"env": "B"}}
    config = S3Config.model_validate({"regions": {"east": where, "west": {**where, "bucket": "other"}}})
    store = Store("logs", "east", config.regions["east"], FixedSecrets({"A": "key", "B": "key"}), clock, tmp_path, BRIEF)
    with pytest.raises(StepError) as error:
        store.page(size=1)
    store.close()
    lag = LagSample(component="logs", at=AT, state=Known.UNKNOWN)
    seen = buckets.judge("logs", AT, config, {"east": error.value, "west": error.value}, lag, "type this")
    _told(seen.regions["east"], late, Role.STOPPED)


def test_a_store_of_secrets(asked: tuple[int, bool]) -> None:
    """Silence, by a read."""
    port, late = asked
    server = Server("secrets in east", f"http://127.0.0.1:{port}", lambda: "token", None, BRIEF.total_seconds())
    with pytest.raises(StepError) as error:
        server.ask("GET", "sys/health")
    server.close()
    _told(secrets.roles({"east": error.value}, {})["east"], late, Role.STOPPED)


def test_a_database() -> None:
    """Silence of its port; one that refuses, starts or lost the connection said something."""
    for reach in Reach:
        assert postgres._region_view(Unread("why", reach)).late is (reach is Reach.SILENT)


def test_what_is_late_is_never_ready() -> None:
    """Whatever was late, its role is none that a guard lets pass."""
    seen = look.roles({"east": Transient("no answer from east within 2 s", late=True)})["east"]
    assert seen == RegionView(role=Role.UNREACHABLE, reason="no answer from east within 2 s", late=True)
