"""The hash chain of one run, pure: which records follow from an end, and the first one that does not. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from dr.model.events import GENESIS, Event, Record, chain_hash, encode

R = TypeVar("R", bound=Record)


class End(NamedTuple):
    """Where a chain ends, or is known to be whole up to: the last record's seq and hash."""

    seq: int
    hash: str


START = End(0, GENESIS)


class Break(NamedTuple):
    """The first place where a chain does not hold: the record's seq and what is wrong with it, to be put after "record N"."""

    seq: int
    what: str


def chain(run_id: str, end: End, events: Sequence[tuple[datetime, Event]]) -> list[Record]:
    """The events as the records that follow ``end``.

    Raises:
        ValueError: a moment without a zone.
    """
    return chain_of(Record, run_id, end, events)


def chain_of(kept_as: type[R], run_id: str, end: End, events: Sequence[tuple[datetime, Event]]) -> list[R]:
    """The same, as records of a store's own class.

    Raises:
        ValueError: a moment without a zone.
    """
    seq, head = end
    records = []
    stamped, at = None, ""
    for moment, event in events:
        seq += 1
        if moment is not stamped:  # a batch often shares one moment, and a stamp costs as much as a hash
            stamped, at = moment, stamp(moment)
        body = encode(event)
        head = chain_hash(head, run_id, seq, at, body)
        records.append(kept_as(run_id, seq, at, body, head))
    return records


def stamp(moment: datetime) -> str:
    """A moment as ``Record.at`` has it: UTC, ISO 8601 with microseconds.

    Raises:
        ValueError: it has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"a journaled moment needs a zone: {moment!r}")
    return (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).isoformat(timespec="microseconds")


def first_break(start: End, rows: Sequence[Record], end: End) -> Break | None:
    """Where ``rows`` stop following from ``start``, or do not end at ``end``; None where all holds."""
    seq, head = start
    for row in rows:
        if row.seq != seq + 1:
            return Break(seq + 1, f"is missing (the next one there is {row.seq})")
        if row.hash != chain_hash(head, row.run_id, row.seq, row.at, row.body):
            return Break(row.seq, "was changed, or is not in its place")
        seq, head = row.seq, row.hash
    if seq < end.seq:
        return Break(seq + 1, f"is missing (the run has {end.seq})")
    if (seq, head) != end:
        return Break(seq, f"is not the one that the run ends with (record {end.seq})")
    return None
