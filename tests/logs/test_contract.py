"""The contract of a kind, which every simulated component keeps, walked through over real stores: ``tests/simulate/contract.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from dr.config.runbook import load_runbook
from dr.model.words import Intent, Known, Role, Verb
from dr.ports import Clock, Kind, Look
from dr.providers.selfhosted.s3 import S3Bucket
from tests.logs.rig import ADDRESS, Bucket
from tests.postgres.rig import poll
from tests.simulate.contract import Walk, verbs

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[2]
T = TypeVar("T")


class StoresStand:
    """Two real stores that replicate into each other, and the real kind over one bucket in both."""

    def __init__(self, bucket: Bucket, kind: S3Bucket) -> None:
        book = load_runbook(ROOT / "runbooks/platform.yaml")
        component = book.components["task-logs"].model_copy(update={"needs": ()})
        self.bucket = bucket
        self.runbook = book.model_copy(update={"components": {"logs": component}})
        self.kinds: Mapping[str, Kind] = {"logs": kind}
        self.clock: Clock = bucket.clock
        bucket.put("east", "one.log", "two.log")
        poll(lambda: bucket.keys("west") == {"one.log", "two.log"}, "the objects to arrive")

    def run(self, work: Callable[[], T]) -> T:
        """In real time."""
        return work()

    def pass_time(self, seconds: float) -> None:
        """A moment, and on a busy machine what the replication needs: until both sides, where both live, name the same primary."""
        self.clock.sleep(min(seconds, 1.0))
        if all(self.alive(region) for region in ADDRESS):
            poll(self._agreed, "the newest marker to arrive on the other side", timedelta(seconds=60))

    def _agreed(self) -> bool:
        seen = self.kinds["logs"].view().regions.values()
        return {item.role for item in seen} == {Role.PRIMARY, Role.SECONDARY} and len({item.epoch for item in seen}) == 1

    def alive(self, region: str) -> bool:
        """Its store runs."""
        return self.bucket.pair.processes[region].poll() is None

    def lose(self, region: str) -> None:
        """Its store dies."""
        self.bucket.pair.kill(region)

    def bring_back(self, region: str) -> None:
        """It is started again, with all that it had."""
        self.bucket.pair.start(region)

    def facts(self) -> object:
        """The data in both, and who each says is primary."""
        alive = [region for region in ADDRESS if self.alive(region)]
        roles = {region: seen.role for region, seen in self.kinds["logs"].view().regions.items()}
        return {region: sorted(self.bucket.keys(region)) for region in alive}, roles


def test_the_real_kind_keeps_the_contract(bucket: Bucket) -> None:
    """What ``test_kinds`` says of each simulated component: every step is done, a second attempt has no further effect, an undo takes the
    effect back and once is enough; a sample of the healthy platform is fresh, and nothing was lost on the way."""
    kind = bucket.kind(stalled_after=timedelta(seconds=30))  # a heartbeat of the healthy pair may take longer than the rig's 3 s
    tried = Walk(StoresStand(bucket, kind)).go()
    assert {item.intent for item in tried} == {Intent.FAILOVER, Intent.REPROTECT, Intent.FAILBACK, Intent.SWITCHOVER}
    assert {Verb.DRAIN, Verb.PROMOTE} <= verbs(tried)
    for item in tried:
        assert item.first.look is not Look.BLOCKED, (item.name, item.first)
        assert item.last.look is Look.DONE, (item.name, item.last)
        assert item.again.look is not Look.BLOCKED or item.step.spec.max_attempts == 1, (item.name, item.again)
        assert item.same, f"{item.name}: a second attempt had an effect"
        if item.undone is not None:
            assert item.undone.look is Look.NEEDED, (item.name, item.undone)
            assert item.undone_twice, item.name
    assert {region: seen.role for region, seen in kind.view().regions.items()} == {"east": Role.SECONDARY, "west": Role.PRIMARY}
    assert kind.sample("west").state is Known.KNOWN
    assert bucket.keys("west") == bucket.keys("east") == {"one.log", "two.log"}
