"""Lower the TTL before a planned move, wait until the old one has passed, put it back at the end.

All of it lies outside the outage: the names still lead to the source while caches forget the long answers, so that the change that comes
later is seen within the short TTL. What the TTLs were is journaled by ``prepare``, before anything is lowered: a crash in between cannot
lose it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from dr.errors import Permanent
from dr.model.base import show_duration
from dr.model.evidence import Evidence, PutBack, Temporary, TtlLowered, Ttls
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.dns.records import Change, Key, RecordSet, lowered, ttl_key, with_ttls
from dr.providers.selfhosted.dns.zone import Zone, ZoneStep

_SLICE_SECONDS = 0.05
WHAT = "ttl"


def ttls(zone: Zone, source: str) -> tuple[Ttls, ...]:
    """What both servers say of the names that lead to the source. Raises StepError: a planned move needs both."""
    found = []
    for region in zone.config.regions:
        moved = [item for item in zone.read(region).values() if item.addresses & set(zone.addresses(source))]
        found.append(Ttls(component=zone.component, region=region, before={ttl_key(item): item.ttl for item in moved}))
    return tuple(found)


def before(zone: Zone, context: AttemptContext) -> dict[str, Mapping[str, int]]:
    """The TTLs of each server as ``prepare`` found them in this run; no server where it did not look."""
    return {item.region: item.before for item in context.evidence if isinstance(item, Ttls) and item.component == zone.component}


class LowerTtl(ZoneStep):
    """At both servers: clients ask either. Undone: the TTLs that ``prepare`` found are put back.

    Args:
        back: the command that gives every record a TTL again, for the day that nobody puts it back.
    """

    def __init__(self, zone: Zone, source: str, target: str, back: Callable[[int], str]) -> None:
        super().__init__(zone, source, target)
        self._back = back

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: no record that leads to the source has a longer TTL. Where this run lowered it, the moment counts from now."""
        left = sum(len(self._wanted(self.zone.read(region))) for region in self.zone.config.regions)
        if left:
            return Seen(Look.NEEDED, f"{left} records have a longer TTL")
        return Seen(Look.DONE, evidence=self._facts(context))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One update at each server."""
        for region in self.zone.config.regions:
            self.zone.change(region, self._wanted, may_act=context.may_act)
        return self._facts(context)

    def verify(self, context: AttemptContext) -> Seen:
        """Both servers answer with the short TTL."""
        left = sum(len(self._wanted(self.zone.read(region))) for region in self.zone.config.regions)
        return Seen(Look.NEEDED, f"{left} records still have a longer TTL") if left else Seen(Look.DONE)

    def undo(self, context: AttemptContext) -> None:
        """Raises as ``Zone.change``."""
        put_back(self.zone, context)

    def _wanted(self, records: Mapping[Key, RecordSet]) -> Sequence[Change]:
        return lowered(records, self.zone.addresses(self.source), self._short())

    def _short(self) -> int:
        limit = self.zone.config.lower_ttl_to
        if limit is None:
            raise Permanent(f"{self.zone.component}: lower_ttl_to is not in the runbook")
        return round(limit.total_seconds())

    def _facts(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """What was lowered in this run; nothing where no TTL was longer to begin with."""
        longer = {
            key: ttl for known in before(self.zone, context).values() for key, ttl in known.items() if ttl > self._short()
        }  # fmt: skip
        if not longer:
            return ()
        longest, config = max(longer.values()), self.zone.config
        text = f"the TTL of {len(longer)} records of {config.zone} is lowered from {longest} s to {self._short()} s"
        component = self.zone.component
        return (
            TtlLowered(component=component, names=len(longer), at=context.clock.now(), old_ttl=timedelta(seconds=longest)),
            Temporary(component=component, region=self.source, what=WHAT, text=text, by_hand=self._back(longest)),
        )


class WaitTtl(ZoneStep):
    """Before the freeze: the old, longer TTL has passed since it was lowered, so no cache holds an answer for longer than the short one."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: nothing was lowered, or its time is over."""
        left = self._left(context)
        return Seen(Look.NEEDED, f"caches may hold the old TTL for {show_duration(left)}") if left > timedelta(0) else Seen(Look.DONE)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Waits; service is as it was."""
        left = self._left(context)
        while left > timedelta(0) and not context.cancelled() and context.clock.monotonic() < context.deadline:
            context.say(f"{show_duration(left)} of the old TTL left, before the freeze")
            context.clock.sleep(min(_SLICE_SECONDS, left.total_seconds()))
            left = self._left(context)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)

    def _left(self, context: AttemptContext) -> timedelta:
        done = context.found(TtlLowered, self.zone.component)
        return timedelta(0) if done is None else max(timedelta(0), done.at + done.old_ttl - context.clock.now())


class RaiseTtl(ZoneStep):
    """Every record gets the TTL back that ``prepare`` found, at both servers."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: they have it."""
        return self.verify(context)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One update at each server."""
        put_back(self.zone, context)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """Both servers answer with the old TTL."""
        known = before(self.zone, context)
        left = sum(len(with_ttls(self.zone.read(region), known[region])) for region in known)
        if left:
            return Seen(Look.NEEDED, f"{left} records have another TTL than before")
        fact = PutBack(component=self.zone.component, region=self.target, what=WHAT, text="every record has its old TTL")
        return Seen(Look.DONE, evidence=(fact,))


def put_back(zone: Zone, context: AttemptContext) -> None:
    """The TTLs that ``prepare`` found, at both servers. Raises as ``Zone.change``."""
    for region, known in before(zone, context).items():
        zone.change(region, lambda records, known=known: with_ttls(records, known), may_act=context.may_act)  # type: ignore[misc]
