"""What Deployments need to start: their secrets are there, and their keys decrypt what is in their databases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dr.errors import StepError
from dr.providers.selfhosted.vault.accounts import Side, why_missing
from dr.providers.selfhosted.vault.deployments import Databases, Deployed
from dr.providers.selfhosted.vault.vaults import Vaults


@dataclass(frozen=True)
class Lacks:
    """What keeps Deployments from working in a region, by sort; unknown: what could not be looked at."""

    missing: tuple[str, ...] = ()
    no_keys: tuple[str, ...] = ()
    undecryptable: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """Everything that could be looked at is as it must be."""
        return not (self.missing or self.no_keys or self.undecryptable)


class Needs:
    """Looks at what Deployments need in a region.

    Args:
        databases: None where the runbook names none: then nothing is known to be needed.
    """

    def __init__(self, vaults: Vaults, databases: Databases | None) -> None:
        self._vaults, self._databases = vaults, databases

    def lacking(self, side: Side, deployments: Sequence[Deployed], probed: Sequence[Deployed]) -> Lacks:
        """What is not there or not usable.

        Args:
            probed: the Deployments whose databases are asked for something encrypted; one connection each.
        """
        config = self._vaults.config
        templates = (*config.needed, *((config.fernet.path,) if config.fernet is not None else ()))
        wanted = sorted({item.path(template) for item in deployments for template in templates})
        missing = tuple(f"{path} ({why_missing(side, path)})" for path in wanted if not side.usable(path))
        if config.fernet is None:
            return Lacks(missing)
        paths = {item.id: item.path(config.fernet.path) for item in deployments}
        no_keys = tuple(path for path in paths.values() if side.usable(path) and not side.facts[path].key)
        asked = [item for item in probed if side.usable(paths[item.id]) and side.facts[paths[item.id]].key]
        results = self._vaults.results(lambda item: self._probe(side.region, item), asked)
        found = tuple(sorted(result for result in results if isinstance(result, str) and result))
        return Lacks(missing, no_keys, found, tuple(result.message for result in results if isinstance(result, StepError)))

    def _probe(self, region: str, item: Deployed) -> str:
        """The key is read now and stays in this process."""
        fernet = self._vaults.config.fernet
        assert fernet is not None and self._databases is not None, "asked only where the runbook has them"
        value = self._vaults.stores[region].read(item.path(fernet.path))
        return self._databases.undecryptable(region, item, (value.text(fernet.field) if value is not None else None) or "")
