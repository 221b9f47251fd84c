"""What two buckets hold, and how that differs. ``compare`` is pure.

Replicas have the version id of their original, so the same version id means the same content; what was brought over otherwise is compared
by ETag and size. Versioning keeps what another version is put on top of: nothing that is found here is ever overwritten for good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dr.errors import Transient
from dr.providers.aws.hub import Aws
from dr.providers.aws.place import Place
from dr.providers.aws.s3.calls import VERSIONS


@dataclass(frozen=True, slots=True)
class Version:
    """The newest version of a key. deleted: it is a delete marker."""

    key: str
    version: str
    etag: str
    size: int
    modified: datetime
    deleted: bool = False


@dataclass(frozen=True)
class Difference:
    """The old side against the side that leads.

    only_old: live there, and the leading side never had the key. to_old: live on the leading side, and the old one has none, or an older
    one. conflicts: newer on the old side than on the leading one: left alone. The last two may have a version on the old side that the
    leading one lacks: ``only_there``.
    """

    checked: int = 0
    only_old: tuple[Version, ...] = ()
    to_old: tuple[Version, ...] = ()
    conflicts: tuple[Version, ...] = ()
    only_there: tuple[Version, ...] = field(default=())

    @property
    def equal(self) -> bool:
        """There is nothing to bring over."""
        return not self.only_old and not self.to_old


def newest(aws: Aws, place: Place, bucket: str, most: int, give_up: Callable[[], bool]) -> dict[str, Version] | None:
    """The newest version of each key; None: there are more than ``most`` keys. A page is 1,000 versions.

    Raises:
        StepError: as ``Aws.pages``; Transient where it was given up.
    """
    found: dict[str, Version] = {}
    for page in aws.pages(place, VERSIONS, Bucket=bucket):
        if give_up():
            raise Transient(f"{bucket} in {place}: listed {len(found)} keys, and the time is over")
        live = [(item, False) for item in page.get("Versions", ())] + [(item, True) for item in page.get("DeleteMarkers", ())]
        for item, deleted in live:
            if item["IsLatest"]:
                key, version = item["Key"], str(item.get("VersionId", "null"))
                tag, size = str(item.get("ETag", "")), int(item.get("Size", 0))
                found[key] = Version(key, version, tag, size, item["LastModified"], deleted)
        if len(found) > most:
            return None
    return found


def compare(old: Mapping[str, Version], leading: Mapping[str, Version], ours: str) -> Difference:
    """What the old side has and lacks. ``ours``: prefix of keys that do not count."""
    keys = sorted(key for key in old.keys() | leading.keys() if not key.startswith(ours))
    only_old: list[Version] = []
    to_old: list[Version] = []
    conflicts: list[Version] = []
    only_there: list[Version] = []
    for key in keys:
        there, here = old.get(key), leading.get(key)
        if _same(there, here):
            continue
        if there is not None and not there.deleted:
            only_there.append(there)
        if here is None:
            only_old += [there] if there is not None and not there.deleted else []
        elif there is not None and there.modified > here.modified:
            conflicts.append(there)
        elif not here.deleted:
            to_old.append(here)
    return Difference(len(keys), tuple(only_old), tuple(to_old), tuple(conflicts), tuple(only_there))


def _same(one: Version | None, other: Version | None) -> bool:
    if one is None or other is None:
        there = one if other is None else other
        return there is None or there.deleted
    if one.deleted or other.deleted:
        return one.deleted and other.deleted
    return one.version == other.version != "null" or (one.etag, one.size) == (other.etag, other.size)


def names(items: Sequence[Version], most: int) -> tuple[str, ...]:
    """The first keys."""
    return tuple(item.key for item in items[:most])
