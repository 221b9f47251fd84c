"""The duties of an extra part of the lab: logs, images, secrets, alerts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from dr.lab.account import Account
from dr.lab.layout import RegionLayout
from dr.lab.parts import Part
from dr.lab.servers import Servers
from dr.model.scenario import Workload

Say = Callable[[str], None]


class Extra(Protocol):
    """One part. Stateless: everything is on disk or in the arguments. Servers listen on their region's address only."""

    name: ClassVar[str]
    """As in ``workload.parts``."""
    servers: ClassVar[tuple[str, ...]]
    """Names of its servers in each region, in the order in which they start; faults name them."""
    outside: ClassVar[tuple[str, ...]]
    """Names of its servers that run outside both regions (a replication between them); faults name them without a region."""
    spoils: ClassVar[tuple[str, ...]]
    """What ``spoil`` knows."""
    ports: ClassVar[tuple[int, ...]]
    """TCP ports on each region's address; below 32768."""

    def doctor(self, account: Account | None) -> Sequence[Part]:
        """What it needs on this machine, found or missing. Reads only."""

    def fix(self, place: Path, account: Account | None, say: Say) -> None:
        """Gets into the cache ``place`` what is missing, without root. Raises LabError with the command to try by hand."""

    def start(self, servers: Servers, workload: Workload, say: Say) -> None:
        """Starts and seeds both regions; returns when it is in use as on a healthy platform. Begins at once: it may wait for nothing
        else of the lab but the certificates and secrets. Raises LabError."""

    def start_server(self, servers: Servers, region: RegionLayout | None, server: str) -> None:
        """Starts one server where it does not run (``bring_back``) and waits until it answers. Raises LabError."""

    def spoil(self, servers: Servers, region: RegionLayout, what: str) -> None:
        """Makes the region's contents wrong as ``what`` (one of ``spoils``) says; returns when they are. Raises LabError."""
