"""Scaling the target up, and a region that came back down again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dr.model.evidence import Evidence, Note, Sized
from dr.model.words import Guard, Intent
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.capacity.config import share
from dr.providers.aws.kind import AwsStep

if TYPE_CHECKING:
    from dr.providers.aws.capacity.group import Group
    from dr.providers.aws.capacity.kind import Capacity

_FIRST_SECONDS, _LONGEST_SECONDS = 0.1, 5.0
"""Between two looks, each time twice as long: instances take minutes, and AWS counts calls; the engine asks more often."""


class Scale(AwsStep["Capacity[Any]"]):
    """As many as wanted are ready in the target. Never scales down."""

    def __init__(self, owner: Capacity[Any], source: str, target: str) -> None:
        super().__init__(owner, source, target)
        self._seen: Seen | None = None
        self._next, self._pause = 0.0, _FIRST_SECONDS
        self._quota: str | None = None
        self._said = ""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE where enough are ready. BLOCKED: a group is not there, may not have so many, or nobody knows how many; what may be accepted
        as a prerequisite goes on with as many as can be."""
        self._seen, self._pause = None, _FIRST_SECONDS
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

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Gives those groups a greater size that have less than wanted, as they are now."""
        groups, sizes = self._now(context)
        wanted, _ = self._wanted(groups, sizes)
        self.owner.scale(context, self.target, {item.name: wanted[word] for word, item in groups.items() if item.desired < wanted[word]})
        return tuple(
            Note(text=f"{item.name} in {self.target}: {item.desired} → {wanted[word]}")
            for word, item in groups.items() if item.desired < wanted[word]
        )  # fmt: skip

    def verify(self, context: AttemptContext) -> Seen:
        """DONE once enough are ready in enough zones; until then what AWS says is told at once, with the quota."""
        now = context.clock.monotonic()
        if self._seen is None or now >= self._next:
            self._seen, self._next = self._look(context), now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_SECONDS)
        return self._seen

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

    def _look(self, context: AttemptContext) -> Seen:
        groups, sizes = self._now(context)
        wanted, _ = self._wanted(groups, sizes)
        if self._enough(groups, wanted):
            return Seen(Look.DONE, self._told(groups, wanted))
        place = self.owner.places[self.target]
        short = [item for word, item in groups.items() if not item.enough(wanted[word], self.owner.config.zones)]
        troubled = self.owner.troubled(place, short)
        text = self._told(troubled, wanted)
        troubles = [f"{word}: {trouble}" for word, item in troubled.items() for trouble in (item.broken, *item.troubles) if trouble]
        if troubles:
            if self._quota is None:
                self._quota = self.owner.quota_now(place)
            text = "; ".join(part for part in (text, *troubles, self._quota) if part)
        if text != self._said:
            context.say(text)
            self._said = text
        return Seen(Look.NEEDED, text)

    def _now(self, context: AttemptContext) -> tuple[Mapping[str, Group], Mapping[str, int]]:
        place = self.owner.places[self.target]
        kept = self._before(context)
        sizes = kept.wanted if kept is not None else None
        groups = self.owner.spread(place, self.owner.look(place))
        if sizes is None:
            primary = self.owner.primary_sizes(context.intent, self.source) if self._depends() else {}
            known = {word: self.owner.config.wanted(word, primary.get(word)) for word in groups}
            sizes = {word: size for word, size in known.items() if size is not None}
        return groups, sizes

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
        return "; ".join(item.told(wanted[word]) for word, item in groups.items())

    def _before(self, context: AttemptContext) -> Sized | None:
        """What this run found first: later attempts find what it did."""
        own = (item for item in context.evidence if isinstance(item, Sized))
        return next((item for item in own if (item.component, item.region) == (self.owner.name, self.target)), None)


class StandBy(AwsStep["Capacity[Any]"]):
    """A region that came back and only stands by has as many as it needs for that. Never scales up."""

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED while the region that leads has nothing ready: then this one may be all there is."""
        groups, resting = self._resting()
        if not any(item.desired > resting[word] for word, item in groups.items()):
            return Seen(Look.DONE)
        leads = self.owner.look(self.owner.places[self.target])
        idle = [word for word, item in groups.items() if item.desired > resting[word] and item.ready and not leads[word].ready]
        if idle:
            text = f"{', '.join(idle)}: none is ready in {self.target}, which leads; {self.source} keeps what it has"
            return Seen(Look.BLOCKED, f"{text} (try: dr skip {context.run_id} {context.step.id} --reason TEXT)")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Gives those groups a smaller size that have more."""
        groups, resting = self._resting()
        more = {item.name: resting[word] for word, item in groups.items() if item.desired > resting[word]}
        self.owner.scale(context, self.source, more)
        return tuple(Note(text=f"{name} in {self.source}: stands by with {size}") for name, size in more.items())

    def verify(self, context: AttemptContext) -> Seen:
        """DONE once AWS has taken it: what it has too many goes by itself."""
        groups, resting = self._resting()
        return Seen(Look.NEEDED if any(item.desired > resting[word] for word, item in groups.items()) else Look.DONE)

    def _resting(self) -> tuple[Mapping[str, Group], Mapping[str, int]]:
        size = self.owner.config.stand_by
        groups = self.owner.look(self.owner.places[self.source])
        leads = {} if isinstance(size, int) else _sizes(self.owner.look(self.owner.places[self.target]))
        resting = {word: share(size, leads.get(word, item.desired)) if size is not None else item.desired for word, item in groups.items()}
        return groups, {word: max(resting[word] or 0, item.least) for word, item in groups.items()}


def _sizes(groups: Mapping[str, Group]) -> dict[str, int]:
    return {word: group.desired for word, group in groups.items()}
