"""Spoils certificates of a region: what a forgotten renewal or a lost file leaves behind."""

from __future__ import annotations

from datetime import datetime, timedelta

from dr.lab.credentials import Authority
from dr.lab.layout import Layout, RegionLayout, deployments

MISSING = "certificate-missing"
EXPIRED = "certificate-expired"
SPOILS = (MISSING, EXPIRED)

VICTIM = deployments(1)[0].hostname_api
"""The one name of the region that is hit: one among many is what people overlook."""

_LONG_AGO = timedelta(days=60)


def spoil(layout: Layout, region: RegionLayout, what: str, now: datetime) -> None:
    """Makes the certificate of ``VICTIM`` in a region as ``what`` (one of ``SPOILS``) says; it is on disk when this returns.

    The runtime goes on showing what it has loaded, as real ingresses do until they are started anew: only who looks at what is there
    notices before the day.

    Raises:
        LabError: the lab has no authority.
    """
    if what == MISSING:
        (region.tls / f"{VICTIM}.pem").unlink(missing_ok=True)
    else:
        Authority.load(layout, now - _LONG_AGO).replace(region.tls, [VICTIM])
