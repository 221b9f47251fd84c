"""Components in memory, and a clock that is wound by hand, for the tests of the monitor."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from dr.errors import StepError, Transient
from dr.model.identity import DeploymentIdentity, IdentitySnapshot
from dr.model.lag import Beat, ComponentView, LagSample, RegionView
from dr.model.runbook import KindConfig
from dr.model.words import Intent, Known, Role
from dr.ports import Step

NOW = datetime(2025, 11, 21, 3, 0, tzinfo=UTC)


def before(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


class HandClock:
    """Time that only moves when somebody sleeps or winds it."""

    def __init__(self) -> None:
        self.seconds = 50.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds - 50)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def uniform(self, low: float, high: float) -> float:
        return low


def view(name: str, east: Role, west: Role, at: datetime, lag: LagSample | None = None) -> ComponentView:
    return ComponentView(
        component=name, kind="fake", at=at, regions={"east": RegionView(role=east), "west": RegionView(role=west)}, lag=lag
    )


class FakeKind:
    """A component of two regions. ``primary`` is where it takes writes now; a region in ``gone`` answers nothing."""

    kind: ClassVar[str] = "fake"
    Config: ClassVar[type[KindConfig]] = KindConfig

    def __init__(self, name: str, clock: HandClock, *, replicates: bool = True) -> None:
        self.name, self.clock, self.replicates = name, clock, replicates
        self.primary: str | None = "east"
        self.gone: set[str] = set()
        self.asked: list[str] = []

    def beat(self, region: str) -> Beat | None:
        self.asked.append(f"beat {region}")
        ok = region == self.primary and region not in self.gone
        return Beat(
            component=self.name, region=region, sent_at=self.clock.now(), acknowledged_at=self.clock.now() if ok else None,
            reason="" if ok else "connection refused",
        )  # fmt: skip

    def sample(self, primary: str | None) -> LagSample:
        self.asked.append(f"sample {primary}")
        moment = self.clock.now()
        return LagSample(
            component=self.name, at=moment, state=Known.KNOWN, lag=timedelta(seconds=0.2), recovery_point=moment - timedelta(seconds=0.2),
            behind_bytes=512, behind_items=2, failed_items=0,
        )  # fmt: skip

    def view(self) -> ComponentView:
        self.asked.append("view")
        roles = {
            region: Role.UNREACHABLE if region in self.gone else Role.PRIMARY if region == self.primary else Role.SECONDARY
            for region in ("east", "west")
        }
        lag = self.sample(self.primary) if self.replicates else None
        return view(self.name, roles["east"], roles["west"], self.clock.now(), lag)

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        return ()

    def warm(self, target: str) -> None:
        return None

    def close(self) -> None:
        return None


class FakeDeployments(FakeKind):
    """Knows who the Deployments are; has no data of its own."""

    def __init__(self, name: str, clock: HandClock) -> None:
        super().__init__(name, clock, replicates=False)

    def beat(self, region: str) -> Beat | None:
        return None

    def identities(self, region: str) -> IdentitySnapshot:
        self.asked.append(f"identities {region}")
        if region in self.gone:
            raise StepErrorOfRegion(region)
        one = DeploymentIdentity(
            id="d-001", name="one", namespace="n", workspace="w", hostnames={}, image_digest="sha256:1", environment={}
        )  # fmt: skip
        return IdentitySnapshot(taken_at=self.clock.now(), region=region, deployments=(one,))


class StepErrorOfRegion(Transient):
    """A region does not answer."""

    def __init__(self, region: str) -> None:
        super().__init__(f"{region} does not answer")


class StuckKind(FakeKind):
    """Breaks its contract: from ``stuck`` on, its calls return only when ``released`` is set."""

    def __init__(self, name: str, clock: HandClock) -> None:
        super().__init__(name, clock)
        self.stuck = False
        self.released = threading.Event()
        self.inside = 0

    def _hang(self) -> None:
        if self.stuck:
            self.inside += 1
            assert self.released.wait(30)

    def beat(self, region: str) -> Beat | None:
        self._hang()
        return super().beat(region)

    def sample(self, primary: str | None) -> LagSample:
        self._hang()
        return super().sample(primary)


class BuggyKind(FakeKind):
    """Breaks its contract: raises, with a credential in the text."""

    def beat(self, region: str) -> Beat | None:
        raise RuntimeError("postgresql://dr:hunter2@east")

    def sample(self, primary: str | None) -> LagSample:
        if "view" in self.asked and len(self.asked) < 3:
            return super().sample(primary)
        raise StepError("the secondary said no")
