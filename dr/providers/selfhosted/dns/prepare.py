"""Prepare: the target's server answers, accepts our signature, and has names that lead to the source."""

from __future__ import annotations

from dr.errors import Permanent
from dr.model.evidence import Evidence, Note
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.dns.records import leads, redirected
from dr.providers.selfhosted.dns.ttl import ttls
from dr.providers.selfhosted.dns.zone import ZoneStep


class Prepare(ZoneStep):
    """Reads the zone, and sends a signed update that changes nothing."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: every name leads to the target already."""
        found = leads(self.zone.read(self.target), {region: self.zone.addresses(region) for region in self.zone.config.regions})
        return Seen(Look.DONE, f"all names lead to {self.target} already") if found.only == self.target else Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Raises Permanent where no name leads to the source, or the server does not let us."""
        copy = self.zone.servers.read(self.target)
        records = self.zone.matching(copy)
        changes = redirected(records, self.zone.addresses(self.source), self.zone.addresses(self.target))
        if not changes:
            patterns = ", ".join(self.zone.config.names)
            raise Permanent(
                f"no name of {self.zone.config.zone} in {self.target} that matches {patterns} leads to {self.source}",
                hint=f"check names and regions.{self.source}.address of {self.zone.component} in the runbook",
            )
        self.zone.servers.update(self.target, copy, [])
        ttl = max(change.ttl for change in changes)
        note = Note(text=f"{self.zone.component}: {len(changes)} records to redirect, old answers live for {ttl} s")
        if not context.intent.planned or self.zone.config.lower_ttl_to is None:
            return (note,)
        return (note, *ttls(self.zone, self.source))

    def verify(self, context: AttemptContext) -> Seen:
        """What was checked was checked."""
        return Seen(Look.DONE)
