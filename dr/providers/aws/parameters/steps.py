"""The steps for parameters: what the target needs is there; on the way back, the old side gets what the leading side has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dr.errors import Transient
from dr.model.evidence import NAMED, Accounted, Evidence, Following, Note, Preserved
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.artefacts import keep_lines
from dr.providers.aws.kind import AwsStep
from dr.providers.aws.parameters.calls import PUT
from dr.providers.aws.parameters.standing import Both, Compared, Standing, allowed, compare
from dr.providers.aws.together import together
from dr.providers.aws.values import many, some

if TYPE_CHECKING:
    from dr.providers.aws.parameters.kind import SsmParameters

_WRONG = (Standing.MISSING, Standing.OLDER, Standing.NEWER, Standing.DIVERGED, Standing.TYPE)


class ParametersStep(AwsStep["SsmParameters"]):
    """Base of the steps."""

    def both(self, original: str, copy: str) -> Both:
        """Two regions, read anew. Raises StepError."""
        return self.owner.reader.both(self.owner.places[original], self.owner.places[copy])

    def carry(self, context: AttemptContext, both: Both, names: Sequence[str]) -> int:
        """Writes the original's values into the copy's region, each on condition that both are as they were read; how many.

        Raises StepError.
        """
        written = together(self.owner.aws, [partial(self._carry, context, both, name) for name in names])
        context.say(f"{many(sum(written), 'parameter')} copied to {both.copy.place.region}")
        return sum(written)

    def accounted(self, context: AttemptContext, compared: Compared, region: str, *, repaired: int = 0) -> Accounted:
        """What comparing came to, as evidence; a file of this machine lists the items."""
        missing = compared.of(Standing.MISSING)
        differing, conflicts = compared.of(Standing.OLDER, Standing.DIVERGED, Standing.TYPE), compared.of(Standing.NEWER)
        rows = [{"parameter": name, "is": str(found)} for name, found in compared.items.items()]
        path = self.owner.site.artefacts / context.run_id / f"{context.step.id.replace('/', '-')}.jsonl"
        if rows:
            keep_lines(path, rows)
        return Accounted(
            component=self.owner.name, region=region, at=context.clock.now(), checked=compared.checked,
            equal=compared.checked - len(compared.items), missing=missing[:NAMED], missing_total=len(missing), differing=differing[:NAMED],
            differing_total=len(differing), conflicts=conflicts[:NAMED], conflicts_total=len(conflicts), repaired=repaired,
            complete=compared.complete, items_path=str(path) if rows else None,
        )  # fmt: skip

    def _carry(self, context: AttemptContext, both: Both, name: str) -> bool:
        if context.cancelled():
            raise Transient(f"{self.owner.name}: cancelled before {name} was copied")
        reader, read, there = self.owner.reader, both.original.held[name], both.copy.held.get(name)
        value = reader.value(both.original.place, name)
        if value is None or value["Version"] != read.version:
            return False  # somebody writes it just now: the next look decides
        if there is not None:
            now = reader.value(both.copy.place, name)
            if now is None or now["Version"] != there.version:
                return False
        more: dict[str, Any] = {"Overwrite": True} if there is not None else {"Overwrite": False, "Tier": "Intelligent-Tiering"}
        key = self.owner.config.regions[both.copy.place.region].kms_key
        if value["Type"] == "SecureString" and key is not None:
            more["KeyId"] = key
        if value.get("DataType", "text") != "text":
            more["DataType"] = value["DataType"]
        more |= {"Name": name, "Value": value["Value"], "Type": value["Type"]}
        self.call(context, both.copy.place.region, PUT, already=("ParameterAlreadyExists",), **more)
        return True


class Prepare(ParametersStep):
    """What Deployments need is in the target. planned: what is missing or older there is brought over; else the source is not asked."""

    def __init__(self, owner: SsmParameters, source: str, target: str, *, planned: bool) -> None:
        super().__init__(owner, source, target)
        self._planned, self._carried = planned, 0

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: all there. NEEDED: something can be brought over. BLOCKED: something is wrong, and nobody accepted it."""
        compared, both = self._compared()
        carriable = allowed(self.owner.config, compared, both.original) if both is not None else []
        if carriable:
            return Seen(Look.NEEDED, f"{many(len(carriable), 'parameter')} to be copied to {self.target}")
        found = [(str(standing), compared.of(standing)) for standing in _WRONG] + [(f"leading into {self.source}", compared.leads)]
        reasons = [f"{many(len(names), 'parameter')} in {self.target} {word}: {some(names)}" for word, names in found if names]
        evidence = self.accounted(context, compared, self.target, repaired=self._carried)
        if reasons and not context.accepted(Guard.PREREQUISITES):
            text = "; ".join(reasons)
            return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)", (evidence,))
        return Seen(Look.DONE, "; ".join(reasons), (evidence,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Brings over what the runbook allows. Raises StepError."""
        compared, both = self._compared()
        assert both is not None, "only a planned move finds something to bring over"
        self._carried += self.carry(context, both, allowed(self.owner.config, compared, both.original))
        return ()

    def _compared(self) -> tuple[Compared, Both | None]:
        if not self._planned:
            return self.owner.compared_kept(self.owner.reader.side(self.owner.places[self.target])), None
        both = self.both(self.source, self.target)
        self.owner.keep(both.original)
        return compare(self.owner.config, both, self.source), both


class WayBack(ParametersStep):
    """Base of both steps of the way back. ``source`` is the old side, ``target`` leads."""

    def blocked(self) -> Seen | None:
        """BLOCKED where the runbook's database says that the target does not lead. Raises Transient."""
        if self.owner.leads(self.target) is False:
            return Seen(Look.BLOCKED, f"newest-copy: {self.owner.config.database} does not lead in {self.target}: its values may be older")
        return None

    def way(self) -> tuple[Compared, Both, list[str]]:
        """The old side against the leading one, and what of it is to be written. Raises StepError."""
        both = self.both(self.target, self.source)
        compared = compare(self.owner.config, both, self.target)
        return compared, both, allowed(self.owner.config, compared, both.original, leading=self.owner.config.database is not None)


class Preserve(WayBack):
    """Lists the values that will give way on the old side, by version and keyed digest: they stay in that parameter's history, a hundred
    versions of it, so nothing is copied."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: listed, or there is none."""
        wrong = self.blocked()
        if wrong is not None:
            return wrong
        _, both, names = self.way()
        old = [both.copy.held[name] for name in names if name in both.copy.held]
        if not old:
            text = f"{self.owner.name}: no value of {self.source} will be written over"
            return Seen(Look.DONE, text, (Note(text=text),))
        path = self.owner.site.artefacts / context.run_id / f"{context.step.id.replace('/', '-')}.jsonl"
        keep_lines(path, [
            {"parameter": item.name, "region": self.source, "version": item.version, "changed": item.changed.isoformat(),
             "keyed_digest": item.fact.digest}
            for item in old
        ])  # fmt: skip
        where = f"the history of each parameter in {self.owner.places[self.source]}"
        kept = Preserved(
            component=self.owner.name, region=self.source, at=context.clock.now(), path=where, manifest=str(path), items=len(old)
        )
        return Seen(Look.DONE, f"{many(len(old), 'value')} listed", (kept,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing."""
        return ()


class Follow(WayBack):
    """The old side gets what the leading side has, as far as ``copies`` allows. Nothing is deleted; what is left alone is listed."""

    def __init__(self, owner: SsmParameters, source: str, target: str) -> None:
        super().__init__(owner, source, target)
        self._carried = 0

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: as far as the runbook allows. NEEDED: something is to be written. BLOCKED: the target does not lead."""
        wrong = self.blocked()
        if wrong is not None:
            return wrong
        compared, _, names = self.way()
        if names:
            return Seen(Look.NEEDED, f"{many(len(names), 'parameter')} of {self.source} not as in {self.target}: {some(names)}")
        left = [f"{name} ({standing})" for name, standing in compared.items.items()] + [f"{name} (only there)" for name in compared.extra]
        how = f"{many(self._carried, 'parameter')} copied; nothing replicates them by itself"
        told = f"left as found: {some(left)}" if left else ""
        follows = Following(component=self.owner.name, region=self.source, upstream=self.owner.places[self.target].code, how=how)
        return Seen(Look.DONE, told, (self.accounted(context, compared, self.source, repaired=self._carried), follows))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Writes them, each on condition of what was read. Raises StepError."""
        _, both, names = self.way()
        self._carried += self.carry(context, both, names)
        return ()
