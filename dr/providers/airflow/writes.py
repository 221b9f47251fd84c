"""The checks that count: a write through each Deployment's API, inside by address and outside through the public names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from dr.errors import EffectUnknown, StepError, Transient
from dr.model.evidence import Evidence, Healthy, WriteAccepted
from dr.ports import AttemptContext, Look, Seen
from dr.providers.airflow.databases import gravest
from dr.providers.airflow.deployments import Deployment
from dr.providers.airflow.fleet import Fleet
from dr.providers.airflow.https import Peer
from dr.providers.airflow.step import FleetStep


class _Writes(FleetStep, ABC):
    """Writes through the names of each Deployment; one that passed in this run and process is not asked again."""

    route: Literal["inside", "outside"]

    def __init__(self, fleet: Fleet, region: str) -> None:
        super().__init__(fleet, region)
        self._run = ""
        self._passed: dict[str, dict[str, datetime]] = {}

    @abstractmethod
    def names(self, deployment: Deployment) -> Sequence[str]:
        """The names to write through."""

    @abstractmethod
    def peer(self, hostname: str) -> Peer:
        """Where a name leads. Raises Transient while that is not the region."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Writes through each name and reads back, a few Deployments at a time. Every attempt has ids of its own, so it may be repeated.

        Raises:
            Transient: some were refused for now; names the first and says how many.
            Permanent: as ``Fleet.write``.
        """
        if self._run != context.run_id:
            self._run, self._passed = context.run_id, {}
        deployments = self.fleet.deployments(self.region)
        asked = [item for item in deployments if item.id not in self._passed]
        refused: list[StepError] = []
        for item, result in zip(asked, self.fleet.web.results(self._writer(context), asked), strict=True):
            if isinstance(result, StepError):
                refused.append(result)
            else:
                self._passed[item.id] = result
        context.say(f"{len(self._passed)} of {len(deployments)} Deployments accepted a write")
        if refused:
            raise gravest(refused)
        accepted = {name: moment for item in deployments for name, moment in self._passed[item.id].items()}
        fact = WriteAccepted(
            component=self.fleet.name, region=self.region, route=self.route, names=tuple(sorted(accepted)),
            first_at=min(accepted.values()), last_at=max(accepted.values()),
        )  # fmt: skip
        return (fact, Healthy(component=self.fleet.name, total=len(deployments), healthy=len(deployments)))

    def verify(self, context: AttemptContext) -> Seen:
        """Every write was read back by the act, and its name is in the evidence."""
        names = sum(len(moments) for moments in self._passed.values())
        return Seen(Look.DONE, f"{names} names accepted a write in {self.region}")

    def _writer(self, context: AttemptContext) -> Callable[[Deployment], dict[str, datetime]]:
        def one(item: Deployment) -> dict[str, datetime]:
            if context.cancelled():
                raise Transient(f"{item.id}: not asked, the run was cancelled")
            peers = {name: self.peer(name) for name in self.names(item)}
            ids = {name: f"{context.key}#{context.number}@{name}" for name in peers}
            try:
                moments = {name: self.fleet.write(peer, self.region, ids[name]) for name, peer in peers.items()}
                absent = set(ids.values()) - self.fleet.written(peers[item.api])
            except EffectUnknown as error:
                raise Transient(error.message) from error  # a check write that took effect all the same harms nothing
            if absent:
                raise Transient(f"{peers[item.api]}: {len(absent)} acknowledged writes cannot be read back")
            return moments

        return one


class VerifyInside(_Writes):
    """Each Deployment's API accepts a write in the target, asked by address under its own name, before any name leads there (I2)."""

    route = "inside"

    def names(self, deployment: Deployment) -> Sequence[str]:
        """The API's name: the others are served by the same process and lead to the same database."""
        return (deployment.api,)

    def peer(self, hostname: str) -> Peer:
        """By address."""
        return self.fleet.public(self.region, hostname)


class VerifyOutside(_Writes):
    """Every public name leads to the target and accepts a write there, and all three lead to the same data."""

    route = "outside"

    def names(self, deployment: Deployment) -> Sequence[str]:
        """All of them."""
        return deployment.hostnames

    def peer(self, hostname: str) -> Peer:
        """By name, as it is looked up now."""
        endpoint = self.fleet.config.regions[self.region]
        address = self.fleet.lookup(self.region, hostname)
        if address != endpoint.address:
            raise Transient(f"{hostname} leads to {address}, not yet to {endpoint.address} in {self.region}")
        return Peer(address, endpoint.port, hostname)
