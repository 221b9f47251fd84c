"""Is there a certificate for every hostname, and how long is it good for? Decides from dates; reading files is the only I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dr.model.base import show_duration


@dataclass(frozen=True)
class Flaw:
    """What is wrong with one hostname's certificate. ``usable``: it still works, but not for long."""

    hostname: str
    region: str
    fact: str
    usable: bool

    @property
    def fix(self) -> str:
        """What to do."""
        return f"install a new certificate for {self.hostname} in {self.region}"

    def __str__(self) -> str:
        return f"{self.hostname}: {self.fact} in {self.region}"


def judge(hostname: str, region: str, until: datetime | None, now: datetime, margin: timedelta) -> Flaw | None:
    """None for a certificate that is there and good for longer than the margin. ``until`` None: there is none."""
    if until is None:
        return Flaw(hostname, region, "no certificate", usable=False)
    if until <= now:
        return Flaw(hostname, region, f"certificate expired on {until:%Y-%m-%d %H:%M} UTC", usable=False)
    if until - now < margin:
        return Flaw(hostname, region, f"certificate expires in {show_duration(until - now)}", usable=True)
    return None


def flaws(directory: Path, hostnames: Iterable[str], region: str, now: datetime, margin: timedelta) -> tuple[Flaw, ...]:
    """The flaws of all hostnames' ``<hostname>.pem`` in a directory, in their order. A file that cannot be read is a flaw."""
    found: list[Flaw] = []
    for hostname in hostnames:
        try:
            flaw = judge(hostname, region, _until(directory / f"{hostname}.pem", hostname), now, margin)
        except FileNotFoundError:
            flaw = judge(hostname, region, None, now, margin)
        except OSError as error:
            flaw = Flaw(hostname, region, f"certificate cannot be read: {error.strerror}", usable=False)
        except ValueError as error:
            flaw = Flaw(hostname, region, str(error), usable=False)
        if flaw is not None:
            found.append(flaw)
    return tuple(found)


def _until(path: Path, hostname: str) -> datetime:
    from cryptography import x509  # 70 ms: only where certificates are looked at

    data = path.read_bytes()
    start = data.find(b"-----BEGIN CERTIFICATE-----")  # the file may begin with the key
    try:
        certificate = x509.load_pem_x509_certificate(data[max(start, 0) :])
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except (ValueError, x509.ExtensionNotFound) as error:
        raise ValueError(f"{path.name} holds no certificate with names") from error
    wildcard = "*." + hostname.partition(".")[2]
    if hostname not in names and wildcard not in names:
        raise ValueError(f"{path.name} is a certificate for other names")
    return certificate.not_valid_after_utc
