"""Kinds are found by name, loaded when first asked for, and never owned twice."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from dr.errors import UsageError
from dr.providers import registry
from dr.providers.registry import GROUP, Registry


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_every_built_in_kind_loads_and_says_its_own_name() -> None:
    """The table and the classes agree."""
    assert {registry.find(name).kind for name in registry.BUILT_IN} == set(registry.BUILT_IN)


def test_the_registry_imports_no_library() -> None:
    """Asking which kinds there are must not cost the import of psycopg, httpx, dnspython or of any provider."""
    code = (
        "import sys; from dr.providers import registry; assert 'postgres' in registry.names();"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('psycopg', 'httpx', 'dns') or m.startswith('dr.providers.')];"
        "print(sorted(set(bad) - {'dr.providers.registry'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_kind_lists_the_known_ones_and_the_nearest() -> None:
    """The hint can be typed."""
    with pytest.raises(UsageError, match="unknown kind 'postgre'") as caught:
        Registry(installed=lambda: ()).find("postgre")
    assert caught.value.hint.startswith("did you mean postgres?")
    assert "airflow-deployments" in caught.value.hint


def test_others_register_by_entry_point() -> None:
    """A package of somebody else is found, and read only when the name is not built in."""
    asked = []

    def installed() -> list[EntryPoint]:
        asked.append(1)
        return [point("gate", "dr.providers.generic.person:Gate")]

    table = Registry({"approval": "dr.providers.generic.person:Approval"}, installed)
    assert table.find("approval").kind == "approval"
    assert "approval" in table.names()
    assert not asked
    assert table.find("gate").kind == "gate"
    assert list(table.names()) == ["approval", "gate"]
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["approval", "other"])
def test_a_second_owner_is_refused(name: str) -> None:
    """Neither a built-in name nor another package's can be taken over by the order of a path."""
    table = Registry(
        {"approval": "dr.providers.generic.person:Approval"},
        lambda: [point(name, "first:Class"), point(name, "second:Class")],
    )
    with pytest.raises(UsageError, match=f"kind '{name}' has two owners") as caught:
        list(table.names())
    assert "uninstall" in caught.value.hint


@pytest.mark.parametrize("where", ["no.such.module:Class", "dr.providers.generic.person:NoSuchClass", "dr.providers.generic.person:Gate"])
def test_what_cannot_be_loaded_is_named(where: str) -> None:
    """A broken package is an error of the runbook's reader, with the place, not a traceback."""
    with pytest.raises(UsageError, match="kind 'mine'"):
        Registry({"mine": where}, lambda: ()).find("mine")
