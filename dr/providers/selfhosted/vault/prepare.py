"""Prepare: what Deployments need is in the target and usable there; what is missing or older comes over while the source is there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from dr.errors import StepError, Transient
from dr.model.evidence import Evidence, Note
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.vault.accounts import Compared, Item, Side, many, some
from dr.providers.selfhosted.vault.carry import allowed, carry, listed
from dr.providers.selfhosted.vault.deployments import Databases
from dr.providers.selfhosted.vault.lineage import Standing
from dr.providers.selfhosted.vault.needs import Lacks
from dr.providers.selfhosted.vault.step import VaultStep
from dr.providers.selfhosted.vault.vaults import FRESH, RECENT, Vaults


class Prepare(VaultStep):
    """The target's secrets against the source's where that answers, else against what was kept of it.

    A planned move reads everything anew, and tries the key of every Deployment; it is before the outage. A failover lists everything anew
    and takes values as they were read within the last minutes, what Deployments need within the last one; it asks the source only where the
    last look found it there, and waits ``source_timeout`` for it at most.
    """

    def __init__(
        self, vaults: Vaults, databases: Databases | None, source: str, target: str, *, planned: bool, source_answered: Callable[[], bool]
    ) -> None:
        super().__init__(vaults, databases, source, target)
        self._planned, self._answered = planned, source_answered
        self._age = FRESH if planned else RECENT
        self._carried: dict[str, Item] = {}

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: all there. NEEDED: something can be brought over. BLOCKED: a secret is missing, older, changed or useless, and nobody
        accepted that (``prerequisites``)."""
        deployments = self.deployments(self.target)
        copy, original = self._sides()
        lacks = self.needs.lacking(copy, deployments, deployments if self._planned else ())
        compared = self._compared(original, copy)
        carriable = allowed(compared, self.vaults.config.copies) if compared is not None and compared.complete else ()
        if carriable:
            return Seen(Look.NEEDED, f"{many(len(carriable), 'secret')} to be copied to {self.target}")
        facts: list[Evidence] = []
        if compared is not None:
            path = listed(self.items(context), compared)
            carried = tuple(self._carried.values())
            facts.append(compared.accounted(self.vaults.component, self.vaults.site.clock.now(), carried=carried, items_path=path))
        reasons = [*_unequal(compared), *_lacking(lacks, self.target)]
        if reasons and not context.accepted(Guard.PREREQUISITES):
            text = "; ".join(reasons)
            return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept prerequisites --reason TEXT)", tuple(facts))
        return Seen(Look.DONE, "; ".join(reasons), tuple(facts))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Brings over what the policy allows. Raises StepError as ``carry``."""
        copy, original = self._sides()
        if original is None:
            raise Transient(f"{self.vaults.component}: {self.source} does not answer any more")
        items = allowed(self.vaults.compared(original, copy), self.vaults.config.copies)
        carried = carry(self.vaults, original, copy, items, may_act=context.may_act, cancelled=context.cancelled)
        self._carried |= {item.path: item for item in carried.done}
        context.say(f"{many(len(carried.done), 'secret')} copied to {self.target}")
        if not carried.conflicts:
            return ()
        names = some([item.path for item in carried.conflicts])
        return (Note(text=f"{self.vaults.component}: changed in {self.target} meanwhile and left alone: {names}"),)

    def verify(self, context: AttemptContext) -> Seen:
        """As ``observe``: what was written is read again."""
        return self.observe(context)

    def _sides(self) -> tuple[Side, Side | None]:
        """The target, and the source where it answers in time, both at once. Raises StepError where the target cannot be asked."""
        with ThreadPoolExecutor(1, thread_name_prefix="vault-source") as pool:
            there = pool.submit(self._source) if self._planned or self._answered() else None
            copy = self.vaults.side(self.target, self._age)
            original = there.result() if there is not None else None
        if self._planned and isinstance(original, StepError):
            raise original
        return copy, original if isinstance(original, Side) else None

    def _source(self) -> Side | StepError:
        try:
            return self.vaults.side(self.source, self._age, None if self._planned else self.vaults.config.source_timeout)
        except StepError as error:
            return error

    def _compared(self, original: Side | None, copy: Side) -> Compared | None:
        if original is not None:
            return self.vaults.compared(original, copy)
        kept = self.vaults.kept(self.target)
        return self.vaults.compared_kept(kept, copy) if kept is not None else None


def _unequal(compared: Compared | None) -> list[str]:
    if compared is None:
        return []
    sorts = ((Standing.MISSING, "missing"), (Standing.OLDER, "older"), (Standing.NEWER, "changed"), (Standing.DIVERGED, "different"))
    told = [(word, compared.names(standing)) for standing, word in sorts]
    return [f"{many(len(names), 'secret')} {word} in {compared.region}: {some(names)}" for word, names in told if names]


def _lacking(lacks: Lacks, region: str) -> list[str]:
    found = [f"Deployments need what is missing in {region}: {some(lacks.missing)}"] if lacks.missing else []
    found += [f"no Fernet key in {region}: {some(lacks.no_keys)}"] if lacks.no_keys else []
    return found + ([f"not decryptable in {region}: {some(lacks.undecryptable)}"] if lacks.undecryptable else [])
