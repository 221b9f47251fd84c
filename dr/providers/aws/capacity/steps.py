"""Scaling the target up, writers in the region that is left down to none, and a region that came back down to what stands by."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dr.model.evidence import Evidence, Note, Sized
from dr.model.words import Guard, Intent
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.capacity.config import share
from dr.providers.aws.capacity.sized import sized, written_down
from dr.providers.aws.kind import AwsStep

if TYPE_CHECKING:
    from dr.providers.aws.capacity.group import Group
    from dr.providers.aws.capacity.kind import Capacity

_FIRST_SECONDS, _LONGEST_SECONDS = 0.1, 5.0
"""Between two looks, each time twice as long: instances take minutes, and AWS counts calls; the engine asks more often."""


class Waited(AwsStep["Capacity[Any]"]):
    """Base of what is waited for: asked again and again by the engine, and of AWS ever less often; what is new is said at once."""

    def __init__(self, owner: Capacity[Any], source: str, target: str) -> None:
        super().__init__(owner, source, target)
        self._seen: Seen | None = None
        self._next, self._pause = 0.0, _FIRST_SECONDS
        self._said = ""

    @abstractmethod
    def look(self, context: AttemptContext) -> Seen:
        """Whether it is so now. Raises StepError."""

    def begin(self) -> None:
        """What was seen before counts no more."""
        self._seen, self._pause = None, _FIRST_SECONDS

    def verify(self, context: AttemptContext) -> Seen:
        """As the newest look has it."""
        now = context.clock.monotonic()
        if self._seen is None or now >= self._next:
            self._seen, self._next = self.look(context), now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_SECONDS)
        return self._seen

    def wait(self, context: AttemptContext, text: str) -> Seen:
        """Not yet, and why."""
        if text != self._said:
            context.say(text)
            self._said = text
        return Seen(Look.NEEDED, text)


class Scale(Waited):
    """As many as wanted are ready in the target. Never scales down."""

    def __init__(self, owner: Capacity[Any], source: str, target: str) -> None:
        super().__init__(owner, source, target)
        self._quota: str | None = None

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where enough are ready. BLOCKED: a group is not there, may not have so many, or nobody knows how many; what may be accepted
        as a prerequisite goes on with as many as can be."""
        self.begin()
        groups, sizes = self._now(context)
        wanted, problems = self._wanted(groups, sizes)
        broken = [f"{group.word}: {group.broken}" for group in groups.values() if group.broken]
        if broken:
            return Seen(Look.BLOCKED, f"{'; '.join(broken)} (try: dr skip {context.run_id} {context.step.id} --reason TEXT)")
        if problems and not context.accepted(Guard.PREREQUISITES):
            return Seen(Look.BLOCKED, f"{'; '.join(problems)} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)")
        if self._enough(groups, wanted):
            return Seen(Look.DONE, self._told(groups, wanted))
        if self._before(context) is not None:
            return Seen(Look.NEEDED, "; ".join(problems))
        facts: list[Evidence] = [Sized(component=self.owner.name, region=self.target, before=_sizes(groups), wanted=wanted)]
        if context.intent is Intent.FAILOVER and self._depends():
            told = ", ".join(f"{word} {size}" for word, size in self.owner.remembered(self.source).items())
            facts.append(Note(text=f"what {self.source} had ({told or 'nobody knows'}) is {self.owner.remembered_when(self.source)}"))
        return Seen(Look.NEEDED, "; ".join(problems), tuple(facts))

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """What the target had is journaled before it gets more, where an undo goes back to it. Raises Transient: the next attempt acts."""
        return written_down(context, self._before(context))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Gives those groups a greater size that have less than wanted, as they are now."""
        groups, sizes = self._now(context)
        wanted, _ = self._wanted(groups, sizes)
        self.owner.scale(context, self.target, {item.name: wanted[word] for word, item in groups.items() if item.desired < wanted[word]})
        return tuple(
            Note(text=f"{item.name} in {self.target}: {item.desired} → {wanted[word]}")
            for word, item in groups.items() if item.desired < wanted[word]
        )  # fmt: skip

    def undo(self, context: AttemptContext) -> None:
        """Back to what it was before this run; a size that somebody changed since is left alone."""
        kept = self._before(context)
        if kept is None:
            return
        groups = self.owner.look(self.owner.places[self.target])
        back = {
            item.name: max(kept.before[word], item.least)
            for word, item in groups.items()
            if item.desired == kept.wanted.get(word) and kept.before[word] < item.desired
        }
        self.owner.scale(context, self.target, back)

    def look(self, context: AttemptContext) -> Seen:
        """DONE once enough are ready in enough zones; until then what AWS says is told at once, with the quota."""
        groups, sizes = self._now(context)
        wanted, _ = self._wanted(groups, sizes)
        if self._enough(groups, wanted):
            return Seen(Look.DONE, self._told(groups, wanted))
        place = self.owner.places[self.target]
        short = [item for word, item in groups.items() if not item.enough(wanted[word], self.owner.config.zones)]
        troubled = self.owner.why_not(place, short)
        text = self._told(troubled, wanted)
        troubles = [f"{word}: {trouble}" for word, item in troubled.items() for trouble in (item.broken, *item.troubles) if trouble]
        if troubles:
            if self._quota is None:
                self._quota = self.owner.quota_now(place)
            text = "; ".join(part for part in (text, *troubles, self._quota) if part)
        return self.wait(context, text)

    def _now(self, context: AttemptContext) -> tuple[Mapping[str, Group], Mapping[str, int]]:
        place = self.owner.places[self.target]
        kept = self._before(context)
        sizes = kept.wanted if kept is not None else None
        groups = self.owner.spread(place, self.owner.look(place))
        if sizes is None:
            primary = self._primary(context) if self._depends() else {}
            known = {word: self.owner.config.wanted(word, primary.get(word)) for word in groups}
            sizes = {word: size for word, size in known.items() if size is not None}
        return groups, sizes

    def _primary(self, context: AttemptContext) -> Mapping[str, int]:
        """What the source has; had before this run took it down, if it did."""
        frozen = _found(context, self.owner.name, self.source, frozen=True)
        before = {} if frozen is None else {word: size for word, size in frozen.before.items() if size}
        return {**self.owner.primary_sizes(context.intent, self.source), **before}

    def _depends(self) -> bool:
        """Some size is the primary's."""
        return any(isinstance(size, str) for size in (self.owner.config.size, *self.owner.config.sizes.values()))

    def _wanted(self, groups: Mapping[str, Group], sizes: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
        """What each group is to have, within what it may have; and what does not fit."""
        wanted, problems = {}, []
        for word, group in groups.items():
            size = sizes.get(word)
            if size is None:
                problems.append(f"{word}: nobody knows how many {self.owner.members} {self.source} had, and if_unknown is not set")
                size = group.desired
            if group.most is not None and size > group.most:
                problems.append(f"{word}: {size} are needed, and {group.name} may have at most {group.most}: raise its maximum")
                size = max(group.most, group.desired)
            wanted[word] = size
        return wanted, problems

    def _enough(self, groups: Mapping[str, Group], wanted: Mapping[str, int]) -> bool:
        return all(item.enough(wanted[word], self.owner.config.zones) for word, item in groups.items())

    def _told(self, groups: Mapping[str, Group], wanted: Mapping[str, int]) -> str:
        unseen = dict.fromkeys(error.message for item in groups.values() for error in item.unseen)
        refused = [f"not all can be seen ({', '.join(unseen)})"] if unseen else []
        return "; ".join([*(item.told(wanted[word]) for word, item in groups.items()), *refused])

    def _before(self, context: AttemptContext) -> Sized | None:
        """What this run found first: later attempts find what it did."""
        return _found(context, self.owner.name, self.target, frozen=False)


class Freeze(Waited):
    """Nothing of a group that writes is there in the region that is left: what it writes to can be drained then."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where nothing is there. BLOCKED: a group is not there, or something keeps some of it."""
        self.begin()
        groups = self._now()
        stays = [f"{group.word}: {group.stays[0]} (try: {group.stays[1]})" for group in groups.values() if group.stays[0]]
        wrong = [f"{group.word}: {group.broken}" for group in groups.values() if group.broken] or stays
        if wrong:
            return Seen(Look.BLOCKED, f"{'; '.join(wrong)} (try: dr skip {context.run_id} {context.step.id} --reason TEXT)")
        if all(group.gone for group in groups.values()):
            return Seen(Look.DONE, self._none())
        if self._before(context) is not None:
            return Seen(Look.NEEDED)
        before = _sizes(groups)
        return Seen(
            Look.NEEDED, evidence=(Sized(component=self.owner.name, region=self.source, before=before, wanted=dict.fromkeys(before, 0)),)
        )

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """What they had is journaled before they are taken down. Raises Transient: the next attempt acts."""
        return written_down(context, self._before(context))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Takes those groups down to none that are to have some. What they had is remembered first: it is what the target must have."""
        groups = self.owner.look(self.owner.places[self.source])
        some = {item.name: item.desired for item in groups.values() if item.desired}
        self.owner.keep(self.source, _sizes(groups))
        self.owner.scale(context, self.source, dict.fromkeys(some, 0))
        return tuple(Note(text=f"{name} in {self.source}: {size} → 0") for name, size in some.items())

    def look(self, context: AttemptContext) -> Seen:
        """DONE once nothing is there, what is stopping included."""
        groups = self._now()
        there = [group.left() for group in groups.values() if not group.gone]
        return self.wait(context, "; ".join(there)) if there else Seen(Look.DONE, self._none())

    def undo(self, context: AttemptContext) -> None:
        """What they had before this run; a size that somebody gave them since is left alone."""
        kept = self._before(context)
        if kept is not None:
            groups = self.owner.look(self.owner.places[self.source])
            back = {item.name: kept.before.get(word, 0) for word, item in groups.items() if item.desired == 0}
            self.owner.scale(context, self.source, {name: size for name, size in back.items() if size})

    def _now(self) -> Mapping[str, Group]:
        place = self.owner.places[self.source]
        return self.owner.left(place, self.owner.look(place))

    def _none(self) -> str:
        return f"no {self.owner.members} in {self.source}"

    def _before(self, context: AttemptContext) -> Sized | None:
        """What this run found first."""
        return _found(context, self.owner.name, self.source, frozen=True)


class StandBy(AwsStep["Capacity[Any]"]):
    """A region that came back and only stands by has as many as it needs for that. Never scales up, but for writers that have none: a
    planned move took them down."""

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED while the region that leads has nothing ready: then this one may be all there is."""
        groups, resting = self._resting()
        if not self._wrong(groups, resting):
            return Seen(Look.DONE)
        leads = self.owner.look(self.owner.places[self.target])
        idle = [word for word, item in groups.items() if item.desired > resting[word] and item.ready and not leads[word].ready]
        if idle:
            text = f"{', '.join(idle)}: none is ready in {self.target}, which leads; {self.source} keeps what it has"
            return Seen(Look.BLOCKED, f"{text} (try: dr skip {context.run_id} {context.step.id} --reason TEXT)")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Gives those groups a smaller size that have more, and theirs to those that were taken down."""
        wrong = self._wrong(*self._resting())
        self.owner.scale(context, self.source, wrong)
        return tuple(Note(text=f"{name} in {self.source}: stands by with {size}") for name, size in wrong.items())

    def verify(self, context: AttemptContext) -> Seen:
        """DONE once AWS has taken it: what it has too many goes by itself, and what it lacks comes by itself."""
        return Seen(Look.NEEDED if self._wrong(*self._resting()) else Look.DONE)

    def _wrong(self, groups: Mapping[str, Group], resting: Mapping[str, int]) -> dict[str, int]:
        """By AWS's names, the sizes of those that have another one."""
        found = {item.name: resting[word] for word, item in groups.items() if item.desired > resting[word]}
        if self.owner.config.writers:
            down = {word: item for word, item in groups.items() if item.desired == 0 and not item.broken}
            most = {word: resting[word] if item.most is None else min(resting[word], item.most) for word, item in down.items()}
            found |= {item.name: most[word] for word, item in down.items() if most[word]}
        return found

    def _resting(self) -> tuple[Mapping[str, Group], Mapping[str, int]]:
        size = self.owner.config.stand_by
        groups = self.owner.look(self.owner.places[self.source])
        leads = {} if isinstance(size, int) else _sizes(self.owner.look(self.owner.places[self.target]))
        resting = {word: share(size, leads.get(word, item.desired)) if size is not None else item.desired for word, item in groups.items()}
        return groups, {word: max(resting[word] or 0, item.least) for word, item in groups.items()}


def _found(context: AttemptContext, component: str, region: str, *, frozen: bool) -> Sized | None:
    """What this run found first in a region, before it took groups down there, or gave them more."""
    return next((item for item in sized(context, component, region) if frozen is not any(item.wanted.values())), None)


def _sizes(groups: Mapping[str, Group]) -> dict[str, int]:
    return {word: group.desired for word, group in groups.items()}
