"""The same secrets before and after: kept in the source of a planned move, compared in the target (I7)."""

from __future__ import annotations

from dr.model.evidence import Evidence, Note
from dr.model.words import Guard
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.vault.accounts import Compared, many, some
from dr.providers.selfhosted.vault.carry import listed
from dr.providers.selfhosted.vault.lineage import Standing
from dr.providers.selfhosted.vault.step import VaultStep

_WRONG = (Standing.MISSING, Standing.OLDER, Standing.NEWER, Standing.DIVERGED)


class Snapshot(VaultStep):
    """Keeps the keyed digests of all secrets, read in the source of a planned move, outside of it."""

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED: what is kept may be older than the last change."""
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Reads and keeps."""
        snapshot = self.vaults.keep(self.vaults.side(self.source))
        return (Note(text=f"{self.vaults.component}: keyed digests of {len(snapshot.items)} secrets of {self.source} kept"),)

    def verify(self, context: AttemptContext) -> Seen:
        """It is there."""
        kept = self.vaults.kept(self.target)
        return Seen(Look.DONE) if kept is not None else Seen(Look.BLOCKED, "the account was kept and is not there")


class Fingerprint(VaultStep):
    """After service is back: every value read anew in the target, compared as sets with the newest account that was kept of the source,
    and every Deployment's key tried on its database. What is there now becomes the next move's "before"."""

    def observe(self, context: AttemptContext) -> Seen:
        """NEEDED: it is a look, and is looked each time."""
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Nothing is changed but what is kept here; the comparison is in ``verify``."""
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """BLOCKED where somebody must look: a secret is gone, another one, or useless, and nobody accepted that."""
        side, deployments = self.vaults.side(self.target), self.deployments(self.target)
        lacks = self.needs.lacking(side, deployments, deployments)
        now, kept = self.vaults.site.clock.now(), self.vaults.kept(self.target)
        facts: list[Evidence] = []
        wrong = [*lacks.missing, *lacks.no_keys, *lacks.undecryptable]
        told = f"{len(side.facts)} secrets in {self.target}; no account of {self.source} was kept to compare them with: run dr monitor"
        if kept is not None:
            compared = self.vaults.compared_kept(kept, side)
            wrong += [item.path for item in compared.of(*_WRONG)]
            facts += [
                compared.accounted(self.vaults.component, now, items_path=listed(self.items(context), compared)),
                Note(text=_story(self.vaults.component, compared, kept.region, round((now - kept.taken_at).total_seconds()))),
            ]
            told = f"{compared.checked} secrets compared, {len(compared.of(*_WRONG))} differences"
        else:
            facts.append(Note(text=f"{self.vaults.component}: {told}"))
        if wrong and not context.accepted(Guard.IDENTITIES, Guard.PREREQUISITES):
            text = f"not as before in {self.target}: {many(len(wrong), 'secret')}: {some(sorted(wrong))}"
            return Seen(Look.BLOCKED, f"{text} (try: dr resume {context.run_id} --accept identities --reason TEXT)", tuple(facts))
        self.vaults.keep(side)
        return Seen(Look.DONE, told, tuple(facts))


def _story(component: str, compared: Compared, origin: str, age: int) -> str:
    later = compared.names(Standing.EXTRA)
    more = f"; {len(later)} were created since, or not seen then: {some(later)}" if later else ""
    return f"{component}: compared with the account of {origin}, {age} s old{more}"
