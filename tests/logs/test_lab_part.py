"""The lab's part ``logs``: what is seeded, which ports are taken, what the shippers' ledger says."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from dr.errors import StateUnreadable
from dr.lab.extras import all as extras
from dr.lab.extras import log_objects, weed
from dr.lab.extras.logs import Logs
from dr.lab.layout import Layout
from dr.lab.platform.log_writer import log_body, log_key
from dr.lab.platform.logs import shipped
from dr.model.scenario import Workload


def line(key: str, at: str | None) -> bytes:
    return json.dumps({"key": key, "md5": "1", "acknowledged_at": at}).encode() + b"\n"


def test_a_workload_that_asks_for_logs_gets_them() -> None:
    """The part is in the list, with servers that faults can name."""
    assert [extra.name for extra in extras.of(Workload(parts=("logs",)))] == ["logs"]
    assert (Logs.servers, Logs.outside) == (("log-store",), ("log-sync", "log-writer"))


@pytest.mark.parametrize(("deployments", "objects"), [(5, 200), (80, 10_000), (1, 1), (3, 0)])
def test_every_object_has_a_name_of_its_own(deployments: int, objects: int) -> None:
    """As Airflow names task logs, spread over the Deployments; the same key always has the same content."""
    keys = list(log_objects.seeded_keys(Workload(deployments=deployments, log_objects=objects)))
    assert len(set(keys)) == objects
    assert {key.split("/")[0] for key in keys} == {f"quiet-comet-{number:03d}" for number in range(1, min(deployments, objects) + 1)}
    assert all(key.endswith("/attempt=1.log") and key.count("/") == 4 for key in keys)
    assert log_body("a") == log_body("a") != log_body("b")
    assert log_key("n", "d", "r", "t") == "n/dag_id=d/run_id=r/task_id=t/attempt=1.log"


def test_stores_of_two_regions_and_two_labs_share_no_grpc_port() -> None:
    """Ports below the ephemeral range that nobody listens on."""
    addresses = ["127.0.40.1", "127.0.50.1"]
    first, second = weed.free_grpc(addresses)
    assert abs(first - second) >= 4
    assert min(first, second) >= 20_000 and max(first, second) + 3 < 32_768
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.40.1", first))
        assert first not in [weed.free_grpc(addresses)[0] for _ in range(50)]


def test_a_store_calls_nobody_and_listens_on_its_region_only(tmp_path: Path) -> None:
    """No telemetry, every port said, nothing by default that another region would share."""
    region = Layout(tmp_path, tmp_path).region("west")
    argv = weed.WeedServer(Layout(tmp_path, tmp_path), region, Path("/weed"), None, 21_000).argv
    assert "-master.telemetry=false" in argv
    assert f"-ip.bind={region.address}" in argv
    ports = {word.split("=")[1] for word in argv if ".port" in word} - {"0"}
    assert ports == {"18510", "18520", "18530", "18540", "21000", "21001", "21002", "21003"}


def test_only_what_was_acknowledged_counts() -> None:
    """And a last line without its end was not written yet; somebody else's line is refused."""
    content = line("a", "2026-01-01T00:00:00+00:00") + line("b", None) + line("c", "2026-01-01T00:00:01+00:00")
    assert [item.key for item in shipped(content)] == ["a", "c"]
    assert [item.key for item in shipped(content[:-1])] == ["a"]
    with pytest.raises(StateUnreadable):
        list(shipped(b"{}\n"))
