"""The way back: what only the old side has is named and kept, what either side lacks is brought over, and nothing newer is overwritten.

Both buckets keep every version, so a version that another one is put on top of stays; with versioning off nothing is touched (I17).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dr.model.evidence import NAMED, Accounted, Evidence, Following, Note, Preserved
from dr.ports import AttemptContext, Look, Seen
from dr.providers.artefacts import keep_lines
from dr.providers.aws.s3 import batch, listing, objects
from dr.providers.aws.s3.batch import Job
from dr.providers.aws.s3.listing import Difference, Version
from dr.providers.aws.s3.steps import BucketStep

if TYPE_CHECKING:
    from datetime import timedelta

    from dr.providers.aws.s3.kind import S3Bucket

_YOUNG_ASKED = 1_000
"""Of what is on its way, so much is asked at most whether S3 gave it up, the oldest first; the drain asks again."""


class Preserve(BucketStep):
    """Versions that only the old side has stay where they are: a list of them is kept outside both regions."""

    _left: tuple[Version, ...] = ()

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: there are none. BLOCKED: a bucket does not keep versions, so something could be lost."""
        for region in (self.source, self.target):
            versioning = self.owner.looker.settings(self.owner.places[region], fresh=True).versioning
            if versioning != "Enabled":
                return Seen(Look.BLOCKED, f"{self.owner.bucket(region)} keeps no versions: {self.owner.by_hand.versioning(region)}")
        found = self.compare(context, self.source, self.target)
        if found is None:
            text = f"{self.owner.name}: too many objects to be compared; {self.source} keeps every version of its own"
            return Seen(Look.DONE, text, (Note(text=text),))
        self._left = found.only_there
        if not self._left:
            return Seen(Look.DONE, f"{self.source} has nothing that {self.target} has not")
        return Seen(Look.NEEDED, f"{len(self._left)} versions are only in {self.source}")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The list."""
        path = self._path(context)
        keep_lines(
            self.owner.site.artefacts / path,
            (
                {"bucket": self.owner.bucket(self.source), "key": item.key, "version": item.version, "etag": item.etag, "bytes": item.size,
                 "modified": item.modified.isoformat()}
                for item in self._left
            ),
        )  # fmt: skip
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: it is kept."""
        path = self.owner.site.artefacts / self._path(context)
        if not path.exists():
            return Seen(Look.NEEDED, f"{path} is not there")
        kept = Preserved(
            component=self.owner.name, region=self.source, at=context.clock.now(), path=f"s3://{self.owner.bucket(self.source)}",
            manifest=str(path), items=len(self._left),
        )  # fmt: skip
        return Seen(Look.DONE, f"{len(self._left)} versions stay in {self.source}, listed in {path}", (kept,))

    def _path(self, context: AttemptContext) -> str:
        return f"{self.owner.name}-{self.source}-{context.run_id}-preserved.jsonl"


class Bring(BucketStep):
    """What one side lacks is brought over by Batch Replication: to ``old`` what ``leading`` has and it has not, or has in an older version.

    Args:
        both: what only the old side ever had is brought to the leading one, too.
        younger: what was written so lately is on its way by itself, and does not count, unless S3 says that it gave it up.
    """

    def __init__(self, owner: S3Bucket, source: str, target: str, *, old: str, leading: str, both: bool, younger: timedelta | None) -> None:
        super().__init__(owner, source, target)
        self._old, self._leading, self._both, self._younger = old, leading, both, younger
        self._jobs: dict[str, str] = {}
        self._found: Difference | None = None
        self._asked: frozenset[tuple[str, str, str]] = frozenset()
        self._stuck: frozenset[tuple[str, str]] = frozenset()
        self._blind = False

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: neither side lacks anything. BLOCKED: nobody may bring it."""
        self._found = self.compare(context, self._old, self._leading)
        self._blind = self._found is None
        young = [] if self._found is None else [item for item in self._found.to_old if self._is_young(context, item)]
        self._stuck = frozenset((item.key, item.version) for item in self.given_up(self._leading, young, _YOUNG_ASKED))
        wanted = self._wanted(context, self._found)
        if not any(wanted.values()) and not self._blind:
            return self.settled(context, {})
        if self.owner.config.batch_role is None and not self._blind:
            count = sum(map(len, wanted.values()))
            first = next(item.key for items in wanted.values() for item in items)
            do = self.owner.by_hand.brought(self._leading, self._old).do
            gave_up = "; S3 gave some up, which never arrive by themselves" if self._stuck else ""
            told = f"{count} objects are missing, {first} among them, and there is no batch_role to bring them over{gave_up}"
            return Seen(Look.BLOCKED, f"{told}: {do}")
        if self._blind and self.owner.config.batch_role is None:
            return self.settled(context, {})
        return Seen(Look.NEEDED, self._said(wanted))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One job out of each side that has something to send."""
        if self._blind:
            self._jobs = {self._leading: batch.start(self.owner, context, self._leading, None)}
            return ()
        wanted = self._wanted(context, self._found)
        self._asked = frozenset((region, item.key, item.version) for region, items in wanted.items() for item in items)
        self._jobs = {region: batch.start(self.owner, context, region, items) for region, items in wanted.items() if items}
        names = ", ".join(f"{job} in {region}" for region, job in self._jobs.items())
        return (Note(text=f"{self.owner.name}: Batch Replication {names}"),) if names else ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: the jobs have ended and nothing is missing any more. BLOCKED: a job failed, or objects of it."""
        jobs = {region: batch.job(self.owner, region, identifier) for region, identifier in self._jobs.items()}
        waits = next((seen for region, job in jobs.items() if (seen := self.waits_for(context, region, job)) is not None), None)
        if waits is not None or self._blind:
            return waits or self.settled(context, jobs)
        if jobs and self.rests(context):
            return Seen(Look.NEEDED, "what was sent is looked for again in a moment")
        left = self._left(self._wanted(context, self.compare(context, self._old, self._leading) if jobs else self._found))
        return Seen(Look.NEEDED, self._said(left)) if any(left.values()) else self.settled(context, jobs)

    def _left(self, wanted: Mapping[str, Sequence[Version]]) -> dict[str, Sequence[Version]]:
        """Of what was to be brought. What was written meanwhile is on its way by the rule: where people write, some of it always is."""
        return {region: [item for item in items if (region, item.key, item.version) in self._asked] for region, items in wanted.items()}

    def settled(self, context: AttemptContext, jobs: Mapping[str, Job]) -> Seen:
        """Nothing is missing."""
        return Seen(Look.DONE, self._text(jobs), self.accounts(context))

    def accounts(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """One account for each side, of what was found before anything was brought."""
        found = self._found
        if found is None:
            return (Note(text=f"{self.owner.name}: too many objects to be compared (inventory_objects)"),)
        sides = [(self._old, found.to_old, ()), (self._leading, found.only_old if self._both else (), found.conflicts)]
        return tuple(self._account(context, found.checked, *side) for side in sides)

    def _account(
        self, context: AttemptContext, checked: int, region: str, missing: Sequence[Version], newer: Sequence[Version]
    ) -> Accounted:
        path = None
        if missing or newer:
            path = self.owner.site.artefacts / f"{self.owner.name}-{region}-{context.run_id}.jsonl"
            rows = [("missing", item) for item in missing] + [("conflict", item) for item in newer]
            keep_lines(path, ({"found": what, "key": item.key, "version": item.version, "bytes": item.size} for what, item in rows))
        return Accounted(
            component=self.owner.name, region=region, at=context.clock.now(), checked=checked, equal=checked - len(missing) - len(newer),
            missing=listing.names(missing, NAMED), missing_total=len(missing), conflicts=listing.names(newer, NAMED),
            conflicts_total=len(newer), repaired=len(missing), items_path=str(path) if path is not None else None,
        )  # fmt: skip

    def _wanted(self, context: AttemptContext, found: Difference | None) -> dict[str, Sequence[Version]]:
        """By the side that sends."""
        if found is None:
            return {}
        wanted = {self._leading: found.to_old, self._old: found.only_old if self._both else ()}
        return {
            region: [item for item in items if not self._is_young(context, item) or (item.key, item.version) in self._stuck]
            for region, items in wanted.items()
        }  # fmt: skip

    def _is_young(self, context: AttemptContext, item: Version) -> bool:
        return self._younger is not None and item.modified >= context.clock.now() - self._younger

    def _said(self, wanted: Mapping[str, Sequence[Version]]) -> str:
        parts = [f"{len(items)} objects of {region}, {items[0].key} among them" for region, items in wanted.items() if items]
        return f"to be brought over: {'; '.join(parts)}" if parts else "too many objects to be compared: S3 chooses what is missing"

    def _text(self, jobs: Mapping[str, Job]) -> str:
        checked = f"{self._found.checked} objects compared" if self._found is not None else "not compared"
        return f"{checked}, {sum(job.total for job in jobs.values())} brought over"


class Follow(Bring):
    """The old side follows: the leading one sends to it, and its marker arrived there."""

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED: no rule sends back. DONE: as ``Bring``, and the marker of this run has arrived."""
        place = self.owner.places[self.target]
        settings = self.owner.looker.settings(place, fresh=True)
        if not settings.sending:
            return Seen(Look.BLOCKED, f"nothing is sent from {self.target} to {self.source}: {self.owner.by_hand.rule(self.target)}")
        return super().observe(context)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """The jobs, and a marker to see arriving."""
        found = super().act(context) if self._blind or any(self._wanted(context, self._found).values()) else ()
        objects.mark(self.owner, context, self.target)
        return found

    def settled(self, context: AttemptContext, jobs: Mapping[str, Job]) -> Seen:
        """Nothing is missing: does the marker arrive?"""
        written = objects.marker(self.owner, self.target)
        arrived = objects.marker(self.owner, self.source, of=self.target)
        covered = any(rule.covers(self.owner.config.prefix) for rule in self.owner.looker.settings(self.owner.places[self.target]).sending)
        if covered and (written is None or arrived is None or written[0] != arrived[0] or written[0].run != context.run_id):
            return Seen(Look.NEEDED, f"the marker of {self.target} has not arrived in {self.source}")
        how = self._text(jobs) + (", a marker arrived" if covered else "; the rules leave the marker out, so its arrival was not seen")
        follows = Following(component=self.owner.name, region=self.source, upstream=f"s3://{self.owner.bucket(self.target)}", how=how)
        return Seen(Look.DONE, how, (*self.accounts(context), follows))


class Beside(Follow):
    """After a planned move: both sides were equal a moment ago, so nothing is compared; the marker shows that the way back works."""

    def compare(self, context: AttemptContext, old: str, leading: str) -> Difference | None:
        """Nothing is listed."""
        return Difference()

    def accounts(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing was counted."""
        return ()

    def _text(self, jobs: Mapping[str, Job]) -> str:
        return f"{self.target} sends to {self.source}"
