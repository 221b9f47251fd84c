"""The step: every name has a usable certificate where it will be needed (I13); after a move, where one will go back to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from dr.errors import Transient
from dr.model.evidence import NAMED, Accounted, Evidence
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.artefacts import keep_lines
from dr.providers.one_way import OneWay
from dr.providers.selfhosted.certificates.judge import Flaw
from dr.providers.selfhosted.certificates.look import Looked, Looker

_NAMED = 3

Hostnames = Callable[[str], Sequence[str]]
"""The names that need a certificate, as a region lists them. Raises StepError."""


class Account(OneWay):
    """Looks at one region and accounts for every name.

    Args:
        lister: the region whose list of names counts.
        strict: a flaw blocks the step, as before a move; else it is debt, as in a region that only stands by.
    """

    def __init__(
        self, component: str, region: str, lister: str, looker: Looker, hostnames: Hostnames, artefacts: Path, *, strict: bool
    ) -> None:  # fmt: skip
        self._component, self._region, self._lister = component, region, lister
        self._looker, self._hostnames, self._artefacts, self._strict = looker, hostnames, artefacts, strict

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED names the first names that would not work, and the fix; an acceptance of ``prerequisites`` goes on."""
        looked = self._look(context)
        if looked.unasked and self._strict:
            raise Transient(f"{self._component}: not all certificates in {self._region} could be seen: {looked.unasked}")
        if not looked.unusable or not self._strict:
            return Seen(Look.NEEDED)
        text = said(looked.unusable)
        if context.accepted(Guard.PREREQUISITES):
            return Seen(Look.NEEDED, text)
        return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Accounts for what it sees; changes nothing but a file of this machine that lists the flaws."""
        return (self._accounted(context, self._look(context)),)

    def verify(self, context: AttemptContext) -> Seen:
        """What was seen was seen."""
        return Seen(Look.DONE)

    def _look(self, context: AttemptContext) -> Looked:
        left = timedelta(seconds=max(1.0, context.deadline - context.clock.monotonic()))
        return self._looker.look(self._region, self._hostnames(self._lister), min(left, timedelta(seconds=30)))

    def _accounted(self, context: AttemptContext, looked: Looked) -> Accounted:
        absent = [item.hostname for item in looked.unusable if item.absent]
        wrong = [item.hostname for item in looked.unusable if not item.absent]
        return Accounted(
            component=self._component, region=self._region, at=context.clock.now(), checked=looked.checked,
            equal=looked.checked - len(absent) - len(wrong), missing=tuple(absent[:NAMED]), missing_total=len(absent),
            differing=tuple(wrong[:NAMED]), differing_total=len(wrong), complete=not looked.unasked,
            items_path=self._listed(context, looked.flaws) if looked.flaws else None,
        )  # fmt: skip

    def _listed(self, context: AttemptContext, flaws: Sequence[Flaw]) -> str:
        """All flaws as JSON lines."""
        path = self._artefacts / f"{context.run_id}-{self._component}-{self._region}.jsonl"
        rows = [{"hostname": item.hostname, "fact": item.fact, "usable": item.usable} for item in flaws]
        keep_lines(path, rows)
        return str(path)


def said(flaws: Sequence[Flaw]) -> str:
    """The first flaws with the fix of the first, and how many more there are."""
    more = f" (and {len(flaws) - _NAMED} more)" if len(flaws) > _NAMED else ""
    return "; ".join(str(item) for item in flaws[:_NAMED]) + more + f"; {flaws[0].fix}"
