"""Simulated operations on registries: the same claims, refusals and evidence as ``selfhosted.oci``."""

from __future__ import annotations

from typing import NamedTuple

from dr.errors import Transient
from dr.model.evidence import NAMED, Accounted, Evidence, Following, Note
from dr.model.words import Guard, Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.images import Held, Images
from dr.providers.sim.sort import some
from dr.providers.sim.steps.base import SimStep


class _State(NamedTuple):
    """The judged registry, and the one to copy from; ``absent``: why that cannot be asked."""

    held: Held
    origin: Held | None
    absent: str = ""


class Bring(SimStep[Images]):
    """The judged registry holds all that is needed, and can be pulled from. What is missing comes from the other one, if that answers."""

    repaired = 0

    @property
    def origin(self) -> str:
        """Where images come from."""
        return self.source

    @property
    def judged(self) -> str:
        """Where they have to be."""
        return self.target

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: all is there. BLOCKED: something is not, and there is nobody to take it from."""
        state = self._state(context)
        lacking = self.store.lacking(state.held)
        if state.origin is not None:
            tags, _ = self.store.tags_apart(state.origin, state.held)
            if lacking or tags:
                return Seen(Look.NEEDED, f"{len(lacking)} images and {len(tags)} tags to bring to {self.judged}")
        return self._verdict(context, state)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Copies images, then sets tags."""
        state = self._state(context)
        if state.origin is None:
            raise Transient(f"the registry of {self.origin} does not answer any more: {state.absent}")
        lacking = self.store.lacking(state.held)

        def copy() -> tuple[int, int]:
            self.store.there(self.judged)
            if not self.place.world.regions[self.origin].alive or self.origin in self.store.down:
                raise Transient(f"the registry of {self.origin} does not answer")
            return self.store.bring(self.origin, self.judged, lacking), self.store.retag(self.origin, self.judged)

        copied, tagged = self.do(context, self.judged, "copy", copy)
        self.repaired += copied
        return (Note(text=f"{copied} images copied from {self.origin} to {self.judged}, {tagged} tags set"),)

    def verify(self, context: AttemptContext) -> Seen:
        """As observed: what could be copied has been."""
        return self._verdict(context, self._state(context))

    def _state(self, context: AttemptContext) -> _State:
        """Raises Transient where the judged registry cannot be asked."""
        held = self.read(self.judged, "list", lambda: self._held(self.judged))
        try:
            return _State(held, self.place.wire.read(self.origin, f"{self.component}.list", lambda: self._held(self.origin), timeout=0.5))
        except Transient as error:
            return _State(held, None, error.message)

    def _held(self, region: str) -> Held:
        self.store.there(region)
        return self.store.held(region)

    def _verdict(self, context: AttemptContext, state: _State) -> Seen:
        lacking = self.store.lacking(state.held)
        lost = [item for item in lacking if self.store.urgent(item)]
        evidence = self._evidence(state, lacking)
        if not lost:
            return Seen(Look.DONE, f"{self.store.count - len(lacking)} images can be pulled in {self.judged}", evidence)
        text = f"{len(lost)} images are not in {self.judged}: {some(lost)}"
        text += f"; they cannot be copied: {state.absent}" if state.absent else ""
        if context.accepted(Guard.PREREQUISITES):
            return Seen(Look.DONE, text, evidence)
        return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)", evidence)

    def _evidence(self, state: _State, lacking: list[str]) -> tuple[Evidence, ...]:
        missing = [item for item in lacking if item in state.held.missing]
        differing = [item for item in lacking if item not in state.held.missing]
        conflicts = [] if state.origin is None else self.store.tags_apart(state.origin, state.held)[1]
        tags = tuple(f"{self.store.repository}:{self.store.called.get(item, item)}" for item in conflicts[:NAMED])
        return (
            Accounted(
                component=self.component, region=self.judged, at=self.now, checked=self.store.count,
                equal=max(0, self.store.count - len(lacking)), missing=tuple(missing[:NAMED]), missing_total=len(missing),
                differing=tuple(differing[:NAMED]), differing_total=len(differing), conflicts=tags,
                conflicts_total=len(conflicts), repaired=self.repaired, complete=state.origin is not None,
            ),
        )  # fmt: skip


class Follow(Bring):
    """A registry that came back gets what came to the primary's meanwhile."""

    @property
    def origin(self) -> str:
        """The region that leads now."""
        return self.target

    @property
    def judged(self) -> str:
        """The one that came back."""
        return self.source

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED: the other one is not the newest copy (I17)."""
        deployments, origin = self.store.deployments, self.origin
        if deployments is not None:
            leads = self.read(origin, "database", lambda: deployments.database.writable(origin))
            if not leads:
                return Seen(Look.BLOCKED, f"newest-copy: the platform's database in {origin} takes no writes")
        return super().observe(context)

    def _evidence(self, state: _State, lacking: list[str]) -> tuple[Evidence, ...]:
        how = f"{self.store.count} images compared, {self.repaired} copied"
        following = Following(component=self.component, region=self.judged, upstream=self.origin, how=how)
        return (*super()._evidence(state, lacking), following)


def operation(name: str, verb: Verb, intent: Intent) -> type[Bring]:
    """The operation of a step: prepare and fingerprint look the same, and bring what they can."""
    return Follow if verb is Verb.FOLLOW else Bring
