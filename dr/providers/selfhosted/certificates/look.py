"""Looks at all certificates of one region: in its directory, at its endpoint. Bounded; the first silence of a region ends it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

from dr.errors import StepError
from dr.ports import Clock
from dr.providers.selfhosted.certificates.config import CertificatesConfig, RegionCertificates
from dr.providers.selfhosted.certificates.files import flaws
from dr.providers.selfhosted.certificates.judge import Flaw, flaw
from dr.providers.selfhosted.certificates.read import Certificates, Place


@dataclass(frozen=True)
class Looked:
    """What was found in a region. ``unasked``: why its endpoint could not be asked for all names; empty where it was, or has none."""

    checked: int
    flaws: tuple[Flaw, ...]
    unasked: str = ""

    @property
    def unusable(self) -> tuple[Flaw, ...]:
        """Those that would not work."""
        return tuple(item for item in self.flaws if not item.usable)


class Looker:
    """Both sources of all regions, for one component."""

    def __init__(self, config: CertificatesConfig, base: Path, clock: Clock) -> None:
        self._config, self._base, self._clock = config, base, clock
        self._certificates = Certificates(base / config.certificate_authority)

    def look(self, region: str, hostnames: Sequence[str], within: timedelta, *, glance: bool = False) -> Looked:
        """One look at a region. Files are always read; the endpoint is asked as far as ``within`` allows.

        Args:
            glance: the endpoint is left in peace where there are files: hundreds of handshakes for each status are a load.
        """
        where, now = self._config.regions[region], self._clock.now()
        found: list[Flaw] = []
        if where.directory is not None:
            directory = self._base / where.directory
            found += flaws(
                self._certificates, lambda hostname: self._place(directory, hostname), hostnames, region, now, self._config.min_validity,
                key_wanted=self._config.keys,
            )  # fmt: skip
        unasked = ""
        if where.address is not None and not (glance and where.directory is not None):
            served, unasked = self._served(where, where.address, region, hostnames, now, within)
            known = {item.hostname for item in found}
            found += [item for item in served if item.hostname not in known]
        return Looked(len(hostnames), tuple(found), unasked)

    def _place(self, directory: Path, hostname: str) -> Place:
        key = self._config.key_file
        return Place(
            directory / self._config.certificate_file.replace("{hostname}", hostname),
            None if key is None else directory / key.replace("{hostname}", hostname),
        )

    def _served(
        self, where: RegionCertificates, address: str, region: str, hostnames: Sequence[str], now: datetime, within: timedelta
    ) -> tuple[list[Flaw], str]:
        """The flaws of what is served, and why not all names could be asked for. The first silence ends it: the region is not there."""
        until = self._clock.monotonic() + within.total_seconds()
        silent = Event()
        reasons: list[str] = []

        def one(hostname: str) -> Flaw | None:
            left = until - self._clock.monotonic()
            if silent.is_set() or left <= 0:
                if left <= 0 and not silent.is_set():
                    reasons.append(f"{address}:{where.port}: not all names could be asked for in time")
                return None
            try:
                shown = self._certificates.served(address, where.port, hostname, min(left, 2.0))
            except StepError as error:
                reasons.append(error.message)
                silent.set()
                return None
            except ValueError as error:
                return Flaw(hostname, region, str(error), usable=False)
            return flaw(hostname, region, shown, now, self._config.min_validity)

        with ThreadPoolExecutor(min(self._config.threads, max(1, len(hostnames))), thread_name_prefix="certificates") as pool:
            found = [item for item in pool.map(one, hostnames) if item is not None]
        return found, reasons[0] if reasons else ""

