"""What every step for secrets shares, and the way out: what is needed is there and readable; replicas stand alone where that is wished."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dr.errors import Transient
from dr.model.evidence import NAMED, Accounted, Evidence, Note
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.artefacts import keep_lines
from dr.providers.aws.kind import AwsStep
from dr.providers.aws.secrets.calls import REPLICATE, STOP
from dr.providers.aws.secrets.judge import Compared
from dr.providers.aws.secrets.side import FRESH, RECENT, Side
from dr.providers.aws.together import together
from dr.providers.aws.values import many, some

if TYPE_CHECKING:
    from dr.providers.aws.secrets.kind import SecretsManager


class SecretsStep(AwsStep["SecretsManager"]):
    """Base of the steps."""

    def side(self, region: str, *, values: bool = True) -> Side:
        """A region's secrets, everything read anew. Raises StepError."""
        return self.owner.reader.side(self.owner.places[region], FRESH, values=values)

    def replicate(self, context: AttemptContext, region: str, to: str, arns: Mapping[str, bool]) -> None:
        """Asks for replicas of a region's secrets in another one. arns: whether what is there is overwritten. Raises StepError."""
        replicas = [self.owner.replica(to)]

        def one(arn: str, over: bool) -> None:
            more: dict[str, Any] = {"ForceOverwriteReplicaSecret": True} if over else {}
            self.call(context, region, REPLICATE, SecretId=arn, AddReplicaRegions=replicas, **more)

        together(self.owner.aws, [partial(one, arn, over) for arn, over in arns.items()])
        context.say(f"{many(len(arns), 'secret')} replicating to {to}")

    def failed(self, region: str, to: str, arns: Collection[str]) -> Seen | None:
        """BLOCKED where a replica failed; None where none did. Raises StepError."""
        reasons = self.owner.reader.failed(self.owner.places[region], arns, self.owner.places[to].code)
        return Seen(Look.BLOCKED, f"replication to {to} failed: {some(reasons)}") if reasons else None

    def listed(self, context: AttemptContext, rows: Collection[object]) -> str | None:
        """A file of this machine with one JSON line for each; None for none. Raises Transient."""
        if not rows:
            return None
        path = self.owner.site.artefacts / context.run_id / f"{context.step.id.replace('/', '-')}.jsonl"
        keep_lines(path, rows)
        return str(path)

    def accounted(self, context: AttemptContext, compared: Compared, region: str, *, repaired: int = 0, complete: bool = True) -> Accounted:
        """What comparing came to, as evidence."""
        missing, differing = (*compared.missing, *compared.unread), (*compared.behind, *compared.pending, *compared.differing)
        rows = [{"secret": name, "is": word} for word, names in compared.wrong for name in names]
        return Accounted(
            component=self.owner.name, region=region, at=context.clock.now(), checked=compared.checked,
            equal=max(0, compared.checked - len(missing) - len(differing)), missing=missing[:NAMED], missing_total=len(missing),
            differing=differing[:NAMED], differing_total=len(differing), repaired=repaired, complete=complete,
            items_path=self.listed(context, rows),
        )  # fmt: skip


class Prepare(SecretsStep):
    """What Deployments need can be read in the target.

    planned: everything is read anew on both sides, and what the target lacks is replicated there. Else the source is not asked: what was
    kept of it while it was there counts, and values that were read in the target within the last five minutes.
    """

    def __init__(self, owner: SecretsManager, source: str, target: str, *, planned: bool) -> None:
        super().__init__(owner, source, target)
        self._planned, self._asked = planned, set[str]()

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: all there. NEEDED: something can be replicated, or is on its way. BLOCKED: something is wrong, and nobody accepted it."""
        compared, original = self._compared()
        addable = self._addable(compared, original)
        if addable or (compared.pending and not context.accepted(Guard.PREREQUISITES)):
            return Seen(Look.NEEDED, f"{many(len(addable) + len(compared.pending), 'secret')} not in {self.target} yet")
        evidence = self.accounted(context, compared, self.target, repaired=len(self._asked), complete=original is not None)
        reasons = [f"{many(len(names), 'secret')} {word} in {self.target}: {some(names)}" for word, names in compared.wrong]
        if reasons and not context.accepted(Guard.PREREQUISITES):
            text = "; ".join(reasons)
            return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)", (evidence,))
        return Seen(Look.DONE, "; ".join(reasons), (evidence,))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Asks for replicas of what is missing; never over anything. Raises StepError."""
        compared, original = self._compared()
        wanted = dict.fromkeys(self._addable(compared, original).values(), False)
        self.replicate(context, self.source, self.target, wanted)
        self._asked |= wanted.keys()
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As ``observe``; BLOCKED where a replica failed."""
        seen = self.observe(context)
        if seen.look is Look.NEEDED and self._asked:
            return self.failed(self.source, self.target, self._asked) or seen
        return seen

    def _compared(self) -> tuple[Compared, Side | None]:
        place = self.owner.places[self.target]
        if not self._planned:
            return self.owner.compared(self.owner.reader.side(place, RECENT), None), None
        original, copy = self.side(self.source), self.side(self.target)
        self.owner.keep(original)
        return self.owner.compared(copy, original), original

    def _addable(self, compared: Compared, original: Side | None) -> dict[str, str]:
        """Name → ARN of what the source has as a primary and the target has not."""
        if original is None:
            return {}
        return {name: original.secrets[name].arn for name in compared.missing if original.alone(name) and not self.owner.config.own(name)}


class Release(SecretsStep):
    """Replicas of the source's secrets stand alone in the target, so that they can be changed and rotated there. For good."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: none is a replica of the source's any more."""
        left = self._replicas()
        if left:
            return Seen(Look.NEEDED, f"{many(len(left), 'secret')} of {self.target} still {'a replica' if len(left) == 1 else 'replicas'}")
        return Seen(Look.DONE, "", (Note(text=f"{self.owner.name}: no secret of {self.target} follows {self.source}"),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Stops each. Raises StepError: the gravest, after the others were done."""
        arns = list(self._replicas().values())
        together(self.owner.aws, [partial(self._stop, context, arn) for arn in arns])
        return (Note(text=f"{self.owner.name}: {many(len(arns), 'secret')} of {self.target} on their own now"),)

    def _stop(self, context: AttemptContext, arn: str) -> None:
        if context.cancelled():
            raise Transient(f"{self.owner.name}: cancelled before all secrets of {self.target} stood alone")
        self.call(context, self.target, STOP, SecretId=arn)

    def _replicas(self) -> dict[str, str]:
        code = self.owner.places[self.source].code
        found = self.side(self.target, values=False)
        return {name: item.arn for name, item in found.secrets.items() if found.follows(name, code) and not self.owner.config.own(name)}
