"""The kind ``tls-certificates``: joins its parts to what the engine and the monitor ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import timedelta
from typing import ClassVar, Protocol, runtime_checkable

from dr.errors import Permanent, StepError, Transient
from dr.model.lag import ComponentView, Finding
from dr.model.plan import Backoff, StepSpec, Touch
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Severity, Verb
from dr.ports import Site, Step
from dr.providers import shell
from dr.providers.generic.person import Bystander
from dr.providers.regions import same_regions
from dr.providers.selfhosted.certificates.config import CertificatesConfig
from dr.providers.selfhosted.certificates.look import Looked, Looker
from dr.providers.selfhosted.certificates.steps import Account

KIND = "tls-certificates"

VIEW_SECONDS = 1.8
_LIST_SECONDS = 0.9
_GRACE_SECONDS = 0.1
_SHOWN = 10


@runtime_checkable
class Named(Protocol):
    """A component (kind ``airflow-deployments``) that has public names."""

    def hostnames(self, region: str) -> Sequence[str]:
        """All of them, as a region lists them. Raises StepError."""


class TlsCertificates(Bystander):
    """Every public name has a certificate in each region: present, with its own key, for that name, of the authority, not about to expire.

    Protects clients from a region that nobody can talk to. Needs the directories where certificates lie, or the endpoints that serve
    them. Changes nothing: whoever issues certificates goes on doing that.
    """

    kind: ClassVar[str] = KIND
    Config: ClassVar[type[KindConfig]] = CertificatesConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, CertificatesConfig), "the registry gives each kind its own Config"
        same_regions(name, config.regions, site)
        super().__init__(name, config, needs, site)
        self.config = config
        self._looker = Looker(config, site.base, site.clock)
        self._listed: tuple[str, ...] = ()

    def view(self) -> ComponentView:
        """In no region: certificates take no writes. Findings of all regions at once; each matters for moves to its own region only."""
        clock = self.site.clock
        until = clock.monotonic() + VIEW_SECONDS
        pool = ThreadPoolExecutor(2 * len(self.config.regions), thread_name_prefix="certificates-view")
        try:
            names, problem = self._everywhere(pool)
            left = timedelta(seconds=max(0.1, until - clock.monotonic()))
            looks = {region: pool.submit(self._looker.look, region, names, left, glance=True) for region in self.config.regions}
            seen = {region: self._look_or_why(look, until) for region, look in looks.items()}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        found = [] if problem is None else [self._finding(Severity.WARNING, problem.message, problem.hint)]
        for region, looked in seen.items():
            found += self._findings(region, looked)
        return ComponentView(component=self.name, kind=KIND, at=clock.now(), regions={}, findings=tuple(found))

    def _findings(self, region: str, looked: Looked | StepError) -> Iterator[Finding]:
        if isinstance(looked, StepError):
            yield self._finding(Severity.WARNING, looked.message, looked.hint, region)
            return
        if looked.unasked:
            yield self._finding(Severity.WARNING, f"not all certificates in {region} could be seen: {looked.unasked}", "", region)
        order = sorted(looked.flaws, key=lambda item: item.usable)
        for item in order[:_SHOWN]:
            yield self._finding(Severity.WARNING if item.usable else Severity.ERROR, str(item), item.fix, region)
        rest = order[_SHOWN:]
        if rest:
            severity = Severity.WARNING if rest[0].usable else Severity.ERROR
            yield self._finding(severity, f"{len(rest)} more names in {region} have such certificates", "renew them all", region)

    def _finding(self, severity: Severity, fact: str, fix: str, region: str | None = None) -> Finding:
        return Finding(component=self.name, severity=severity, fact=fact, fix=fix, region=region)

    def _everywhere(self, pool: ThreadPoolExecutor) -> tuple[tuple[str, ...], StepError | None]:
        """The names that any region lists; the newest list where none answers, and why none did."""
        clock, pending = self.site.clock, {pool.submit(self.hostnames, region) for region in self.config.regions}
        until, lists = clock.monotonic() + _LIST_SECONDS, list[tuple[str, ...]]()
        problem: StepError = Transient(f"{self.name}: no list of public names in time")
        while pending:
            done, pending = wait(pending, timeout=max(0.0, until - clock.monotonic()), return_when=FIRST_COMPLETED)
            if not done:
                break
            for future in done:
                try:
                    lists.append(future.result())
                except StepError as error:
                    problem = error
            if lists:  # the others list the same; one that is lost is not waited for
                until = min(until, clock.monotonic() + _GRACE_SECONDS)
        if lists:
            self._listed = tuple(dict.fromkeys(name for names in lists for name in names))
            return self._listed, None
        return self._listed or self.config.hostnames, problem

    def _look_or_why(self, look: Future[Looked], until: float) -> Looked | StepError:
        try:
            return look.result(max(0.05, until - self.site.clock.monotonic()))
        except StepError as error:
            return error
        except FutureTimeout:
            return Transient(f"{self.name}: not all certificates could be looked at in time")

    def hostnames(self, region: str) -> tuple[str, ...]:
        """The names that need a certificate, as a region lists them. Raises StepError."""
        if self.config.deployments is None:
            return self.config.hostnames
        peer = self.site.peers.get(self.config.deployments)
        if not isinstance(peer, Named):
            text = f"{self.name}: deployments: {self.config.deployments} is no component with public names"
            raise Permanent(text, hint="name a component of kind airflow-deployments")
        return tuple(dict.fromkeys((*peer.hostnames(region), *self.config.hostnames)))

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """Before a move: the target's certificates, and a flaw blocks. Re-protect: those of the other side, and a flaw is debt."""
        region, strict = (target, True) if intent.moves else (source, False)
        command = self._by_hand(region)
        spec = StepSpec(
            id=f"{self.name}/prepare", component=self.name, kind=KIND, verb=Verb.PREPARE, region=region,
            title=f"every public name has a good certificate in {region}", estimate=timedelta(milliseconds=300),
            budget=timedelta(minutes=2), max_attempts=20, backoff=Backoff(cap=timedelta(seconds=2)), optional=not strict,
            touches=self._touches(region, target), permissions=self._permissions(region, target),
            by_hand=command, check_by_hand=command,
        )  # fmt: skip
        # while the source is alive both list the same names; what is lost is not asked for them
        operation = Account(self.name, region, target, self._looker, self.hostnames, self.site.artefacts, strict=strict)
        return (Step(spec, operation),)

    def _touches(self, region: str, lister: str) -> tuple[Touch, ...]:
        """What is read: files of the region (lying where dr runs), what its endpoint shows, the names in the platform's database."""
        where = self.config.regions[region]
        files = [Touch(service="certificate files", plane="data", region=region)] if where.directory is not None else []
        served = [Touch(service="certificates", plane="data", region=region)] if where.address is not None else []
        names = [Touch(service="database", plane="data", region=lister)] if self.config.deployments is not None else []
        return (*files, *served, *names)

    def _permissions(self, region: str, lister: str) -> tuple[str, ...]:
        where, what = self.config.regions[region], "the certificates and their keys" if self.config.keys else "the certificates"
        files = [f"to read {what} in {where.directory}"] if where.directory is not None else []
        served = [f"to connect to {where.address}:{where.port} from where dr runs"] if where.address is not None else []
        names = [f"{self.config.deployments}: to list the public names in {lister}"] if self.config.deployments is not None else []
        return (*files, *served, *names)

    def _by_hand(self, region: str) -> str:
        """openssl, over all files of a directory; that each name has one is for the eye, where the names are another component's."""
        where, authority = self.config.regions[region], shell.absolute(self.site.base, self.config.certificate_authority)
        if where.directory is None:
            return (
                f"(for name in ${{NAMES:?set NAMES to the public names}}; do openssl s_client -connect {where.address}:{where.port}"
                f' -servername "$name" -verify_hostname "$name" -CAfile {authority} -verify_return_error < /dev/null || exit 1; done)'
            )
        files = [self.config.certificate_file.replace("{hostname}", name) for name in self.config.hostnames]
        if self.config.deployments is not None:
            files.append(self.config.certificate_file.replace("{hostname}", "*"))
        folder = shell.absolute(self.site.base, where.directory)
        listed = " ".join(dict.fromkeys(f"{folder}/{file}" for file in files))
        return (
            f'(for file in {listed}; do openssl verify -CAfile {authority} -untrusted "$file" "$file" || exit 1;'
            ' openssl x509 -in "$file" -noout -ext subjectAltName -enddate; done)'
        )

    def warm(self, target: str) -> None:
        """Reads the files once, so that they are known."""
        try:
            self._looker.look(target, self.hostnames(target), timedelta(seconds=1), glance=True)
        except StepError:
            return  # the step will meet it again and say it; nothing was promised here
