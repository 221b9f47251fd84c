"""What a run does about images: looks whether they are there, and says which are not. It pushes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dr.errors import StepError
from dr.model.evidence import NAMED, Accounted, Evidence, Following
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.artefacts import keep_lines
from dr.providers.aws.ecr import judge
from dr.providers.aws.ecr.wanted import Wanted
from dr.providers.aws.kind import AwsStep

if TYPE_CHECKING:
    from dr.providers.aws.ecr.kind import Ecr

_ASKED = 5


class Check(AwsStep["Ecr"]):
    """Every image that is needed is in a region's registry. What runs must be there; what is in a rollback window only is counted."""

    owner: Ecr

    def __init__(self, owner: Ecr, source: str, target: str, *, where: str, ask: tuple[str, ...]) -> None:
        super().__init__(owner, source, target)
        self._where, self._ask = where, ask

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: what runs is there. BLOCKED: it is not; ``prerequisites`` may be accepted."""
        needed = self.owner.needed(self._ask)
        gone = judge.missing(needed, self.owner.looker.held(self.owner.places[self._where], needed))
        evidence = self._account(context, needed, gone)
        must = [item for item in gone if item.users]
        if must and not context.accepted(Guard.PREREQUISITES):
            text = f"{len(must)} images are not in {self._where}: {judge.said(must)}{self._why(must)}"
            return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)", evidence)
        return Seen(Look.DONE, f"{len(needed) - len(gone)} of {len(needed)} images are in {self._where}", evidence)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing."""
        return ()

    def _why(self, gone: list[Wanted]) -> str:
        """What the other region says of their replication, where it may be asked."""
        other = self.owner.config.other(self._where)
        if other not in self._ask:
            return ""
        code = self.owner.places[self._where].code
        told = {self.owner.looker.status(self.owner.places[other], item.image, code) for item in gone[:_ASKED]}
        return f"; replication: {', '.join(sorted(filter(None, told)))}" if any(told) else ""

    def _account(self, context: AttemptContext, needed: tuple[Wanted, ...], gone: tuple[Wanted, ...]) -> tuple[Evidence, ...]:
        path = self.owner.site.artefacts / f"{self.owner.name}-{context.run_id}-{context.step.verb}.jsonl"
        if gone:
            keep_lines(path, ({"image": item.image.key, "users": item.users} for item in gone))
        return (
            Accounted(
                component=self.owner.name, region=self._where, at=context.clock.now(), checked=len(needed), equal=len(needed) - len(gone),
                missing=tuple(item.image.key for item in gone[:NAMED]), missing_total=len(gone), complete=len(self._ask) > 1,
                items_path=str(path) if gone else None,
            ),
        )  # fmt: skip


class Follow(Check):
    """The old region's registry has what the new one's Deployments need, and gets what is pushed there from now on."""

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED: no rule sends back, or something is missing there."""
        seen = super().observe(context)
        if seen.look is Look.BLOCKED:
            return seen
        leading, code = self.owner.places[self.target], self.owner.places[self.source].code
        names = dict.fromkeys(item.image.repository for item in self.owner.needed(self._ask))
        left = [name for name in names if not self.owner.looker.sends(leading, name, code)]
        if left:
            text = f"what is pushed to {left[0]} in {self.target} is not replicated to {self.source}: dr runbook check names the fix"
            return Seen(Look.BLOCKED, text, seen.evidence)
        upstream = f"{leading.account or 'ecr'}.dkr.ecr.{leading.code}.amazonaws.com"
        how = f"{seen.reason}; {len(names)} repositories are replicated"
        follows = Following(component=self.owner.name, region=self.source, upstream=upstream, how=how)
        return Seen(Look.DONE, how, (*seen.evidence, follows))


class Fingerprint(Check):
    """After a move: what the Deployments name now is there; what is not is drift, and stops nobody."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: it was counted."""
        try:
            seen = super().observe(context)
        except StepError as error:
            return Seen(Look.BLOCKED, error.message)
        return Seen(Look.DONE, seen.reason, seen.evidence)
