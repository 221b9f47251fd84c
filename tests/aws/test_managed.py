"""Airflow Deployments, generic checks and a command beside AWS kinds: real databases, runtimes and names through a lost region and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import pytest
from psycopg.errors import FeatureNotSupported

from dr.config.runbook import load_runbook
from dr.ports import Kind
from dr.providers.airflow import AirflowDeployments
from tests.aws.managed import Managed, managed
from tests.aws.rig import Rig
from tests.postgres.rig import poll

pytestmark = pytest.mark.lab

ACCEPT = ("--yes", "--accept-split", "--accept-data-loss", "5m", "--reason", "region lost")
BESIDE = ("smoke", "history", "resolved", "told")
"""What is no kind of AWS and leads nowhere."""


@pytest.fixture
def platform() -> Iterator[Managed]:
    """Three Deployments in east, and a monitor that has seen them."""
    with managed(3) as made:
        serves(made, "east", "before")
        made.watched()
        yield made


def serves(platform: Managed, region: str, word: str) -> None:
    """Each public name takes a write there."""
    for number, name in enumerate(hostname for item in platform.people for hostname in item.hostnames):
        status, answer = platform.write(name, f"{word}-{number}")
        assert (status, answer["region"]) == (201, region), name


def status(platform: Managed) -> dict[str, Any]:
    """What ``dr status`` says of each component."""
    said = platform.dr("status", str(platform.runbook), "--json")
    assert said.code == 0, said.out + said.err
    return {item["id"]: item for item in said.report["components"]}


def deployments(platform: Managed) -> AirflowDeployments:
    """The component, as the kinds that ask it have it."""
    component = load_runbook(platform.runbook).components["deployments"]
    peers = cast("dict[str, Kind]", {"metadata-db": platform})
    site = replace(Rig(platform.layout.state / "beside").site, base=platform.runbook.parent, peers=peers)
    return AirflowDeployments("deployments", component.config, component.needs, site)


def move(platform: Managed, *words: str) -> dict[str, str]:
    """A move that ends well: state of each step."""
    said = platform.dr(words[0], str(platform.runbook), *words[1:], "--json")
    assert (said.code, said.report["outcome"]) == (0, "completed"), said.out[-6000:] + said.err
    return {step["id"]: step["state"] for step in said.report["steps"]}


def leads(region: str) -> dict[str, str | None]:
    """By component, the primary where everything is well."""
    return {"metadata-db": region, "deployments": region, "names": region, **dict.fromkeys(BESIDE)}


def primaries(seen: dict[str, Any]) -> dict[str, str | None]:
    """By component, the primary that was seen."""
    return {name: item["primary"] for name, item in seen.items()}


def test_deployments_on_aurora_survive_the_loss_of_a_region(platform: Managed) -> None:
    """The same Deployments serve in west under the same names; the checks and the command beside them ran."""
    said = platform.dr("runbook", "check", str(platform.runbook), "--json")
    assert [item for item in said.report["findings"] if item["severity"] == "error"] == [], said.err
    for region, epoch in (("east", 0), ("west", None)):
        with platform.connect(region) as connection, pytest.raises(FeatureNotSupported, match="not supported for Aurora"):
            connection.execute("SELECT pg_current_wal_lsn()")
        with closing(deployments(platform)) as kind:
            uses = kind.image_uses(region)
        assert (uses.epoch, len(uses.uses)) == (epoch, 3), "Aurora has no timeline to tell"
    seen = status(platform)
    assert primaries(seen) == leads("east")
    assert seen["metadata-db"]["lag_state"] == "known", "read in west itself, at its reader endpoint"
    before = platform.identities("east")

    platform.lose("east")
    steps = move(platform, "failover", "--to", "west", *ACCEPT)
    assert {steps[name] for name in ("smoke/check", "history/check", "resolved/check", "told/run")} == {"done"}
    assert platform.identities("west") == before
    serves(platform, "west", "after")
    assert primaries(status(platform)) == leads("west")
    assert (platform.runbook.parent / "told").read_text() == "failover east west\n"


@pytest.mark.long
def test_the_lost_region_follows_again_and_takes_the_deployments_home(platform: Managed) -> None:
    """Aurora makes a new copy of the old writer, the runtime there stands by, and a failback brings everybody home."""
    before = platform.identities("east")
    platform.lose("east")
    move(platform, "failover", "--to", "west", *ACCEPT)
    platform.bring_back("east")
    poll(lambda: status(platform)["metadata-db"]["regions"]["east"]["role"] == "secondary", "Aurora to notice")
    steps = move(platform, "reprotect", "--yes")
    assert steps["deployments/stand-by"] in ("done", "already") and steps["metadata-db/preserve"] == "done"
    move(platform, "failback", "--yes")
    assert platform.identities("east") == before
    serves(platform, "east", "home")
    assert primaries(status(platform)) == leads("east")
    assert (platform.runbook.parent / "told").read_text() == "failover east west\nfailback west east\n"
