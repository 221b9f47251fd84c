"""The contract of a kind, which every simulated component keeps, walked through over real servers: ``tests/simulate/contract.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from dr.config.runbook import load_runbook
from dr.model.words import Intent, Known, Role, Verb
from dr.ports import Clock, Kind, Look
from dr.providers.selfhosted.postgres import Postgres
from tests.postgres.rig import Pair, poll
from tests.simulate.contract import Tried, Walk, verbs

pytestmark = pytest.mark.lab
ROOT = Path(__file__).parents[2]
T = TypeVar("T")
_LOOKS = """SELECT ARRAY[pg_is_in_recovery()::text, (SELECT timeline_id::text FROM pg_control_checkpoint()),
  current_setting('default_transaction_read_only'), (SELECT string_agg(id::text, ',' ORDER BY id) FROM item),
  (SELECT string_agg(slot_name, ',' ORDER BY slot_name) FROM pg_replication_slots)]"""


class PairStand:
    """Two real servers, and the real kind over them."""

    def __init__(self, pair: Pair, kind: Postgres) -> None:
        book = load_runbook(ROOT / "runbooks/lab.yaml")
        self.pair = pair
        self.runbook = book.model_copy(update={"components": {"metadata-db": book.components["metadata-db"]}})
        self.kinds: Mapping[str, Kind] = {"metadata-db": kind}
        self.clock: Clock = pair.clock
        pair.write("east", 1)
        pair.caught_up("east")

    def run(self, work: Callable[[], T]) -> T:
        """In real time."""
        return work()

    def pass_time(self, seconds: float) -> None:
        """A moment: what these servers do by themselves takes milliseconds."""
        self.clock.sleep(min(seconds, 0.5))

    def alive(self, region: str) -> bool:
        """Its host answers."""
        return (self.pair.folder(region) / "reachable").exists()

    def lose(self, region: str) -> None:
        """Its processes die, and its host answers nobody."""
        self.pair.kill(region)

    def bring_back(self, region: str) -> None:
        """Its host answers again; nobody has started its server."""
        self.pair.back(region)

    def facts(self) -> object:
        """Roles, timelines, rows, slots, and how many copies were kept."""
        looks = {region: self.pair.one(region, _LOOKS) if self.pair.listening(region) else None for region in ("east", "west")}
        kept = {region: sorted(path.name for path in self.pair.folder(region).glob("*preserved*")) for region in looks}
        return looks, kept


@pytest.fixture
def tried(pair: Pair, kind: Postgres) -> Iterator[list[Tried]]:
    """There and back, and there again."""
    stand = PairStand(pair, kind)
    walked = Walk(stand).go()
    poll(lambda: kind.view().primary == "west", "the west to lead")
    yield walked


def test_the_real_kind_keeps_the_contract(tried: list[Tried], kind: Postgres, pair: Pair) -> None:
    """What ``test_kinds`` says of each simulated component: every step is done, a second attempt has no further effect, an undo takes the
    effect back and once is enough; a view of the healthy platform finds nothing, and a sample is fresh."""
    assert {item.intent for item in tried} == {Intent.FAILOVER, Intent.REPROTECT, Intent.FAILBACK, Intent.SWITCHOVER}
    assert {Verb.FENCE, Verb.PROMOTE, Verb.FOLLOW} <= verbs(tried)
    for item in tried:
        assert item.first.look is not Look.BLOCKED, (item.name, item.first)
        assert item.last.look is Look.DONE, (item.name, item.last)
        assert item.again.look is not Look.BLOCKED or item.step.spec.max_attempts == 1, (item.name, item.again)
        assert item.same, f"{item.name}: a second attempt had an effect"
        if item.undone is not None:
            assert item.undone.look is Look.NEEDED, (item.name, item.undone)
            assert item.taken_back and item.undone_twice, item.name
    assert any(item.undone is not None for item in tried)
    view = kind.view()
    assert {region: seen.role for region, seen in view.regions.items()} == {"east": Role.SECONDARY, "west": Role.PRIMARY}
    assert kind.sample("west").state is Known.KNOWN
    assert pair.ids("west") == [1]
