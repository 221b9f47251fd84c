"""The platform's databases as far as this kind asks them, in memory: who takes writes, which Deployments there are, what is encrypted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet

from dr.providers.selfhosted.vault.deployments import Deployed

FERNET = Fernet


class _Answer:
    def __init__(self, rows: Sequence[tuple[object, ...]]) -> None:
        self._rows = rows

    def fetchall(self) -> Sequence[tuple[object, ...]]:
        return self._rows


class _Connection:
    def __init__(self, databases: Databases, region: str, name: str | None) -> None:
        self._databases, self._region, self._name = databases, region, name

    def execute(self, statement: str) -> _Answer:
        databases = self._databases
        if "pg_is_in_recovery" in statement:
            epoch = databases.epochs.get(self._region)
            return _Answer([(epoch is None, epoch)])
        if "FROM deployment" in statement:
            return _Answer([(item.id, item.namespace, item.database) for item in databases.deployed])
        assert self._name is not None, statement
        return _Answer([("connection warehouse", databases.tokens[self._name])])

    def close(self) -> None:
        """Nothing is held."""


class Databases:
    """``Databases(east=3)``: east takes writes on timeline 3, the other one follows."""

    def __init__(self, *, deployments: int = 0, **epochs: int) -> None:
        self.epochs = epochs
        self.deployed = tuple(Deployed(f"d-{n:03d}", f"quiet-comet-{n:03d}", f"airflow_{n:03d}") for n in range(1, deployments + 1))
        self.keys = {item.id: Fernet.generate_key().decode() for item in self.deployed}
        self.tokens = {item.database: Fernet(self.keys[item.id]).encrypt(b"password").decode() for item in self.deployed}
        self.asked: list[tuple[str, str | None]] = []

    def encrypt(self, deployment: str, key: str) -> None:
        """What is in a Deployment's database is encrypted with another key now."""
        [item] = [item for item in self.deployed if item.id == deployment]
        self.tokens[item.database] = Fernet(key).encrypt(b"password").decode()

    def connect(self, region: str, database: str | None = None) -> Any:
        """As kind ``postgres`` has it."""
        self.asked.append((region, database))
        return _Connection(self, region, database)
