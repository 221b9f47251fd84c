"""Regions of a component against those of the runbook."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.errors import UsageError
from dr.model.runbook import Region
from dr.ports import Site
from dr.providers.regions import known_regions, same_regions
from dr.providers.system import SystemClock


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A runbook of three regions."""
    return Site(
        runbook="test", regions={name: Region() for name in ("east", "west", "south")}, hosts={}, clock=SystemClock(),
        secrets=None, samples=None, artefacts=tmp_path, base=tmp_path, peers={},  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_component_names_the_regions_of_the_runbook(site: Site) -> None:
    """All of them, in any order, or some; what is left out is named with the setting, and what to write."""
    known_regions("restart", ("west",), site)
    same_regions("names", ("south", "west", "east"), site)
    with pytest.raises(UsageError, match=r"^names: addresses: expected every region of the runbook; not there: south$") as refused:
        same_regions("names", {"east": (), "west": ()}, site, "addresses")
    assert refused.value.hint == "write addresses: {south: …}"


def test_a_region_that_the_runbook_does_not_have_is_refused(site: Site) -> None:
    """By the very field, with those that there are; it comes before what is left out, for it is what was meant by one of them."""
    with pytest.raises(UsageError, match=r"^db: regions\.north: unknown region$") as refused:
        same_regions("db", ("north", "east", "west"), site)
    assert refused.value.hint == "known: east, south, west"
