"""Redirect: all public names lead to the target, by one signed update at the target's own server.

The source's server gets the same beside it, as far as it can be reached: it may be lost, so it is given little time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from dr.errors import StepError
from dr.model.evidence import Evidence, Redirected
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.dns.records import Change, Key, RecordSet, ZoneCopy, answers, leads, redirected, restored
from dr.providers.selfhosted.dns.wire import NotAnswering
from dr.providers.selfhosted.dns.zone import Wanted, Zone, ZoneStep

_PATIENCE = timedelta(milliseconds=250)
"""How much longer the source's server is waited for once the target's has acknowledged."""


class Redirect(ZoneStep):
    """Changes only records that the runbook's patterns name and that hold an address of the source."""

    def __init__(self, zone: Zone, source: str, target: str) -> None:
        super().__init__(zone, source, target)
        self._seen: ZoneCopy | None = None

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: no name leads to the source, at its own server neither, as far as that can be asked: who changed the target's may have
        died before the other one was told. BLOCKED: no name leads to any region of the runbook."""
        copy = self.zone.servers.read(self.target)
        records = self.zone.matching(copy)
        found = leads(records, self.zone.all_addresses())
        if found.only == self.target:
            beside = self.zone.try_read(self.source, self.zone.config.source_timeout)
            if isinstance(beside, StepError) or not self._wanted(self.zone.matching(beside)):
                return Seen(Look.DONE, f"all names lead to {self.target} already", (self._held(records, beside),))
            self._seen = copy
            return Seen(Look.NEEDED, f"all names lead to {self.target} already, but not at the server of {self.source}")
        if not found.regions and not found.mixed:
            return Seen(Look.BLOCKED, f"no name of {self.zone.config.zone} that the runbook names leads to any of its regions")
        self._seen = copy  # for act in the same attempt: its update is refused where the zone is not so any more
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One update for all names at the target's server; the same at the source's at the same time, best effort."""
        known, self._seen = self._seen or self.zone.servers.read(self.target), None
        before = self.zone.matching(known)
        other = _BestEffort(self.zone, self.source, self._wanted)
        changed = {(change.name, change.type) for change in self.zone.change(self.target, self._wanted, known, may_act=context.may_act)}
        at = self.zone.clock.now()
        moved = [item for key, item in before.items() if key in changed]
        # where all was changed by somebody before us, caches may hold older answers yet, and these ones are not the old ones
        evidence = self._evidence(moved or self._moved(before), answers(moved), other.not_reached())
        return (evidence.model_copy(update={"at": at, "still_answers": other.may_answer}),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: no name leads to the source at the target's server."""
        left = self._wanted(self.zone.read(self.target))
        if left:
            return Seen(Look.NEEDED, f"{len(left)} records still lead to {self.source}, {left[0].name} among them")
        return Seen(Look.DONE)

    def undo(self, context: AttemptContext) -> None:
        """Puts the old answers back at both servers; where none were recorded, every name leads to the source again.

        Raises as ``Zone.change`` for the target's server; the source's is best effort, as it was.
        """
        done = context.found(Redirected, self.zone.component)
        before = done.before if done is not None else {}

        def wanted(records: Mapping[Key, RecordSet]) -> Sequence[Change]:
            if before:
                return restored(records, before)
            return redirected(records, self.zone.addresses(self.target), self.zone.addresses(self.source))

        self.zone.change(self.target, wanted, may_act=context.may_act)
        _BestEffort(self.zone, self.source, wanted).not_reached()

    def _wanted(self, records: Mapping[Key, RecordSet]) -> Sequence[Change]:
        return redirected(records, self.zone.addresses(self.source), self.zone.addresses(self.target))

    def _moved(self, records: Mapping[Key, RecordSet]) -> Sequence[RecordSet]:
        """Those that lead to the target."""
        return [item for item in records.values() if item.addresses & set(self.zone.addresses(self.target))]

    def _held(self, records: Mapping[Key, RecordSet], beside: ZoneCopy | StepError) -> Redirected:
        """The target's server was changed before; ``beside`` is what the source's says."""
        if not isinstance(beside, StepError):
            return self._evidence(self._moved(records), {})
        evidence = self._evidence(self._moved(records), {}, (beside.message,))
        return evidence.model_copy(update={"still_answers": _may_answer(beside)})

    def _evidence(
        self, moved: Iterable[RecordSet], before: Mapping[str, tuple[str, ...]], not_reached: tuple[str, ...] = ()
    ) -> Redirected:
        found = list(moved)
        return Redirected(
            component=self.zone.component, region=self.target, names=len({item.name for item in found}), at=self.zone.clock.now(),
            old_ttl=timedelta(seconds=max((item.ttl for item in found), default=0)), before=dict(before), not_reached=not_reached,
        )  # fmt: skip


def _may_answer(error: StepError) -> bool:
    """Nobody heard of a server, so it may be there; where its host refuses, it is not."""
    return not (isinstance(error, NotAnswering) and error.refused)


class _BestEffort:
    """A change at a server that may be lost, in a thread of its own: it is waited for a moment and then left alone."""

    def __init__(self, zone: Zone, region: str, wanted: Wanted) -> None:
        self._zone, self._region, self._wanted = zone, region, wanted
        self._problem = f"{zone.component} in {region}: no answer in time"
        self.may_answer = True
        """Nobody heard of that server: it may be behind a partition, and lead people to the old addresses."""
        self._thread = threading.Thread(target=self._change, name=f"dr-dns-{region}", daemon=True)
        self._thread.start()

    def not_reached(self) -> tuple[str, ...]:
        """Why the change is not known to hold there; empty when it does."""
        self._thread.join(_PATIENCE.total_seconds())
        return (self._problem,) if self._problem else ()

    def _change(self) -> None:
        try:
            self._zone.change(self._region, self._wanted, timeout=self._zone.config.source_timeout)
        except StepError as error:
            self.may_answer = _may_answer(error)
            self._problem = error.message
        else:
            self.may_answer = False
            self._problem = ""
