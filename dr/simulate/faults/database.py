"""Faults of the database servers themselves."""

from __future__ import annotations

from functools import partial

from dr.model.runbook import Runbook
from dr.providers.sim.database import Database, Span, clip
from dr.providers.sim.process import Chance, chance
from dr.providers.sim.weather import Call, Mishap, Spell
from dr.simulate.faults.base import (
    Fault,
    Values,
    after_effects,
    around,
    away,
    before,
    changed,
    for_a_while,
    has,
    number,
    region_for,
    seconds,
    stop,
    stores,
    text,
)
from dr.simulate.stage import Stage
from dr.simulate.story import Group, Struck

_DATABASE = has("postgres")
_PROMOTED = has("postgres", "aws.aurora-global-database", "aws.rds-read-replica")
"""Whatever is promoted. RDS keeps a secondary from taking writes, and its servers are nobody's to stop."""
_SESSIONS = frozenset({"view", "state", "sample", "beat", "write", "position", "divergence", "hold", "reconcile", "write-inside"})
"""What needs a connection to the database; its host is asked without one."""


def _slow_promotion(stage: Stage, struck: Struck) -> None:
    """A promotion takes many times as long."""
    for store in stores(stage, Database):
        step = f"{store.name}/promote"
        stage.world.paces[step] = max(stage.world.pace(step), number(struck, "factor"))
    stage.world.tell(f"a promotion takes {number(struck, 'factor'):.0f} times as long")


def _quick_again(stage: Stage, struck: Struck) -> None:
    for store in stores(stage, Database):
        step = f"{store.name}/promote"
        stage.world.paces[step] = min(stage.world.pace(step), 2.0)


def _half_way(stage: Stage, struck: Struck) -> None:
    """The server dies in the middle of its promotion, so often; when it is up again it is a secondary still, or the primary."""
    for store in stores(stage, Database):
        store.breaks = dict.fromkeys(stage.world.regions, (int(number(struck, "times")), text(struck, "then") == "primary"))


def _whole_again(stage: Stage, _struck: Struck) -> None:
    for store in stores(stage, Database):
        store.breaks = {}


def _old_primary(stage: Stage, struck: Struck) -> None:
    """Soon after the promotion the lost region is back, and its server with it: it takes writes, unless it was fenced."""
    home = stage.runbook.home

    def returns() -> None:
        if not stage.world.regions[home].alive:
            stage.world.bring_back(home)

    after = int(number(struck, "effects"))
    after_effects(
        stage, 1, lambda _effect: after_effects(stage, after, lambda _effect: returns()) if after else returns(),
        lambda effect: effect.what.endswith(".promote"),
    )  # fmt: skip


def _fork(stage: Stage, struck: Struck) -> None:
    """Somebody let the secondary take writes by mistake for a moment: it follows nobody any more until it is made anew."""
    where = away(stage)
    for store in stores(stage, Database):
        stage.world.settle()
        copy = store.copies[where]
        if not copy.primary:
            timeline = max(span.timeline for other in store.copies.values() for span in other.log) + 1
            copy.log.append(Span(timeline, copy.end, copy.end + number(struck, "wrote")))
            changed(stage, struck, store.name, where, f"timeline {timeline}")


def _made_anew(stage: Stage, struck: Struck) -> None:
    """People throw its copy away and make a new one of what the primary has."""
    where = away(stage)
    for store in stores(stage, Database):
        copy = store.copies[where]
        source = None if copy.upstream is None else store.copies[copy.upstream]
        if source is not None and source.primary and not copy.primary:
            stage.world.settle()
            copy.log = clip(source.log, source.end)
            changed(stage, struck, store.name, where, "made anew")


def _no_connection(stage: Stage, struck: Struck) -> None:
    """Every session is refused; the server runs, and its host answers."""
    names = {store.name for store in stores(stage, Database)}
    where, now = text(struck, "region"), stage.loop.now

    def fits(call: Call) -> bool:
        component, _, what = call.what.partition(".")
        return call.region == where and what in _SESSIONS and (component in names or call.write)

    drawn = chance(stage.seed, f"spell/{struck.name}/{struck.at}")
    stage.world.weather.spells.append(Spell(Mishap.REFUSED, now, now + number(struck, "seconds"), number(struck, "share"), fits, drawn))
    stage.world.tell(f"{where}: sorry, too many clients already")


def _refused(chance: Chance, runbook: Runbook) -> Values:
    return {**region_for(5.0, 200.0, home=0.3)(chance, runbook), "share": round(chance.uniform(0.6, 1.0), 3)}


def _turned(field: str, on: bool, stage: Stage, struck: Struck) -> None:
    """A server of a region hangs (SIGSTOP), or is down, for a while; then it goes on as it was."""
    found, where = list(stores(stage, Database)), text(struck, "region")

    def turn(value: bool) -> None:
        stage.world.settle()
        for store in found:
            copy = store.copies[where]
            if not copy.fenced and getattr(copy, field) is not value:
                setattr(copy, field, value)
                changed(stage, struck, store.name, where, f"{field}: {value}")

    for_a_while(stage, struck, lambda: turn(on), lambda: turn(not on))


FAULTS = (
    Fault("database-slow-promotion", Group.DATABASE, "the promotion takes minutes", _slow_promotion, _quick_again,
          lambda chance, _book: {"factor": round(chance.uniform(20.0, 500.0), 1)}, before, _PROMOTED),
    Fault("database-promotion-breaks-off", Group.DATABASE, "the server dies in the middle of its promotion", _half_way, _whole_again,
          lambda chance, _book: {"times": chance.randrange(1, 4), "then": chance.choice(["primary", "secondary"])}, before, _PROMOTED),
    Fault("database-old-primary-returns", Group.DATABASE, "soon after the promotion the old primary is back and takes writes", _old_primary,
          values=lambda chance, _book: {"effects": chance.randrange(0, 10)}, when=before, fits=_PROMOTED),
    Fault("database-timeline-fork", Group.DATABASE, "the secondary took writes by mistake, and follows nobody any more", _fork, _made_anew,
          lambda chance, _book: {"wrote": round(chance.uniform(0.01, 2.0), 3)}, before, _DATABASE),
    Fault("database-connections-exhausted", Group.DATABASE, "a server refuses every session: too many connections", _no_connection,
          values=_refused, when=around, fits=_DATABASE),
    Fault("database-frozen-primary", Group.DATABASE, "the primary hangs, and wakes up later", partial(_turned, "frozen", True), stop,
          lambda chance, book: {**seconds(5.0, 300.0)(chance, book), "region": book.home}, around, _DATABASE),
    Fault("database-server-down", Group.DATABASE, "a server is down for a while", partial(_turned, "up", False), stop,
          region_for(3.0, 200.0, home=0.3), around, _PROMOTED),
)  # fmt: skip
"""In the order in which people read them."""
