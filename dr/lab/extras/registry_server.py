"""The image registry (distribution 2.8, Debian's ``docker-registry``) of one region: TLS of the lab's authority, basic authentication.

It is downloaded and unpacked into the cache, never installed: the package would start a daemon on port 5000.
"""

from __future__ import annotations

import secrets
import shutil
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from dr.errors import LabError
from dr.lab import credentials, fetch, parts
from dr.lab.account import Account, give, own, reaches
from dr.lab.extras.bcrypt import hashed
from dr.lab.layout import REGISTRY_PORT, Layout, RegionLayout
from dr.lab.parts import FIX_COMMAND, Part
from dr.lab.servers import Servers
from dr.providers.selfhosted.oci.access import Login
from dr.providers.selfhosted.oci.wire import Registry

PORT = REGISTRY_PORT
SERVER = "registry"
FOLDER = "docker-registry"
WITHOUT_APT = "install the program docker-registry (distribution 2.8) with this system's package manager"
_READY_SECONDS = 30.0
_POLL_SECONDS = 0.02
_CONNECTIONS = 8

_COLLECTING = {"GOGC": "400", "GOMEMLIMIT": "60MiB"}
"""A third less CPU for each request than with Go's defaults, for 11 MiB more (measured)."""

# for registries of tests, too; without purging of uploads: it walks the whole store every start
STORING = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}/store}}
  delete: {{enabled: true}}
  maintenance: {{uploadpurging: {{enabled: false}}}}
"""

_CONF = STORING + """\
http:
  addr: {address}:{port}
  secret: {secret}
  tls: {{certificate: {folder}/tls.pem, key: {folder}/tls.pem}}
auth:
  htpasswd: {{realm: dr-lab, path: {folder}/htpasswd}}
"""


def find(account: Account | None) -> Path | None:
    """The program: of the cache, else the system's; None where there is none that the account can reach."""
    program = parts.cache() / FOLDER / "usr" / "bin" / "docker-registry"
    if program.exists() and reaches(program, account):
        return program
    system = shutil.which("docker-registry")
    return Path(system) if system and reaches(Path(system), account) else None


def part(account: Account | None) -> Part:
    """The program as ``dr lab doctor`` shows it."""
    program = find(account)
    if program is None:
        apt = shutil.which("apt-get") and shutil.which("dpkg-deb")
        return Part("docker-registry", False, "not found", "", FIX_COMMAND if apt else WITHOUT_APT)
    try:
        return Part("docker-registry", True, str(program), parts.run_version([str(program), "--version"], ""), "")
    except LabError as error:
        return Part("docker-registry", False, error.message, "", FIX_COMMAND)


def download(place: Path, say: Callable[[str], None]) -> None:
    """Gets it into the cache. Raises LabError."""
    say(f"downloading the image registry to {place} (apt-get download, no root, nothing is installed)")
    fetch.debian(
        place, FOLDER, "docker-registry", "the image registry",
        lambda root: parts.run_version([str(root / "usr/bin/docker-registry"), "--version"], fetch.library_path(root)), say, WITHOUT_APT,
    )  # fmt: skip


@dataclass(frozen=True)
class RegistryServer:
    """One region's registry."""

    servers: Servers
    region: RegionLayout

    @property
    def folder(self) -> Path:
        """Everything of it: configuration, users, certificate, store, log."""
        return self.region.folder_of(SERVER)

    def configure(self, users: Mapping[str, str]) -> None:
        """Writes what it needs, once the region's certificate is there. ``users``: name → bcrypt hash. Raises LabError."""
        account = self.servers.account
        own(self.folder, account)
        own(self.folder / "store", account)
        conf = _CONF.format(folder=self.folder, address=self.region.address, port=PORT, secret=secrets.token_urlsafe(24))
        files = {
            "config.yml": conf, "htpasswd": "".join(f"{name}:{value}\n" for name, value in users.items()),
            "tls.pem": self._certificate(),
        }  # fmt: skip
        for name, content in files.items():
            credentials.write_private(self.folder / name, content)
            give(self.folder / name, account)

    def start(self) -> None:
        """Starts it where it does not run, and waits until it listens. Raises LabError."""
        program = find(self.servers.account)
        if program is None:
            raise LabError("docker-registry is missing", hint=FIX_COMMAND)
        argv = [str(program), "serve", str(self.folder / "config.yml")]
        self.servers.launch(SERVER, self.region, argv, folder=self.folder, variables=_COLLECTING)
        self.servers.wait_listening(SERVER, self.region, [(self.region.address, PORT)], self.folder / "log")

    def client(self) -> Registry:
        """As ``dr`` itself talks to it; close it."""
        layout = self.servers.layout
        login = Login(credentials.REGISTRY_USER, credentials.read_secret(layout, credentials.REGISTRY))
        return Registry(
            f"the registry of {self.region.name}", self.url, layout.authority, lambda: login, self.servers.clock.monotonic,
            timeout=10, connections=_CONNECTIONS,
        )  # fmt: skip

    def delete(self, repository: str, digest: str) -> None:
        """Deletes a manifest, and with it the tags that name it. Raises LabError."""
        layout = self.servers.layout
        context = ssl.create_default_context(cafile=str(layout.authority))
        user = (credentials.REGISTRY_USER, credentials.read_secret(layout, credentials.REGISTRY))
        try:
            answer = httpx.delete(f"{self.url}/v2/{repository}/manifests/{digest}", auth=user, verify=context, trust_env=False, timeout=10)
        except httpx.RequestError as error:
            raise LabError(f"the registry of {self.region.name} does not answer: {type(error).__name__}", hint="dr lab status") from None
        if answer.status_code not in (202, 404):
            raise LabError(f"the registry of {self.region.name} does not delete {digest}: HTTP {answer.status_code}", hint="dr lab status")

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"https://{self.region.address}:{PORT}"

    def _certificate(self) -> str:
        """The region's own, as soon as the lab's authority has issued it."""
        path, clock = self.region.tls / f"{self.region.address}.pem", self.servers.clock
        deadline = clock.monotonic() + _READY_SECONDS
        while not path.exists():
            if clock.monotonic() > deadline:
                raise LabError(f"{path} was not issued in time", hint="dr lab down, then dr lab up")
            clock.sleep(_POLL_SECONDS)
        return path.read_text(encoding="utf-8")


def users(layout: Layout) -> dict[str, str]:
    """Who may use the registries: ``dr`` and every Deployment, with bcrypt hashes of their passwords. Raises LabError."""
    passwords = {credentials.REGISTRY_USER: credentials.read_secret(layout, credentials.REGISTRY)}
    passwords |= {item["username"]: item["password"] for item in credentials.read_pull_secrets(layout).values()}
    return {name: hashed(password) for name, password in passwords.items()}
