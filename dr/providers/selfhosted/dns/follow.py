"""Follow: a server that came back has a stale zone in which names lead to the region that was lost; it gets the records of now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from dr.model.evidence import Evidence, Following
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.dns.records import Change, Key, RecordSet, copied, leads
from dr.providers.selfhosted.dns.zone import ZoneStep

_LIMIT = timedelta(seconds=3)


class Follow(ZoneStep):
    """The source's server answers as the target's does. The direction is judged by where the target's names lead (I17)."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: both answer alike. BLOCKED: the target's own server does not lead to the target, so it is not what is to be copied."""
        theirs = self.zone.read(self.target)
        found = leads(theirs, self.zone.all_addresses())
        if found.only != self.target:
            where = ", ".join(sorted(found.regions)) or "nowhere"
            return Seen(Look.BLOCKED, f"newest-copy: the names at the server of {self.target} lead to {where}, not to {self.target}")
        changes = self._wanted(theirs, self.zone.read(self.source))
        return Seen(Look.NEEDED, f"{len(changes)} records differ") if changes else Seen(Look.DONE, evidence=(self._evidence("as found"),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The differing records, in one update."""
        theirs = self.zone.read(self.target)
        self.zone.change(self.source, lambda ours: self._wanted(theirs, ours), may_act=context.may_act)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: both answer alike."""
        changes = self._wanted(self.zone.read(self.target), self.zone.read(self.source))
        if changes:
            return Seen(Look.NEEDED, f"{len(changes)} records differ, {changes[0].name} among them")
        return Seen(Look.DONE, evidence=(self._evidence("copied"),))

    def _wanted(self, theirs: Mapping[Key, RecordSet], ours: Mapping[Key, RecordSet]) -> Sequence[Change]:
        return copied(theirs, ours, self.zone.addresses(self.source), self.zone.addresses(self.target))

    def _evidence(self, how: str) -> Following:
        server = self.zone.config.regions[self.target]
        return Following(component=self.zone.component, region=self.source, upstream=f"{server.server}:{server.port}", how=how)
