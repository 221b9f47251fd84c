"""Our own objects in a bucket: who is primary, heartbeats, checks. Names and contents only. Pure.

A store has no notion of a primary: it takes writes in both regions. So each move leaves an object ``primary/EPOCH-REGION``; the greatest
epoch counts. Such an object is made once and never changed: in whatever order a replication brings them, late or twice, the newest
epoch is the newest epoch (I5, I17).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from dr.providers.selfhosted.s3.objects import Item

_MARKER = re.compile(r"primary/(\d{10})-([a-z][a-z0-9-]{0,62})$")


@dataclass(frozen=True, order=True)
class Marker:
    """``region`` is primary since ``at`` (by the store's clock), as of ``epoch``."""

    epoch: int
    region: str
    at: datetime


@dataclass(frozen=True)
class Keys:
    """The names of our objects below the control prefix."""

    prefix: str

    @property
    def markers(self) -> str:
        """What the keys of all markers begin with."""
        return f"{self.prefix}primary/"

    def marker(self, epoch: int, region: str) -> str:
        """The object that says who is primary; sorted by epoch."""
        return f"{self.markers}{epoch:010d}-{region}"

    def heartbeat(self, region: str) -> str:
        """The object that a region's heartbeats overwrite; each region has its own, so that two sides never write one object."""
        return f"{self.prefix}heartbeat/{region}"

    def check(self, region: str) -> str:
        """The object with which it is seen whether a region takes writes."""
        return f"{self.prefix}check/{region}"


def read_marker(item: Item) -> Marker | None:
    """A marker from its listing; None for a name that is none."""
    match = _MARKER.search(item.key)
    return Marker(int(match[1]), match[2], item.modified) if match else None


def newest(markers: Iterable[Marker]) -> Marker | None:
    """The one that counts; None where there is none, or where two regions have the same epoch: then nobody can say."""
    found = sorted(markers)
    if not found:
        return None
    regions = {marker.region for marker in found if marker.epoch == found[-1].epoch}
    return found[-1] if len(regions) == 1 else None


def marker_body(component: str, epoch: int, region: str, at: datetime, run_id: str) -> bytes:
    """What a marker holds, for people: the name alone counts."""
    said = {"schema": "dr.s3-primary/1", "component": component, "epoch": epoch, "region": region, "at": at.isoformat(), "run": run_id}
    return json.dumps(said).encode() + b"\n"


def heartbeat_body(component: str, region: str, at: datetime) -> bytes:
    """What a heartbeat holds: when it was sent."""
    said = {"schema": "dr.s3-heartbeat/1", "component": component, "region": region, "at": at.isoformat()}
    return json.dumps(said).encode() + b"\n"


def read_heartbeat(body: bytes) -> datetime | None:
    """When a heartbeat was sent; None for what is not one of ours."""
    try:
        fields = json.loads(body)
        at = datetime.fromisoformat(fields["at"])
    except (ValueError, KeyError, TypeError):
        return None
    return at if at.tzinfo is not None else None
