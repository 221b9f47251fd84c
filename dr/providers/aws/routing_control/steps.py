"""Redirect by routing controls: both flipped in one call, all or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dr.errors import Permanent
from dr.model.evidence import Evidence, Note, Redirected
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.kind import AwsStep
from dr.providers.aws.led import redirected
from dr.providers.aws.problems import code_of
from dr.providers.aws.routing_control.cluster import FLIP

if TYPE_CHECKING:
    from dr.providers.aws.routing_control.kind import RoutingControl

_RULE = "ConflictException"


class Flip(AwsStep["RoutingControl"]):
    """The target's control is On and the source's Off."""

    owner: RoutingControl

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: they are."""
        states = self._states()
        if states == {self.target: "On", self.source: "Off"}:
            return Seen(Look.DONE, f"people are led to {self.target} already", (self._evidence(context),))
        return Seen(Look.NEEDED, ", ".join(f"{region} is {state}" for region, state in states.items()))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One call. What a safety rule refuses is refused, unless the runbook names the rule and a person accepted it."""
        entries = self.owner.entries(self.source, self.target)
        try:
            endpoint = self._flip(context, entries)
        except Permanent as error:
            if code_of(error) != _RULE:
                raise
            refused = error
        else:
            return (self._evidence(context), Note(text=f"{self.owner.name}: flipped through the endpoint in {endpoint}"))
        rules = self.owner.config.override_safety_rules
        if not rules or not context.accepted(Guard.PREREQUISITES):
            raise Permanent(refused.message, hint=self._break_glass(context))
        endpoint = self._flip(context, {**entries, "SafetyRulesToOverride": list(rules)})
        text = f"{self.owner.name}: flipped through the endpoint in {endpoint}, over the safety rules {', '.join(rules)}: {refused.message}"
        return (self._evidence(context), Note(text=text))

    def verify(self, context: AttemptContext) -> Seen:
        """Read back: both."""
        done = self._states() == {self.target: "On", self.source: "Off"}
        return Seen(Look.DONE if done else Look.NEEDED)

    def undo(self, context: AttemptContext) -> None:
        """The other way, in one call."""
        if self._states() != {self.source: "On", self.target: "Off"}:
            self._flip(context, self.owner.entries(self.target, self.source))

    def _states(self) -> dict[str, str]:
        return {region: self.owner.state(region, self.target, self.source) for region in (self.target, self.source)}

    def _flip(self, context: AttemptContext, parameters: dict[str, Any]) -> str:
        """Returns the AWS region of the endpoint that took it."""
        owner, lost = self.owner, self.owner.places[self.source].code

        def send(place: Any) -> str:
            owner.aws.act(context, place, FLIP, **parameters)
            return str(place.code)

        return owner.cluster.ask(owner.places[self.target], send, lost)

    def _break_glass(self, context: AttemptContext) -> str:
        named = (
            "" if self.owner.config.override_safety_rules else "name the rule in override_safety_rules, or by hand: SafetyRulesToOverride; "
        )
        return f"{named}dr resume {context.run_id} --accept prerequisites --reason TEXT"

    def _evidence(self, context: AttemptContext) -> Redirected:
        return redirected(self.owner, self.target, context.clock.now(), self.owner.config.ttl)
