"""The simulated look at certificates: the same claims, refusals and evidence as ``selfhosted.certificates``."""

from __future__ import annotations

from dr.model.evidence import NAMED, Accounted, Evidence
from dr.model.words import Guard, Intent, Verb
from dr.ports import AttemptContext, Look, Seen
from dr.providers.sim.certificates import Certificates, Flaw
from dr.providers.sim.sort import some
from dr.providers.sim.steps.base import SimStep


class Account(SimStep[Certificates]):
    """Every name has a usable certificate: a flaw blocks a move (I13)."""

    strict = True

    def observe(self, context: AttemptContext) -> Seen:
        """BLOCKED names the first names that would not work; an acceptance of ``prerequisites`` goes on."""
        unusable = [flaw for flaw in self._look() if not flaw.usable]
        if not unusable or not self.strict:
            return Seen(Look.NEEDED)
        text = some([f"{flaw.hostname} in {self.region}: {flaw.fact}" for flaw in unusable])
        if context.accepted(Guard.PREREQUISITES):
            return Seen(Look.NEEDED, text)
        return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)")

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Accounts for what it sees."""
        self.rest(context, self.takes(context))
        flaws = self._look()
        absent = [flaw.hostname for flaw in flaws if flaw.absent]
        wrong = [flaw.hostname for flaw in flaws if not flaw.usable and not flaw.absent]
        checked = len(self.store.hostnames)
        return (
            Accounted(
                component=self.component, region=self.region, at=self.now, checked=checked, equal=checked - len(absent) - len(wrong),
                missing=tuple(absent[:NAMED]), missing_total=len(absent), differing=tuple(wrong[:NAMED]), differing_total=len(wrong),
            ),
        )  # fmt: skip

    def _look(self) -> tuple[Flaw, ...]:
        def look() -> tuple[Flaw, ...]:
            self.store.there(self.region)
            return self.store.flaws(self.region)

        return self.read(self.region, "certificates", look)


class Behind(Account):
    """Those of a region that stands by: a flaw is debt."""

    strict = False


def operation(name: str, verb: Verb, intent: Intent) -> type[Account]:
    """The operation of a step."""
    return Account if intent.moves else Behind
