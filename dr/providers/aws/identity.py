"""Whose account the credentials of a place are: asked once, of the region's own STS first.

The account guards against acting in a wrong one, so silence is never taken for the right one. But whose credentials are is no fact of a
region: an access key belongs to one account, whichever region's STS is asked for it. So where a region's own STS is silent (never where it
refuses), what was confirmed for the same access key counts, and the STS of the runbook's other regions are asked with the same credentials:
a failover does not wait for the STS of its target while everything else there works.
https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock

from dr.errors import StepError, Transient
from dr.providers.aws.clients import Clients
from dr.providers.aws.place import Place

Key = tuple[str, str, str]


class Identity:
    """Of one process. Threads may ask at once: those that want the same wait for the one answer.

    Args:
        ask: one call of GetCallerIdentity with a place's credentials, of its own STS or through another region's; the account. Raises
            StepError.
        elsewhere: the STS of other regions than a place's.
    """

    def __init__(
        self, clients: Clients, ask: Callable[[Place, Place | None], str], elsewhere: Callable[[Place], Iterable[Place]]
    ) -> None:
        self._clients, self._ask, self._elsewhere = clients, ask, elsewhere
        self._known: dict[Key, str] = {}
        self._confirmed: dict[str, str] = {}
        self._asking: dict[Key, Lock] = {}
        self._silent: set[str] = set()
        self._needed: set[str] = set()
        self._lock = Lock()

    def account(self, place: Place) -> str:
        """12 digits. Bounded: each STS that is silent costs its time-out once. Raises StepError: Transient where nobody said anything."""
        key = (place.profile, place.code, place.role.arn if place.role else "")
        with self._lock:
            asking = self._asking.setdefault(key, Lock())
        with asking:
            if key not in self._known:
                found = self._find(place)
                if self.lost(place):  # to be asked again: it may be back
                    return found
                self._known[key] = found
            return self._known[key]

    def need(self, place: Place) -> None:
        """A run acts there: that its STS does not answer is no reason to do without the region."""
        self._needed.add(place.region)

    def lost(self, place: Place) -> bool:
        """Its own STS did not answer when it was asked last, and no run needs the region: nothing else there is waited for."""
        return place.region in self._silent and place.region not in self._needed

    def _find(self, place: Place) -> str:
        try:
            found = self._told(place, None)
        except Transient as error:
            silent = error
            if error.late:
                self._silent.add(place.region)
        else:
            self._silent.discard(place.region)
            return found
        before = self._confirmed.get(self._clients.access_key(place))
        if before is not None:
            return before
        for other in self._elsewhere(place):
            try:
                return self._told(place, other)
            except StepError:  # what another region does not know, or does not let in, says nothing of this one
                continue
        raise silent

    def _told(self, place: Place, through: Place | None) -> str:
        """Remembered for the access key that asked; not where another one took its place meanwhile."""
        self._clients.of(place, "sts", act=False)
        key = self._clients.access_key(place)
        found = self._ask(place, through)
        if key and key == self._clients.access_key(place):
            self._confirmed[key] = found
        return found
