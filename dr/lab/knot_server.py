"""The authoritative name server (Knot) of one region: one zone, signed dynamic updates and transfers, a TTL of one second by default."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import dns.exception
import dns.message
import dns.query
import dns.rcode

from dr.errors import LabError
from dr.lab import credentials
from dr.lab.account import Account, give, own
from dr.lab.layout import DNS_PORT, TSIG_ALGORITHM, TSIG_NAME, TTL_SECONDS, ZONE, Layout, RegionLayout
from dr.lab.parts import Programs
from dr.ports import Clock

_POLL_SECONDS = 0.02
_READY_SECONDS = 15.0
_ANSWER_SECONDS = 0.2

# rundir is relative to the working directory: the path of its control socket must stay below 108 bytes wherever the state directory is.
# zonefile-sync 0 writes the zone file after each update; the journal in db/ keeps what was acknowledged across a SIGKILL.
_CONF = """\
server:
    listen: {address}@{port}
    rundir: "."
    udp-workers: 1
    tcp-workers: 2
    background-workers: 1
log:
  - target: stderr
    any: notice
database:
    storage: "{folder}/db"
key:
  - id: {key}
    algorithm: {algorithm}
    secret: {secret}
acl:
  - id: orchestrator
    key: {key}
    action: [update, transfer]
zone:
  - domain: {zone}
    storage: "{folder}"
    file: zone
    acl: orchestrator
    zonefile-sync: 0
    journal-max-usage: 16M
"""

_ZONE = """\
$ORIGIN {zone}.
$TTL {ttl}
@ SOA ns hostmaster 1 60 60 3600 {ttl}
@ NS ns
ns A {address}
"""


@dataclass(frozen=True)
class KnotServer:
    """One region's name server."""

    layout: Layout
    region: RegionLayout
    programs: Programs
    account: Account | None
    clock: Clock

    @property
    def argv(self) -> list[str]:
        """What runs the server in the foreground; its working directory is ``region.dns``."""
        return [str(self.programs.knotd), "-c", str(self.region.dns / "knot.conf")]

    @property
    def environment(self) -> dict[str, str]:
        """What it needs to find the libraries that came with it."""
        return {"LD_LIBRARY_PATH": self.programs.libraries} if self.programs.libraries else {}

    def configure(self, hostnames: Iterable[str], address: str, ttl: int = TTL_SECONDS) -> None:
        """Writes configuration and zone: every hostname leads to ``address`` at first, in both regions, for ``ttl`` seconds."""
        own(self.region.dns, self.account)
        own(self.region.dns / "db", self.account)  # must exist, or every update is answered SERVFAIL
        conf = _CONF.format(
            address=self.region.address, port=DNS_PORT, folder=self.region.dns, key=TSIG_NAME, algorithm=TSIG_ALGORITHM,
            secret=credentials.read_secret(self.layout, credentials.TSIG), zone=ZONE,
        )  # fmt: skip
        zone = _ZONE.format(zone=ZONE, ttl=ttl, address=self.region.address)
        zone += "".join(f"{name}. A {address}\n" for name in hostnames)
        for name, content in (("knot.conf", conf), ("zone", zone)):
            credentials.write_private(self.region.dns / name, content)
            give(self.region.dns / name, self.account)

    def wait_ready(self, alive: Callable[[], bool]) -> None:
        """Until it answers for the zone. Raises LabError as soon as it is not ``alive`` any more, or when the time is over."""
        deadline = self.clock.monotonic() + _READY_SECONDS
        question = dns.message.make_query(f"{ZONE}.", "SOA")
        while True:
            with contextlib.suppress(dns.exception.DNSException, OSError):  # not there yet
                answer = dns.query.udp(question, self.region.address, timeout=_ANSWER_SECONDS, port=DNS_PORT)
                if answer.rcode() == dns.rcode.NOERROR and answer.answer:
                    return
            if self.clock.monotonic() > deadline or not alive():
                raise LabError(
                    f"Knot of {self.region.name} does not answer on {self.region.address}:{DNS_PORT}", hint=f"see {self.region.dns / 'log'}"
                )
            self.clock.sleep(_POLL_SECONDS)
