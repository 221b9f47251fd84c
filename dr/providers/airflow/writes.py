"""The checks that count: a write through each Deployment's API, inside by address and outside through the public names."""

from __future__ import annotations

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


class _Writes(FleetStep):
    """Writes through a list of names; those that were accepted in this run by this process are not asked again."""

    route: Literal["inside", "outside"]

    def __init__(self, fleet: Fleet, region: str) -> None:
        super().__init__(fleet, region)
        self._run = ""
        self._accepted: dict[str, datetime] = {}

    def names(self, deployment: Deployment) -> Sequence[str]:
        """The names to write through."""
        raise NotImplementedError

    def peer(self, hostname: str) -> Peer:
        """Where a name leads."""
        raise NotImplementedError

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One write for each name, a few at a time. Check writes are repeatable: every attempt has ids of its own.

        Raises:
            Transient: some were refused for now; names the first and says how many.
            EffectUnknown, Permanent: as ``Fleet.write``.
        """
        if self._run != context.run_id:
            self._run, self._accepted = context.run_id, {}
        deployments = self.fleet.deployments(self.region)
        names = [name for item in deployments for name in self.names(item) if name not in self._accepted]
        results = self.fleet.web.results(self._writer(context), names)
        refused: dict[str, StepError] = {}
        for name, result in zip(names, results, strict=True):
            if isinstance(result, StepError):
                refused[name] = result
            else:
                self._accepted[name] = result
        context.say(f"{len(self._accepted)} of {len(self._accepted) + len(refused)} names accepted a write")
        if refused:
            raise gravest(list(refused.values()))
        moments = sorted(self._accepted.values())
        fact = WriteAccepted(
            component=self.fleet.name, region=self.region, route=self.route, names=tuple(sorted(self._accepted)),
            first_at=moments[0], last_at=moments[-1],
        )  # fmt: skip
        return (fact, Healthy(component=self.fleet.name, total=len(deployments), healthy=len(deployments)))

    def verify(self, context: AttemptContext) -> Seen:
        """Every write was read back through the same name by the act; each name is in the evidence."""
        return Seen(Look.DONE, f"{len(self._accepted)} names accepted a write in {self.region}")

    def _writer(self, context: AttemptContext) -> Callable[[str], datetime]:
        def one(name: str) -> datetime:
            if context.cancelled():
                raise Transient(f"{name}: not asked, the run was cancelled")
            identifier = f"{context.key}#{context.number}@{name}"
            peer = self.peer(name)
            try:
                moment = self.fleet.write(peer, self.region, identifier)
                there = self.fleet.written(peer, identifier)
            except EffectUnknown as error:
                raise Transient(error.message) from error  # a check write that took effect all the same harms nothing
            if not there:
                raise Transient(f"{peer}: the write was acknowledged and cannot be read back")
            return moment

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
    """Every public name leads to the target and accepts a write there."""

    route = "outside"

    def names(self, deployment: Deployment) -> Sequence[str]:
        """All of them."""
        return deployment.hostnames

    def peer(self, hostname: str) -> Peer:
        """By name. Raises Transient while it leads elsewhere."""
        endpoint = self.fleet.config.regions[self.region]
        address = self.fleet.lookup(self.region, hostname)
        if address != endpoint.address:
            raise Transient(f"{hostname} leads to {address}, not yet to {endpoint.address} in {self.region}")
        return Peer(address, endpoint.port, hostname)
