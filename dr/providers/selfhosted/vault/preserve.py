"""Preserve: versions that only the old side has are kept in the new side's own store before the old side is written to (I17).

They are secrets, so they lie in no file: values go from store to store; here remains a manifest of paths, versions and keyed digests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from dr.errors import Transient
from dr.model.evidence import Evidence, Note, Preserved
from dr.ports import AttemptContext, Look, Seen
from dr.providers.selfhosted.vault.accounts import many
from dr.providers.selfhosted.vault.config import PRESERVED
from dr.providers.selfhosted.vault.files import write_private
from dr.providers.selfhosted.vault.lineage import History, only_there
from dr.providers.selfhosted.vault.secret import COPIED_VERSION, SOURCE_REGION, SOURCE_VERSION, Settings
from dr.providers.selfhosted.vault.step import VaultStep
from dr.providers.selfhosted.vault.wire import Conflict

_KEPT_OF = "preserved_path"


@dataclass(frozen=True)
class Only:
    """One version that only the old side has. ``digest``: keyed."""

    path: str
    version: int
    created: str
    digest: str

    @property
    def place(self) -> str:
        """Below a run's folder; a version has a secret of its own, so that no limit of versions can drop it."""
        return f"{self.path}/version-{self.version}"


class Preserve(VaultStep):
    """``source`` is the old side. Every content that it ever had and the new side never had is copied to ``dr-preserved/RUN/`` there."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: nothing is only there, or all of it is kept by now. BLOCKED: the old side leads, so it is not what gives way."""
        if self.leads() is False:
            return Seen(Look.BLOCKED, f"newest-copy: the databases say that {self.target} does not lead: its secrets may be older")
        only = self._only()
        kept = self._kept()
        left = [item for item in only if (item.path, item.digest) not in kept]
        if not only:
            text = f"{self.vaults.component} in {self.source} has no version that {self.target} misses"
            return Seen(Look.DONE, text, (Note(text=text),))
        if left:
            return Seen(Look.NEEDED, f"{many(len(left), 'version')} only in {self.source}")
        return Seen(Look.DONE, f"{many(len(only), 'version')} that only {self.source} had: kept", (self._evidence(context, only, kept),))

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Copies each into a new secret; one that is there already is left as it is.

        Raises:
            Transient: a version went away, or the lease is not ours. EffectUnknown, Permanent: as ``Store.write``.
        """
        kept = self._kept()
        left = [item for item in self._only() if (item.path, item.digest) not in kept]

        def one(item: Only) -> None:
            if context.cancelled() or not context.may_act():
                raise Transient(f"{self.vaults.component}: the run was cancelled, or the lease is not ours any more")
            value = self.vaults.stores[self.source].read(item.path, item.version)
            if value is None:
                raise Transient(f"{self.vaults.component}: version {item.version} of {item.path} in {self.source} was deleted just now")
            store, place = self.vaults.stores[self.target], f"{PRESERVED}{context.run_id}/{item.place}"
            try:
                number = store.write(place, value, 0)
            except Conflict:
                number = 1  # of an earlier attempt; what it holds is read and compared afterwards
            marks = {SOURCE_REGION: self.source, SOURCE_VERSION: str(item.version), COPIED_VERSION: str(number), _KEPT_OF: item.path}
            store.describe(place, {key: text[:512] for key, text in marks.items()}, Settings())

        self.vaults.all(one, left)
        context.say(f"{many(len(left), 'version')} of {self.source} kept in {self.target}")
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: each is there with the same content; the manifest is written."""
        seen = self.observe(context)
        return Seen(Look.BLOCKED, f"not kept: {seen.reason}") if seen.look is Look.NEEDED else seen

    def _only(self) -> list[Only]:
        """Versions whose content the new side never had at that path. Compared by content, so copies in either direction do not count."""
        new, old = self.sides()
        paths = sorted(path for path, secret in old.secrets.items() if secret.live)

        def both(path: str) -> tuple[History, frozenset[str]]:
            theirs = new.secrets.get(path)
            here = self.vaults.history(new.region, theirs).digests.values() if theirs is not None else ()
            return self.vaults.history(old.region, old.secrets[path]), frozenset(here)

        found = []
        for path, (history, here) in zip(paths, self.vaults.all(both, paths), strict=True):
            for number in only_there(history, here):
                found.append(Only(path, number, history.secret.versions[number].created.isoformat(), history.digests[number]))
        return found

    def _kept(self) -> dict[tuple[str, str], str]:
        """What is preserved by now, of any run: (path, keyed digest) → where."""
        store = self.vaults.stores[self.target]
        held = store.secrets(lambda path: path.startswith(PRESERVED), self.vaults.each)
        found = {}
        for place, secret in sorted(held.items()):
            value = store.read(place) if secret.current and not secret.gone else None
            path = secret.marks.get(_KEPT_OF) or place.removeprefix(PRESERVED).partition("/")[2].rpartition("/")[0]
            if value is not None:
                found[(path, self.vaults.digest(path, value.canonical))] = place
        return found

    def _evidence(self, context: AttemptContext, only: list[Only], kept: dict[tuple[str, str], str]) -> Preserved:
        lines = [
            json.dumps({
                "path": item.path, "region": self.source, "version": item.version, "created": item.created, "keyed_digest": item.digest,
                "kept": kept[(item.path, item.digest)],
            })
            for item in only
        ]  # fmt: skip
        manifest = self.items(context)
        write_private(manifest, "\n".join(lines) + "\n")
        folder = f"{self.vaults.config.mount}/{PRESERVED}{context.run_id}/"
        return Preserved(
            component=self.vaults.component, region=self.source, at=self.vaults.site.clock.now(),
            path=f"{self.vaults.config.regions[self.target].url} {folder}", manifest=str(manifest), items=len(only),
        )  # fmt: skip
