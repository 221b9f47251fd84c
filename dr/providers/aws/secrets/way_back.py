"""The way back: what only the old primary's secrets held is kept, then they become replicas of those of the region that leads (I17)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from dr.errors import Transient
from dr.model.evidence import Accounted, Evidence, Following, Note, Preserved
from dr.ports import AttemptContext, Look, Seen
from dr.providers.aws.secrets.calls import CREATE
from dr.providers.aws.secrets.config import PRESERVED, Keep
from dr.providers.aws.secrets.side import Side
from dr.providers.aws.secrets.steps import SecretsStep
from dr.providers.aws.together import together
from dr.providers.aws.values import many, some


@dataclass(frozen=True)
class Only:
    """One version that only the old side has. digest: keyed, of its value. place: the secret that it is kept as."""

    name: str
    arn: str
    version: str
    created: str
    digest: str
    place: str


class WayBack(SecretsStep):
    """Base of both steps. ``source`` is the old side, ``target`` leads."""

    def at_odds(self, new: Side, old: Side) -> list[str]:
        """Secrets that stand alone on both sides: neither is the other's replica."""
        return sorted(name for name in new.secrets if new.alone(name) and old.alone(name) and not self.owner.config.own(name))

    def only(self, new: Side, old: Side) -> list[Only]:
        """Every version of those that the new side does not have, with or without a label. Raises StepError."""
        found = together(self.owner.aws, [partial(self._only, new, old, name) for name in self.at_odds(new, old)])
        return [item for part in found for item in part]

    def unkept(self, only: list[Only]) -> list[Only]:
        """Those that are not kept in the leading region with the same value. Raises StepError."""
        held = self._held(only)
        return [item for item in only if held.get(item.place) != item.digest]

    def taken(self, only: list[Only]) -> list[str]:
        """Names of secrets in the leading region where a version should be kept, that hold something else. Raises StepError."""
        held = self._held(only)
        return [item.place for item in only if held.get(item.place, item.digest) != item.digest]

    def _held(self, only: list[Only]) -> dict[str, str]:
        return self.owner.reader.digests(self.owner.places[self.target], {item.place: item.name for item in only})

    def blocked(self) -> Seen | None:
        """BLOCKED where the runbook's database says that the target does not lead. Raises Transient."""
        if self.owner.leads(self.target) is False:
            return Seen(Look.BLOCKED, f"newest-copy: {self.owner.config.database} does not lead in {self.target}: its secrets may be older")
        return None

    def _only(self, new: Side, old: Side, name: str) -> list[Only]:
        reader, theirs = self.owner.reader, old.secrets[name]
        here = reader.versions(new.place, new.secrets[name].arn)
        found = []
        for version, created in sorted(reader.versions(old.place, theirs.arn).items(), key=lambda item: item[1]):
            if version not in here:
                digest = reader.fact(name, reader.value(old.place, theirs.arn, version)).digest
                if name not in new.facts or new.facts[name].digest != digest:
                    place = f"{PRESERVED}{old.place.code}/{name}/{version}"
                    found.append(Only(name, theirs.arn, version, created.isoformat(), digest, place))
        return found


class Preserve(WayBack):
    """Versions that only the old side has become secrets of their own in the leading region; ``preserve: list`` lists them only."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: there is none, or all are kept."""
        wrong = self.blocked()
        if wrong is not None:
            return wrong
        only = self.only(self.side(self.target), self.side(self.source, values=False))
        if not only:
            text = f"{self.owner.name}: {self.source} has no version that {self.target} misses"
            return Seen(Look.DONE, text, (Note(text=text),))
        copied = self.owner.config.preserve is Keep.COPY
        left = self.unkept(only) if copied else []
        if left:
            return Seen(Look.NEEDED, f"{many(len(left), 'version')} only in {self.source}: {some([item.name for item in left])}")
        return Seen(Look.DONE, f"{many(len(only), 'version')} {'kept' if copied else 'listed'}", (self._evidence(context, only, copied),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Copies each into a new secret; one that is there already is left as it is. Raises StepError."""
        left = self.unkept(self.only(self.side(self.target), self.side(self.source, values=False)))
        together(self.owner.aws, [partial(self._copy, context, item) for item in left])
        context.say(f"{many(len(left), 'version')} of {self.source} kept in {self.target}")
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """Each is there with the same value; the manifest is written. NEEDED: one is not there yet: what was made shows a little later.
        BLOCKED: something else has its name."""
        seen = self.observe(context)
        if seen.look is not Look.NEEDED:
            return seen
        taken = self.taken(self.only(self.side(self.target), self.side(self.source, values=False)))
        return Seen(Look.BLOCKED, f"there already, with another value: {some(taken)}") if taken else seen

    def _copy(self, context: AttemptContext, item: Only) -> None:
        if context.cancelled():
            raise Transient(f"{self.owner.name}: cancelled before all versions of {self.source} were kept")
        value = self.owner.reader.value(self.owner.places[self.source], item.arn, item.version)
        key = self.owner.config.regions[self.target].kms_key
        self.call(
            context, self.target, CREATE, already=("ResourceExistsException",), Name=item.place, ClientRequestToken=item.version,
            Description=f"version of {item.created} that only {self.source} had", **({"KmsKeyId": key} if key is not None else {}), **value,
        )  # fmt: skip

    def _evidence(self, context: AttemptContext, only: list[Only], copied: bool) -> Preserved:
        rows = [
            {
                "secret": item.name, "region": self.source, "version": item.version, "created": item.created, "keyed_digest": item.digest,
                "kept": item.place if copied else None,
            }
            for item in only
        ]  # fmt: skip
        manifest, place = self.listed(context, rows), self.owner.places[self.target]
        where = f"secrets {PRESERVED}* in {place}" if copied else "listed only: the runbook says preserve: list"
        return Preserved(
            component=self.owner.name, region=self.source, at=context.clock.now(), path=where, manifest=manifest or "", items=len(only),
        )  # fmt: skip


@dataclass(frozen=True)
class Way:
    """What is to become of the old side's secrets.

    ask: ARN in the leading region → over what is there. waiting: ARNs of replicas that have not arrived. left: left alone, and why.
    equal: how many are replicas in sync, or their primaries.
    """

    ask: dict[str, bool]
    waiting: tuple[str, ...]
    left: dict[str, str]
    equal: int


class Follow(WayBack):
    """The old side's secrets become replicas of the leading side's. Nothing is deleted; what leads nobody knows is left alone, and listed.

    Where the leading side's secret is itself a replica of the old side's (nothing was promoted), it stays so: nothing forked.
    """

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: replicas, in sync. NEEDED: not all of them are. BLOCKED: the target does not lead, or something is not kept."""
        wrong = self.blocked()
        if wrong is not None:
            return wrong
        new, old = self.side(self.target), self.side(self.source)
        way = self._way(new, old)
        if any(way.ask.values()) and (reason := self._not_kept(context, new, old)):
            return Seen(Look.BLOCKED, reason)
        if way.ask or way.waiting:
            return Seen(Look.NEEDED, f"{many(len(way.ask) + len(way.waiting), 'secret')} of {self.source} not yet as in {self.target}")
        return Seen(Look.DONE, self._told(way), self._evidence(context, way))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Replicates each that is asked for; over what is there only where that was preserved. Raises StepError."""
        way = self._way(self.side(self.target), self.side(self.source))
        self.replicate(context, self.target, self.source, way.ask)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As ``observe``; BLOCKED where a replica failed."""
        seen = self.observe(context)
        if seen.look is not Look.NEEDED:
            return seen
        way = self._way(self.side(self.target), self.side(self.source))
        return self.failed(self.target, self.source, [*way.ask, *way.waiting]) or seen

    def _way(self, new: Side, old: Side) -> Way:
        ask, waiting, left, equal = dict[str, bool](), list[str](), dict[str, str](), 0
        leads = self.owner.config.database is not None  # asked in ``blocked``
        for name, item in sorted(new.secrets.items()):
            if self.owner.config.own(name):
                continue
            if item.primary == old.place.code:
                equal += 1
            elif item.primary:
                left[name] = f"replicates from {item.primary}, which is not in the runbook"
            elif name not in old.secrets:
                ask[item.arn] = False
            elif old.follows(name, new.place.code):
                if old.secrets[name].current == item.current:
                    equal += 1
                else:
                    waiting.append(item.arn)
            elif not old.alone(name):
                left[name] = f"replicates from {old.secrets[name].primary} in {self.source}"
            elif leads or not self._newer(new, old, name):
                ask[item.arn] = True
            else:
                left[name] = f"changed last in {self.source}, and no database says which region leads"
        left |= {name: f"only in {self.source}" for name in old.secrets.keys() - new.secrets.keys() if not self.owner.config.own(name)}
        return Way(ask, tuple(waiting), left, equal)

    def _newer(self, new: Side, old: Side, name: str) -> bool:
        """Whether the old side's value differs and was written last, or nobody can tell."""
        if name not in new.facts or name not in old.facts:
            return True
        return new.facts[name].digest != old.facts[name].digest and old.created[name] >= new.created[name]

    def _not_kept(self, context: AttemptContext, new: Side, old: Side) -> str:
        """Why nothing may be overwritten yet; empty: it may."""
        only = self.only(new, old)
        if self.owner.config.preserve is Keep.LIST:
            left = only if context.found(Preserved, self.owner.name) is None else []
        else:
            left = self.unkept(only)
        return f"{many(len(left), 'version')} only in {self.source} not preserved yet" if left else ""

    def _told(self, way: Way) -> str:
        return f"left as found: {some([f'{name} ({why})' for name, why in sorted(way.left.items())])}" if way.left else ""

    def _evidence(self, context: AttemptContext, way: Way) -> tuple[Evidence, ...]:
        owner, names = self.owner, tuple(sorted(way.left))
        rows = [{"secret": name, "is": why} for name, why in sorted(way.left.items())]
        return (
            Accounted(
                component=owner.name, region=self.source, at=context.clock.now(), checked=way.equal + len(names), equal=way.equal,
                conflicts=names[:20], conflicts_total=len(names), items_path=self.listed(context, rows),
            ),
            Following(
                component=owner.name, region=self.source, upstream=owner.places[self.target].code,
                how=f"{many(way.equal, 'secret')} in sync" + (f"; {self._told(way)}" if way.left else ""),
            ),
        )  # fmt: skip
