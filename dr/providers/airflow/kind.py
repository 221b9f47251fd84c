"""The kind ``airflow-deployments``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import ClassVar, TypeVar

from dr.errors import StepError, Transient, UsageError
from dr.model.by_hand import Question
from dr.model.identity import IdentitySnapshot, ImageUses
from dr.model.lag import Beat, ComponentView, LagSample
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Known, Role
from dr.ports import Site, Step
from dr.providers.airflow.by_hand import ByHand
from dr.providers.airflow.chain import KIND, chain
from dr.providers.airflow.config import DeploymentsConfig
from dr.providers.airflow.deployments import Deployment
from dr.providers.airflow.fleet import Fleet
from dr.providers.airflow.look import findings, roles
from dr.providers.regions import same_regions
from dr.providers.selfhosted.certificates.judge import Flaw

T = TypeVar("T")

VIEW_SECONDS = 2.0


class AirflowDeployments:
    """Many Airflow Deployments behind one runtime for each region, on one replicated database server.

    Protects who they are, what they were doing, and that nothing runs twice. Needs the component that holds their databases (``database``),
    the runtimes' control API and a certificate for every public name in both regions. Its data rides on the database: it has no lag of
    its own.
    """

    kind: ClassVar[str] = KIND
    Config: ClassVar[type[KindConfig]] = DeploymentsConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, DeploymentsConfig), "the registry gives each kind its own Config"
        if config.database not in needs:
            raise UsageError(f"{name}: database: {config.database} is not in needs", hint=f"write needs: [{config.database}]")
        if isinstance(config.certificates, str) and config.certificates not in needs:
            text = f"{name}: certificates: {config.certificates} is not in needs"
            raise UsageError(text, hint=f"write needs: [{config.certificates}, …]")
        same_regions(name, config.regions, site)
        self._name, self._config, self._site = name, config, site
        self._fleet = Fleet(name, config, site)

    def view(self) -> ComponentView:
        """Both runtimes' status, the Deployments listed in the primary (else anywhere), the certificates that can be read."""
        pool = ThreadPoolExecutor(2 * len(self._config.regions), thread_name_prefix="airflow-view")
        try:
            statuses = {region: pool.submit(self._fleet.probe.status, region) for region in self._config.regions}
            lists = {region: pool.submit(self._fleet.deployments, region) for region in self._config.regions}
            until = self._site.clock.monotonic() + VIEW_SECONDS
            seen, listed = self._collect(statuses, until), self._collect(lists, until)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        views = roles(seen)
        order = sorted(views, key=lambda region: views[region].role is not Role.PRIMARY)
        known: Sequence[Deployment] = next((found for region in order if isinstance(found := listed[region], tuple)), ())
        return ComponentView(
            component=self._name, kind=self.kind, at=self._site.clock.now(), regions=views,
            findings=tuple(findings(self._name, seen, views, frozenset(item.id for item in known), self._flaws(known))),
        )  # fmt: skip

    def beat(self, region: str) -> Beat | None:  # the port's signature
        """None: the database has the heartbeat."""
        return None

    def sample(self, primary: str | None) -> LagSample:
        """Known, without a lag: nothing of a Deployment is replicated but by its database, which has its own sample. The view has none."""
        reason = f"rides on {self._config.database}: its lag is that one's"
        return LagSample(component=self._name, at=self._site.clock.now(), state=Known.KNOWN, reason=reason)

    def identities(self, region: str) -> IdentitySnapshot:
        """Who the Deployments are in a region now; secrets as keyed digests only. Raises StepError."""
        return self._fleet.identities(region)

    def image_uses(self, region: str) -> ImageUses:
        """Which images the Deployments of a region name, for the component that keeps them there. One query. Raises StepError."""
        return self._fleet.image_uses(region)

    def question(self, region: str) -> Question:
        """How a person asks what the region's Deployments work on."""
        return ByHand(self._fleet, region, planned=False).question()

    def hostnames(self, region: str) -> tuple[str, ...]:
        """All public names, as the platform database of a region lists them. Raises StepError."""
        return tuple(hostname for item in self._fleet.deployments(region) for hostname in item.hostnames)

    def psql(self, region: str) -> str:
        """What a person types to ask the platform's database in a region, for kinds that look after what the Deployments name."""
        return ByHand(self._fleet, region, planned=False).platform()

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain of an intent: see ``chain``."""
        return chain(self._fleet, intent, source, target)

    def warm(self, target: str) -> None:
        """Opens a connection to every API of the target, and imports what the outside checks need."""
        import dns.query  # noqa: F401  # 70 ms that a run need not wait for

        self._fleet.warm(target)

    def close(self) -> None:
        """Closes all connections; safe to call twice."""
        self._fleet.close()

    def _flaws(self, deployments: Sequence[Deployment]) -> list[Flaw]:
        hostnames = [hostname for item in deployments for hostname in item.hostnames]
        return [flaw for region in self._config.folders for flaw in self._fleet.flaws(region, hostnames)]

    def _collect(self, futures: Mapping[str, Future[T]], until: float) -> dict[str, T | StepError]:
        """What each region answered before ``until``, or why it did not."""
        found: dict[str, T | StepError] = {}
        for region, future in futures.items():
            try:
                found[region] = future.result(timeout=max(0.0, until - self._site.clock.monotonic()))
            except StepError as error:
                found[region] = error
            except FutureTimeout:
                found[region] = Transient(f"no answer from {region} within {VIEW_SECONDS:g} s", late=True)
        return found
