"""One look at both regions at once, bounded: who answers, whether the secrets are alike, whether Deployments could work with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

from dr.errors import DrError, StepError, Transient
from dr.model.lag import ComponentView
from dr.providers.selfhosted.vault.accounts import Compared, Side
from dr.providers.selfhosted.vault.chains import KIND
from dr.providers.selfhosted.vault.deployments import Authority, Databases, Deployed
from dr.providers.selfhosted.vault.findings import Judged, findings, roles
from dr.providers.selfhosted.vault.needs import Needs
from dr.providers.selfhosted.vault.vaults import RECENT, Vaults, within

ANSWER = timedelta(milliseconds=1200)
READ_SECONDS, GATHER_SECONDS, VIEW_SECONDS = 1.1, 1.6, 2.0
"""From the start of a look: until when values are read, regions are waited for, and both are judged."""
PROBED = 4
"""Databases that one look asks for something encrypted: others come with the next looks. Each costs a login, which must not hold up a
failover; ``prepare`` of a planned move and ``fingerprint`` ask all of them."""


@dataclass(frozen=True)
class Looked:
    """Both regions as they answered within the time."""

    sides: Mapping[str, Side | StepError]
    authorities: Mapping[str, Authority | StepError]

    @property
    def deployments(self) -> tuple[Deployed, ...]:
        """As the region that takes writes lists them, else any."""
        seen = sorted((item for item in self.authorities.values() if isinstance(item, Authority)), key=lambda item: not item.writable)
        return seen[0].deployments if seen else ()


class Looking:
    """Looks again and again; remembers whose database is to be asked next, and whose did not decrypt."""

    def __init__(self, vaults: Vaults, databases: Databases | None) -> None:
        self._vaults, self._databases = vaults, databases
        self._needs = Needs(vaults, databases)
        self._turn = 0
        self._bad: dict[str, set[str]] = {region: set() for region in vaults.config.regions}

    def look(self) -> tuple[ComponentView, Mapping[str, Side | StepError]]:
        """The component now, and what each region's store held. Never raises, bounded."""
        clock, regions = self._vaults.site.clock, tuple(self._vaults.config.regions)
        began = clock.monotonic()
        pool = ThreadPoolExecutor(3 * len(regions), thread_name_prefix="vault-view")
        try:
            stores = {region: pool.submit(self._vaults.side, region, RECENT, ANSWER, began + READ_SECONDS) for region in regions}
            databases = self._databases
            servers = {region: pool.submit(databases.authority, region) for region in regions} if databases is not None else {}
            gathered = began + GATHER_SECONDS
            sides: dict[str, Side | StepError] = within(stores, clock.monotonic, gathered)
            authorities: dict[str, Authority | StepError] = within(servers, clock.monotonic, gathered)
            looked = Looked(sides, authorities)
            there = {region: side for region, side in looked.sides.items() if isinstance(side, Side)}
            probed = self._probed(looked.deployments)
            asked = {region: pool.submit(self._judge, side, there, looked.deployments, probed) for region, side in there.items()}
            judged = within(asked, clock.monotonic, began + VIEW_SECONDS)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        told = {region: answer if isinstance(answer, Judged) else Judged(late=answer.message) for region, answer in judged.items()}
        views = roles(looked.sides, looked.authorities)
        found = findings(self._vaults.component, looked.sides, views, told)
        view = ComponentView(component=self._vaults.component, kind=KIND, at=clock.now(), regions=views, findings=tuple(found))
        return view, looked.sides

    def _probed(self, deployments: Sequence[Deployed]) -> Sequence[Deployed]:
        """Some Deployments, the next ones each time."""
        if len(deployments) <= PROBED:
            return deployments
        begin = self._turn % len(deployments)
        self._turn += PROBED
        return (*deployments[begin:], *deployments)[:PROBED]

    def _judge(self, side: Side, there: Mapping[str, Side], deployments: Sequence[Deployed], probed: Sequence[Deployed]) -> Judged:
        if side.partial:
            return Judged(late=f"{len(side.unread)} of {len(side.secrets)} were not read within the time of one look")
        bad = self._bad[side.region]
        again = [item for item in deployments if item.id in bad and item not in probed]
        lacks = self._needs.lacking(side, deployments, (*probed, *again))
        bad.clear()
        bad.update(text.rpartition(" of ")[2] for text in lacks.undecryptable)
        return Judged(self._compared(side, there), lacks)

    def _compared(self, side: Side, there: Mapping[str, Side]) -> Compared | None:
        other = there.get(self._vaults.config.other(side.region))
        if other is not None and not other.partial:
            return self._vaults.compared(other, side)
        try:
            kept = self._vaults.kept(side.region)
        except DrError as error:  # the samples cannot be read: the same as none, said as it is
            problem = Transient(error.message)
        else:
            return self._vaults.compared_kept(kept, side) if kept is not None else None
        raise problem
