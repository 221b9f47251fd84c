"""Redirect by editing, and waiting until everybody sees it. The edit needs the control plane in us-east-1."""

from __future__ import annotations

from datetime import datetime, timedelta

from dr.errors import Permanent, Transient
from dr.model.base import show_duration
from dr.model.evidence import Evidence, Note, Redirected, Ttls
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.everywhere import left
from dr.providers.aws.route53 import prepared
from dr.providers.aws.route53.calls import SYNCED
from dr.providers.aws.route53.sets import Change, RecordSet, leading, leads, moved, restored
from dr.providers.aws.route53.step import ZoneStep

ALIAS_TTL = 60
"""Seconds: what Route 53 answers for an alias of a load balancer."""
USUALLY_SYNCED = timedelta(seconds=60)
"""https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html: "generally propagate within 60 seconds"."""


class PrepareEdit(ZoneStep):
    """Before a planned move: something leads to the source, all of it can be moved, and its TTLs are kept in the journal."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: all names lead to the target already."""
        only = leading(self.items(), self.owner.config.regions).only
        return Seen(Look.DONE, f"all names lead to {self.target} already") if only == self.target else Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Raises Permanent where nothing leads to the source, or something cannot be led away."""
        goals = self.owner.config.regions
        items = [item for item in self.items() if self.source in leads(item, goals) and not item.identifier]
        _, stuck = moved(items, goals[self.source], goals[self.target], self.owner.ttl)
        if not items:
            text = f"{self.owner.name}: no record set of {self.owner.config.zone} leads to {self.source}"
            raise Permanent(text, hint=f"check zone, names and regions.{self.source} of {self.owner.name} in the runbook")
        if stuck:
            text = f"{self.owner.name}: {len(stuck)} record sets would have nothing to lead to in {self.target}: {stuck[0].key}"
            raise Permanent(text, hint=f"regions.{self.target}.values: an address for {stuck[0].type} records")
        ttl = max(item.ttl for item in items)
        note = Note(text=f"{self.owner.name}: {len(items)} record sets to redirect, old answers live for {ttl or ALIAS_TTL} s")
        return (note, Ttls(component=self.owner.name, region=self.source, before={item.key: item.ttl for item in items}))

    def verify(self, context: AttemptContext) -> Seen:
        """What was looked at was looked at."""
        return Seen(Look.DONE)


class PreparePrepared(ZoneStep):
    """Before a planned move: health alone can lead people to the target."""

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED: a record set or its health check keeps people where they are."""
        records = self.items()
        checks = self.owner.checks(self.owner.places[self.target], records)
        found = prepared.told(prepared.flaws(records, self.owner.config.regions, checks, self.owner.ttl))
        errors = [flaw for flaw in found if flaw.severity == "error" and flaw.region in (None, self.target)]
        if errors:
            return Seen(Look.BLOCKED, f"{errors[0].fact} (fix: {errors[0].fix})")
        return Seen(Look.DONE, f"{len(records)} record sets are prepared")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing."""
        return ()


class Redirect(ZoneStep):
    """Every simple record set that leads to the source leads to the target: one call for up to 500 addresses."""

    _seen: list[RecordSet] | None = None

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: nothing leads to the source any more. BLOCKED: nothing leads to any region."""
        items = self.items()
        changes, stuck = self._wanted(items)
        if changes:
            self._seen = items  # for act in the same attempt
            return Seen(Look.NEEDED)
        found = leading(items, self.owner.config.regions)
        if not found.regions and not found.mixed:
            return Seen(Look.BLOCKED, f"no record set of {self.owner.config.zone} that the runbook names leads to any of its regions")
        if stuck:
            return Seen(Look.BLOCKED, self._stuck(stuck))
        return Seen(Look.DONE, f"all names lead to {self.target} already", (self._evidence(context, items, []),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Sends what is not there yet. What the target has nothing for stays, and is told of."""
        items, self._seen = self._seen or self.items(), None
        changes, stuck = self._wanted(items)
        sent = self.send(context, changes)
        named = f"{sent[0]} to {sent[-1]}, {len(sent)} changes" if len(sent) > 1 else "".join(sent)
        note = Note(text=f"{self.owner.name}: {len(changes)} record sets edited: {named}")
        told = (Note(text=self._stuck(stuck)),) if stuck else ()
        return (self._evidence(context, items, changes), note, *told)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the API knows the last change; where another process sent it, the record sets say so."""
        waiting = self.owner.sent.get(context.run_id)
        if waiting:
            self.read(self.target, SYNCED, Id=waiting[-1])
            return Seen(Look.DONE)
        changes, _ = self._wanted(self.items())
        if changes:
            return Seen(Look.NEEDED, f"{len(changes)} record sets still lead to {self.source}, {changes[0].old.name} among them")
        return Seen(Look.DONE)

    def undo(self, context: AttemptContext) -> None:
        """Puts the old answers back: as this run found them; what it changed in an attempt that broke off leads to the source again."""
        before: dict[str, tuple[str, ...]] = {}
        for item in context.evidence:
            if isinstance(item, Redirected) and item.component == self.owner.name:
                before = {**item.before, **before}
        items, goals, ttl = self.items(), self.owner.config.regions, self.owner.ttl
        known = self.before(context)
        others = [item for item in items if item.key not in before and (item.key in known or not known)]
        back, _ = moved(others, goals[self.target], goals[self.source], ttl)
        self.send(context, [*restored(items, before, ttl), *back])

    def _wanted(self, items: list[RecordSet]) -> tuple[list[Change], list[RecordSet]]:
        goals = self.owner.config.regions
        return moved(items, goals[self.source], goals[self.target], self.owner.ttl)

    def _stuck(self, stuck: list[RecordSet]) -> str:
        return f"{len(stuck)} record sets have nothing to lead to in {self.target} and still lead to {self.source}: {stuck[0].key}"

    def _evidence(self, context: AttemptContext, items: list[RecordSet], changes: list[Change]) -> Redirected:
        goals = self.owner.config.regions
        led = [item for item in items if leads(item, goals) and not item.identifier]
        ttls = [item.ttl or ALIAS_TTL for item in led]
        return Redirected(
            component=self.owner.name, region=self.target, names=len({item.name for item in led}), at=context.clock.now(),
            old_ttl=timedelta(seconds=max(ttls, default=0)), before={change.old.key: change.old.answer for change in changes},
        )  # fmt: skip


class Propagate(ZoneStep):
    """All name servers of the zone have the change, then the old TTL has passed."""

    _since: datetime | None = None

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the time is over."""
        if self._since is None:
            waits = self._not_synced(context)
            if waits:
                return Seen(Look.NEEDED, waits)
            self._since = context.clock.now()
        done = context.found(Redirected, self.owner.name)
        # a person skipped the redirect and did it by hand: nothing is known of the old TTL
        rest = timedelta(0) if done is None else self._since + done.old_ttl - context.clock.now()
        if rest > timedelta(0):
            context.say(f"{show_duration(rest)} of the old TTL left")
            return Seen(Look.NEEDED, f"caches may hold the old answer for {show_duration(rest)}")
        return Seen(Look.DONE)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing to do but to wait."""
        return ()

    def _not_synced(self, context: AttemptContext) -> str:
        """Why it is not known that all name servers have it; empty where they do. What the API cannot say, DNS does."""
        try:
            known = self.synced(context)
            if known is None:  # after a crash: nobody knows the ids
                goals = self.owner.config.regions
                changes, _ = moved(self.items(), goals[self.source], goals[self.target], self.owner.ttl)
                if changes:
                    return f"{len(changes)} record sets still lead to {self.source}"
                rest = min(left(context, self.owner.name, USUALLY_SYNCED), USUALLY_SYNCED)
                return f"the name servers may need {show_duration(rest)} yet" if rest else ""
            return "" if known else "not all name servers have the change yet"
        except Transient as error:
            seen = self.owner.leads_to(self.target)
            return f"{error.message}; by DNS: {seen}" if seen else ""
