"""A kind made of files, so that whole commands can be tried without a server: a region's role is a word in a file.

``python -m tests.cli.toy ARGS`` is ``dr ARGS`` with this kind.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from dr.errors import Transient
from dr.model.evidence import Evidence, Fenced, Promoted, RecoveryPoint, WriteAccepted
from dr.model.lag import Beat, ComponentView, LagSample, RegionView
from dr.model.plan import StepSpec
from dr.model.runbook import KindConfig
from dr.model.words import FenceState, Intent, Known, Role, Verb
from dr.ports import AttemptContext, Look, Seen, Site, Step

RUNBOOK = """\
apiVersion: dr/v1
name: toys
regions: {east: {}, west: {}}
home: east
objectives: {rto: 1h, rpo: 15m}
components:
  db: {kind: toy, folder: db}
"""


class ToyConfig(KindConfig):
    """folder: holds one file a region with its role. A file ``hold`` there keeps promote waiting until it is gone, ``hold-follow``
    follow."""

    folder: str


class Act:
    """Sets a region's role once nothing holds it."""

    def __init__(self, folder: Path, verb: Verb, region: str, role: Role) -> None:
        self.folder, self.verb, self.region, self.role = folder, verb, region, role

    def observe(self, context: AttemptContext) -> Seen:
        held = self.verb is Verb.FOLLOW and (self.folder / "hold-follow").exists()
        done = not held and (self.folder / self.region).read_text() == self.role
        if done:
            return Seen(Look.DONE, evidence=self._evidence(context))
        return Seen(Look.NEEDED, evidence=self._recovery_point(context) if self.verb is Verb.PROMOTE else ())

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        while self.verb is Verb.PROMOTE and (self.folder / "hold").exists():
            if context.clock.monotonic() > context.deadline:
                raise Transient("held")
            context.clock.sleep(0.01)
        while self.verb is Verb.FOLLOW and (self.folder / "hold-follow").exists():
            if context.cancelled() or context.clock.monotonic() > context.deadline:
                raise Transient("held")
            context.clock.sleep(0.01)
        (self.folder / self.region).write_text(self.role)
        return self._evidence(context)

    def verify(self, context: AttemptContext) -> Seen:
        return self.observe(context)

    def undo(self, context: AttemptContext) -> None:
        raise AssertionError("nothing here is undoable")

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        return ()

    def _recovery_point(self, context: AttemptContext) -> tuple[Evidence, ...]:
        now = context.clock.now()
        found = RecoveryPoint(component=context.step.component, region=self.region, read_at=now, recovery_point=now, complete=True)
        return (found,)

    def _evidence(self, context: AttemptContext) -> tuple[Evidence, ...]:
        name, now = context.step.component, context.clock.now()
        if self.verb is Verb.FENCE:
            return (Fenced(component=name, region=self.region, state=FenceState.FENCED, proof="the file says so", writes_ended_at=now),)
        return (
            Promoted(component=name, region=self.region, epoch=1, promoted_at=now),
            WriteAccepted(component=name, region=self.region, route="outside", names=(name,), first_at=now, last_at=now),
        )


class Toy:
    """Protects a word in a file."""

    kind: ClassVar[str] = "toy"
    Config: ClassVar[type[KindConfig]] = ToyConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, ToyConfig)
        self.name, self.site, self.folder = name, site, site.base / config.folder

    def beat(self, region: str) -> Beat | None:
        return None

    def sample(self, primary: str | None) -> LagSample:
        now = self.site.clock.now()
        return LagSample(component=self.name, at=now, state=Known.KNOWN, lag=timedelta(0), recovery_point=now)

    def view(self) -> ComponentView:
        regions = {name: RegionView(role=Role((self.folder / name).read_text())) for name in self.site.regions}
        return ComponentView(component=self.name, kind=self.kind, at=self.site.clock.now(), regions=regions, lag=self.sample(None))

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        fence = self._step("fence", Verb.FENCE, source, Role.STOPPED)
        promote = self._step("promote", Verb.PROMOTE, target, Role.PRIMARY, "fence")
        after = self._step("look", Verb.VERIFY_INSIDE, target, Role.PRIMARY, "promote")
        follow = self._step("follow", Verb.FOLLOW, source, Role.SECONDARY)
        return [follow] if intent is Intent.REPROTECT else [fence, promote, after]

    def warm(self, target: str) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def _step(self, name: str, verb: Verb, region: str, role: Role, *needs: str) -> Step:
        spec = StepSpec(
            id=f"{self.name}/{name}", component=self.name, kind=self.kind, verb=verb, region=region, title=f"{verb} {region}",
            needs=tuple(f"{self.name}/{need}" for need in needs), irreversible=verb is Verb.PROMOTE, estimate=timedelta(milliseconds=20),
        )  # fmt: skip
        return Step(spec, Act(self.folder, verb, region, role))


def make(folder: Path, east: Role = Role.PRIMARY, west: Role = Role.SECONDARY) -> Path:
    """A platform of toys; returns its runbook."""
    (folder / "db").mkdir()
    (folder / "db/east").write_text(east)
    (folder / "db/west").write_text(west)
    path = folder / "toys.yaml"
    path.write_text(RUNBOOK)
    return path


def install() -> None:
    """Makes ``toy`` a kind of this process."""
    from dr.providers import registry

    table = registry.Registry({**registry.BUILT_IN, "toy": "tests.cli.toy:Toy"}, installed=tuple)
    registry._registry = lambda: table  # type: ignore[assignment]


if __name__ == "__main__":
    from dr.cli.main import main

    install()
    sys.argv[0] = "dr"
    main()
