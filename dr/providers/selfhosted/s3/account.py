"""Account: after a failover, which objects of the lost region are not in the target, as far as anybody outside it can know."""

from __future__ import annotations

from pathlib import Path

from dr.model.base import show_duration
from dr.model.evidence import Evidence, Note
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.s3 import inventory
from dr.providers.selfhosted.s3.accounts import lost
from dr.providers.selfhosted.s3.buckets import BucketStep
from dr.providers.selfhosted.s3.listing import list_all
from dr.providers.selfhosted.s3.objects import same


class Account(BucketStep):
    """Compares the target with the newest inventory of the source that the monitor kept. What was written after that nobody knows here."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: nobody ever listed the source."""
        known = inventory.read(self._place)
        if known is None or known.region != self.source:
            text = f"{self.buckets.component}: nobody listed {self.source} while it was there: what is lost cannot be named"
            return Seen(Look.DONE, text, (Note(text=text),))
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Lists the target and compares."""
        known = inventory.read(self._place)
        assert known is not None, "observed a moment ago, and never deleted"
        there = list_all(
            self.buckets.stores[self.target],
            give_up=lambda: context.cancelled() or self.buckets.clock.monotonic() >= context.deadline,
        )
        missing = [item for item in known.items if item.key not in there]
        older = [item for item in known.items
                 if item.key in there and not same(item, there[item.key]) and there[item.key].modified <= item.modified]  # fmt: skip
        now = self.buckets.clock.now()
        age = show_duration((context.outage_began or now) - known.at)
        text = f"{self.buckets.component}: {len(missing)} objects of {self.source} are not in {self.target}"
        text += f", {len(older)} are there in an older version" if older else ""
        text += f"; what {self.source} took in the last {age} before the outage is not known" if context.outage_began else ""
        found = lost(
            self.buckets.component, context.run_id, self.target, now, len(known.items), missing, older, self.buckets.artefacts
        )
        return found, Note(text=text)

    def verify(self, context: AttemptContext) -> Seen:
        """What was counted was counted."""
        return Seen(Look.DONE)

    @property
    def _place(self) -> Path:
        return inventory.place(self.buckets.artefacts, self.buckets.component)
