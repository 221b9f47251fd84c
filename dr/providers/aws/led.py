"""Waiting after people were led over by health: until names lead there, and caches have forgotten the old answers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from dr.errors import Transient
from dr.model.base import show_duration
from dr.model.evidence import Evidence, Redirected
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.everywhere import EverywhereKind, left
from dr.providers.aws.kind import AwsStep

ASK_EVERY_SECONDS = 1.0
"""The engine looks several times a second; name servers need not be asked as often."""


@runtime_checkable
class Names(Protocol):
    """Names that another component leads (``aws.route53-records``, prepared)."""

    def led_by(self) -> str | None:
        """The component that flips what is prepared; None: they are edited."""

    def known(self) -> list[str]:
        """As many of the names as are known without asking anybody's control plane."""

    def leads_to(self, region: str) -> str:
        """Empty where they all lead there by DNS; else what was seen. Raises Transient: nobody answers."""


def followers(owner: EverywhereKind[Any, Any]) -> list[Names]:
    """The components whose names this one leads."""
    return [peer for peer in owner.site.peers.values() if isinstance(peer, Names) and peer.led_by() == owner.name]


def redirected(owner: EverywhereKind[Any, Any], region: str, at: datetime, ttl: timedelta) -> Redirected:
    """The evidence that people are led to a region by health: no answer was edited, so there is none to put back."""
    names = sum(len(peer.known()) for peer in followers(owner))
    return Redirected(component=owner.name, region=region, names=names, at=at, old_ttl=ttl, before={})


class Propagate(AwsStep[EverywhereKind[Any, Any]]):
    """The names that hang on this component lead to the target, then the old TTL has passed.

    Args:
        takes: so long after a flip every name server of Route 53 has seen it; what counts where no name can be asked.
        ttl: of the record sets.
    """

    _since: datetime | None = None
    _asked = float("-inf")

    def __init__(self, owner: EverywhereKind[Any, Any], source: str, target: str, takes: timedelta, ttl: timedelta) -> None:
        super().__init__(owner, source, target)
        self._takes, self._ttl = takes, ttl

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: the time is over. Where names can be asked, the TTL counts from when all of them led there."""
        peers = followers(self.owner)
        rest = left(context, self.owner.name, self._takes)
        now = context.clock.monotonic()
        if peers and self._since is None:
            if now - self._asked < ASK_EVERY_SECONDS:
                return Seen(Look.NEEDED, "names were asked a moment ago")
            self._asked = now
            try:
                elsewhere = next((text for peer in peers if (text := peer.leads_to(self.target))), "")
            except Transient as error:  # this machine may have no way to ask: time alone decides
                context.say(f"names cannot be asked: {error.message}")
            else:
                if elsewhere:
                    return Seen(Look.NEEDED, elsewhere)
                self._since = context.clock.now()
        if self._since is not None:
            rest = max(timedelta(0), self._since + self._ttl - context.clock.now())
        if rest > timedelta(0):
            context.say(f"{show_duration(rest)} until caches have forgotten the old answers")
            return Seen(Look.NEEDED, f"caches may hold the old answer for {show_duration(rest)}")
        return Seen(Look.DONE)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing to do but to wait."""
        return ()
