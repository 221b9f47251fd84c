"""Simulated operations on secrets: the same claims, refusals and evidence as ``selfhosted.vault``."""

from __future__ import annotations

from collections.abc import Mapping

from dr.errors import Transient
from dr.model.evidence import NAMED, Accounted, Evidence, Following, Note, Preserved
from dr.model.identity import IdentitySnapshot
from dr.model.words import Guard, Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.secrets import WRONG, Compared, Contents, Secrets, Standing, account, compare, compare_kept
from dr.providers.sim.sort import some
from dr.providers.sim.steps.base import SimStep


class _Step(SimStep[Secrets]):
    """What they have in common."""

    def side(self, region: str) -> Contents:
        """What a region has. Raises Transient."""

        def look() -> Contents:
            self.store.there(region)
            return dict(self.store.held[region])

        return self.read(region, "list", look)

    def leads(self) -> bool | None:
        """Whether the target leads by its database; None where nobody can tell."""
        database = self.store.database
        if database is None:
            return None

        def authority(region: str) -> tuple[bool, int]:
            return database.writable(region), database.copies[region].timeline

        leads, epoch = self.read(self.target, "database", lambda: authority(self.target))
        try:
            also, newest = self.read(self.source, "database", lambda: authority(self.source))
        except Transient:
            return leads
        return leads and not (also and newest >= epoch)

    def kept(self) -> IdentitySnapshot | None:
        """The newest account of another region than the target, kept outside both."""
        site = self.place.site
        return site.samples.identities(site.runbook, self.component, not_from=self.target)

    def keep(self, region: str, held: Contents) -> None:
        """Keeps an account: keyed digests only."""
        site, items = self.place.site, account(held)
        kept = IdentitySnapshot(taken_at=self.now, read_until=self.now, region=region, deployments=(), items=items)
        site.samples.keep_identities(site.runbook, self.component, kept)

    def carry(self, context: AttemptContext, one: str, other: str, paths: tuple[str, ...]) -> int:
        """Copies secrets."""

        def copy() -> int:
            self.store.there(other)
            if not self.place.world.regions[one].alive or one in self.store.down:
                raise Transient(f"{self.component}: {one} does not answer any more")
            return self.store.carry(one, other, paths)

        return self.do(context, other, "carry", copy)

    def accounted(self, found: Compared, repaired: int = 0) -> Accounted:
        """A comparison as evidence."""
        missing, differing = found.of(Standing.MISSING), found.of(Standing.OLDER, Standing.DIVERGED)
        conflicts = found.of(Standing.NEWER)
        return Accounted(
            component=self.component, region=found.region, at=self.now, checked=found.checked,
            equal=found.checked - len(missing) - len(differing) - len(conflicts), missing=missing[:NAMED], missing_total=len(missing),
            differing=differing[:NAMED], differing_total=len(differing), conflicts=conflicts[:NAMED], conflicts_total=len(conflicts),
            repaired=repaired, complete=found.complete,
        )  # fmt: skip


class Prepare(_Step):
    """What Deployments need is in the target and usable there; what is missing or older comes over while the source is there."""

    carried = 0

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: all there. NEEDED: something can be brought over. BLOCKED: something is missing, older, changed or useless."""
        copy, original = self.side(self.target), self._source()
        compared = self._compared(original, copy)
        lacks = self.store.lacking(self.target, copy)
        if original is not None and compared is not None and (items := compared.of(Standing.MISSING, Standing.OLDER)):
            return Seen(Look.NEEDED, f"{len(items)} secrets to be copied to {self.target}")
        facts = () if compared is None else (self.accounted(compared, self.carried),)
        reasons = [] if compared is None else [
            f"{len(names)} secrets {standing} in {self.target}: {some(names)}" for standing in WRONG if (names := compared.of(standing))
        ]  # fmt: skip
        reasons += [f"{len(lacks)} Deployments cannot work in {self.target}: {some(list(lacks.values()))}"] if lacks else []
        text = "; ".join(reasons)
        if reasons and not context.accepted(Guard.PREREQUISITES):
            return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)", facts)
        return Seen(Look.DONE, text, facts)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Brings over what is missing or older; what was changed in the target is left alone."""
        original, copy = self.side(self.source), self.side(self.target)
        paths = compare(self.target, original, copy).of(Standing.MISSING, Standing.OLDER)
        self.carried += self.carry(context, self.source, self.target, paths)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed: what was written is read again."""
        return self.observe(context)

    def _source(self) -> Contents | None:
        """A failover waits for it for half a second; a planned move needs it."""
        if self.planned:
            return self.side(self.source)
        try:
            return self.place.wire.read(self.source, f"{self.component}.list", self._held_there, timeout=0.5)
        except Transient:
            return None

    def _held_there(self) -> Contents:
        self.store.there(self.source)
        return dict(self.store.held[self.source])

    def _compared(self, original: Contents | None, copy: Contents) -> Compared | None:
        if original is not None:
            return compare(self.target, original, copy)
        kept = self.kept()
        return None if kept is None else compare_kept(self.target, kept.items, copy, self.store.carried[self.target])


class Snapshot(_Step):
    """Keeps the keyed digests of the source outside of it."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Reads and keeps."""
        held = self.side(self.source)
        self.keep(self.source, held)
        return (Note(text=f"{self.component}: keyed digests of {len(held)} secrets of {self.source} kept"),)

    def verify(self, context: AttemptContext) -> Seen:
        """It is there."""
        return Seen(Look.DONE) if self.kept() is not None else Seen(Look.BLOCKED, "the account was kept and is not there")


class Fingerprint(_Step):
    """The same secrets as before, and every key decrypts."""

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing is changed; the comparison is in ``verify``."""
        self.rest(context, self.takes(context))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """BLOCKED where a secret is gone, another one, or useless, and nobody accepted that."""
        held, kept = self.side(self.target), self.kept()
        wrong = list(self.store.lacking(self.target, held).values())
        facts: list[Evidence] = []
        told = f"{len(held)} secrets in {self.target}; no account of {self.source} was kept to compare them with: run dr monitor"
        if kept is not None:
            compared = compare_kept(self.target, kept.items, held, self.store.carried[self.target])
            wrong += compared.of(*WRONG)
            told = f"{compared.checked} secrets compared, {len(compared.of(*WRONG))} differences"
            facts.append(self.accounted(compared))
        facts.append(Note(text=f"{self.component}: {told}"))
        if wrong and not context.accepted(Guard.IDENTITIES, Guard.PREREQUISITES):
            text = f"not as before in {self.target}: {len(wrong)} secrets: {some(sorted(wrong))}"
            return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept identities --reason TEXT)", tuple(facts))
        self.keep(self.target, held)
        return Seen(Look.DONE, told, tuple(facts))


class Preserve(_Step):
    """What only the old side ever had is kept in the new side's own store (I17)."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: nothing is only there, or all of it is kept. BLOCKED: the target does not lead."""
        if self.leads() is False:
            return Seen(Look.BLOCKED, f"newest-copy: the databases say that {self.target} does not lead: its secrets may be older")
        only = self.read(self.source, "list", self._only)
        left = set(only) - self.store.preserved[self.source]
        if left:
            return Seen(Look.NEEDED, f"{len(left)} versions only in {self.source}")
        if not only:
            text = f"{self.component} in {self.source} has no version that {self.target} misses"
            return Seen(Look.DONE, text, (Note(text=text),))
        folder = f"dr-preserved/{context.run_id}"
        fact = Preserved(component=self.component, region=self.source, at=self.now, path=folder, manifest=folder, items=len(only))
        return Seen(Look.DONE, f"{len(only)} versions that only {self.source} had: kept", (fact,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Copies each into a new secret."""
        self.read(self.source, "list", self._only)
        self.do(context, self.target, "preserve", lambda: self.store.preserve(self.source, self.target))
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)

    def _only(self) -> list[tuple[str, int]]:
        self.store.there(self.source)
        return self.store.only(self.source, self.target)


class Follow(_Step):
    """The old side gets what the side that leads has. Nothing is deleted: older versions stay."""

    carried = 0

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: both are alike. BLOCKED: the target does not lead, or what only the source had is not kept (I17)."""
        leads = self.leads()
        if leads is False:
            return Seen(Look.BLOCKED, f"newest-copy: the databases say that {self.target} does not lead: its secrets may be older")
        compared = self._compared()
        items = compared.of(*self._ways(leads=bool(leads)))
        if items:
            return Seen(Look.NEEDED, f"{len(items)} secrets of {self.source} not as in {self.target}: {some(items)}")
        how = f"{self.carried} secrets copied" if self.carried else "as found"
        following = Following(component=self.component, region=self.source, upstream=self.target, how=how)
        return Seen(Look.DONE, evidence=(self.accounted(compared, self.carried), following))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Writes them."""
        paths = self._compared().of(*self._ways(leads=bool(self.leads())))
        self.carried += self.carry(context, self.target, self.source, paths)
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As observed."""
        return self.observe(context)

    def _compared(self) -> Compared:
        return compare(self.source, self.side(self.target), self.side(self.source))

    @staticmethod
    def _ways(*, leads: bool) -> tuple[Standing, ...]:
        """Where nobody can tell who leads, newer and diverged values are left alone."""
        return WRONG if leads else (Standing.MISSING, Standing.OLDER)


STEPS: Mapping[Verb, type[_Step]] = {
    Verb.PREPARE: Prepare, Verb.SNAPSHOT: Snapshot, Verb.FINGERPRINT: Fingerprint, Verb.PRESERVE: Preserve, Verb.FOLLOW: Follow,
}  # fmt: skip
"""The operation of each verb."""


def operation(name: str, verb: Verb, intent: Intent) -> type[_Step]:
    """The operation of a step."""
    return STEPS[verb]
