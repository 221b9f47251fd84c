"""What every step of the component is given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from dr.errors import StepError
from dr.ports import AttemptContext
from dr.providers.one_way import OneWay
from dr.providers.selfhosted.vault.accounts import Side
from dr.providers.selfhosted.vault.deployments import Authority, Databases, Deployed
from dr.providers.selfhosted.vault.needs import Needs
from dr.providers.selfhosted.vault.vaults import Vaults


class VaultStep(OneWay):
    """Base of the steps. What one writes over stays in the store, as an older version.

    Args:
        databases: None where the runbook names none.
    """

    def __init__(self, vaults: Vaults, databases: Databases | None, source: str, target: str) -> None:
        self.vaults, self.databases, self.source, self.target = vaults, databases, source, target
        self.needs = Needs(vaults, databases)

    def sides(self) -> tuple[Side, Side]:
        """The target's and the source's secrets, read anew, both at once. Raises as ``Vaults.side``."""
        with ThreadPoolExecutor(1, thread_name_prefix="vault-source") as pool:
            there = pool.submit(self.vaults.side, self.source)
            return self.vaults.side(self.target), there.result()

    def deployments(self, region: str) -> tuple[Deployed, ...]:
        """The Deployments as the platform's database in a region lists them; none without a database. Raises StepError."""
        return self.databases.authority(region).deployments if self.databases is not None else ()

    def leads(self) -> bool | None:
        """Whether the target leads by the databases' epochs: it takes writes, and no other region does so with a greater epoch.

        None: nobody can tell (no database in the runbook, or the target's does not answer).
        """
        if self.databases is None:
            return None
        seen: dict[str, Authority | StepError] = dict(zip(self.vaults.config.regions, self._authorities(self.databases), strict=True))
        ours, theirs = seen[self.target], seen[self.source]
        if isinstance(ours, StepError):
            return None
        if not ours.writable or ours.epoch is None:
            return False
        return not (isinstance(theirs, Authority) and theirs.writable and theirs.epoch is not None and theirs.epoch >= ours.epoch)

    def items(self, context: AttemptContext) -> Path:
        """Where a step lists what is not equal."""
        return self.vaults.site.artefacts / context.run_id / f"{context.step.id.replace('/', '-')}.jsonl"

    def _authorities(self, databases: Databases) -> list[Authority | StepError]:
        return self.vaults.results(databases.authority, tuple(self.vaults.config.regions))
