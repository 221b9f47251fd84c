"""Propagate: caches may hold the old answer for its old TTL; after that every server that is up must give the new one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from dr.errors import StepError
from dr.model.base import show_duration
from dr.model.evidence import Evidence, Note, Redirected
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.dns.records import Change, Key, RecordSet, ZoneCopy, redirected
from dr.providers.selfhosted.dns.zone import ZoneStep

_SLICE_SECONDS = 0.05


class Propagate(ZoneStep):
    """Waits until the old TTL has passed since the redirect, and looks at every server that answers."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the time is over, and no server that is up leads to the source."""
        if self._left(context) > timedelta(0):
            return Seen(Look.NEEDED, f"caches may hold the old answer for {show_duration(self._left(context))}")
        return self._answers()

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Waits. A server that came up meanwhile with the old answers is given the new ones."""
        for region, copy in self.zone.everywhere(self.zone.config.source_timeout).items():
            if isinstance(copy, ZoneCopy) and self._wanted(self.zone.matching(copy)):
                with contextlib.suppress(StepError):  # verify looks again and says so
                    self.zone.change(region, self._wanted, copy, may_act=context.may_act, timeout=self.zone.config.source_timeout)
        left = self._left(context)
        while left > timedelta(0) and not context.cancelled() and context.clock.monotonic() < context.deadline:
            context.say(f"{show_duration(left)} of the old TTL left")
            context.clock.sleep(min(_SLICE_SECONDS, left.total_seconds()))
            left = self._left(context)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)

    def _answers(self) -> Seen:
        silent = []
        for region, copy in self.zone.everywhere(self.zone.config.source_timeout).items():
            if not isinstance(copy, ZoneCopy):
                silent.append(copy.message)
            elif self._wanted(self.zone.matching(copy)):
                return Seen(Look.NEEDED, f"the server of {region} still leads names to {self.source}")
        if len(silent) == len(self.zone.config.regions):
            return Seen(Look.NEEDED, f"no name server answers: {'; '.join(silent)}")
        notes = tuple(Note(text=f"could not be asked whether it leads to {self.target}: {why}") for why in silent)
        return Seen(Look.DONE, evidence=notes)

    def _wanted(self, records: Mapping[Key, RecordSet]) -> Sequence[Change]:
        return redirected(records, self.zone.addresses(self.source), self.zone.addresses(self.target))

    def _left(self, context: AttemptContext) -> timedelta:
        done = context.found(Redirected, self.zone.component)
        # a person skipped the redirect and did it by hand: nothing is known of the old TTL, only the answers can be looked at
        until: datetime | None = None if done is None else done.at + done.old_ttl
        return timedelta(0) if until is None else max(timedelta(0), until - context.clock.now())
