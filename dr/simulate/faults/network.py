"""Faults between machines and regions, and between regions; and of what tells the outside world where to go."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from dr.model.runbook import Runbook
from dr.providers.sim.names import Names
from dr.providers.sim.process import Chance
from dr.providers.sim.world import Way
from dr.simulate.faults.base import (
    Fault,
    Values,
    after_effects,
    around,
    as_usual,
    away,
    barred,
    before,
    changed,
    for_a_while,
    has,
    later,
    number,
    region,
    region_for,
    seconds,
    stop,
    stores,
    text,
)
from dr.simulate.play import MACHINES, MONITOR
from dr.simulate.stage import Stage
from dr.simulate.story import Group, Struck

_FLIPS = 10
"""What flaps does so for no more than so often."""


def _region_dies(stage: Stage, struck: Struck) -> None:
    """And is back after a while, as it was."""
    lost = text(struck, "region")
    if stage.world.regions[lost].alive:
        for_a_while(stage, struck, lambda: stage.world.lose(lost), lambda: stage.world.bring_back(lost))


def _region_returns(stage: Stage, struck: Struck) -> None:
    """The lost region comes back in the middle of the run, dies, and comes back again."""
    home, times = stage.runbook.home, int(number(struck, "times"))

    def turn(left: int) -> None:
        if stage.world.regions[home].alive:
            stage.world.lose(home)
        else:
            stage.world.bring_back(home)
        if left > 1:
            later(stage, number(struck, "seconds"), lambda: turn(left - 1))

    after_effects(stage, int(number(struck, "effects")), lambda _effect: turn(times))


def _ways(way: Way, machines: tuple[str, ...], stage: Stage, struck: Struck) -> None:
    """From some machines to one region, for a while."""
    opened: list[Callable[[], None]] = []

    def bar() -> None:
        opened.extend(barred(stage, machine, text(struck, "region"), way) for machine in machines)
        changed(stage, struck, region=text(struck, "region"), note=way.value)

    def again() -> None:
        for open_again in opened:
            open_again()

    for_a_while(stage, struck, bar, again)


def _cut_off(stage: Stage, struck: Struck) -> None:
    """In the middle of a run the operator does not reach a region any more."""
    after_effects(stage, int(number(struck, "effects")), lambda _effect: _ways(Way.CUT, ("here",), stage, struck))


def _cut_off_values(home: float) -> Callable[[Chance, Runbook], Values]:
    return lambda chance, book: {**region_for(5.0, 120.0, home=home)(chance, book), "effects": chance.randrange(1, 12)}


def _cut(pairs: Callable[[Stage], list[tuple[str, str]]], stage: Stage, struck: Struck) -> Callable[[], None]:
    """Nothing is replicated between some regions any more, while everybody sees all of them. What is returned ends it."""
    cut = [pair for pair in pairs(stage) if pair not in stage.world.cut_links]
    for one, other in cut:
        stage.world.set_link(one, other, open_=False)
    changed(stage, struck)

    def again() -> None:
        for one, other in cut:
            stage.world.set_link(one, other, open_=True)

    return again


def _links(pairs: Callable[[Stage], list[tuple[str, str]]], stage: Stage, struck: Struck) -> None:
    """For a while."""
    again: list[Callable[[], None]] = []
    for_a_while(stage, struck, lambda: again.append(_cut(pairs, stage, struck)), lambda: again.pop()())


def _both_ways(stage: Stage) -> list[tuple[str, str]]:
    home, other = stage.runbook.home, away(stage)
    return [(home, other), (other, home)]


def _there_only(stage: Stage) -> list[tuple[str, str]]:
    return [(stage.runbook.home, away(stage))]


def _flapping(on: Callable[[Stage, Struck], Callable[[], None]], stage: Stage, struck: Struck) -> None:
    """On and off and on."""

    def flip(left: int) -> None:
        off = on(stage, struck)
        length = number(struck, "seconds")
        later(stage, length, off)
        if left:
            later(stage, 2.7 * length, lambda: flip(left - 1))

    flip(_FLIPS)


def _flap(way: Way, machines: tuple[str, ...], stage: Stage, struck: Struck) -> Callable[[], None]:
    opened = [barred(stage, machine, text(struck, "region"), way) for machine in machines]

    def open_again() -> None:
        for one in opened:
            one()

    return open_again


def _resolvers(stage: Stage, struck: Struck) -> None:
    """Old answers are kept for longer than they may be."""
    for zone in stores(stage, Names):
        stage.world.settle()
        zone.overstay = number(struck, "seconds")
        changed(stage, struck, zone.name)


def _resolvers_heed(stage: Stage, struck: Struck) -> None:
    for zone in stores(stage, Names):
        if zone.overstay:
            stage.world.settle()
            zone.overstay = 0.0
            changed(stage, struck, zone.name, note="they forget in time")


def _name_server(stage: Stage, struck: Struck) -> None:
    """A region lives, its name server does not answer."""
    zones, where = list(stores(stage, Names)), text(struck, "region")

    def turn(down: bool) -> None:
        stage.world.settle()
        for zone in zones:
            (zone.down.add if down else zone.down.discard)(where)
            changed(stage, struck, zone.name, where, "down" if down else "up")

    for_a_while(stage, struck, lambda: turn(True), lambda: turn(False))


def _slow_paths(stage: Stage, struck: Struck) -> None:
    """Every call takes its time."""
    weather = stage.world.weather
    usual = as_usual(stage, "latency", weather.latency)
    slow = 0.2 * number(struck, "factor"), number(struck, "factor")
    for_a_while(stage, struck, lambda: setattr(weather, "latency", slow), lambda: setattr(weather, "latency", usual))


def _flap_values(chance: Chance, runbook: Runbook) -> Values:
    return {"region": region(chance, runbook), "seconds": round(chance.uniform(1.0, 20.0), 3)}


FAULTS = (
    Fault("network-region-dies", Group.NETWORK, "a region dies for a while", _region_dies, stop, region_for(20.0, 600.0, home=0.6), around),
    Fault("network-region-returns", Group.NETWORK, "the lost region comes back in the middle of the run, and dies again",
          _region_returns, values=lambda chance, book: {"effects": chance.randrange(1, 14), "times": chance.randrange(1, 5),
                                                        **seconds(2.0, 40.0)(chance, book)}, when=before),
    Fault("network-region-read-only", Group.NETWORK, "a region can be read and takes nothing",
          partial(_ways, Way.READ_ONLY, MACHINES), stop, region_for(20.0, 300.0), around),
    Fault("network-one-way", Group.NETWORK, "everything arrives in a region, no answer comes back",
          partial(_ways, Way.ONE_WAY, MACHINES), stop, region_for(5.0, 120.0), around),
    Fault("network-regions-cut", Group.NETWORK, "the regions do not reach each other, the operator reaches both",
          partial(_links, _both_ways), stop, seconds(10.0, 600.0), before),
    Fault("network-replication-one-way", Group.NETWORK, "changes get from one region to the other and not back",
          partial(_links, _there_only), stop, seconds(10.0, 600.0), before),
    Fault("network-operator-cut-from-target", Group.NETWORK, "in mid-run the operator does not reach the target any more",
          _cut_off, stop, _cut_off_values(0.0), before),
    Fault("network-operator-cut-from-source", Group.NETWORK, "in mid-run the operator does not reach the source any more",
          _cut_off, stop, _cut_off_values(1.0), before),
    Fault("network-monitor-cut", Group.NETWORK, "the monitor does not reach one region, the operator does",
          partial(_ways, Way.CUT, (MONITOR,)), stop, region_for(20.0, 400.0, home=0.3), before),
    Fault("network-flapping-writes", Group.NETWORK, "a region takes calls and refuses to, on and off",
          partial(_flapping, partial(_flap, Way.READ_ONLY, MACHINES)), values=_flap_values, when=around),
    Fault("network-flapping-path", Group.NETWORK, "the operator reaches a region and does not, on and off",
          partial(_flapping, partial(_flap, Way.CUT, ("here",))), values=_flap_values, when=around),
    Fault("network-flapping-replication", Group.NETWORK, "the regions reach each other and do not, on and off",
          partial(_flapping, partial(_cut, _both_ways)), values=seconds(1.0, 20.0), when=before),
    Fault("network-stubborn-resolvers", Group.NETWORK, "resolvers keep old answers for longer than they may",
          _resolvers, _resolvers_heed, seconds(20.0, 400.0), before, has("dns-records")),
    Fault("network-name-server-down", Group.NETWORK, "the name server of a living region does not answer",
          _name_server, stop, region_for(10.0, 400.0, home=0.4), around, has("dns-records")),
    Fault("network-slow-paths", Group.NETWORK, "every call takes long on its way", _slow_paths, stop,
          lambda chance, book: {**seconds(20.0, 300.0)(chance, book), "factor": round(chance.uniform(0.05, 0.9), 3)}, around),
)  # fmt: skip
"""In the order in which people read them."""
