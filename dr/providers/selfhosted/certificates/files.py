"""The certificates of many hostnames in a folder: which of them are flawed. The only I/O is reading the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

from dr.providers.selfhosted.certificates.judge import Flaw, flaw
from dr.providers.selfhosted.certificates.read import Certificates, Place


def in_folder(directory: Path) -> Callable[[str], Place]:
    """The usual place: ``<hostname>.pem`` with certificate and key."""
    return lambda hostname: Place(directory / f"{hostname}.pem")


def flaws(
    certificates: Certificates, place: Callable[[str], Place], hostnames: Iterable[str], region: str, now: datetime, margin: timedelta,
    *, key_wanted: bool = False,
) -> tuple[Flaw, ...]:  # fmt: skip
    """The flaws of all hostnames' files, in their order. A file that cannot be read is a flaw.

    Args:
        margin: a certificate that is not valid for so long any more is a flaw, a usable one.
        key_wanted: a certificate without its key is a flaw.
    """
    found = (_flaw(certificates, place, hostname, region, now, margin, key_wanted=key_wanted) for hostname in hostnames)
    return tuple(item for item in found if item is not None)


def _flaw(
    certificates: Certificates, place: Callable[[str], Place], hostname: str, region: str, now: datetime, margin: timedelta,
    *, key_wanted: bool,
) -> Flaw | None:  # fmt: skip
    try:
        return flaw(hostname, region, certificates.read(place(hostname)), now, margin, key_wanted=key_wanted)
    except FileNotFoundError:
        return flaw(hostname, region, None, now, margin)
    except OSError as error:
        return Flaw(hostname, region, f"certificate cannot be read: {error.strerror}", usable=False)
    except ValueError as error:
        return Flaw(hostname, region, str(error), usable=False)
