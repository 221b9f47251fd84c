"""Redirect by health: the checks are flipped, nothing is edited that names anybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dr.model.evidence import Evidence, Note, Redirected
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.health_check.switch import Edit, State, Switch
from dr.providers.aws.kind import AwsStep
from dr.providers.aws.led import redirected

if TYPE_CHECKING:
    from dr.providers.aws.health_check.kind import HealthCheck


class Flip(AwsStep["HealthCheck"]):
    """The target's check leads people there, then the source's leads them away; each is written once, where it does not stand so.

    Args:
        lost: switches of the target that lie in the lost region.
    """

    def __init__(self, owner: HealthCheck, source: str, target: str, flips: Sequence[tuple[Switch, State]], lost: Sequence[Switch]) -> None:
        super().__init__(owner, source, target)
        self._flips, self._lost = flips, lost

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: all stand as they must. BLOCKED: a switch is lost with its region, and its check does not lead people back by itself."""
        stuck = [switch for switch in self._lost if not switch.leads_back]
        if stuck:
            way = Edit(self.owner.aws, stuck[0].region, stuck[0].check).typed(self.owner.places[self.target], State.HERE).do
            return Seen(Look.BLOCKED, f"the switch of {stuck[0].region} is lost with {self.source}; by hand, in us-east-1: {way}")
        if not self._flips:
            text = f"nothing to flip: the check of {self.target} leads people back by itself"
            return Seen(Look.DONE, text, (self._evidence(context),))
        left_over = self._not_so()
        if left_over:
            return Seen(Look.NEEDED, ", ".join(f"health check {switch.check} of {switch.region}: {state}" for switch, state in left_over))
        return Seen(Look.DONE, f"people are led to {self.target} already", (self._evidence(context),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Writes those that do not stand so."""
        told = []
        for switch, state in self._not_so():
            switch.write(context, self.owner.place_of(switch, self.target), state)
            told.append(f"health check {switch.check} of {switch.region}: {state}")
        return (self._evidence(context), Note(text=f"{self.owner.name}: {'; '.join(told)}"))

    def verify(self, context: AttemptContext) -> Seen:
        """All read back as written."""
        return Seen(Look.NEEDED if self._not_so() else Look.DONE)

    def undo(self, context: AttemptContext) -> None:
        """The other way, in the other order."""
        for switch, state in reversed(self._flips):
            before = State.HERE if state is State.AWAY else State.AWAY
            place = self.owner.place_of(switch, self.target)
            if switch.read(place) is not before:
                switch.write(context, place, before)

    def _not_so(self) -> list[tuple[Switch, State]]:
        return [(switch, state) for switch, state in self._flips if switch.read(self.owner.place_of(switch, self.target)) is not state]

    def _evidence(self, context: AttemptContext) -> Redirected:
        return redirected(self.owner, self.target, context.clock.now(), self.owner.config.ttl)
