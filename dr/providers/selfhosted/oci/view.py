"""A component as observed now. Two registries and two databases are asked at once, for a bounded time; what did not fit into it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from dr.errors import StepError
from dr.model.identity import ImageUse, ImageUses
from dr.model.lag import ComponentView, RegionView
from dr.model.words import Role
from dr.providers.selfhosted.oci.access import Denied, NotAnswering, NotInTime
from dr.providers.selfhosted.oci.images import Image
from dr.providers.selfhosted.oci.inventory import Entry
from dr.providers.selfhosted.oci.judge import Shelf, findings
from dr.providers.selfhosted.oci.look import Limit, Looked, Looker
from dr.providers.selfhosted.oci.registries import Registries
from dr.providers.selfhosted.oci.wanted import Pull, Wanted, merged, pulls, repositories, wanted

KIND = "oci-registry"
T = TypeVar("T")

_FIRST_SECONDS = 1.2
"""Until a database must have said who needs what."""
_ALSO_SECONDS = 0.3
"""So much longer the other one is waited for, which may be lost."""
_LOOK_SECONDS = 1.7
"""For the images in use."""
_MORE_SECONDS = 0.6
"""For the rest, from the start, too: a run begins with a view, and somebody waits for it."""
_GRACE_SECONDS = 0.2
_REST_SECONDS, _REST_WIDTH = 60.0, 2
"""What did not fit into a view is looked at after it, in this time. What nobody runs now is looked at by few: nobody else notices."""
_MOMENT = timedelta(seconds=30)
"""So old may be what counts for an image in use that was not reached in time; and what a monitor saw itself, which looks every few
seconds. The first look of a process asks for all of them: the guard of a failover believes nobody's word of half a minute ago."""


@dataclass(frozen=True)
class Sides:
    """Both regions at one moment. ``uses``: what each region's database said, or why it said nothing."""

    needed: tuple[Wanted, ...]
    pulls: tuple[Pull, ...]
    shelves: tuple[Shelf, ...]
    uses: Mapping[str, ImageUses | StepError]


class Viewer:
    """Looks at both regions of one component."""

    def __init__(self, registries: Registries, looker: Looker) -> None:
        self._registries, self._looker = registries, looker
        self._going_on: Future[None] | None = None
        self._looked: set[str] = set()

    def view(self) -> ComponentView:
        """Roles and findings. Bounded by about 2 s, never raises. What did not fit is looked at afterwards, for the next view."""
        seen = self.sides()
        self._go_on(seen)
        component, at = self._registries.name, self._registries.site.clock.now()
        return ComponentView(
            component=component, kind=KIND, at=at, regions=_roles(seen) if self._registries.config.deployments is not None else {},
            findings=findings(component, seen.needed, seen.pulls, seen.shelves),
        )  # fmt: skip

    def sides(self) -> Sides:
        """What both registries hold of what is needed. Bounded, never raises."""
        clock, config = self._registries.site.clock, self._registries.config
        began = clock.monotonic()
        pinged = self._both(self._registries.ping)
        uses = self._uses(self._both(self._registries.uses), began + _FIRST_SECONDS)
        known = [answer for answer in uses.values() if isinstance(answer, ImageUses)]
        everybody: Sequence[ImageUse] = merged(known) if known else self._registries.kept_uses()
        needed, listed = self._needed(everybody)
        trying = pulls(everybody, config) if config.pull_secrets is not None else ()
        until = began + _LOOK_SECONDS
        limits = Limit(until), Limit(began + _MORE_SECONDS, _REST_WIDTH)
        looking = self._both(lambda region: self._shelf(region, self._answer(pinged[region], until), needed, trying, listed, limits))
        shelves = self._ask_again(tuple(self._on_time(region, future, until) for region, future in looking.items()), listed, until)
        self._registries.inventory.save()
        return Sides(needed, trying, shelves, uses)

    def _go_on(self, seen: Sides) -> None:
        """Goes on with what did not fit into the time, a little at a time, in a thread of its own; at most one."""
        open_ = [shelf.region for shelf in seen.shelves if not shelf.all_tags and not isinstance(shelf.silent, NotAnswering | Denied)]
        if open_ and (self._going_on is None or self._going_on.done()) and not self._registries.quiet.is_set():
            self._going_on = self._registries.fan.submit(partial(self._rest, open_, seen))

    def _rest(self, regions: Sequence[str], seen: Sides) -> None:
        trust, names = self._registries.config.check_every, repositories(seen.needed, self._registries.config)
        limit = Limit(self._registries.site.clock.monotonic() + _REST_SECONDS, _REST_WIDTH, self._registries.quiet.is_set)
        for region in regions:
            self._looker.pulls(region, seen.pulls, limit, trust=trust)
            self._looker.images(region, [item.image for item in seen.needed], limit, trust=trust, recent=trust)
            self._looker.tags(region, names, limit, trust=trust)
            self._registries.inventory.save()

    def _uses(self, asked: Mapping[str, Future[ImageUses]], until: float) -> dict[str, ImageUses | StepError]:
        """What each region's database answered in time."""
        clock, left = self._registries.site.clock, set(asked.values())
        while left and clock.monotonic() < until:
            done, left = wait(left, timeout=until - clock.monotonic(), return_when=FIRST_COMPLETED)
            if any(future.exception() is None for future in done):
                until = min(until, clock.monotonic() + _ALSO_SECONDS)
        answers: dict[str, ImageUses | StepError] = {}
        for region, future in asked.items():
            found = self._answer(future, 0)
            answers[region] = found
        return answers

    def _needed(self, everybody: Iterable[ImageUse]) -> tuple[tuple[Wanted, ...], tuple[str, ...]]:
        """What is needed, and the repositories whose tags are looked at. What whole repositories hold is known from earlier looks."""
        config = self._registries.config
        listed = [
            Image(repository, entry.digest)
            for repository in config.repositories
            for region in config.regions
            for entry in self._registries.inventory.tags(region, repository, config.check_every).values()
            if entry.digest
        ]
        needed = wanted(everybody, config, listed)
        return needed, repositories(needed, config)

    def _shelf(
        self, region: str, silent: StepError | None, needed: Sequence[Wanted], trying: Sequence[Pull], listed: Sequence[str],
        limits: tuple[Limit, Limit],
    ) -> Shelf:  # fmt: skip
        inventory, trust = self._registries.inventory, self._registries.config.check_every
        entries: dict[str, Entry] = {}
        all_tags = False
        if silent is None:
            first, more = limits
            recent = _MOMENT if region in self._looked else timedelta(0)
            now = self._looker.images(region, [item.image for item in needed if item.needed_now], first, trust=trust, recent=recent)
            if now.complete:
                self._looked.add(region)
            running = [item.image.key for item in needed if item.needed_now]
            entries = {key: entry for key in running if (entry := inventory.fresh(region, key, _MOMENT)) is not None} | dict(now.entries)
            later = [item.image for item in needed if not item.needed_now]
            rest: tuple[Callable[[], Looked], ...] = (
                partial(self._looker.pulls, region, trying, more, trust=trust),
                partial(self._looker.images, region, later, more, trust=trust, recent=trust),
                partial(self._looker.tags, region, listed, more, trust=trust),
            )
            silent = now.silent
            for look in rest:
                seen = look()
                silent, all_tags = silent or seen.silent, seen.complete  # the tags come last
        keys = [*(item.image.key for item in needed if not item.needed_now), *(pull.key for pull in trying)]
        entries.update({key: entry for key in keys if (entry := inventory.fresh(region, key, trust)) is not None})
        return Shelf(region, entries, self._tags(region, listed), silent, all_tags=all_tags and silent is None)

    def _tags(self, region: str, listed: Sequence[str]) -> dict[str, Entry]:
        trust = self._registries.config.check_every
        return {key: entry for name in listed for key, entry in self._registries.inventory.tags(region, name, trust).items()}

    def _ask_again(self, shelves: tuple[Shelf, ...], listed: Sequence[str], until: float) -> tuple[Shelf, ...]:
        """Tags that seem to differ are asked for again: the looks may lie minutes apart, and somebody may have mended them."""
        one, other = (shelf.tags for shelf in shelves)
        apart = [key for key in one.keys() & other.keys() if one[key].digest != other[key].digest]
        if not apart:
            return shelves
        tags = [Image(*key.rsplit(":", 1)) for key in sorted(apart)]
        for shelf in shelves:
            if shelf.silent is None:
                self._looker.tagged(shelf.region, tags, Limit(until), trust=timedelta(0))
        return tuple(replace(shelf, tags=self._tags(shelf.region, listed)) for shelf in shelves)

    def _both(self, work: Callable[[str], T]) -> dict[str, Future[T]]:
        return {region: self._registries.fan.submit(partial(work, region)) for region in self._registries.config.regions}

    def _answer(self, future: Future[T], until: float) -> T | StepError:
        try:
            return future.result(timeout=max(0.0, until - self._registries.site.clock.monotonic()))
        except StepError as error:
            return error
        except FutureTimeout:
            return NotInTime("not asked in time")

    def _on_time(self, region: str, future: Future[Shelf], until: float) -> Shelf:
        found = self._answer(future, until + _GRACE_SECONDS)
        return found if isinstance(found, Shelf) else Shelf(region, {}, {}, found)



def _roles(seen: Sides) -> dict[str, RegionView]:
    """A registry takes pushes in every region; the primary is where the Deployments that it serves are, which their database says.

    A region that could not be asked in time is left out: the component that has the database speaks for it.
    """
    silent = {shelf.region: shelf.silent for shelf in seen.shelves}
    roles = {}
    for region, uses in seen.uses.items():
        problem = silent[region]
        registry = problem.message if problem is not None else ""
        if isinstance(uses, ImageUses):
            role = Role.SECONDARY if uses.epoch is None else Role.PRIMARY
            roles[region] = RegionView(role=role, epoch=uses.epoch, reason=registry)
        elif not isinstance(uses, NotInTime):
            why = "; ".join(filter(None, [uses.message, registry]))
            roles[region] = RegionView(role=Role.UNREACHABLE, reason=why, late=uses.late)
    return roles
