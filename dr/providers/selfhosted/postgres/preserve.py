"""Preserve: what only the old primary has is kept before anything overwrites it (I17).

``pg_rewind`` destroys it without a word: 50 acknowledged rows became 0. So the whole data directory is copied on its host (it can be
started as a server of its own to look at the rows), with a manifest of sizes and SHA-256, and the diverging log records are listed.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from dr.errors import Permanent, Transient
from dr.model.evidence import Evidence, Note, Preserved
from dr.ports import AttemptContext, Look, Seen
from dr.providers import artefacts
from dr.providers.selfhosted.postgres import wal
from dr.providers.selfhosted.postgres.cluster import NEWEST_COPY, Cluster, ClusterStep
from dr.providers.selfhosted.postgres.facts import Reading, try_read
from dr.providers.selfhosted.postgres.lineage import Compared, compare
from dr.providers.selfhosted.postgres.server import Running, Server

_HOST_LIMIT = timedelta(seconds=10)
_COPY_LIMIT = timedelta(hours=6)
_MOST_RECORDS = 100_000
_SUMMARY = "dr-preserved"


class Preserve(ClusterStep):
    """The source is stopped. Where it holds commits that the target never got, a copy of its data directory is made and proven."""

    def observe(self, context: AttemptContext) -> Seen:
        """DONE: nothing diverged, or it is kept already. BLOCKED: the source writes, or is the newest copy."""
        server = self.cluster.servers[self.source]
        process = server.process(_HOST_LIMIT)
        if process.running is Running.NO_HOST:
            raise Transient(f"{self.cluster.component} in {self.source}: {process.said}")
        if process.running is Running.YES and process.pid is not None and server.dead(process.pid, _HOST_LIMIT):
            raise Transient(
                f"process {process.pid} in {self.source} is dead and nobody has reaped it: its files count as in use",
                hint=f"end its parent, or with the process list at hand: rm {server.data()}/postmaster.pid",
            )
        if process.running is not Running.NO:
            return self._running()
        if overwriting(server):
            return Seen(Look.DONE, "what it had was kept before an earlier run began to overwrite it")
        compared = compare(self.cluster, self.source, self.target)
        if compared.lineage.course is wal.Course.REFUSE:
            return Seen(Look.BLOCKED, f"{NEWEST_COPY}: {self.source} may not be overwritten: {compared.lineage.reason}")
        if not compared.diverged:
            text = f"{self.cluster.component} in {self.source} has nothing that {self.target} misses: {compared.missing}"
            return Seen(Look.DONE, text, (Note(text=text),))
        kept = self._kept(context, compared)
        return Seen(Look.NEEDED, compared.missing) if kept is None else Seen(Look.DONE, compared.missing, kept)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Copies on the host, into a name that is only given to a whole copy; then the manifest, beside the journal."""
        server = self.cluster.servers[self.source]
        compared = compare(self.cluster, self.source, self.target)
        copy, limit = self._copy(), self.cluster.left(context, _COPY_LIMIT)
        if not server.exists(copy):
            self._room(server, copy)
            context.say(f"copying {server.data()}")
            server.must(["rm", "-rf", f"{copy}.partial"], limit)
            server.must(["cp", "-a", "--reflink=auto", server.data(), f"{copy}.partial"], limit)
            server.must(["mv", f"{copy}.partial", copy], _HOST_LIMIT)
        context.say("digests")
        artefacts.keep(self._manifest(), manifest(server, copy, limit).encode())
        if compared.lineage.fork is not None:
            records = server.records(compared.timeline, compared.lineage.fork, _MOST_RECORDS, limit)
            artefacts.keep(self._records(), records.encode())
        return ()

    def verify(self, context: AttemptContext) -> Seen:
        """DONE: copy and manifest are there and agree in number and sizes."""
        compared = compare(self.cluster, self.source, self.target)
        kept = self._kept(context, compared)
        if kept is None:
            return Seen(Look.BLOCKED, f"the copy {self._copy()} in {self.source} and its manifest do not agree")
        return Seen(Look.DONE, compared.missing, kept)

    def _running(self) -> Seen:
        reading = try_read(self.cluster.connections, self.cluster.component, self.source)
        if isinstance(reading, Reading) and reading.recovering:
            return Seen(Look.DONE, f"{self.source} is a secondary: nothing is overwritten")
        return Seen(Look.BLOCKED, f"{self.source} runs and may write: it has to be fenced first")

    def _kept(self, context: AttemptContext, compared: Compared) -> tuple[Evidence, ...] | None:
        server, copy, list_file = self.cluster.servers[self.source], self._copy(), self._manifest()
        if not list_file.exists() or not server.exists(copy):
            return None
        sizes = {line.split(" ", 2)[2]: line.split(" ", 2)[1] for line in list_file.read_text(encoding="utf-8").splitlines()}
        if sizes != _sizes(server, copy, self.cluster.left(context, _COPY_LIMIT)):
            return None
        fork = compared.lineage.fork
        preserved = Preserved(
            component=self.cluster.component, region=self.source, at=self.cluster.clock.now(), path=copy, manifest=str(list_file),
            items=compared.beyond.commits if compared.beyond else None, fork_position=wal.show_lsn(fork) if fork is not None else "",
        )  # fmt: skip
        return preserved, Note(text=f"{self.cluster.component} in {self.source} had {compared.missing}; kept in {copy}")

    def _copy(self) -> str:
        """One place for each divergence: the same again after a crash, another one after the next promotion."""
        server = self.cluster.servers[self.source]
        folder, _, name = server.data().rpartition("/")
        control = server.control()
        stamp = f"{control.timeline}-{control.checkpoint.replace('/', '-')}"
        return f"{server.settings.preserve_directory or folder}/{name}.{_SUMMARY}-{stamp}"

    def _manifest(self) -> Path:
        return self.cluster.artefacts / f"{self.cluster.component}-{self.source}-{Path(self._copy()).name}.sha256"

    def _records(self) -> Path:
        return self._manifest().with_suffix(".wal.txt")

    def _room(self, server: Server, copy: str) -> None:
        """Raises Permanent where the copy would not fit."""
        used = int(server.must(["du", "-sB1", server.data()], _COPY_LIMIT).split()[0])
        free = int(server.must(["df", "--output=avail", "-B1", copy.rpartition("/")[0]], _HOST_LIMIT).split()[-1])
        if used > free:
            raise Permanent(
                f"{used} bytes of {self.source} have to be kept before they are overwritten, and only {free} are free beside them",
                hint=f"set components.{self.cluster.component}.regions.{self.source}.preserve_directory to a larger place",
            )


def manifest(server: Server, folder: str, limit: timedelta) -> str:
    """One line for each file of a folder on the host: SHA-256, bytes, path below the folder.

    Raises:
        Permanent: a file has no digest or no size. Transient, EffectUnknown: as ``Server.must``.
    """
    digests = {}
    for line in server.must(["find", folder, "-type", "f", "-exec", "sha256sum", "{}", "+"], limit).splitlines():
        digest, _, path = line.partition("  ")
        digests[path.removeprefix(f"{folder}/")] = digest
    sizes = _sizes(server, folder, limit)
    if digests.keys() != sizes.keys():
        raise Permanent(f"{folder} in {server.region}: {len(digests)} digests of {len(sizes)} files")
    return "".join(f"{digests[path]} {sizes[path]} {path}\n" for path in sorted(sizes))


def marker(server: Server) -> str:
    """A file beside the data directory: its content is being overwritten, and is no copy of anything until that has ended."""
    return f"{server.data()}.dr-overwriting"


def overwriting(server: Server) -> bool:
    """An overwriting began and did not end. A server that was started since is whole again (it writes postmaster.opts at each start)."""
    mark = marker(server)
    if not server.exists(mark):
        return False
    return server.run(["test", f"{server.data()}/postmaster.opts", "-nt", mark], _HOST_LIMIT).status == 1


def _sizes(server: Server, folder: str, limit: timedelta) -> dict[str, str]:
    lines = server.must(["find", folder, "-type", "f", "-printf", "%s %P\\n"], limit).splitlines()
    return {path: size for size, _, path in (line.partition(" ") for line in lines)}


def needed(cluster: Cluster, source: str, target: str, context: AttemptContext) -> tuple[Evidence, ...]:
    """Preserves where a step is about to overwrite and nobody did it before. Raises as the step.

    Raises:
        Permanent: it may not be overwritten, or could not be kept.
    """
    step = Preserve(cluster, source, target)
    seen = step.observe(context)
    found: tuple[Evidence, ...] = ()
    if seen.look is Look.NEEDED:
        found = step.act(context)
        seen = step.verify(context)
        found += seen.evidence
    if seen.look is not Look.DONE:
        raise Permanent(seen.reason)
    return found
