"""Two real registries (distribution), apart from the lab's addresses and state, and the Deployments that need their images."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from dr.errors import Permanent, StepError, Transient
from dr.lab.account import as_account, give, own, servers_account
from dr.lab.extras import registry_server
from dr.lab.extras.bcrypt import hashed
from dr.lab.platform.images import REPOSITORY, Content, Image
from dr.model.evidence import Accounted, Evidence
from dr.model.identity import IdentitySnapshot, ImageUse, ImageUses
from dr.model.plan import Acceptance
from dr.model.runbook import Region
from dr.model.words import Guard, Intent
from dr.ports import AttemptContext, Look, Seen, Site, Step
from dr.providers.selfhosted.oci import OciRegistry
from dr.providers.selfhosted.oci import images as oci
from dr.providers.selfhosted.oci.access import Login
from dr.providers.selfhosted.oci.wire import Registry
from tests.postgres.rig import FixedSecrets, RealClock, poll

ADDRESS = {"east": "127.0.40.1", "west": "127.0.50.1"}
PASSWORD = "registry-password-not-for-any-log"
PULL = "pull-password-not-for-any-log"
CONF = registry_server.STORING + """\
http: {{addr: "{address}:{port}", secret: of-a-test}}
auth:
  {auth}
"""


class Deployments:
    """What the kind ``airflow-deployments`` offers: each region's database lists the Deployments; one of them takes writes."""

    def __init__(self) -> None:
        self.primary = "east"
        self.uses: dict[str, tuple[ImageUse, ...]] = {"east": (), "west": ()}
        self.gone: set[str] = set()
        self.slow: set[str] = set()
        self.over = Event()

    def image_uses(self, region: str) -> ImageUses:
        if region in self.slow:
            self.over.wait(30)
        if region in self.gone:
            raise Transient(f"the database of {region} is gone")
        return ImageUses(region=region, epoch=2 if region == self.primary else None, uses=self.uses[region])


class Samples:
    """Only the identities that were kept."""

    def __init__(self) -> None:
        self.kept: IdentitySnapshot | None = None

    def identities(self, runbook: str, component: str, not_from: str | None = None) -> IdentitySnapshot | None:
        return self.kept if self.kept is not None and self.kept.region != not_from else None


def use(number: int, image: Image, *earlier: Image, secret: str | None = "pull/d-001") -> ImageUse:
    """A Deployment with its images."""
    return ImageUse(
        deployment=f"d-{number:03d}", namespace=f"comet-{number}", workspace="w", image_digest=image.digest,
        image_rollback=tuple(item.digest for item in earlier), pull_secrets=(secret,) if secret else (),
    )  # fmt: skip


@dataclass
class Pair:
    """East's and west's registry in a directory. ``perform`` runs one step as the engine does."""

    base: Path
    port: int
    auth: str = "htpasswd: {{realm: test, path: {folder}/htpasswd}}"
    files: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)
    acceptances: tuple[Acceptance, ...] = ()

    def __post_init__(self) -> None:
        self.account, self.clock = servers_account(), RealClock()
        self.deployments, self.samples = Deployments(), Samples()
        self.secrets = FixedSecrets({"REGISTRY": PASSWORD, "WRONG": "wrong", **pull_secret("d-001", PULL)})
        self.opened: list[OciRegistry | Registry] = []
        own(self.base, self.account, 0o755)
        for region in ADDRESS:
            self.make(region)
            self.start(region)

    def make(self, region: str) -> None:
        folder = own(self.base / region, self.account)
        own(folder / "store", self.account)
        users = {"dr": PASSWORD, "d-001": PULL}
        conf = CONF.format(folder=folder, address=ADDRESS[region], port=self.port, auth=self.auth.format(folder=folder))
        lines = "".join(f"{user}:{hashed(word)}\n" for user, word in users.items())
        for name, content in {"conf": conf, "htpasswd": lines, **self.files}.items():
            (folder / name).write_text(content)
            give(folder / name, self.account)

    def start(self, region: str) -> None:
        program = registry_server.find(self.account)
        assert program is not None, "dr lab doctor --fix"
        with (self.base / region / "log").open("ab") as log:
            self.processes[region] = subprocess.Popen(
                [*as_account(self.account), str(program), "serve", str(self.base / region / "conf")], cwd="/", stdout=log, stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": "/", "GOGC": "400", "GOMEMLIMIT": "60MiB"},
            )  # fmt: skip
        registry = self.registry(region)

        def answers() -> bool:
            try:
                registry.ping(1)
            except Permanent:
                return True
            except StepError:
                return False
            return True

        poll(answers, f"the registry of {region}")

    def kill(self, region: str) -> None:
        process = self.processes.pop(region)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def hold(self, region: str) -> None:
        self.processes[region].send_signal(signal.SIGSTOP)

    def end(self) -> None:
        self.deployments.over.set()
        for item in self.opened:
            item.close()
        for region in list(self.processes):
            self.processes[region].send_signal(signal.SIGCONT)
            self.kill(region)

    def registry(self, region: str) -> Registry:
        """As ``dr`` itself talks to it."""
        made = Registry(
            f"the registry of {region}", self.url(region), None, lambda: Login("dr", PASSWORD), self.clock.monotonic, timeout=10,
            connections=4,
        )  # fmt: skip
        self.opened.append(made)
        return made

    def url(self, region: str) -> str:
        return f"http://{ADDRESS[region]}:{self.port}"

    def push(self, region: str, *images: Image, repository: str = REPOSITORY, tag: str | None = None) -> None:
        """As a build does."""
        registry = self.registry(region)
        for image in images:
            for blob in image.blobs:
                described = oci.Descriptor(blob.media_type, blob.digest, len(blob.data))
                registry.upload(registry.begin(repository), described, iter((blob.data,)))
            for content in image.manifests:
                registry.put_manifest(repository, content.digest, manifest(content))
            registry.put_manifest(repository, tag or image.tag, manifest(image.manifests[-1]))

    def holds(self, region: str, image: Image, repository: str = REPOSITORY) -> bool:
        """All manifests and blobs of an image are there, byte for byte."""
        registry = self.registry(region)
        found = [registry.manifest(repository, content.digest) for content in image.manifests]
        same = [item is not None and item.data == content.data for item, content in zip(found, image.manifests, strict=True)]
        return all(same) and all(
            registry.has_blob(repository, blob.digest) and registry.blob(repository, blob.digest) == blob.data for blob in image.blobs
        )

    def stored(self, region: str, digest: str) -> Path:
        """Where a registry keeps content: for tests that spoil it."""
        value = digest.removeprefix("sha256:")
        return self.base / region / "store/docker/registry/v2/blobs/sha256" / value[:2] / value / "data"

    def kind(self, *, peers: Mapping[str, object] | None = None, **changes: object) -> OciRegistry:
        credentials = {"username": "dr", "password": {"env": "REGISTRY"}}
        settings: dict[str, object] = {
            "deployments": "deployments", "repository": REPOSITORY, "pull_secrets": {"folder": "secrets"}, "source_timeout": "10s",
            "regions": {region: {"url": self.url(region), "credentials": credentials} for region in ADDRESS},
            **changes,
        }  # fmt: skip
        site = Site(
            runbook="test", regions={region: Region() for region in ADDRESS}, hosts={}, clock=self.clock, secrets=self.secrets,
            samples=self.samples, artefacts=self.base / "artefacts", base=self.base,  # type: ignore[arg-type]
            peers={"deployments": self.deployments, **(peers or {})},  # type: ignore[dict-item]
        )  # fmt: skip
        made = OciRegistry("images", OciRegistry.Config.model_validate(settings), (), site)
        self.opened.append(made)
        return made

    def accept(self) -> None:
        """A person accepted what the guard refuses."""
        now = datetime.now(UTC)
        self.acceptances = (Acceptance(guard=Guard.PREREQUISITES, actor="test", reason="known", at=now),)

    def perform(self, step: Step, intent: Intent, source: str, target: str) -> Seen:
        """One attempt of one step, as the engine does it."""
        context = AttemptContext(
            run_id="run-1", step=step.spec, intent=intent, source=source, target=target, number=1, key="key", epoch=1, actor="test",
            clock=self.clock, deadline=self.clock.monotonic() + 20, acceptances=self.acceptances,
        )  # fmt: skip
        self.acted = False
        seen = step.operation.observe(context)
        found = list(seen.evidence)
        if seen.look is Look.NEEDED:
            self.acted = True
            found += step.operation.act(context)
            context = replace(context, evidence=tuple(found))
            seen = step.operation.verify(context)
            while seen.look is Look.NEEDED and self.clock.monotonic() < context.deadline:
                time.sleep(0.01)
                seen = step.operation.verify(context)
            found += seen.evidence
        self.evidence += found
        return seen

    def step(self, verb: str, intent: Intent = Intent.FAILOVER, source: str = "east", target: str = "west", **settings: object) -> Seen:
        """One step of the chain by its verb, of a kind of its own."""
        self.evidence = []
        chain = self.kind(peers=None, **settings).steps(intent, source, target)
        return self.perform(next(step for step in chain if step.spec.verb == verb), intent, source, target)

    @property
    def account_of(self) -> Accounted:
        """What the last step found."""
        return next(item for item in reversed(self.evidence) if isinstance(item, Accounted))


def manifest(content: Content) -> oci.Manifest:
    """As the client writes it."""
    return oci.Manifest(content.digest, content.media_type, content.data)


def pull_secret(username: str, password: str, name: str = "pull-d-001") -> dict[str, str]:
    """The file of a pull secret."""
    return {f"secrets/{name}.json": json.dumps({"username": username, "password": password, "registry": "registry.test"})}


def facts(findings: Sequence[object], severity: str) -> list[str]:
    """The facts of findings of a severity."""
    return [item.fact for item in findings if getattr(item, "severity", None) == severity]  # type: ignore[attr-defined]
