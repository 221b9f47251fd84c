"""The outside client of a simulated drill, reckoned by hand: who acknowledged what, what is lost, and for how long nobody answered."""

from __future__ import annotations

import pytest

from dr.model.scenario import Fault
from dr.providers.sim.database import Database
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.loop import Loop
from dr.providers.sim.names import Names
from dr.providers.sim.process import chance
from dr.providers.sim.weather import Weather
from dr.providers.sim.world import World, names
from dr.simulate.client import OutsideClient, Write
from dr.simulate.hits import Hits

HOSTNAMES = {"d-001": ("one.ui", "one.remote")}


class Outside:
    """A world of one Deployment with two names, a client that writes ten times a second through each, and who strikes it."""

    def __init__(self, *, keeps: float | None = None, rate: float = 10.0) -> None:
        self.loop = Loop()
        self.world = World(self.loop, "0", names(("east", "west")), Weather(chance("0", "weather")))
        self.database = Database(self.world, "db", "east", lag=0.2)
        self.deployments = Deployments(self.world, "deployments", "east", self.database, 1, 0)
        self.zone = Names(self.world, "dns", "east", HOSTNAMES["d-001"])
        for store in (self.database, self.deployments, self.zone):
            self.world.stores[store.name] = store
        self.client = OutsideClient(self.world, self.deployments, self.zone, HOSTNAMES, rate, keeps)
        self.hits = Hits(self.world, self.client)

    def until(self, second: float) -> None:
        """Lets time pass."""
        self.loop.run(second)
        self.world.settle()

    def strike(self, **fault: object) -> None:
        """A fault, now."""
        self.hits.strike(Fault.model_validate({"at": "0s", **fault}, context={"written": True}))

    def promote(self, region: str) -> None:
        """What a failover comes to: a new primary, and names that lead there at its own server."""
        self.database.promote(region)
        self.zone.change(region, self.zone.hostnames, region)
        self.world.did("db.promote", "db", region)

    def writes(self, hostname: str = "one.ui") -> list[Write]:
        """Through one name."""
        return [write for write in self.client.writes() if write.hostname == hostname]


def acknowledged(writes: list[Write]) -> list[tuple[float, str]]:
    return [(round(write.sent, 3), write.region) for write in writes if write.region is not None]


def test_it_writes_in_its_rhythm_and_every_name_has_its_own_place_in_it() -> None:
    """Ten a second for a second; the second name half an interval later."""
    world = Outside()
    world.until(1.0)
    assert acknowledged(world.writes()) == [(number / 10, "east") for number in range(10)]
    assert acknowledged(world.writes("one.remote"))[:2] == [(0.05, "east"), (0.15, "east")]
    assert world.client.there("d-001", world.writes()) == frozenset(write.id for write in world.writes())
    assert world.client.led_to == "east"


def test_what_had_not_arrived_when_the_region_died_is_lost() -> None:
    """Dead at 2.05 s with a lag of 0.2 s: the copy holds writes until 1.85 s, and names lead there from 5 s on."""
    world = Outside()
    world.until(2.05)
    world.strike(kill={"region": "east"})
    world.until(5.0)
    world.promote("west")
    world.until(8.0)
    writes = world.writes()
    there = world.client.there("d-001", writes)
    assert there is not None
    lost = [round(write.sent, 3) for write in writes if write.region is not None and write.id not in there]
    assert lost == [1.9, 2.0]
    failed = [write.sent for write in writes if write.region is None]
    first_after = next(write.sent for write in writes if write.region == "west")
    assert 2.05 < min(failed) < 2.2
    assert 5.0 <= first_after < 6.1, "the old address is kept for its TTL of a second at most"
    assert world.client.settled(6.5) and not world.client.settled(7.99)


def test_a_client_that_keeps_addresses_for_long_is_away_for_longer() -> None:
    """Twelve seconds from its first question on, whatever the zone says."""
    world = Outside(keeps=12.0)
    world.until(2.0)
    world.strike(kill={"region": "east"})
    world.promote("west")
    world.until(20.0)
    assert next(write.sent for write in world.writes() if write.region == "west") == pytest.approx(12.0, abs=0.11)


def test_after_a_failed_write_it_tries_again_sooner_than_its_rhythm() -> None:
    """At one write a second: four tries a second while nobody answers, then the rhythm again."""
    world = Outside(rate=1.0)
    world.until(2.5)
    world.strike(freeze={"region": "east", "server": "postgres"})
    world.until(4.1)
    world.strike(thaw={"region": "east", "server": "postgres"})
    world.until(7.0)
    writes = world.writes()
    assert [write.sent for write in writes if write.region is None] == [3.0, 3.25, 3.5, 3.75, 4.0]
    assert [write.sent for write in writes if write.region is not None] == [0.0, 1.0, 2.0, 4.25, 5.0, 6.0]


def test_servers_that_say_different_things_lead_some_clients_to_the_one_and_some_to_the_other() -> None:
    """A region that comes back with its old zone and its old primary: what is acknowledged there is nowhere else."""
    world = Outside()
    world.until(2.0)
    world.strike(kill={"region": "east"})
    world.promote("west")
    world.until(6.0)
    assert world.client.led_to == "west"
    world.strike(bring_back={"region": "east"})
    world.until(9.0)
    regions = {name: world.writes(name)[-1].region for name in HOSTNAMES["d-001"]}
    assert sorted(filter(None, regions.values())) == ["east", "west"]
    assert world.client.led_to is None


def test_capacity_that_comes_late_serves_so_long_after_the_database_could() -> None:
    """Five seconds after the promotion."""
    world = Outside()
    world.strike(slow={"region": "west", "server": "runtime", "by": "5s"})
    world.until(2.0)
    world.strike(kill={"region": "east"})
    world.promote("west")
    world.until(10.0)
    assert next(write.sent for write in world.writes() if write.region == "west") == pytest.approx(7.0, abs=0.11)


def test_the_agent_is_answered_while_its_name_serves_and_it_lives() -> None:
    """Four polls a second; none while it is dead, none while nobody serves."""
    world = Outside()
    world.until(1.0)
    world.strike(kill={"server": "agent"})
    world.until(2.0)
    world.strike(bring_back={"server": "agent"})
    world.until(3.0)
    world.strike(kill={"region": "east", "server": "runtime"})
    world.until(4.0)
    assert [at for at, _ in world.client.polls()] == [0.0, 0.25, 0.5, 0.75, 2.0, 2.25, 2.5, 2.75]
    assert {region for _, region in world.client.polls()} == {"east"}


def test_a_write_under_way_when_its_region_dies_is_not_acknowledged() -> None:
    """It was sent two milliseconds before."""
    world = Outside()
    world.until(0.502)
    world.strike(kill={"region": "east"})
    world.until(1.0)
    writes = world.writes()
    assert [write.region for write in writes if round(write.sent, 3) in (0.4, 0.5)] == ["east", None]


def test_a_killed_region_refuses_and_a_frozen_one_is_silent() -> None:
    """What refuses at once is told from what says nothing; both are gone."""
    world = Outside()
    world.strike(kill={"region": "west"})
    assert world.world.refuses("here", "west") and not world.world.reaches("here", "west", write=False)
    world.strike(bring_back={"region": "west"})
    assert not world.world.refuses("here", "west") and world.world.reaches("here", "west", write=True)
    world.strike(freeze={"region": "west"})
    assert not world.world.refuses("here", "west") and not world.world.reaches("here", "west", write=False)


def test_the_link_is_what_was_asked_for_last() -> None:
    """A delay adds to the lag; a blackhole cuts both ways; nothing asked for is a healthy link."""
    world = Outside()
    world.strike(link={"delay": "200ms"})
    assert world.database.lag == pytest.approx(0.4)
    world.strike(link={"blackhole": True})
    assert world.world.cut_links == {("east", "west"), ("west", "east")} and world.database.lag == pytest.approx(0.2)
    world.strike(link={})
    assert not world.world.cut_links
