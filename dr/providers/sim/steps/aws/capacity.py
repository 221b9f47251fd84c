"""Simulated operations on capacity and event sources: the same claims, refusals and evidence as ``dr.providers.aws.capacity``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from dr.errors import Permanent, StepError, Transient
from dr.model.evidence import Evidence, Note, PutBack, Sized, Temporary
from dr.model.words import Guard, Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.aws.capacity import Groups, Mappings
from dr.providers.sim.steps.base import SimStep

_CALL = 0.3
_OWED = "event sources of a lost region"


class Scale(SimStep[Groups]):
    """As many as wanted are ready in the target. Never scales down."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where enough are ready. BLOCKED: nobody knows how many, or a group may not have so many."""
        sizes = self._sizes(context)
        now = self.read(self.target, "groups", lambda: self.store.desired(self.target))
        wanted, problems = self._wanted(now, sizes)
        if problems and not context.accepted(Guard.PREREQUISITES):
            return Seen(Look.BLOCKED, f"{'; '.join(problems)} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)")
        if self._enough(wanted):
            return Seen(Look.DONE, "enough are ready")
        if self._before(context) is not None:
            return Seen(Look.NEEDED, "; ".join(problems))
        fact = Sized(component=self.component, region=self.target, before=now, wanted=wanted)
        return Seen(Look.NEEDED, "; ".join(problems), (fact,))

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """What the target had is journaled before it gets more. Raises Transient: the next attempt acts."""
        return _written_down(context, self._before(context))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Gives those groups a greater size that have less than wanted, as they are now."""
        now = self.read(self.target, "groups", lambda: self.store.desired(self.target))
        wanted, _ = self._wanted(now, self._sizes(context))
        more = {word: size for word, size in wanted.items() if now[word] < size}
        if more:
            self.do(context, self.target, "scale", lambda: self.store.resize(self.target, more), seconds=_CALL)
        return tuple(Note(text=f"{word} in {self.target}: {now[word]} → {size}") for word, size in more.items())

    def verify(self, context: AttemptContext) -> Seen:
        """DONE once enough are ready in enough zones; until then what AWS says is told."""
        now = self.read(self.target, "groups", lambda: self.store.desired(self.target))
        wanted, _ = self._wanted(now, self._sizes(context))
        if self._enough(wanted):
            return Seen(Look.DONE, "enough are ready")
        trouble = self.read(self.target, "activities", lambda: self.place.world.now < self.store.no_room.get(self.target, 0.0))
        return Seen(Look.NEEDED, "InsufficientInstanceCapacity" if trouble else "not all are ready")

    def undo(self, context: AttemptContext) -> None:
        """Back to what it was before this run; a size that somebody changed since is left alone."""
        kept = self._before(context)
        if kept is None:
            return
        now = self.read(self.target, "groups", lambda: self.store.desired(self.target))
        back = {word: kept.before[word] for word, size in now.items() if size == kept.wanted.get(word) and kept.before[word] < size}
        if back:
            self.do(context, self.target, "scale-back", lambda: self.store.resize(self.target, back), seconds=_CALL)

    def _sizes(self, context: AttemptContext) -> dict[str, int | None]:
        """What the target must have: what this run found first; else by what the primary has, or had when it was last seen."""
        kept = self._before(context)
        if kept is not None:
            return dict(kept.wanted)
        if context.intent is Intent.FAILOVER:
            had = self.store.seen.get(self.source, {})
        else:
            had = self.store.before_freeze(self.source, self.read(self.source, "groups", lambda: self.store.desired(self.source)))
        frozen = _found(context, self.component, self.source, frozen=True)
        if frozen is not None:
            had = {**had, **{word: size for word, size in frozen.before.items() if size}}
        return {word: self.store.wanted(word, had.get(word)) for word in self.store.words}

    def _wanted(self, now: Mapping[str, int], sizes: Mapping[str, int | None]) -> tuple[dict[str, int], list[str]]:
        wanted, problems = {}, []
        for word in self.store.words:
            size, most = sizes.get(word), self.store.sizes[self.target][word].most
            if size is None:
                problems.append(f"{word}: nobody knows how many {self.source} had, and if_unknown is not set")
                size = now[word]
            if most is not None and size > most:
                problems.append(f"{word}: {size} are needed, and it may have at most {most}: raise its maximum")
                size = max(most, now[word])
            wanted[word] = size
        return wanted, problems

    def _enough(self, wanted: Mapping[str, int]) -> bool:
        store, target = self.store, self.target
        return self.read(
            target, "ready",
            lambda: all(store.ready(target, word) >= size and store.spread(target, size) for word, size in wanted.items()),
        )  # fmt: skip

    def _before(self, context: AttemptContext) -> Sized | None:
        return _found(context, self.component, self.target, frozen=False)


class Freeze(SimStep[Groups]):
    """Nothing of a group that writes is there in the region that is left."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where nothing is there. BLOCKED: something keeps some of it."""
        now = self.read(self.source, "groups", lambda: self.store.desired(self.source))
        stays = [f"{word}: it keeps at least {group.least}" for word, group in self.store.sizes[self.source].items() if group.least]
        if stays:
            return Seen(Look.BLOCKED, f"{'; '.join(stays)} (try: lower its minimum to 0)")
        if self._frozen():
            return Seen(Look.DONE, f"nothing in {self.source}")
        if self._before(context) is not None:
            return Seen(Look.NEEDED)
        fact = Sized(component=self.component, region=self.source, before=now, wanted=dict.fromkeys(now, 0))
        return Seen(Look.NEEDED, evidence=(fact,))

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """What they had is journaled before they are taken down. Raises Transient: the next attempt acts."""
        return _written_down(context, self._before(context))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Takes those groups down to none that are to have some. What they had is kept first."""
        now = self.read(self.source, "groups", lambda: self.store.desired(self.source))
        some = {word: size for word, size in now.items() if size}
        if some:
            self.store.keep(self.source)
            self.do(context, self.source, "freeze", lambda: self.store.resize(self.source, dict.fromkeys(some, 0)), seconds=_CALL)
        return tuple(Note(text=f"{word} in {self.source}: {size} → 0") for word, size in some.items())

    def verify(self, context: AttemptContext) -> Seen:
        """DONE once nothing is there, what is stopping included."""
        return Seen(Look.DONE) if self._frozen() else Seen(Look.NEEDED, "some are there still")

    def undo(self, context: AttemptContext) -> None:
        """What they had before this run; a size that somebody gave them since is left alone."""
        kept = self._before(context)
        now = self.read(self.source, "groups", lambda: self.store.desired(self.source))
        back = {} if kept is None else {word: kept.before[word] for word, size in now.items() if size == 0 and kept.before.get(word)}
        if back:
            self.do(context, self.source, "unfreeze", lambda: self.store.resize(self.source, back), seconds=_CALL)

    def _frozen(self) -> bool:
        return self.read(self.source, "running", lambda: self.store.frozen(self.source))

    def _before(self, context: AttemptContext) -> Sized | None:
        return _found(context, self.component, self.source, frozen=True)


def _found(context: AttemptContext, component: str, region: str, *, frozen: bool) -> Sized | None:
    """What this run found first in a region, before it took groups down there, or gave them more."""
    own = (item for item in context.evidence if isinstance(item, Sized) and (item.component, item.region) == (component, region))
    return next((item for item in own if frozen is not any(item.wanted.values())), None)


def _written_down(context: AttemptContext, before: Sized | None) -> tuple[Evidence, ...]:
    """Raises Transient where it was found only now, and an undo goes back to it: who is killed while it waits journals nothing."""
    if before is None and context.step.undoable:
        raise Transient("what is there is written down before it is changed", hint="the next attempt changes it")
    return ()


class StandBy(SimStep[Groups]):
    """A region that came back and only stands by has as many as it needs for that. Never scales up, but for writers that have none: a
    planned move took them down."""

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED while the region that leads has nothing ready: then this one may be all there is."""
        wrong = self._wrong()
        if not wrong:
            return Seen(Look.DONE)
        store = self.store
        idle = [
            word for word, size in wrong.items() if store.sizes[self.source][word].desired > size
            if store.ready(self.source, word) and not self.read(self.target, "ready", partial(store.ready, self.target, word))
        ]  # fmt: skip
        if idle:
            text = f"{', '.join(idle)}: none is ready in {self.target}, which leads; {self.source} keeps what it has"
            return Seen(Look.BLOCKED, f"{text} (try: dr skip {context.run_id} {context.step.id} --reason TEXT)")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Gives those groups a smaller size that have more, and theirs to those that were taken down."""
        wrong = self._wrong()
        self.do(context, self.source, "stand-by", lambda: self.store.resize(self.source, wrong), seconds=_CALL)
        return tuple(Note(text=f"{word} in {self.source}: stands by with {size}") for word, size in wrong.items())

    def verify(self, context: AttemptContext) -> Seen:
        """DONE once AWS has taken it."""
        return Seen(Look.NEEDED if self._wrong() else Look.DONE)

    def _wrong(self) -> dict[str, int]:
        rests = self.store.stand_by
        now = self.read(self.source, "groups", lambda: self.store.desired(self.source))
        if rests is None:
            return {}
        return {word: rests for word, size in now.items() if size > rests or (self.store.writers and size == 0 < rests)}


class Switch(SimStep[Mappings]):
    """All mappings of a region, on or off."""

    enabled = False

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where all of them are."""
        seen = self._told(context)
        if seen.look is Look.DONE or self._before(context) is not None:
            return seen
        before = {word: int(polls) for word, polls in self.store.polls[self.region].items()}
        fact = Sized(component=self.component, region=self.region, before=before, wanted=dict.fromkeys(before, int(self.enabled)))
        return replace(seen, evidence=(fact,))

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """How they were is journaled before they are switched. Raises Transient: the next attempt acts."""
        return _written_down(context, self._before(context))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Switches those that are not so. Raises Transient: they are being changed."""
        self.do(context, self.region, str(context.step.verb), lambda: self._switch(self.enabled), seconds=_CALL)
        return (Note(text=f"{'enabled' if self.enabled else 'disabled'} in {self.region}"),)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE once each is Enabled, or Disabled: not while it is on its way."""
        return self._told(context)

    def undo(self, context: AttemptContext) -> None:
        """Those that were the other way round before this run, and are not now."""
        kept = self._before(context)
        now = self.read(self.region, "mappings", lambda: dict(self.store.polls[self.region]))
        back = kept is not None and [
            word for word, polls in now.items() if kept.before.get(word) == int(not self.enabled) and polls is self.enabled
        ]
        if back:
            self.do(context, self.region, "put-back", lambda: self._switch(not self.enabled), seconds=_CALL)

    def _switch(self, enabled: bool) -> None:
        self.store.switch(self.region, enabled=enabled)

    def _before(self, context: AttemptContext) -> Sized | None:
        own = (item for item in context.evidence if isinstance(item, Sized))
        return next((item for item in own if (item.component, item.region) == (self.component, self.region)), None)

    def _told(self, context: AttemptContext) -> Seen:
        state = "Enabled" if self.enabled else "Disabled"
        found = self.read(self.region, "mappings", lambda: self.store.state(self.region))
        wrong = [f"{word} is {is_}" for word, is_ in found.items() if is_ != state]
        if wrong:
            return Seen(Look.NEEDED, "; ".join(wrong))
        back = PutBack(component=self.component, region=self.region, what=_OWED, text=f"disabled in {self.region}")
        return Seen(Look.DONE, evidence=() if context.intent.moves else (back,))


class SwitchOn(Switch):
    """The target's take events."""

    enabled = True


class SwitchLost(Switch):
    """In a region that may be gone: asked once, and not waited for. What is not acknowledged is owed."""

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED: a look would cost as much as the act."""
        owed = Temporary(
            component=self.component, region=self.region, what=_OWED, by_hand="aws lambda update-event-source-mapping --no-enabled",
            text=f"event sources in {self.region} may be enabled, and take events as soon as the region is back",
        )  # fmt: skip
        return Seen(Look.NEEDED, evidence=(owed,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Raises Permanent where nobody answers: no reason to wait."""
        try:
            self.do(context, self.region, str(context.step.verb), lambda: self._switch(False), seconds=_CALL)
        except StepError as error:
            raise Permanent(f"not disabled in {self.region}: {error.message}", hint="dr reprotect") from None
        return (PutBack(component=self.component, region=self.region, what=_OWED, text=f"disabled in {self.region}"),)

    def verify(self, context: AttemptContext) -> Seen:
        """AWS has taken it."""
        return Seen(Look.DONE)


def groups(name: str, verb: Verb, intent: Intent) -> type[SimStep[Groups]]:
    """The operation of a step of capacity."""
    return {Verb.STAND_BY: StandBy, Verb.FREEZE: Freeze}.get(verb, Scale)


def mappings(name: str, verb: Verb, intent: Intent) -> type[SimStep[Mappings]]:
    """The operation of a step of event sources."""
    if verb is Verb.START:
        return SwitchOn
    return SwitchLost if verb is Verb.STAND_BY and intent is Intent.FAILOVER else Switch
