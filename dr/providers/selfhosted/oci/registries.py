"""Everything that one component of this kind can reach: its registries, who needs what, the pull secrets. All its I/O starts here.

Opened lazily, kept open, shared by all steps of a process.
"""

from __future__ import annotations

import json
from datetime import timedelta
from threading import Event, Lock
from typing import TYPE_CHECKING

from dr.errors import CredentialMissing, Permanent, StepError
from dr.model.identity import ImageUse, ImageUses
from dr.model.runbook import SecretRef
from dr.ports import Site
from dr.providers.selfhosted.oci.access import Login
from dr.providers.selfhosted.oci.config import OciConfig
from dr.providers.selfhosted.oci.fan import Fan
from dr.providers.selfhosted.oci.inventory import Inventory
from dr.providers.selfhosted.oci.wanted import ImageUser, SecretStore, from_snapshot

if TYPE_CHECKING:
    from dr.providers.selfhosted.oci.wire import Registry

_LOGIN_KEPT = timedelta(minutes=1)


class Registries:
    """What the steps and views of one component share.

    Args:
        name: of the component. site: the rest of the world; peers are looked up when they are used.

    ``quiet``: set once a run is at work here, or all is over: what only looks ahead ends then.
    """

    def __init__(self, name: str, config: OciConfig, site: Site) -> None:
        self.name, self.config, self.site = name, config, site
        self.inventory = Inventory(site.artefacts / f"{name}-seen.json", site.clock)
        self._open: dict[str, Registry] = {}
        self._logins: dict[tuple[str, str], tuple[float, Login]] = {}
        self.fan = Fan(name, config.threads)
        self.quiet = Event()
        self._lock = Lock()

    def registry(self, region: str) -> Registry:
        """A region's registry; connects to nothing yet. Raises Permanent where its certificate authority cannot be read."""
        from dr.providers.selfhosted.oci.wire import Registry

        with self._lock:
            if region not in self._open:
                settings = self.config.regions[region]
                authority = settings.certificate_authority
                self._open[region] = Registry(
                    f"{self.name} in {region} ({settings.url})", settings.url, self.site.base / authority if authority else None,
                    lambda: self._own_login(region), self.site.clock.monotonic,
                    timeout=self.config.answer_timeout.total_seconds(), connections=self.config.threads,
                )  # fmt: skip
            return self._open[region]

    def ping(self, region: str, limit: timedelta | None = None) -> StepError | None:
        """None where a region's registry answers and knows us, else why not. Bounded by ``limit``, else by ``source_timeout``."""
        try:
            self.registry(region).ping((limit or self.config.source_timeout).total_seconds())
        except StepError as error:
            return error
        return None

    def uses(self, region: str) -> ImageUses:
        """Which images the Deployments of a region name; none where the runbook names no component with Deployments. Raises StepError."""
        if self.config.deployments is None:
            return ImageUses(region=region)
        peer = self.site.peers.get(self.config.deployments)
        if not isinstance(peer, ImageUser):
            text = f"{self.name}: deployments: {self.config.deployments} is no component with Deployments"
            raise Permanent(text, hint="name a component of kind airflow-deployments")
        return peer.image_uses(region)

    def kept_uses(self, not_from: str | None = None) -> tuple[ImageUse, ...]:
        """The same as the newest identities say that were kept outside both regions; none where there are none."""
        if self.config.deployments is None:
            return ()
        snapshot = self.site.samples.identities(self.site.runbook, self.config.deployments, not_from)
        return from_snapshot(snapshot) if snapshot is not None else ()

    def login(self, region: str, secret: str) -> Login:
        """A Deployment's pull secret, as the region would use it. Raises StepError where it is not there or not whole."""
        now, key = self.site.clock.monotonic(), (region, secret)
        with self._lock:
            known = self._logins.get(key)
        if known is not None and known[0] > now:
            return known[1]
        login = self._read_login(region, secret)
        with self._lock:
            self._logins[key] = (now + _LOGIN_KEPT.total_seconds(), login)
        return login

    def close(self) -> None:
        """Closes connections, forgets secrets, ends the threads; safe to call twice."""
        self.quiet.set()
        with self._lock:
            opened, self._open = list(self._open.values()), {}
            self._logins.clear()
        self.fan.close()
        for registry in opened:
            registry.close()

    def _own_login(self, region: str) -> Login | None:
        credentials = self.config.regions[region].credentials
        return None if credentials is None else Login(credentials.username, self._secret(credentials.password))

    def _secret(self, ref: SecretRef) -> str:
        try:
            return self.site.secrets.get(ref)
        except CredentialMissing as error:
            problem = Permanent(error.message, hint=error.hint)
        raise problem

    def _read_login(self, region: str, secret: str) -> Login:
        settings = self.config.pull_secrets
        assert settings is not None, "pulls are tried only where the runbook says where the secrets are"
        if settings.component is not None:
            peer = self.site.peers.get(settings.component)
            if not isinstance(peer, SecretStore):
                text = f"{self.name}: pull_secrets: {settings.component} is no component with secrets"
                raise Permanent(text, hint="name a component of kind vault-kv")
            fields = dict(peer.secret(region, secret))
        else:
            fields = _fields(self._secret(SecretRef(file=f"{settings.folder}/{secret.replace('/', '-')}.json")))
        username, password = fields.get("username", ""), fields.get("password", "")
        if not username or not password:
            raise Permanent(f"the pull secret {secret} of {region} has no username and password", hint="write both fields")
        return Login(username, password)


def _fields(text: str) -> dict[str, str]:
    """The fields of a JSON object; none where it is no such thing: the text is a secret and goes into no error."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(name): value for name, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
