"""The lab as the world of a drill (``ports.World``): started for it, broken by it, judged from outside, ended with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from dr.errors import Refused
from dr.lab import ending, preserved
from dr.lab.extras import logs
from dr.lab.lab import Lab
from dr.lab.layout import REGIONS, ZONE
from dr.lab.platform import ledger
from dr.lab.platform.config import ClientConfig, read_config
from dr.model.base import Json
from dr.model.runbook import Runbook
from dr.model.scenario import Fault, Workload
from dr.model.truth import CleanUp, Truth

_LOOK_SECONDS = 0.05


class LabWorld:
    """Two regions of real servers. Ends only what it started: a lab that a person keeps makes ``up`` refuse, and stays."""

    name: ClassVar[str] = "lab"

    def __init__(self, lab: Lab, say: Callable[[str], None] = lambda _text: None) -> None:
        self._lab, self._say = lab, say
        self._started = False

    def own(self, runbook: Runbook) -> None:
        """Refuses a runbook that reaches beyond the lab (I12): a drill must not move somebody's platform because a path was mistyped.

        Raises:
            Refused: a region's hosts are reached by something else than the lab's own script, or an address is not on this machine.
        """
        ours = {self._lab.layout.region(name).exec.resolve() for name in REGIONS}
        base = Path(runbook.base)
        for name, region in runbook.regions.items():
            if region.host is not None and (base / region.host.exec[0]).resolve() not in ours:
                raise self._beyond(runbook, f"regions.{name}.host", region.host.exec[0])
        for name, component in runbook.components.items():
            for text in _strings(component.config.model_dump(mode="json")):
                address = _address(text)
                if _is_named_here(text):
                    continue
                if ("://" in text and address is None) or (address is not None and not address.is_loopback):
                    raise self._beyond(runbook, f"components.{name}", text)

    def _beyond(self, runbook: Runbook, where: str, what: str) -> Refused:
        return Refused(
            f"{runbook.path}: {where}: {what} is not of the lab; a drill in the lab touches nothing else",
            hint="name a runbook of the lab in the scenario, such as runbooks/lab.yaml",
        )

    def up(self, workload: Workload) -> None:
        """Starts everything, seeds the workload, waits until both regions and the outside client are healthy.

        Raises:
            LabError: a part is missing or did not start.
            Refused: a lab is running already.
        """
        self._lab.up(workload, self._say, owned=True)
        self._started = True

    def inject(self, fault: Fault) -> datetime:
        """Makes one fault happen; returns when it took hold. Raises LabError."""
        return self._lab.inject(fault)

    def settle(self, timeout: timedelta) -> None:
        """Waits until every name has accepted a write that was sent after now, or the time is over."""
        clock, config = self._lab.clock, self._client()
        since, deadline = clock.now(), clock.monotonic() + timeout.total_seconds()
        while not ledger.settled(config, self._lab.layout.agent_ledger, since) and clock.monotonic() < deadline:
            clock.sleep(_LOOK_SECONDS)

    def truth(self) -> Truth:
        """What the outside client saw. Ends it first: the ledger is complete then, and its digest final."""
        outside = [record for name in ("client", "agent", logs.WRITER) for record in self._lab.records.all(server=name)]
        ending.end(outside, [], self._lab.clock)
        client = self._client()
        seen = ledger.truth(client, self._lab.layout.agent_ledger, preserved.writes(self._lab.servers(), client.deployments))
        if not self._lab.records.all(server=logs.WRITER):
            return seen
        shipped = logs.truth(self._lab.layout)
        lost = shipped.lost or ()
        count = None if shipped.lost is None else len(lost)
        return seen.model_copy(
            update={"acknowledged_objects": shipped.acknowledged, "lost_objects": count, "lost_object_names": lost}
        )

    def down(self) -> CleanUp:
        """Ends everything that ``up`` started; names what it could not. Repeatable."""
        if not self._started:
            return CleanUp()
        left = self._lab.down()
        self._started = not left.ok
        return left

    def _client(self) -> ClientConfig:
        return read_config(self._lab.layout.client_config, ClientConfig)


def _strings(value: Json) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _is_named_here(text: str) -> bool:
    """A URL with a name of the lab's own zone: nobody but the lab's name servers leads it anywhere (RFC 6761 reserves ``test``)."""
    if "://" not in text:
        return False
    try:
        name = urlsplit(text).hostname or ""
    except ValueError:
        return False
    return name.endswith(f".{ZONE}")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a text is, or that a URL leads to."""
    try:
        return ip_address(urlsplit(text).hostname or "" if "://" in text else text)
    except ValueError:
        return None
