"""Follow: the old side came back; it gets what the side that leads now has. What only it had was preserved before."""

from __future__ import annotations

from dr.model.evidence import Evidence, Following, Note
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.vault.accounts import Compared, Item, Side, many, some
from dr.providers.selfhosted.vault.carry import allowed, carry, listed
from dr.providers.selfhosted.vault.deployments import Databases
from dr.providers.selfhosted.vault.lineage import Standing
from dr.providers.selfhosted.vault.step import VaultStep
from dr.providers.selfhosted.vault.vaults import Vaults


class Follow(VaultStep):
    """The source's secrets become the target's. Nothing is deleted: what only the source has stays there, and is listed.

    Which side gives way is judged by the databases' epochs (I17). Where nobody can tell, newer and diverged values are left alone.
    """

    def __init__(self, vaults: Vaults, databases: Databases | None, source: str, target: str) -> None:
        super().__init__(vaults, databases, source, target)
        self._carried: dict[str, Item] = {}

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: both are alike, as far as the policy goes. BLOCKED: the target does not lead."""
        leads = self.leads()
        if leads is False:
            return Seen(Look.BLOCKED, f"newest-copy: the databases say that {self.target} does not lead: its secrets may be older")
        compared, _, _ = self._compared()
        items = allowed(compared, self.vaults.config.copies, leading=bool(leads))
        if items:
            names = some([item.path for item in items])
            return Seen(Look.NEEDED, f"{many(len(items), 'secret')} of {self.source} not as in {self.target}: {names}")
        return Seen(Look.DONE, _left(compared), self._evidence(context, compared))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Writes them, each on condition of what was read. Raises StepError as ``carry``."""
        compared, original, copy = self._compared()
        items = allowed(compared, self.vaults.config.copies, leading=bool(self.leads()))
        carried = carry(self.vaults, original, copy, items, may_act=context.may_act, cancelled=context.cancelled)
        self._carried |= {item.path: item for item in carried.done}
        context.say(f"{many(len(carried.done), 'secret')} copied to {self.source}")
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """As ``observe``: everything is read again."""
        return self.observe(context)

    def _compared(self) -> tuple[Compared, Side, Side]:
        original, copy = self.sides()
        return self.vaults.compared(original, copy), original, copy

    def _evidence(self, context: AttemptContext, compared: Compared) -> tuple[Evidence, ...]:
        component, now, path = self.vaults.component, self.vaults.site.clock.now(), listed(self.items(context), compared)
        server = self.vaults.config.regions[self.target]
        how = f"{many(len(self._carried), 'secret')} copied" if self._carried else "as found"
        facts: tuple[Evidence, ...] = (
            compared.accounted(component, now, carried=tuple(self._carried.values()), items_path=path),
            Following(component=component, region=self.source, upstream=server.url, how=how),
        )
        left = _left(compared)
        return (*facts, Note(text=f"{component}: {left}")) if left else facts


def _left(compared: Compared) -> str:
    """What is not alike and stays so."""
    names = compared.names(*Standing)
    return f"{many(len(names), 'secret')} of {compared.region} left as found: {some(names)}" if names else ""
