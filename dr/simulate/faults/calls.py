"""Faults of single calls: for a time, in some region, to some component, with some probability."""

from __future__ import annotations

from functools import partial

from dr.model.runbook import Runbook
from dr.providers.sim.process import Chance, chance
from dr.providers.sim.weather import Call, Mishap, Spell
from dr.simulate.faults.base import Fault, Values, around, number, region, text
from dr.simulate.stage import Stage
from dr.simulate.story import Group, Struck

MOST_SECONDS = 300.0
"""A spell lasts no longer."""


def spell(mishap: Mishap, stage: Stage, struck: Struck) -> None:
    """Bad weather from now on: for the calls of a region (empty: all) to a component (empty: all) whose name ends as ``what`` says."""
    where, whom, act = text(struck, "region"), text(struck, "component"), str(struck.values.get("what", ""))

    def fits(call: Call) -> bool:
        component, _, what = call.what.partition(".")
        return (not where or call.region == where) and (not whom or component == whom) and (not act or what == act)

    now = stage.loop.now
    drawn = chance(stage.seed, f"spell/{struck.name}/{struck.at}")
    stage.world.weather.spells.append(Spell(mishap, now, now + number(struck, "seconds"), number(struck, "share"), fits, drawn))


def let_go(stage: Stage, _struck: Struck) -> None:
    """What is pending happens; the spell itself is over with all others."""
    stage.world.weather.let_go()


def _values(chance: Chance, runbook: Runbook) -> Values:
    """How long, how often, where, whom; mostly everything everywhere."""
    narrow = chance.random() < 0.5
    return {
        "seconds": round(chance.uniform(5.0, MOST_SECONDS) if chance.random() < 0.5 else chance.uniform(2.0, 40.0), 3),
        "share": round(chance.uniform(0.05, 1.0), 3),
        "region": region(chance, runbook) if chance.random() < 0.5 else "",
        "component": chance.choice(list(runbook.components)) if narrow else "",
    }


def _paged(chance: Chance, runbook: Runbook) -> Values:
    """Few calls come in pages."""
    return {**_values(chance, runbook), "seconds": round(chance.uniform(30.0, MOST_SECONDS), 3), "share": 1.0, "component": ""}


def _fault(name: str, mishap: Mishap, what: str) -> Fault:
    return Fault(f"calls-{name}", Group.CALLS, what, partial(spell, mishap), let_go, _values, around)


FAULTS = (
    _fault("throttled", Mishap.THROTTLED, "bursts of throttling: calls are refused and may be repeated"),
    _fault("server-errors", Mishap.REFUSED, "calls are refused with a server's error"),
    _fault("slow", Mishap.SLOW, "answers take seconds"),
    _fault("timeout-without-effect", Mishap.LOST, "calls get lost on the way: no effect, no answer"),
    _fault("timeout-with-effect", Mishap.UNHEARD, "calls have their effect, their answers get lost"),
    _fault("effect-after-timeout", Mishap.LATE, "calls have their effect when nobody waits for it any more"),
    _fault("delivered-twice", Mishap.TWICE, "calls are delivered twice"),
    _fault("stale-reads", Mishap.STALE, "a question gets the answer of the time before"),
    Fault("calls-lost-page", Group.CALLS, "of a list the first page comes and the others do not", partial(spell, Mishap.PAGE), let_go,
          _paged, around),
    _fault("half-done", Mishap.HALF, "of a batch only a part goes through"),
    _fault("already-there", Mishap.ALREADY, "a call has its effect and is answered: in that state already"),
    _fault("stuck-pending", Mishap.PENDING, "an operation is accepted, stays pending for minutes, and happens then"),
    _fault("says-done", Mishap.SAYS_DONE, "an operation reports that it is done, and nothing has happened"),
)
"""In the order in which people read them."""
