"""A runbook brought to life: its kinds, wired to this machine's state. Nothing is connected until a method asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dr.app.state import State
from dr.errors import NotThere, UsageError
from dr.model.base import Json
from dr.model.lag import ComponentView
from dr.model.runbook import Runbook
from dr.model.words import Intent
from dr.ports import Host, Kind, Site, Step, Threads


@dataclass(frozen=True)
class Platform:
    """The components of one runbook, by name, in its order."""

    runbook: Runbook
    kinds: Mapping[str, Kind]
    site: Site
    threads: Threads

    def views(self) -> tuple[ComponentView, ...]:
        """All components as observed now, asked at the same time; takes as long as the slowest."""
        return tuple(self.threads.gather([kind.view for kind in self.kinds.values()], "view"))

    def warm(self, target: str) -> None:
        """Starts to open what a run will need, in the background."""
        pool = self.threads.pool(max(1, len(self.kinds)), "warm")
        for kind in self.kinds.values():
            pool.do(partial(kind.warm, target))
        pool.close()

    def chains(self, intent: Intent, source: str, target: str) -> Mapping[str, Sequence[Step]]:
        """Each component's own steps."""
        return {name: kind.steps(intent, source, target) for name, kind in self.kinds.items()}

    def region(self, name: str) -> str:
        """A region of the runbook. Raises UsageError naming those there are."""
        if name not in self.runbook.regions:
            raise UsageError(f"{self.runbook.path} has no region {name}", hint=f"one of: {', '.join(self.runbook.regions)}")
        return name

    def component(self, name: str) -> str:
        """A component of the runbook. Raises UsageError naming those there are."""
        if name not in self.kinds:
            raise UsageError(f"{self.runbook.path} has no component {name}", hint=f"one of: {', '.join(self.kinds)}")
        return name

    def other(self, region: str) -> str:
        """The region opposite of one, where there are two. Raises UsageError with more: then it must be named."""
        others = [name for name in self.runbook.regions if name != region]
        if len(others) != 1:
            raise UsageError(f"{self.runbook.name} has {len(others)} regions beside {region}", hint="moves between two regions only")
        return others[0]

    def close(self) -> None:
        """Closes all connections."""
        for kind in self.kinds.values():
            kind.close()


class Books:
    """Where runbooks come from, and how they are brought to life; a simulation has its own."""

    def load(self, path: Path) -> Runbook:
        """A file. Raises FileError, UsageError."""
        from dr.config.runbook import load_runbook

        return load_runbook(path)

    def restore(self, document: Json) -> Runbook:
        """The runbook that a run keeps."""
        from dr.config.runbook import from_document

        return from_document(document)

    def document(self, runbook: Runbook) -> Json:
        """What a run keeps of its runbook, for ``restore``."""
        from dr.config.runbook import document

        return document(runbook)

    def build(self, runbook: Runbook, state: State) -> Platform:
        """Its kinds, wired. Raises as ``build``."""
        return build(runbook, state)


def primary_of(views: Sequence[ComponentView]) -> str | None:
    """The region that is primary of every component that has one; None when they differ or nobody is."""
    seen = {view.primary for view in views if view.primary is not None}
    return seen.pop() if len(seen) == 1 else None


def build(runbook: Runbook, state: State) -> Platform:
    """Wires the kinds of a runbook.

    Raises:
        UsageError: settings of a component contradict each other.
        NotThere: its base directory is gone.
    """
    from dr.config.runbook import in_component
    from dr.providers import registry
    from dr.providers.generic.host import CommandHost
    from dr.providers.system import EnvFileSecrets

    base = Path(runbook.base)
    if not base.is_dir():
        raise NotThere(f"{base}, the folder of the runbook, does not exist any more", hint="put it back, then give the command again")
    hosts: dict[str, Host] = {
        name: CommandHost(region.host, base, state.clock) for name, region in runbook.regions.items() if region.host is not None
    }
    peers: dict[str, Kind] = {}
    site = Site(
        runbook=runbook.name, regions=runbook.regions, hosts=hosts, clock=state.clock,
        secrets=EnvFileSecrets(base, state.directory, agree=state.digest_key),
        samples=state.samples, artefacts=state.directory / "artefacts" / runbook.name, base=base, peers=peers,
        world=state.world,
    )  # fmt: skip
    for name, component in runbook.components.items():
        try:
            peers[name] = registry.find(component.kind)(name, component.config, component.needs, site)
        except UsageError as error:
            raise in_component(runbook, name, error) from None
    return Platform(runbook, peers, site, state.threads)
