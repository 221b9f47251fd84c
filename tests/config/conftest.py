"""A table of one small kind, so that these tests need no provider."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from dr.errors import FileError
from dr.model.base import Duration, Frozen
from dr.model.runbook import KindConfig, SecretRef

RUNBOOK = """\
apiVersion: dr/v1
name: small
regions:
  east: {host: {exec: [./east]}}
  west: {}
home: east
objectives: {rto: 1h, rpo: 15m}
components:
  db:
    kind: store
    rpo: 5m
    password: {file: secret}
    regions:
      east: {address: 127.0.10.1, port: 15432}
      west: {address: 127.0.20.1, port: 15432}
  app: {kind: store, needs: [db], password: {env: APP}, regions: {east: {address: a, port: 1}, west: {address: b, port: 1}}}
"""


class Place(Frozen):
    """Where the store listens."""

    address: str
    port: int


class StoreConfig(KindConfig):
    """Settings of the kind of these tests."""

    password: SecretRef
    regions: dict[str, Place]
    patience: Duration | None = None


class Stores:
    """A kind table with one kind, ``store``."""

    def names(self) -> Collection[str]:
        return ("store",)

    def config(self, kind: str) -> type[KindConfig]:
        assert kind == "store"
        return StoreConfig


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
def runbook_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes the small runbook with replacements; each one must hit."""

    def write(*replacements: tuple[str, str]) -> Path:
        text = RUNBOOK
        for old, new in replacements:
            assert text.count(old) >= 1, f"the replaced text is not in the runbook: {old}"
            text = text.replace(old, new, 1)
        path = tmp_path / "runbook.yaml"
        path.write_text(text)
        return path

    return write


def facts(error: FileError) -> list[tuple[int, str, str]]:
    """All problems as (line, field, expected)."""
    return [(item.line, item.field, item.expected) for item in (error, *error.more)]
