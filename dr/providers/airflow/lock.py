"""The lock of deploys: from the first effect of a move to its last, nobody changes what a Deployment is.

The platform refuses deploys and changes of configuration while somebody holds the lock; it keeps the lock with its data, so that it
moves along, and lets it expire, so that a forgotten one does not block for ever. Our owner is ``RUNBOOK/RUN``: taking away what belongs
to the runbook takes away what an earlier run left, too, because a runbook has one run in flight.
"""

from __future__ import annotations

from dr.errors import Transient
from dr.model.base import show_duration
from dr.model.evidence import Evidence, PutBack, Temporary
from dr.ports import AttemptContext, Look, Seen
from dr.providers.airflow.by_hand import ByHand
from dr.providers.airflow.control import DeployLock
from dr.providers.airflow.fleet import Fleet
from dr.providers.airflow.step import FleetStep

WHAT = "deploys"


def take(fleet: Fleet, region: str, context: AttemptContext) -> DeployLock:
    """Takes our lock, or makes it last longer. Repeatable. Raises StepError as the control API does."""
    reason = f"{context.intent} from {context.source} to {context.target}, run {context.run_id}, asked for by {context.actor}"
    return fleet.control.lock(region, f"{fleet.site.runbook}/{context.run_id}", reason, fleet.config.lock_expires)


class Lock(FleetStep):
    """Deploys and changes of configuration are refused, with the run and its reason in the answer. Undone: taken away.

    Planned: by the source's platform, which writes it into its database; both regions read it there. A failover asks the target's
    runtime, which refuses at once and writes it as soon as it is promoted: nothing waits for that.
    """

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where we hold it."""
        return self.verify(context)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One request. Raises Transient where a planned move's lock could not be written."""
        lock = take(self.fleet, self.region, context)
        if context.intent.planned and not lock.written:
            raise Transient(f"the database in {self.region} does not take the lock of deploys; only its runtime holds it")
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """It is among the locks that the runtime names."""
        owner = f"{self.fleet.site.runbook}/{context.run_id}"
        mine = next((lock for lock in self.fleet.control.status(self.region).locks if lock.owner == owner), None)
        if mine is None or (context.intent.planned and not mine.written):
            return Seen(Look.NEEDED, f"deploys in {self.region} are not locked")
        left = show_duration(mine.expires_at - context.clock.now())
        where = "" if mine.written else f", by the runtime of {self.region} alone until its database takes writes"
        return Seen(Look.DONE, f"deploys are refused for {left} at most{where}", (self._fact(context, mine),))

    def undo(self, context: AttemptContext) -> None:
        """Takes it away where it was taken."""
        self.fleet.control.unlock(self.region, self.fleet.site.runbook)


    def _fact(self, context: AttemptContext, mine: DeployLock) -> Temporary:
        back = ByHand(self.fleet, context.target, planned=context.intent.planned).typed("unlock").do  # where its database will be
        return Temporary(
            component=self.fleet.name, region=self.region, what=WHAT, text=f"deploys are locked by {mine.owner}", until=mine.expires_at,
            by_hand=back,
        )  # fmt: skip


class Unlock(FleetStep):
    """Deploys are accepted again: no lock of this runbook is left."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One request."""
        gone = self.fleet.control.unlock(self.region, self.fleet.site.runbook)
        text = f"locks of {', '.join(gone)} taken away" if gone else "no lock was left"
        return (PutBack(component=self.fleet.name, region=self.region, what=WHAT, text=text),)

    def verify(self, context: AttemptContext) -> Seen:
        """None of ours is named any more; another's is none of our business, and said."""
        locks = self.fleet.control.status(self.region).locks
        if any(lock.of(self.fleet.site.runbook) for lock in locks):
            return Seen(Look.NEEDED, f"deploys in {self.region} are still locked")
        others = ", ".join(f"{lock.owner} until {lock.expires_at:%H:%M} UTC" for lock in locks)
        return Seen(Look.DONE, f"deploys stay locked by {others}" if others else "deploys are accepted")
