"""The key of digests, the same on all machines: what one machine kept of a secret must be comparable with what another one reads."""

from __future__ import annotations

from typing import Final

from dr.errors import StateUnreadable
from dr.ports.table import Table, Write

PLACE: Final = ("key", "digest")


def agreed(table: Table, own: bytes) -> bytes:
    """The key in the table; where none is there yet, this machine's own, from now on for all. Of two that come first, one is taken.

    Who may read the table may try guesses at what digests were made of, as who may read a state directory.

    Raises:
        StateUnreadable, StateLost: the table cannot be read, or written; or what lies there is no key.
    """
    row = table.get(*PLACE)
    if row is None:
        table.write([Write(*PLACE, {"body": own})])
        row = table.get(*PLACE)
    key = None if row is None else row["body"]
    if not isinstance(key, bytes) or len(key) != len(own):
        hint = "delete the row: digests that were made with it can then not be compared any more"
        raise StateUnreadable(f"{table.where}: the digest key was cut or changed", hint=hint)
    return key
