"""What came of a story, seen from outside: held against what the run itself could tell; and the people who say yes at night."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dr.app.simulation import Studio, new_stage
from dr.model.words import Known, RunOutcome
from dr.providers.sim.database import Database
from dr.providers.sim.names import Names
from dr.simulate import survey
from dr.simulate.colleagues import asked
from dr.simulate.outcome import Outside, Record, record
from dr.simulate.play import FaultSort, Played, play
from dr.simulate.stage import Stage
from dr.simulate.story import Person, Story, Struck, frame

ROOT = Path(__file__).parents[2]
PERSON = Person(decides=20.0, bold=True, elsewhere=False, patience=5.0)


@pytest.fixture(scope="module")
def lab() -> Iterator[Studio]:
    studio = Studio(ROOT / "runbooks/lab.yaml")
    yield studio
    studio.close()


def _database(stage: Stage) -> Database:
    store = stage.world.stores["metadata-db"]
    assert isinstance(store, Database)
    return store


def told(studio: Studio, plot: str, **changes: Any) -> Story:
    return replace(frame("7", 3, plot=plot), person=PERSON, **changes)


def played(studio: Studio, story: Story, faults: dict[str, FaultSort] | None = None) -> tuple[Played, Outside, Record]:
    stage, outside = new_stage(studio, story), Outside(story)
    done = play(stage, story, faults or {}, [outside])
    return done, outside, record(0, done, stage, outside, dict.fromkeys(faults or {}, "data"))


@pytest.mark.parametrize("plot", ["lost", "planned"])
def test_the_world_agrees_with_the_report(lab: Studio, plot: str) -> None:
    """With right clocks and nothing in the way a run tells of itself what was seen from outside."""
    done, outside, found = played(lab, told(lab, plot))
    report = next(item for item in done.reports if item.outcome is RunOutcome.COMPLETED)
    assert report.objectives.rta_seconds is not None and outside.rta is not None
    later = report.objectives.rta_seconds - outside.rta
    assert -0.5 < later < (0.5 if plot == "planned" else 30.0), "of an outage it knows the last heartbeat before it: never less than it was"
    assert found.completed and found.rto_met and found.rpo_met and found.violation is None
    assert found.rta == round(outside.rta * 1000)
    assert "metadata-db/promote" in found.path


def test_what_is_lost_is_what_had_not_arrived(lab: Studio) -> None:
    """As much as replication was behind; nothing at a planned move, whatever the run knows of it."""
    _, outside, found = played(lab, told(lab, "lost", lag=3.5))
    assert found.rpa is not None
    assert found.rpa / 1000 == pytest.approx(3.5, abs=0.5)
    assert found.over_rpo == ()
    _, outside, found = played(lab, told(lab, "planned", lag=3.5))
    assert (dict(outside.lost), found.rpa) == ({"metadata-db": 0.0}, 0)


class Stall:
    """Nothing is replicated from long before the disaster."""

    name = "stall"

    def strike(self, stage: Stage, struck: Struck) -> None:
        stage.world.settle()
        _database(stage).stalled = True

    def heal(self, stage: Stage, struck: Struck) -> None:
        _database(stage).stalled = False


def test_time_in_which_nothing_was_written_is_not_lost(lab: Studio) -> None:
    """The region is dead from 30 s on: what is missing was written before, however long nobody decides."""
    story = told(lab, "lost", faults=(Struck("stall", 10.0, {}),))
    _, outside, found = played(lab, replace(story, person=replace(PERSON, decides=200.0)), {"stall": Stall()})
    assert outside.lost["metadata-db"] == pytest.approx(20.0 + story.lag, abs=1.0)
    assert found.rta is not None and found.rta > 200_000
    assert found.faults == (("stall", "data"),)


def test_an_rpo_is_missed_where_too_much_is_lost(lab: Studio) -> None:
    """Each component by its own RPO."""
    story = told(lab, "lost", faults=(Struck("stall", 1.0, {}),), disaster=400.0, heals=1300.0, ends=8500.0)
    _, _, found = played(lab, story, {"stall": Stall()})
    assert found.over_rpo == found.over_by_lag == ("metadata-db",)  # 399 s of 5 min
    assert (found.rto_met, found.rpo_met) == (True, False)


def test_what_an_old_primary_takes_after_the_disaster_is_no_lag(lab: Studio) -> None:
    """Cut off, it lives on and takes writes until names lead elsewhere: more than the RPO is lost, and replication was not behind."""
    story = told(lab, "partition", heals=1300.0, ends=8500.0, lag=1.0)
    _, outside, found = played(lab, replace(story, person=replace(PERSON, decides=400.0)))
    assert outside.lost["metadata-db"] > 300 > 5 > outside.behind["metadata-db"] > 0
    assert (found.over_rpo, found.over_by_lag) == (("metadata-db",), ())
    assert survey.why(found) == "RPO missed: metadata-db, by what an old primary took after the disaster"


def test_what_the_run_could_not_tell_is_counted(lab: Studio) -> None:
    """The name server of the dead side is silent: the run knows no end of writes, the world does."""
    done, _, found = played(lab, told(lab, "lost"))
    report = next(item for item in done.reports if item.outcome is RunOutcome.COMPLETED)
    assert found.told_unknown is (Known.UNKNOWN in (report.objectives.rta_state, report.objectives.rpa_state))
    assert found.rpa is not None


def test_at_night_somebody_has_to_wake_up(tmp_path: Path) -> None:
    """One approval of somebody beside who is on call: minutes at night, seconds for a planned move; the wait is known."""
    text = (ROOT / "runbooks/lab.yaml").read_text()
    (tmp_path / "night.yaml").write_text(text.replace("objectives:", "approvals: {failover: 1, switchover: 1}\nobjectives:"))
    studio = Studio(tmp_path / "night.yaml")
    try:
        assert asked(studio.runbook)
        _, _, lost = played(studio, told(studio, "lost"))
        _, _, planned = played(studio, told(studio, "planned"))
    finally:
        studio.close()
    assert lost.completed and planned.completed
    assert "approved" in lost.decisions and "approved" in planned.decisions
    (step, night), (_, day) = *lost.waited, *planned.waited
    assert step == "approvals/1" and night is not None and day is not None
    assert 60_000 <= night <= 1_300_000 and day <= 80_000
    assert lost.rta is not None and lost.rta >= night


def test_nobody_is_asked_where_a_runbook_asks_nobody(lab: Studio) -> None:
    """No colleague acts."""
    assert not asked(lab.runbook)
    _, _, found = played(lab, told(lab, "planned"))
    assert (found.decisions, found.waited) == ((), ())
    assert any(isinstance(store, Names) for store in new_stage(lab, told(lab, "lost")).world.stores.values())
