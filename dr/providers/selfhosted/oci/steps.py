"""What a run does about images: bring over what is missing (prepare, follow), and account for all of it (fingerprint).

Nothing is destroyed and nothing overwritten, so nothing has to be preserved: content lies under its own digest, and a tag of the target is
changed only where the source's image was made later than the one that it names. Else it is a conflict, which is told and left alone;
Deployments name digests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TypeVar

from dr.errors import Permanent, StepError, Transient
from dr.model.evidence import NAMED, Evidence, Following, Note
from dr.model.identity import ImageUses
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.artefacts import keep_lines
from dr.providers.one_way import OneWay
from dr.providers.selfhosted.oci import judge
from dr.providers.selfhosted.oci.images import Image
from dr.providers.selfhosted.oci.inventory import Entry
from dr.providers.selfhosted.oci.judge import Shelf
from dr.providers.selfhosted.oci.look import Limit, Looker
from dr.providers.selfhosted.oci.mirror import Copied, Mirror
from dr.providers.selfhosted.oci.registries import Registries
from dr.providers.selfhosted.oci.wanted import Pull, Wanted, merged, pulls, repositories, wanted

T = TypeVar("T")

_PATIENCE = timedelta(milliseconds=500)
"""How much longer a source that may be lost is waited for once the target has been looked at."""


@dataclass(frozen=True)
class Depth:
    """How thoroughly a step looks.

    trust: parts that were seen within this time are not asked for again. recent: nor is a manifest. everything: images of rollback windows
    and tags, too; else only what has to be there before a Deployment starts.
    """

    trust: timedelta = timedelta(0)
    recent: timedelta = timedelta(0)
    everything: bool = True


WHOLE = Depth()


@dataclass(frozen=True)
class State:
    """The target's registry against what is needed.

    tags: those to be changed, with the digest. conflicts: those left alone, see above. absent: why the source cannot be asked.
    """

    needed: tuple[Wanted, ...]
    pulls: tuple[Pull, ...]
    shelf: Shelf
    tags: Mapping[Image, str] = field(default_factory=dict)
    conflicts: tuple[str, ...] = ()
    absent: StepError | None = None

    @property
    def lacking(self) -> tuple[Wanted, ...]:
        """What is needed and not there, whole."""
        return judge.lacking(self.needed, self.shelf)


class Bring(OneWay):
    """The target's registry holds all that is needed, and Deployments can pull it there. What is missing comes from the source, if there.

    Args:
        depth: how thoroughly the target is looked at.
        primary_only: only what the source's Deployments name counts, and the source must be the primary (re-protect).
    """

    def __init__(
        self, registries: Registries, looker: Looker, source: str, target: str, *, depth: Depth = WHOLE,
        primary_only: bool = False,
    ) -> None:  # fmt: skip
        self._registries, self._looker = registries, looker
        self._source, self._target = source, target
        self._depth, self._primary_only = depth, primary_only
        self._seen: State | None = None
        self._brought = 0

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: all is there. BLOCKED: something is not, and there is no source to take it from; ``prerequisites`` may be accepted."""
        if self._primary_only:
            wrong = self._direction()
            if wrong:
                return Seen(Look.BLOCKED, wrong)
        state = self._look(context)
        if state.absent is None and (state.lacking or state.tags):
            self._seen = state  # for act in the same attempt: each write there is conditional on what the target has by then
            return Seen(Look.NEEDED, f"{len(state.lacking)} images and {len(state.tags)} tags to bring to {self._target}")
        return self._judged(context, state, repaired=0)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Copies. Raises Transient where something may come over at the next try."""
        state, self._seen = self._seen or self._look(context), None
        mirror = self._mirror(context)
        copied = mirror.copy([item.image for item in state.lacking])
        tagged = mirror.tag({tag: digest for tag, digest in state.tags.items() if _key(tag, digest) not in copied.failed})
        self._brought += copied.manifests + tagged.manifests
        _raise_what_passes(copied, tagged)
        text = f"{copied.manifests} manifests and {copied.blobs} blobs ({copied.bytes} bytes, {copied.mounted} mounted) copied from"
        notes = [Note(text=f"{text} {self._source} to {self._target}, {tagged.manifests} tags set")]
        notes += [Note(text=f"not copied: {key}: {error.message}") for key, error in list((copied.failed | tagged.failed).items())[:NAMED]]
        return tuple(notes)

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: all is there. BLOCKED as ``observe``: what could be copied has been."""
        return self._judged(context, self._look(context), repaired=self._brought)

    def _mirror(self, context: AttemptContext | None = None) -> Mirror:
        """Without a context it only reads."""
        source, target = self._registries.registry(self._source), self._registries.registry(self._target)
        if context is None:
            return Mirror(source, target, self._registries.fan, may_act=lambda: False)
        return Mirror(source, target, self._registries.fan, may_act=lambda: context.may_act() and not _over(context), say=context.say)

    def _direction(self) -> str:
        """Why nothing may be copied this way: the newest images are where the Deployments are (I17). Empty where it may."""
        if self._registries.config.deployments is None or self._registries.uses(self._source).epoch is not None:
            return ""
        return f"newest-copy: the platform's database in {self._source} takes no writes, so {self._source} is not what is to be copied"

    def _look(self, context: AttemptContext) -> State:
        """The target as a whole; the source beside it, for a short time. Raises StepError where the target cannot be asked."""
        clock, config, submit, depth = context.clock, self._registries.config, self._registries.fan.submit, self._depth
        self._registries.quiet.set()
        here = None if self._primary_only else submit(partial(self._registries.uses, self._target))
        there = submit(partial(self._registries.uses, self._source))
        reached = submit(partial(self._registries.ping, self._source))
        needed, trying = self._needed(here, there, clock.monotonic() + config.source_timeout.total_seconds())
        if not depth.everything:
            needed = tuple(item for item in needed if item.needed_now)
        images, limit = [item.image for item in needed], Limit(context.deadline, stop=context.cancelled)
        seen = self._looker.images(self._target, images, limit, trust=depth.trust, recent=depth.recent)
        pulled = self._looker.pulls(self._target, trying, limit, trust=depth.trust)
        silent = seen.silent or pulled.silent
        if silent is not None:
            raise silent
        shelf = Shelf(self._target, {**seen.entries, **pulled.entries})
        if len(shelf.entries) < len({*images, *trying}):
            raise Transient(f"{self._registries.name}: {self._target} could not be looked at in time")
        absent = _answer(reached, _PATIENCE)
        tags, conflicts = self._tags(limit, needed) if absent is None and depth.everything else ({}, ())
        self._registries.inventory.save()
        return State(needed, trying, shelf, tags, conflicts, absent)

    def _needed(
        self, here: Future[ImageUses] | None, there: Future[ImageUses], until: float
    ) -> tuple[tuple[Wanted, ...], tuple[Pull, ...]]:
        """What the Deployments of either region name: those that the target will start, and those that only the source knows yet."""
        known = [here.result()] if here is not None else [there.result()]
        if here is not None:
            left = timedelta(seconds=max(0.0, until - self._registries.site.clock.monotonic()))
            also = _answer(there, left)
            known += [also] if isinstance(also, ImageUses) else []
        uses, config = merged(known), self._registries.config
        listed = self._listed(until)
        return wanted(uses, config, listed), pulls(uses, config) if config.pull_secrets is not None else ()

    def _listed(self, until: float) -> list[Image]:
        """What the tags of whole repositories name, in whatever region answers."""
        repositories_ = self._registries.config.repositories
        found: list[Image] = []
        for region in (self._source, self._target) if repositories_ else ():
            seen = self._looker.tags(region, repositories_, Limit(until + _PATIENCE.total_seconds()), trust=timedelta(0))
            found += [Image(key.rsplit(":", 1)[0], entry.digest) for key, entry in seen.entries.items() if entry.digest]
        return found

    def _tags(self, limit: Limit, needed: Sequence[Wanted]) -> tuple[dict[Image, str], tuple[str, ...]]:
        """Tags of the source that are to be made equal, and those that are left alone because the target's image is newer."""
        names = repositories(needed, self._registries.config)
        ours = self._looker.tags(self._source, names, limit, trust=timedelta(0)).entries
        theirs = self._looker.tags(self._target, names, limit, trust=timedelta(0)).entries
        copied = {item.image.key for item in needed}
        mirror = self._mirror()
        change: dict[Image, str] = {}
        conflicts = []
        for key, entry in sorted(ours.items()):
            tag, old = Image(*key.rsplit(":", 1)), theirs.get(key)
            if entry.digest is None or _key(tag, entry.digest) not in copied or (old is not None and old.digest == entry.digest):
                continue
            if old is None or old.digest is None or mirror.newer(tag.repository, entry.digest, old.digest):
                change[tag] = entry.digest
            else:
                conflicts.append(key)
        return change, tuple(conflicts)

    def _judged(self, context: AttemptContext, state: State, *, repaired: int) -> Seen:
        """Nothing more can be brought over: is it enough?"""
        evidence = self._evidence(context, state, repaired)
        lost = [judge.of_whom(item) for item in state.lacking if item.needed_now]
        refused = judge.refused(state.pulls, state.shelf)
        reasons = [f"{len(lost)} images are not in {self._target}: {judge.named(lost)}"] if lost else []
        if lost and state.absent is not None:
            reasons.append(f"they cannot be copied: {state.absent.message}")
        if refused:
            problem = state.shelf.entries[refused[0].key].problem
            reasons.append(f"{len(refused)} pulls are refused: {judge.named([pull.secret for pull in refused])}: {problem}")
        text = "; ".join(reasons)
        if reasons and not context.accepted(Guard.PREREQUISITES):
            return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)", evidence)
        return Seen(Look.DONE, text or f"{len(state.needed)} images and {len(state.pulls)} pulls work in {self._target}", evidence)

    def _evidence(self, context: AttemptContext, state: State, repaired: int) -> tuple[Evidence, ...]:
        name, at = self._registries.name, self._registries.site.clock.now()
        path = self._list(context, state)
        found: list[Evidence] = [
            judge.account(
                name, at, state.needed, state.shelf, state.conflicts, repaired=repaired, complete=state.absent is None, items_path=path
            )
        ]
        if self._primary_only:
            upstream = self._registries.config.regions[self._source].url
            how = f"{len(state.needed)} images compared, {repaired} manifests copied"
            found.append(Following(component=name, region=self._target, upstream=upstream, how=how))
        return tuple(found)

    def _list(self, context: AttemptContext, state: State) -> str | None:
        """A file with a line for each image that is not there and whole, and each tag that was left alone; None where there is none."""
        lines = [{"image": item.image.key, **_said(state.shelf.entries[item.image.key])} for item in state.lacking]
        lines += [{"tag": key, "problem": "names an image that is not older than the other region's"} for key in state.conflicts]
        if not lines:
            return None
        path = self._registries.site.artefacts / f"{self._registries.name}-{context.run_id}-{context.step.verb}.jsonl"
        keep_lines(path, lines)
        return str(path)


class Fingerprint(Bring):
    """After the move: every image that the Deployments name now, or named before, is in the target, with all its parts."""

    def _needed(
        self, here: Future[ImageUses] | None, there: Future[ImageUses], until: float
    ) -> tuple[tuple[Wanted, ...], tuple[Pull, ...]]:
        """Those of the target now, and those that were kept outside of it before."""
        assert here is not None, "the target of a move is always asked"
        config = self._registries.config
        uses = tuple(dict.fromkeys((*here.result().uses, *self._registries.kept_uses(self._target))))
        trying = pulls(here.result().uses, config) if config.pull_secrets is not None else ()
        return wanted(uses, config, self._listed(until)), trying


def _said(entry: Entry) -> dict[str, object]:
    return {"there": entry.digest is not None, "lacks": entry.lacks, "problem": entry.problem}


def _key(tag: Image, digest: str) -> str:
    return Image(tag.repository, digest).key


def _over(context: AttemptContext) -> bool:
    return context.cancelled() or context.clock.monotonic() >= context.deadline


def _answer(future: Future[T], left: timedelta) -> T | StepError:
    try:
        return future.result(timeout=left.total_seconds())
    except StepError as error:
        return error
    except FutureTimeout:
        return Transient("no answer in time")


def _raise_what_passes(*results: Copied) -> None:
    """What may work at the next try is tried again; what cannot is judged by ``verify``."""
    passing = [(key, error) for result in results for key, error in result.failed.items() if not isinstance(error, Permanent)]
    if passing:
        key, error = passing[0]
        raise Transient(f"{len(passing)} images or tags could not be copied: {key}: {error.message}", hint=error.hint)
