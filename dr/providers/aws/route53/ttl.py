"""Lower the TTL before a planned move, wait until the old one has passed, put it back at the end. All of it lies outside the outage."""

from __future__ import annotations

from datetime import timedelta

from dr.errors import Permanent
from dr.model.base import show_duration
from dr.model.evidence import Evidence, PutBack, Temporary, TtlLowered
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.route53.by_hand import ByHand
from dr.providers.aws.route53.sets import Change, retimed
from dr.providers.aws.route53.step import ZoneStep

WHAT = "ttl"


class LowerTtl(ZoneStep):
    """What leads to the source gets the short TTL. Undone: the TTLs that ``prepare`` found are put back."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: no TTL is longer, and all name servers know. Where this run lowered it, the moment counts from now."""
        if self.synced(context) is False:
            return Seen(Look.NEEDED, "not all name servers have the short TTL yet")
        longer = self._wanted(context)
        return (
            Seen(Look.NEEDED, f"{len(longer)} record sets have a longer TTL") if longer else Seen(Look.DONE, evidence=self._facts(context))
        )

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One call for up to 500 record sets."""
        self.send(context, self._wanted(context))
        return ()

    def undo(self, context: AttemptContext) -> None:
        """Raises as ``send``."""
        self.send(context, retimed(self.items(), self.before(context)))

    def _wanted(self, context: AttemptContext) -> list[Change]:
        short = self._short()
        return retimed(self.items(), {key: short for key, ttl in self.before(context).items() if ttl > short})

    def _short(self) -> int:
        limit = self.owner.config.lower_ttl_to
        if limit is None:
            raise Permanent(f"{self.owner.name}: lower_ttl_to is not in the runbook")
        return round(limit.total_seconds())

    def _facts(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """What was lowered in this run; nothing where no TTL was longer to begin with."""
        longer = [ttl for ttl in self.before(context).values() if ttl > self._short()]
        if not longer:
            return ()
        name, longest = self.owner.name, max(longer)
        text = f"the TTL of {len(longer)} record sets of {self.owner.config.zone} is lowered from {longest} s to {self._short()} s"
        back = ByHand(self.owner, self.target).retime(self.target, str(longest)).do
        return (
            TtlLowered(component=name, names=len(longer), at=context.clock.now(), old_ttl=timedelta(seconds=longest)),
            Temporary(component=name, region=self.source, what=WHAT, text=text, by_hand=back),
        )


class WaitTtl(ZoneStep):
    """Before the freeze: the old, longer TTL has passed since all name servers have the short one."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: nothing was lowered, or its time is over."""
        done = context.found(TtlLowered, self.owner.name)
        rest = timedelta(0) if done is None else done.at + done.old_ttl - context.clock.now()
        if rest > timedelta(0):
            context.say(f"{show_duration(rest)} of the old TTL left, before the freeze")
            return Seen(Look.NEEDED, f"caches may hold the old TTL for {show_duration(rest)}")
        return Seen(Look.DONE)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing to do but to wait; service is as it was."""
        return ()


class RaiseTtl(ZoneStep):
    """Every record set gets the TTL back that ``prepare`` found."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: they have it."""
        wrong = retimed(self.items(), self.before(context))
        if wrong:
            return Seen(Look.NEEDED, f"{len(wrong)} record sets have another TTL than before")
        fact = PutBack(component=self.owner.name, region=self.target, what=WHAT, text="every record set has its old TTL")
        return Seen(Look.DONE, evidence=(fact,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One call for up to 500 record sets."""
        self.send(context, retimed(self.items(), self.before(context)))
        return ()
