"""Drain: the writers are frozen by now; everything they wrote is in the target."""

from __future__ import annotations

from dr.errors import Transient
from dr.model.evidence import Evidence, RecoveryPoint
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.s3.accounts import accounts
from dr.providers.selfhosted.s3.buckets import Buckets, BucketStep
from dr.providers.selfhosted.s3.objects import Difference, Item, Repair

_POLL_SECONDS = 0.02


class Drain(BucketStep):
    """A heartbeat that was sent after the freeze arrives, then every object of the source is compared; what is missing is put there."""

    def __init__(self, buckets: Buckets, source: str, target: str) -> None:
        super().__init__(buckets, source, target)
        self._compared: tuple[Difference, Repair] | None = None
        self._left: frozenset[str] = frozenset()

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the target leads already. Else NEEDED."""
        if self.leads(self.target).region == self.target:
            return Seen(Look.DONE, f"{self.target} is primary already")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Waits for the heartbeat, compares, and brings over what a broken replication will never bring."""
        clock, sent = self.buckets.clock, self.buckets.clock.now()
        context.still_ours()
        self.buckets.beat(self.source, sent)
        while not self.buckets.arrived(context, sent, self.source, self.target):
            if context.cancelled() or clock.monotonic() >= context.deadline:
                raise Transient(f"{self.buckets.component}: the heartbeat of {self.source} has not arrived in {self.target}")
            clock.sleep(_POLL_SECONDS)
        found = self.buckets.difference(context, self.source, self.target)
        plan = towards_target(found)
        carry_out(self.buckets, context, plan, self.source, self.target)
        self._compared, self._left = (found, plan), plan.keys
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: what was missing is there now."""
        if self._compared is None:
            return Seen(Look.NEEDED, "nothing was compared in this process")
        self._left = frozenset(self.buckets.unequal(self._left, self.source, self.target))
        if self._left:
            context.say(f"{len(self._left)} objects are on their way")
            return Seen(Look.NEEDED, f"{len(self._left)} objects of {self.source} are not in {self.target}, {min(self._left)} among them")
        now = self.buckets.clock.now()
        point = RecoveryPoint(
            component=self.buckets.component, region=self.target, read_at=now, recovery_point=now, position="", complete=True
        )
        there, _ = accounts(
            self.buckets.component, context.run_id, self.source, self.target, now, *self._compared, self._compared[1].keys,
            self.buckets.artefacts,
        )  # fmt: skip
        return Seen(Look.DONE, evidence=(there, point))


def towards_target(found: Difference) -> Repair:
    """The source is primary: whatever the target lacks or holds in an older version is brought there, and nothing back.

    A younger version in the target is a conflict: it is left alone. One of the same second came from the source.
    """
    pairs = found.differing
    return Repair(
        to_target=(*((item, None) for item in found.only_source), *((s, t) for s, t in pairs if s.modified >= t.modified)),
        conflicts=tuple((s, t) for s, t in pairs if s.modified < t.modified),
    )


def carry_out(buckets: Buckets, context: AttemptContext, plan: Repair, source: str, target: str) -> None:
    """Copies in both directions. What is not any more as it was seen is left alone: the next look tells. Raises StepError."""

    def bring(task: tuple[Item, Item | None, str, str]) -> bool:
        item, replaces, origin, there = task
        context.still_ours()
        return buckets.copy(item, replaces, origin, there)

    tasks = [(item, replaces, source, target) for item, replaces in plan.to_target]
    tasks += [(item, replaces, target, source) for item, replaces in plan.to_source]
    if tasks:
        context.say(f"bringing {len(tasks)} objects over")
    buckets.each(tasks, bring)
