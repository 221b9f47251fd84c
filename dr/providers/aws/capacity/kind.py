"""What all capacity kinds have in common: looks, memory of sizes, findings, the three steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, TypeVar

from dr.errors import Permanent, StepError, Transient, UsageError
from dr.model.base import show_duration
from dr.model.lag import Finding
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Severity, Verb
from dr.ports import AttemptContext, Site, Step
from dr.providers.aws.calls import Call, Use
from dr.providers.aws.capacity import by_hand
from dr.providers.aws.capacity.config import CapacityConfig, share
from dr.providers.aws.capacity.group import Group
from dr.providers.aws.capacity.steps import Freeze, Scale, StandBy
from dr.providers.aws.kind import AwsKind, Judged
from dr.providers.aws.memory import Memory
from dr.providers.aws.metrics import GET as METRICS
from dr.providers.aws.place import Place
from dr.providers.aws.problems import code_of
from dr.providers.aws.readiness import quotas
from dr.providers.regions import same_regions

Groups = Mapping[str, Group]
"""By the runbook's word."""

C = TypeVar("C", bound=CapacityConfig)

QUOTA_CALLS = (quotas.APPLIED, quotas.DEFAULT, METRICS)
"""What the look at the quota calls, where AWS has no capacity."""


_PATIENCE = 100
"""Attempts: another update of a node group may take most of the time there is."""
_GOES, _GONE = timedelta(minutes=5), timedelta(minutes=20)
"""What is there still after the first is looked at afresh: something may have brought it back. After the second the move goes back:
everybody waits meanwhile."""


class Capacity(AwsKind[C, Groups]):
    """Base of capacity kinds. A kind says how groups are read and scaled.

    Class attributes: ``what``: one group, in words. ``members``: what it has some of. ``quota``: service and code of the quota that limits
    them. ``again``: error codes of its act that mean "busy": nothing was done. ``takes``: the estimate until they are ready. ``within``: so
    long they are waited for. ``goes``: the estimate until the last one is gone.
    """

    what: ClassVar[str]
    members: ClassVar[str]
    quota: ClassVar[tuple[str, str]] = ("ec2", "L-1216C47A")
    again: ClassVar[tuple[str, ...]] = ()
    takes: ClassVar[timedelta] = timedelta(minutes=3)
    within: ClassVar[timedelta] = timedelta(minutes=30)
    goes: ClassVar[timedelta] = timedelta(minutes=2)

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, CapacityConfig), "the registry gives each kind its own Config"
        same_regions(name, config.named_regions(), site)
        words = {region: set(config.groups(region)) for region in config.named_regions()}
        first, every = next(iter(words)), set[str]().union(*words.values())
        for region, own in words.items():
            if lacking := sorted(every - own):
                raise UsageError(f"{name}: regions.{region}: no {lacking[0]}", hint=f"the same words in each region, as in {first}")
        if unknown := sorted(set(config.sizes) - every):
            raise UsageError(f"{name}: sizes.{unknown[0]}: no such group", hint=f"known: {', '.join(sorted(every))}")
        super().__init__(name, config, needs, site)
        self.memory = Memory(site, name)

    @abstractmethod
    def scaling(self, place: Place, name: str, desired: int) -> tuple[Call, Mapping[str, Any]]:
        """The act that gives a group a size, and its parameters."""

    @abstractmethod
    def arns(self, place: Place, name: str) -> tuple[str, ...]:
        """A group, as IAM knows it."""

    @abstractmethod
    def reads(self, region: str) -> Sequence[Use]:
        """What ``look``, ``spread``, ``left`` and ``troubled`` call in a region."""

    @abstractmethod
    def ready_by_hand(self, place: Place, name: str, wanted: str, zones: int) -> str:
        """A command that ends with exit status 0 once so many are ready, in so many zones. wanted: a word of the shell."""

    @abstractmethod
    def gone_by_hand(self, place: Place, name: str) -> str:
        """A command that ends with exit status 0 once nothing of a group is there."""

    @abstractmethod
    def size_by_hand(self, place: Place, name: str) -> str:
        """A command that prints how many there are to be."""

    def spread(self, place: Place, groups: Groups) -> Groups:
        """The groups with their zones, where ``look`` does not tell. Raises StepError."""
        return groups

    def left(self, place: Place, groups: Groups) -> Groups:
        """The groups with what may still write, where ``look`` does not tell. Raises StepError."""
        return groups

    def troubled(self, place: Place, groups: Sequence[Group]) -> Groups:
        """The groups with what AWS says about those that are not ready. Raises StepError."""
        return {group.word: group for group in groups}

    def why_not(self, place: Place, groups: Sequence[Group]) -> Groups:
        """As ``troubled``; it only tells more: where AWS refuses to say it, the groups say so. Raises Transient."""
        try:
            return self.troubled(place, groups)
        except Permanent as error:
            return {group.word: replace(group, unseen=(*group.unseen, error)) for group in groups}

    def regions(self) -> Sequence[str]:
        """All that the settings name."""
        return self.config.named_regions()

    def watches(self) -> Sequence[Use]:
        """The reads of each region."""
        return [use for region in self.regions() for use in self.reads(region)]

    def looks(self, seconds: float) -> dict[str, Groups | StepError]:
        """As the base does; sizes are kept for the day when a region cannot be asked any more."""
        found = super().looks(seconds)
        for region, groups in found.items():
            if not isinstance(groups, StepError) and not any(group.broken for group in groups.values()):
                self.keep(region, {word: group.desired for word, group in groups.items()})
        return found

    def keep(self, region: str, sizes: Mapping[str, int]) -> None:
        """Remembers what a region has. One that a planned move took down is remembered as it was before, with the age of that."""
        whole = self._before_freeze(region, sizes)
        if any(sizes.values()) or whole == sizes:
            self.memory.keep(region, {word: str(size) for word, size in whole.items()})

    def primary_sizes(self, intent: Intent, region: str) -> Mapping[str, int]:
        """How many a region has; for a failover, had when it was last seen: a lost region is not asked. Raises StepError."""
        if intent is Intent.FAILOVER:
            return self.remembered(region)
        return self._before_freeze(region, {word: group.desired for word, group in self.look(self.places[region]).items()})

    def _before_freeze(self, region: str, sizes: Mapping[str, int]) -> Mapping[str, int]:
        """Sizes with those last seen of groups that have none: with ``writers`` a planned move may have taken them down."""
        if not self.config.writers or all(sizes.values()):
            return sizes
        known = self.remembered(region)
        return {word: size or known.get(word, 0) for word, size in sizes.items()}

    def remembered(self, region: str) -> Mapping[str, int]:
        """How many a region had when it was last seen; empty: nobody knows."""
        kept = self.memory.last(region)
        return {} if kept is None else {word: int(size) for word, size in kept.items.items()}

    def remembered_when(self, region: str) -> str:
        """How old that is, in words."""
        kept = self.memory.last(region)
        return "never seen" if kept is None else f"as seen {show_duration(self.site.clock.now() - kept.taken_at)} ago"

    def quota_now(self, place: Place) -> str:
        """The quota that limits these groups, in words, or why it cannot be read."""
        try:
            found = quotas.quota(self.aws, place, *self.quota)
            in_use = None if found.usage is None else quotas.used(self.aws, place, found.usage)
        except StepError as error:
            return f"its quota {' '.join(self.quota)} cannot be read: {error.message}"
        return f"quota {found}: {found.value:g}" + ("" if in_use is None else f", {in_use:g} in use")

    def scale(self, context: AttemptContext | None, region: str, groups: Mapping[str, int]) -> None:
        """Gives groups sizes, by AWS's names, at the same time. Raises StepError: the worst of what came of them."""
        place = self.places[region]
        acts = [self.scaling(place, name, size) for name, size in groups.items()]
        results = self.aws.many([partial(self.aws.act, context, place, call, **parameters) for call, parameters in acts])
        problems = [self._busy(result) for result in results if isinstance(result, StepError)]
        for error in sorted(problems, key=lambda item: isinstance(item, Transient)):
            raise error

    def _busy(self, error: StepError) -> StepError:
        """Busy is no refusal: nothing was done, and it passes."""
        if code_of(error) in self.again:
            return Transient(error.message, hint="something else changes it now")
        return error

    def judge(self, looks: Mapping[str, Groups | StepError]) -> Judged:
        """Findings only: capacity takes no writes."""
        found = list(self.silent(looks))
        for region, groups in looks.items():
            if not isinstance(groups, StepError):
                source = self.other(region)
                other = looks[source]
                had = self.remembered(source) if isinstance(other, StepError) else {word: item.desired for word, item in other.items()}
                unseen = {error.message: error for group in groups.values() for error in group.unseen}
                found += [self.hidden(region, error) for error in unseen.values()]
                for word, group in groups.items():
                    found += self._findings(region, group, self.config.wanted(word, had.get(word)), source)
        return Judged(findings=found)

    def _findings(self, region: str, group: Group, wanted: int | None, source: str) -> Iterator[Finding]:
        """What a move to a region would stumble over in one group."""
        where = f"{self.what} {group.name} in {region}"
        if group.broken:
            yield self.finding(Severity.ERROR, f"{where}: {group.broken}", "create it, or correct the runbook", region)
            return
        if wanted is None:
            fact = f"how many {self.members} {group.word} needs in {region} is not known: nobody has seen {source}"
            yield self.finding(Severity.ERROR, fact, "let dr watch while both regions are there, or write if_unknown", region)
        elif group.most is not None and group.most < wanted:
            fact = f"{where} may have at most {group.most} {self.members}, and {wanted} are needed"
            yield self.finding(Severity.ERROR, fact, f"raise its maximum to {wanted} at least", region)
        if group.zones and len(group.zones) < min(self.config.zones, 2 if wanted is None else wanted):
            fact = f"{where} starts {self.members} in {', '.join(group.zones)} only, and {self.config.zones} zones are wanted"
            yield self.finding(Severity.ERROR, fact, "give it subnets in more zones, or write zones: 1", region)
        for trouble in group.troubles:
            yield self.finding(Severity.WARNING, f"{where}: {trouble}", "", region)
        if group.ready < group.desired:
            yield self.finding(Severity.WARNING, f"{where}: {group.ready} of {group.desired} {self.members} ready", "", region)
        if group.desired == 0 and wanted:
            fact = f"{where} has no {self.members} standing by: nobody guarantees capacity on the day"
            yield self.finding(Severity.INFO, fact, "keep some warm, or reserve capacity there", region)
        if self.config.writers and group.stays[0]:
            fact = f"{where}: {group.stays[0]}, and a planned move from {region} takes all of its {self.members} down"
            yield self.finding(Severity.ERROR, fact, group.stays[1], self.other(region))  # it is moves to there that it keeps from working
        rests = None if self.config.stand_by is None else share(self.config.stand_by, 0)
        if rests is not None and isinstance(self.config.stand_by, int) and group.least > rests:
            fact = f"{where} keeps at least {group.least} {self.members}: it is never scaled back to {rests}"
            yield self.finding(Severity.WARNING, fact, "lower its minimum, or write a greater stand_by", region)

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """Moves: one SCALE in the target; of a planned one a FREEZE in the source, too, with ``writers``. Re-protect: one STAND_BY in the
        region that came back, where ``stand_by`` is set."""
        if intent.moves:
            scale = self._scale(source, target, planned=intent.planned)
            return [scale, self._freeze(source, target)] if intent.planned and self.config.writers else [scale]
        if self.config.stand_by is None:
            return ()
        return [
            self.step(
                Verb.STAND_BY, source, f"{source} back to {self.config.stand_by} {self.members}", StandBy(self, source, target),
                uses=[*self.reads(source), *self.reads(target), *self._acts(source)], typed=by_hand.standing(self, source, target),
                estimate=timedelta(seconds=10), budget=timedelta(minutes=5),
            )
        ]  # fmt: skip

    def _scale(self, source: str, target: str, *, planned: bool) -> Step:
        sized = self.reads(source) if planned else ()
        watching = [Use(call, target, tried=True) for call in QUOTA_CALLS]
        return self.step(
            Verb.SCALE, target, f"as many {self.members} as {self._sizes(source)} in {target}", Scale(self, source, target),
            uses=[*self.reads(target), *sized, *self._acts(target), *watching], typed=by_hand.scaled(self, target, source),
            estimate=self.takes, budget=self.within, max_attempts=_PATIENCE, undoable=planned,
            settles=self.within,  # all the time there is; and an undo waits until a node group can be changed again
        )  # fmt: skip

    def _freeze(self, source: str, target: str) -> Step:
        return self.step(
            Verb.FREEZE, source, f"no {self.members} in {source}", Freeze(self, source, target),
            uses=[*self.reads(source), *self._acts(source)], typed=by_hand.frozen(self, source), estimate=self.goes, budget=_GONE,
            settles=_GOES, max_attempts=_PATIENCE, undoable=True,
        )  # fmt: skip

    def _sizes(self, source: str) -> str:
        size = self.config.size
        return f"{source} has" if size == "primary" else f"{size} of {source}'s" if isinstance(size, str) else str(size)

    def _acts(self, region: str) -> list[Use]:
        place = self.places[region]
        names = self.config.groups(region).values()
        call = self.scaling(place, "", 0)[0]
        return [Use(call, region, tuple(arn for name in names for arn in self.arns(place, name)))]
