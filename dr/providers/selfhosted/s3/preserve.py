"""Preserve: what only the old primary holds is kept outside both regions before anything is repaired (I17).

One folder for each promotion: ``objects/…`` as they were, and a manifest with SHA-256, bytes and path of each file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import quote

from dr.errors import Permanent, Transient
from dr.model.evidence import Evidence, Note, Preserved
from dr.ports import AttemptContext, Look, Seen
from dr.providers import artefacts
from dr.providers.selfhosted.s3.buckets import Buckets, BucketStep
from dr.providers.selfhosted.s3.objects import Item, only_on_the_old_side

_OBJECTS = "objects"
_LONGEST_NAME = 200


class Preserve(BucketStep):
    """Objects that exist on the old side only, and those that have another content there, are copied out, whichever version is newer."""

    def __init__(self, buckets: Buckets, source: str, target: str) -> None:
        super().__init__(buckets, source, target)
        self._wanted: list[Item] = []

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: there are none, or all are kept. BLOCKED: the old side is the newest copy."""
        blocked = self.old_primary_leads()
        if blocked is not None:
            return blocked
        self._wanted = list(only_on_the_old_side(self.buckets.difference(context, self.source, self.target)))
        if not self._wanted:
            text = f"{self.buckets.component} in {self.source} has nothing that {self.target} misses"
            return Seen(Look.DONE, text, (Note(text=text),))
        return self._seen(self.leads(self.target).epoch)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Copies what is not kept yet, whole files only; then the manifest."""
        folder = self._folder(self.leads(self.target).epoch)
        wanted = self._wanted
        context.say(f"keeping {len(wanted)} objects")

        def keep(item: Item) -> bool:
            body = self.buckets.stores[self.source].get(item.key)
            if body is None or body.item.etag != item.etag:
                return False
            artefacts.keep(folder / path_of(item), body.content)
            return True

        kept = self.buckets.each(wanted, keep)
        gone = [item.key for item, there in zip(wanted, kept, strict=True) if not there]
        if gone:
            raise Transient(f"{len(gone)} objects of {self.source} changed while they were copied, {gone[0]} among them")
        artefacts.keep(folder / "manifest", manifest(folder).encode())
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: every object that is only there is in the manifest, and its file has the size and digest that stand there."""
        return self._seen(self.leads(self.target).epoch)

    def _seen(self, epoch: int) -> Seen:
        wanted, folder = self._wanted, self._folder(epoch)
        listed = (folder / "manifest").read_text(encoding="utf-8") if (folder / "manifest").exists() else ""
        names = {line.split(" ", 2)[2] for line in listed.splitlines()}
        left = [item for item in wanted if path_of(item) not in names]
        text = f"{len(wanted)} objects of {self.source} are not in {self.target} as they are there"
        if left:
            return Seen(Look.NEEDED, text)
        if listed != manifest(folder):
            raise Permanent(f"{folder}: the manifest and the files do not agree", hint=f"move {folder} away, then dr resume {{RUN}}")
        return Seen(Look.DONE, f"{text}; kept in {folder}", self._evidence(epoch))

    def _evidence(self, epoch: int) -> tuple[Evidence, ...]:
        folder = self._folder(epoch)
        path = folder / "manifest"
        if not path.exists():
            return ()
        items = len(path.read_text(encoding="utf-8").splitlines())
        return (
            Preserved(
                component=self.buckets.component, region=self.source, at=self.buckets.clock.now(), path=str(folder), manifest=str(path),
                items=items,
            ),
        )  # fmt: skip

    def _folder(self, epoch: int) -> Path:
        return self.buckets.artefacts / f"{self.buckets.component}-{self.source}-preserved-{epoch:010d}"


def path_of(item: Item) -> str:
    """Where an object is kept below the folder: readable, inside the folder whatever the key is, one path for each version."""
    parts = [quote(part, safe="=@:+,") for part in item.key.split("/")]
    plain = all(part and part not in (".", "..") and len(part) <= _LONGEST_NAME for part in parts)
    name = "/".join(parts) if plain else f"by-digest/{hashlib.sha256(item.key.encode()).hexdigest()}"
    return f"{_OBJECTS}/{name}~{quote(item.etag, safe='')}"


def manifest(folder: Path) -> str:
    """One line for each file: SHA-256, bytes, path below the folder."""
    files = sorted(path for path in (folder / _OBJECTS).rglob("*") if path.is_file() and not path.name.endswith(".partial"))
    lines = []
    for path in files:
        content = path.read_bytes()
        lines.append(f"{hashlib.sha256(content).hexdigest()} {len(content)} {path.relative_to(folder).as_posix()}\n")
    return "".join(lines)
