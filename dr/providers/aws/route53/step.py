"""What the steps of a hosted zone have in common: how record sets are sent, and whether all name servers have them."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dr.errors import Transient
from dr.model.evidence import Ttls
from dr.ports import AttemptContext
from dr.providers.aws.kind import AwsStep
from dr.providers.aws.pace import CHANGES, Pace
from dr.providers.aws.route53.calls import CHANGE, SYNCED
from dr.providers.aws.route53.sets import Change, RecordSet, batches, cost, parameters

if TYPE_CHECKING:
    from dr.providers.aws.route53.kind import Route53Records

_ASK_EVERY_SECONDS = 1.0
"""The engine looks several times a second, and the account has five calls a second for everybody."""


class ZoneStep(AwsStep["Route53Records"], ABC):
    """Base of the steps."""

    owner: Route53Records
    _asked = float("-inf")

    def items(self) -> list[RecordSet]:
        """Our record sets as they are now. Raises StepError."""
        return self.owner.items(self.target)

    def send(self, context: AttemptContext, changes: Iterable[Change]) -> list[str]:
        """One call after the other, as fast as Route 53 takes changes; each is all or nothing. What was sent before an error stays: the
        next attempt finds it done.

        Returns:
            Ids of the changes.

        Raises:
            Transient: nothing of the batch was done (PriorRequestNotComplete, throttled). EffectUnknown, Permanent: as ``Aws.act``.
        """
        sent, known = [], self.owner.sent.setdefault(context.run_id, [])
        whole = list(batches(changes))
        for number, batch in enumerate(whole, 1):
            if len(whole) > 1:
                context.say(f"call {number} of {len(whole)}: {len(batch)} record sets")
            wire = parameters(self.owner.config.zone, batch, f"dr run {context.run_id}")
            pace, used = self._pace(), cost(batch)
            pace.take(context.deadline, used)
            try:
                answer = self.call(context, self.target, CHANGE, **wire)
            except Transient:
                pace.give_back(used)
                raise
            sent.append(str(answer["ChangeInfo"]["Id"]).rpartition("/")[2])
            known.append(sent[-1])
        return sent

    def _pace(self) -> Pace:
        """The account's, shared by all of its zones."""
        site = self.owner.site
        paces: dict[str, Pace] = site.shared.setdefault("route53 changes", {})
        return paces.setdefault(self.owner.places[self.target].account, Pace(site.clock, *CHANGES))

    def synced(self, context: AttemptContext) -> bool | None:
        """Whether all name servers of the zone have what this run changed; None: another process changed it. Asks at most once a second.

        Raises StepError.
        """
        waiting = self.owner.sent.get(context.run_id)
        if not waiting:
            return None if waiting is None else True
        now = context.clock.monotonic()
        if now - self._asked < _ASK_EVERY_SECONDS:
            return False
        self._asked = now
        while waiting:
            if self.read(self.target, SYNCED, Id=waiting[0])["ChangeInfo"]["Status"] != "INSYNC":
                return False
            waiting.pop(0)
        return True

    def before(self, context: AttemptContext) -> dict[str, int]:
        """TTLs by key of the record sets that led to the source, as ``prepare`` found them in this run; empty where it did not look."""
        found = context.found(Ttls, self.owner.name)
        return dict(found.before) if found is not None else {}
