"""Clients: the models behind them are read as botocore reads them, and nobody waits for a client that another one wants."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.loaders import JSONFileLoader

from dr.providers.aws import clients
from dr.providers.aws.clients import Clients
from dr.providers.aws.place import Place
from dr.providers.system import EnvFileSecrets, SystemClock

HERE = Place("eu-west-1", "eu-west-1")
DATA = Path(botocore.session.__file__).parent / "data"


@pytest.mark.parametrize("service", ["sts", "s3", "rds", "ec2", "dynamodb", "route53-recovery-cluster"])
def test_models_are_what_botocore_reads(service: str) -> None:
    """Every file of a service, with the order of all its keys."""
    own = JSONFileLoader()
    ours = clients._ModelFiles(own)
    files = [path for path in (DATA / service).rglob("*.json*") if path.is_file()]
    assert files
    for path in files:
        name = str(path).removesuffix(".gz").removesuffix(".json")
        assert ours.exists(name)
        assert json.dumps(ours.load_file(name)) == json.dumps(own.load_file(name)), path


def test_a_file_that_is_not_there_and_one_that_is_no_json(tmp_path: Path) -> None:
    """As with botocore's own reader: nothing, and an error."""
    ours = clients._ModelFiles(JSONFileLoader())
    assert not ours.exists(str(tmp_path / "none"))
    assert ours.load_file(str(tmp_path / "none")) is None
    (tmp_path / "cut.json").write_text('{"metadata": {')
    with pytest.raises(ValueError):
        ours.load_file(str(tmp_path / "cut"))


def test_nobody_waits_for_a_client_that_another_one_wants(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two want rds and one wants ec2: once rds is made, both have it, however long ec2 takes. One is made at a time."""
    under_way, go = {name: threading.Event() for name in ("rds", "ec2")}, {name: threading.Event() for name in ("rds", "ec2")}
    making = threading.Semaphore(1)

    def make(_self: Clients, _place: Place, service: str, **_: object) -> Any:
        assert making.acquire(blocking=False), "botocore's sessions are not safe to share"
        under_way[service].set()
        go[service].wait(30)
        making.release()
        return service

    monkeypatch.setattr(Clients, "_make", make)
    made = Clients(SystemClock(), EnvFileSecrets(tmp_path, tmp_path))
    got: list[Any] = []

    def want(service: str) -> threading.Thread:
        thread = threading.Thread(target=lambda: got.append(made.of(HERE, service, act=False)))
        thread.start()
        return thread

    first = want("rds")
    assert under_way["rds"].wait(30)
    other = want("ec2")
    second = want("rds")
    go["rds"].set()
    try:
        assert under_way["ec2"].wait(30)
        for thread in (first, second):
            thread.join(30)
        assert got == ["rds", "rds"]
    finally:
        go["ec2"].set()
    other.join(30)
    assert got == ["rds", "rds", "ec2"]
    made._made.clear()  # what stands there has no connections to close
