"""The operations on a zone: prepare, redirect, propagate, and copying the zone to a server that came back."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from dr.errors import Permanent, StepError
from dr.model.evidence import Evidence, Note, Redirected
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.zonetmp.config import DnsConfig
from dr.providers.selfhosted.zonetmp.zone import Records, ZoneServer

_SLICE_SECONDS = 0.02


@dataclass(frozen=True)
class Zones:
    """What every operation here works with. ``source`` is left, ``target`` is where the names are to lead."""

    component: str
    config: DnsConfig
    servers: Mapping[str, ZoneServer]
    source: str
    target: str

    @property
    def old(self) -> str:
        """The address that the names have before."""
        return str(self.config.regions[self.source].address)

    @property
    def new(self) -> str:
        """The address that the names are to have."""
        return str(self.config.regions[self.target].address)


class _Base:
    """What most operations here do not need."""

    def __init__(self, zones: Zones) -> None:
        self.zones = zones

    def undo(self, context: AttemptContext) -> None:
        """Nothing was changed that would have to be taken back."""

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Destroys nothing."""
        return ()

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Reads are all there is to do."""
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)

    def observe(self, context: AttemptContext) -> Seen:
        """Each operation's own."""
        raise Permanent(f"{type(self).__name__} cannot be observed")


class Prepare(_Base):
    """The target's server gives the zone and accepts signed updates. In a planned move the other one, too."""

    def __init__(self, zones: Zones, *, planned: bool) -> None:
        super().__init__(zones)
        self._regions = (zones.target, zones.source) if planned else (zones.target,)

    def observe(self, context: AttemptContext) -> Seen:
        """Asks both without changing anything."""
        for region in self._regions:
            records = self.zones.servers[region].records()
            self.zones.servers[region].may_change()
        count, ttl = len(records.values), records.longest_ttl.total_seconds()
        return Seen(Look.DONE, evidence=(Note(text=f"{count} names in {self.zones.config.zone}, longest TTL {ttl:.0f} s"),))


class Redirect(_Base):
    """All names that lead to the source lead to the target: one update, at the target's server and at the source's where that answers.

    planned: the source's server must take the change, too.
    """

    def __init__(self, zones: Zones, *, planned: bool) -> None:
        super().__init__(zones)
        self._planned = planned

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where no name leads to the source any more, at any server that has to take the change."""
        records = self.zones.servers[self.zones.target].records()
        left = records.leading_to(self.zones.old)
        if self._planned:
            left += self.zones.servers[self.zones.source].records().leading_to(self.zones.old)
        if left:
            return Seen(Look.NEEDED, f"{len(left)} names lead to {self.zones.source}")
        there = len(records.leading_to(self.zones.new))
        said = context.found(Redirected, self.zones.component)
        if said is not None:
            return Seen(Look.DONE, f"{there} names lead to {self.zones.target}")
        return Seen(Look.DONE, f"{there} names lead to {self.zones.target}", (self._evidence(context, records, {}, there),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Sends the update to both servers at once; the source's may be gone, and is waited for only for a moment."""
        records = self.zones.servers[self.zones.target].records()
        moving = records.leading_to(self.zones.old) or records.leading_to(self.zones.new)
        wanted = dict.fromkeys(moving, (self.zones.new,))
        with ThreadPoolExecutor(1, thread_name_prefix="dns") as pool:
            beside = pool.submit(self._at_source, wanted, records)
            self.zones.servers[self.zones.target].change(wanted, records.ttls)
            evidence = self._evidence(context, records, {name: records.values[name] for name in moving}, len(moving))
            missed = self._missed(beside)
        return (evidence.model_copy(update={"not_reached": missed}),)

    def verify(self, context: AttemptContext) -> Seen:
        """No name leads to the source any more."""
        left = self.zones.servers[self.zones.target].records().leading_to(self.zones.old)
        return Seen(Look.NEEDED, f"{len(left)} names still lead to {self.zones.source}") if left else Seen(Look.DONE)

    def undo(self, context: AttemptContext) -> None:
        """Puts the old answers back, at every server that answers; the source's has to."""
        said = context.found(Redirected, self.zones.component)
        if said is None or not said.before:
            return
        ttls = dict.fromkeys(said.before, int(said.old_ttl.total_seconds()))
        for region in (self.zones.source, self.zones.target):
            self.zones.servers[region].change(said.before, ttls)

    def _at_source(self, wanted: Mapping[str, tuple[str, ...]], records: Records) -> None:
        within = self.zones.config.timeout if self._planned else self.zones.config.patience
        self.zones.servers[self.zones.source].change(wanted, records.ttls, within=within)

    def _missed(self, beside: Future[None]) -> tuple[str, ...]:
        try:
            beside.result()
        except StepError as error:
            if self._planned:
                raise
            return (error.message,)
        return ()

    def _evidence(self, context: AttemptContext, records: Records, before: Mapping[str, tuple[str, ...]], names: int) -> Redirected:
        return Redirected(
            component=self.zones.component, region=self.zones.target, names=names, at=context.clock.now(),
            old_ttl=records.longest_ttl, before=dict(before),
        )  # fmt: skip


class Propagate(_Base):
    """Waits until every cache that honours the TTL has forgotten the old answers."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE once the old TTL has passed since the change, and the target's server still says so."""
        said = context.found(Redirected, self.zones.component)
        if said is None:
            return Seen(Look.BLOCKED, "it is not known when the names were changed")
        left = (said.at + said.old_ttl - context.clock.now()).total_seconds()
        if left > 0:
            return Seen(Look.NEEDED, f"caches may hold old answers for another {left:.1f} s")
        stale = self.zones.servers[self.zones.target].records().leading_to(self.zones.old)
        if stale:
            return Seen(Look.BLOCKED, f"{len(stale)} names lead to {self.zones.source} again: somebody else changes them")
        return Seen(Look.DONE)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Waits, in slices, so that it can be cancelled."""
        said = context.found(Redirected, self.zones.component)
        while said is not None and not context.cancelled():
            left = (said.at + said.old_ttl - context.clock.now()).total_seconds()
            if left <= 0:
                break
            context.clock.sleep(min(left, _SLICE_SECONDS))
        return ()


class Follow(_Base):
    """A server that was away gets the answers of the one that stayed, before anybody believes its old ones.

    ``target`` is the region whose answers count, ``source`` the one that came back.
    """

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where both give the same answers."""
        wrong = self._wrong()
        if wrong:
            return Seen(Look.NEEDED, f"{len(wrong)} names differ at {self.zones.source}'s server")
        return Seen(Look.DONE, "both servers give the same answers")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One update with all that differ."""
        wanted, ttls = self._wrong(), self.zones.servers[self.zones.target].records().ttls
        self.zones.servers[self.zones.source].change(wanted, ttls)
        return (Note(text=f"{len(wanted)} names corrected at {self.zones.source}'s server"),)

    def _wrong(self) -> dict[str, tuple[str, ...]]:
        right = self.zones.servers[self.zones.target].records().values
        there = self.zones.servers[self.zones.source].records().values
        return {name: values for name, values in right.items() if there.get(name) != values}
