"""Physical replication slots: they do not follow a promotion, so the new primary makes its own and the old one drops what it had."""

from __future__ import annotations

from dr.model.evidence import Evidence, Note
from dr.providers.selfhosted.postgres.connect import Connections

_DUPLICATE = "42710"
_STATUS = "SELECT coalesce(wal_status, ''), active FROM pg_replication_slots WHERE slot_name = %(name)s"
_CREATE = "SELECT pg_create_physical_replication_slot(%(name)s, true)"
_DROP = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %(name)s AND NOT active"


def ensure_slot(connections: Connections, region: str, name: str) -> tuple[Evidence, ...]:
    """Makes the slot in a region where it is missing or lost its log; it keeps the log from now on. Works on a secondary, too.

    A server that refuses is a note: the log may be recycled before the follower is back, nothing else breaks.

    Raises:
        NotServed, EffectUnknown: as ``Connections.rows``.
    """
    found = connections.rows(region, _STATUS, {"name": name})
    if found and (found[0][0] != "lost" or found[0][1]):
        return ()
    if found:
        drop_slot(connections, region, name)
    answer = connections.ask(region, _CREATE, {"name": name}, effect=True)
    if answer.refused in ("", _DUPLICATE):
        return ()
    return (Note(text=f"slot {name} in {region} was not made: {answer.message}; the other region may need a new copy"),)


def drop_slot(connections: Connections, region: str, name: str) -> tuple[Evidence, ...]:
    """Drops a slot that nobody uses: on a secondary it would keep the log for ever.

    Raises:
        NotServed, EffectUnknown: as ``Connections.rows``.
    """
    answer = connections.ask(region, _DROP, {"name": name}, effect=True)
    if not answer.refused:
        return ()
    return (Note(text=f"slot {name} in {region} was not dropped: {answer.message}; it keeps the log there"),)
