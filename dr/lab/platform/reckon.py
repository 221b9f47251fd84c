"""What follows from the outside client's ledger. Pure.

* **Outage of a name**: the longest gap between two successive acknowledged writes in which at least one attempt failed, planned moves
  included. What failed before the first acknowledged write does not count: the name was not up yet. A name that never failed had no
  outage: its gaps are the client's own rhythm. A name whose newest attempts failed has not come back: its outage has no end, and
  neither has the platform's.
* **Lost**: acknowledged, and not among the writes that its Deployment lists now. Where a Deployment does not answer, its writes are
  neither there nor lost: they are counted as unconfirmed.
* **Loss window**: replication loses the newest writes of the region that acknowledged them. So, for each database and region: from the
  last acknowledged write that is there to the last one of the lost that follow it; the longest of these.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from dr.lab.platform.config import Served
from dr.lab.platform.record import Attempt, Poll
from dr.model.truth import HostnameTruth, Truth


def reckon(
    written: Sequence[Attempt],
    polled: Sequence[Poll],
    deployments: Sequence[Served],
    present: Mapping[str, Collection[str] | None],
    *,
    preserved: Mapping[str, Collection[str]] | None = None,
    ledger_path: str,
    ledger_sha256: str,
) -> Truth:
    """The truth, from data alone.

    Args:
        written: the client's ledger.
        polled: the agent's ledger.
        deployments: which names belong together.
        present: for each Deployment's id, the ids that it lists now; None where it does not answer.
        preserved: the ids that stand in what was preserved of an old primary, likewise; None where nothing was.
        ledger_path: where the ledger is.
        ledger_sha256: its digest.
    """
    by_name: dict[str, list[Attempt]] = {name: [] for served in deployments for name in served.hostnames}
    for attempt in sorted(written, key=lambda item: item.sent_at):
        by_name.setdefault(attempt.hostname, []).append(attempt)
    names = tuple(outage_of(name, items) for name, items in by_name.items())
    lost, kept, unconfirmed, window = 0, 0, 0, timedelta(0)
    for served in deployments:
        acknowledged = [item for name in served.hostnames for item in by_name[name] if item.acknowledged_at is not None]
        there = present.get(served.id)
        if there is None:
            unconfirmed += len(acknowledged)
            continue
        held = frozenset(there)
        missing = {item.id for item in acknowledged if item.id not in held}
        lost += len(missing)
        kept += len(missing.intersection(preserved.get(served.id, ()))) if preserved is not None else 0
        window = max(window, loss_window(acknowledged, held))
    gap, after = _agent(polled, names)
    return Truth(
        outage=_longest(names, _length),
        outage_at_least=_longest(names, lambda gap: timedelta(seconds=gap.at_least_seconds or 0.0)),
        acknowledged_writes=sum(item.acknowledged_at is not None for item in written),
        lost_writes=lost,
        unconfirmed_writes=unconfirmed,
        preserved_writes=None if preserved is None else kept,
        loss_window=window,
        hostnames=names,
        agent_polls_after=after,
        agent_gap=gap,
        served_by={name: region for name, items in by_name.items() if (region := _server(items)) is not None},
        ledger_path=ledger_path,
        ledger_sha256=ledger_sha256,
    )


def outage_of(hostname: str, tried: Sequence[Attempt]) -> HostnameTruth:
    """The longest outage of one name. ``tried`` in the order of sending.

    Never failed: only ``last_ok``, the newest acknowledged write. Not come back: no ``first_ok_after``.
    """
    gaps: list[HostnameTruth] = []
    last_ok: datetime | None = None
    first_fail: datetime | None = None
    for attempt in tried:
        if attempt.acknowledged_at is None:
            first_fail = first_fail or attempt.sent_at
            continue
        if first_fail is not None and last_ok is not None:  # before its first acknowledged write a name was not up yet
            gaps.append(HostnameTruth(hostname=hostname, last_ok=last_ok, first_fail=first_fail, first_ok_after=attempt.acknowledged_at))
        last_ok, first_fail = attempt.acknowledged_at, None
    if first_fail is not None or not gaps:
        return HostnameTruth(hostname=hostname, last_ok=last_ok, first_fail=first_fail, first_ok_after=None)
    return max(gaps, key=_length)


def _length(gap: HostnameTruth) -> timedelta:
    """How long an ended outage was."""
    return timedelta(seconds=gap.outage_seconds or 0.0)


def _longest(names: Iterable[HostnameTruth], length: Callable[[HostnameTruth], timedelta]) -> timedelta | None:
    """The platform's outage: zero where no attempt ever failed, None where a name has not come back."""
    failed = [name for name in names if name.first_fail is not None]
    if any(name.first_ok_after is None for name in failed):
        return None
    return max((length(name) for name in failed), default=timedelta(0))


def loss_window(acknowledged: Iterable[Attempt], there: Collection[str]) -> timedelta:
    """How much time the lost writes of one database cover, worst of all regions that acknowledged any.

    Where nothing that is there came before, it begins when the first lost write was sent.
    """
    by_region: dict[str | None, list[Attempt]] = {}
    for attempt in sorted(acknowledged, key=_acknowledged_at):
        by_region.setdefault(attempt.region, []).append(attempt)
    return max((window for items in by_region.values() for window in _windows(items, there)), default=timedelta(0))


def _windows(items: Sequence[Attempt], there: Collection[str]) -> Iterator[timedelta]:
    begin: datetime | None = None
    for attempt in items:
        if attempt.id in there:
            begin = _acknowledged_at(attempt)
        else:
            begin = begin or attempt.sent_at
            yield _acknowledged_at(attempt) - begin


def _acknowledged_at(attempt: Attempt) -> datetime:
    assert attempt.acknowledged_at is not None
    return attempt.acknowledged_at


def _server(items: Sequence[Attempt]) -> str | None:
    acknowledged = [item for item in items if item.acknowledged_at is not None]
    return max(acknowledged, key=_acknowledged_at).region if acknowledged else None


def _agent(polled: Sequence[Poll], names: Sequence[HostnameTruth]) -> tuple[timedelta | None, int]:
    """The longest time between two of the agent's polls, and how many came after the last name was back (all, where none had failed)."""
    gap = max((later.at - earlier.at for earlier, later in pairwise(polled)), default=None)
    failed = [name for name in names if name.first_fail is not None]
    ends = [name.first_ok_after for name in failed if name.first_ok_after is not None]
    if len(ends) < len(failed):
        return gap, 0
    return gap, sum(not ends or poll.at > max(ends) for poll in polled)
