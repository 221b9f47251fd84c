"""A failover that somebody asked for by mistake, and that stops half-way: nobody is told that all is well, and there is a way forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dr.app.simulation import Studio, new_stage
from dr.errors import ExitCode, Permanent
from dr.model.scenario import Act
from dr.model.words import Intent, Role, RunOutcome
from dr.ports import AttemptContext
from dr.providers.sim.database import Database
from dr.providers.sim.steps.deployments import Freeze
from dr.simulate.play import MONITOR
from dr.simulate.stage import Command, Stage
from dr.simulate.story import frame

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def lab() -> Iterator[Studio]:
    studio = Studio(ROOT / "runbooks/lab.yaml")
    yield studio
    studio.close()


def move(intent: Intent, to: str, **more: Any) -> Act:
    return Act(at=timedelta(0), intent=intent, to=to, actor="hasty", reason="by mistake", **more)


CANCEL = Act.model_validate({"at": timedelta(0), "command": "cancel", "actor": "on-call", "reason": "nobody wanted that"})


def happens(stage: Stage, what: Callable[[], None]) -> None:
    """Lets people act in the world, and the world go on until they have."""
    over: list[bool] = []

    def main() -> None:
        what()
        over.append(True)

    stage.loop.spawn(None, main, "people")
    stage.loop.run(3600.0, lambda: bool(over))
    assert over


def refused_half_way(stage: Stage, typed: list[Command]) -> Database:
    """When it is decided little would be lost, and right before the promotion too much: the healthy primary is fenced, nothing promoted."""
    database = stage.world.stores["metadata-db"]
    assert isinstance(database, Database)
    stage.loop.sleep(20.0)
    stage.loop.at(stage.loop.now + 0.15, lambda: setattr(database, "shown", lambda point: point - 1000.0))
    give(stage, typed, move(Intent.FAILOVER, "west"))
    return database


def give(stage: Stage, typed: list[Command], act: Act, run_id: str | None = None) -> None:
    typed.append(stage.type(act, run_id=run_id))
    stage.wait_for(typed[-1], stage.loop.now + 600.0)


def test_a_primary_that_a_cancelled_failover_stopped_is_not_called_well(lab: Studio) -> None:
    """East was fenced, west was never promoted, names lead to east still: "east is already primary" would be false."""
    stage, typed = new_stage(lab, frame("wrong-way", 3, plot="planned")), list[Command]()

    def people() -> None:
        database = refused_half_way(stage, typed)
        assert typed[0].report is not None
        give(stage, typed, CANCEL, typed[0].report.run_id)
        assert not database.copies["east"].up and not database.copies["west"].primary
        give(stage, typed, move(Intent.SWITCHOVER, "east"))
        database.shown = None
        give(stage, typed, move(Intent.FAILOVER, "west", accept_data_loss="unknown"))

    happens(stage, people)
    failover, cancel, back, forward = typed
    assert failover.exit_code == ExitCode.PAUSED and failover.report is not None and "metadata-db would lose" in failover.report.reason
    assert cancel.report is not None and cancel.report.outcome in (RunOutcome.CANCELLED, RunOutcome.ROLLED_BACK)
    assert back.report is not None and back.exit_code == ExitCode.REFUSED
    assert f"metadata-db in east is {Role.STOPPED}" in back.report.reason
    assert forward.report is not None and forward.report.outcome is RunOutcome.COMPLETED, "the way forward is open"
    stage.close()


def test_a_failback_that_was_cancelled_past_its_promotion_goes_on_with_the_same_command(lab: Studio) -> None:
    """Home leads already, names do not: the same command completes it, and the one that is told finds nothing left to do."""
    stage, typed = new_stage(lab, frame("wrong-way", 3, plot="planned")), list[Command]()
    home = Act(at=timedelta(0), intent=Intent.FAILBACK, actor="hasty", reason="home")

    def people() -> None:
        stage.loop.sleep(20.0)
        give(stage, typed, move(Intent.SWITCHOVER, "west"))
        stage.loop.sleep(60.0)
        typed.append(stage.type(home))
        before = len(stage.world.effects)
        while not any((item.what, item.region) == ("metadata-db.promote", "east") for item in stage.world.effects[before:]):
            stage.loop.sleep(0.05)
        give(stage, typed, CANCEL, next(reversed(stage.disk.runs)))
        stage.wait_for(typed[1], stage.loop.now + 600.0)
        give(stage, typed, home)
        give(stage, typed, move(Intent.FAILOVER, "east"))

    happens(stage, people)
    _there, cancelled, _cancel, again, failover = [command.report for command in typed]
    assert cancelled is not None and cancelled.outcome is RunOutcome.CANCELLED
    assert cancelled.hint == f"dr failover {ROOT / 'runbooks/lab.yaml'} --to east"
    assert again is not None and again.outcome is RunOutcome.COMPLETED
    assert failover is not None and failover.outcome is RunOutcome.ALREADY
    database = stage.world.stores["metadata-db"]
    assert isinstance(database, Database) and [region for region in database.copies if database.writable(region)] == ["east"]
    stage.close()


def test_an_old_primary_that_came_back_alone_is_not_taken_for_the_primary(lab: Studio) -> None:
    """West took over and was lost in its turn; east is back with what it had. "Already primary" would give up what west took, unasked."""
    stage, typed = new_stage(lab, frame("wrong-way", 3, plot="planned")), list[Command]()
    back, again = (Act(at=timedelta(0), intent=intent, actor="hasty", reason="home") for intent in (Intent.FAILBACK, Intent.REPROTECT))

    def people() -> None:
        stage.loop.sleep(20.0)
        stage.world.lose("east")
        give(stage, typed, move(Intent.FAILOVER, "west", accept_data_loss="unknown", accept_split=True))
        stage.loop.sleep(30.0)
        stage.world.lose("west")
        stage.world.bring_back("east")
        stage.loop.sleep(20.0)
        for act in (back, again, move(Intent.FAILOVER, "east")):
            give(stage, typed, act)
        give(stage, typed, move(Intent.FAILOVER, "east", accept_data_loss="unknown", accept_split=True))
        give(stage, typed, move(Intent.FAILOVER, "east", accept_data_loss="unknown", accept_split=True))
        stage.world.bring_back("west")
        stage.loop.sleep(20.0)
        give(stage, typed, again)

    happens(stage, people)
    there, home, follow, unasked, given_up, once_more, west_is_back = [command.report for command in typed]
    assert there is not None and there.outcome is RunOutcome.COMPLETED
    assert all(report is not None and report.outcome is RunOutcome.REFUSED for report in (home, follow, unasked))
    assert follow is not None and "old primary, as of epoch 1: it was promoted in west since, as of 2" in follow.reason
    assert "when west answers: dr reprotect" in follow.hint and "--to east" in follow.hint and "--accept" not in follow.hint
    assert unasked is not None and "metadata-db would lose unknown" in unasked.reason
    assert given_up is not None and given_up.outcome is RunOutcome.COMPLETED, "a person may give west up"
    assert once_more is not None and once_more.outcome is RunOutcome.ALREADY
    assert west_is_back is not None and west_is_back.outcome is RunOutcome.REFUSED, "who was given up is not followed, whatever its epoch"
    assert "metadata-db in west is an old primary, as of epoch 2: it was promoted in east since, as of 1" in west_is_back.reason
    stage.close()


def test_a_freeze_that_somebody_took_back_by_hand_is_over(lab: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its undo failed, a person unpaused everything and skipped it: a failover a quarter of an hour later does not count from then."""
    stage, typed = new_stage(lab, frame("wrong-way", 3, plot="planned")), list[Command]()

    def undo(_self: Freeze, _context: AttemptContext) -> None:
        raise Permanent("the API answers 500")

    monkeypatch.setattr(Freeze, "undo", undo)

    def people() -> None:
        stage.desk.watch(stage, stage.process("monitor", machine=MONITOR))
        stage.loop.sleep(20.0)
        typed.append(stage.type(move(Intent.SWITCHOVER, "west")))
        while not any(item.what == "deployments.freeze" for item in stage.world.effects):
            stage.loop.sleep(0.01)
        run = next(reversed(stage.disk.runs))
        give(stage, typed, CANCEL, run)
        stage.wait_for(typed[0], stage.loop.now + 600.0)
        give(stage, typed, Act(at=timedelta(0), skip="deployments/freeze", actor="on-call", reason="unpaused by hand"), run)
        give(stage, typed, Act.model_validate({"at": timedelta(0), "command": "resume", "actor": "on-call", "reason": "go on"}), run)
        stage.loop.sleep(900.0)
        stage.world.lose("east")
        stage.loop.sleep(20.0)
        give(stage, typed, move(Intent.FAILOVER, "west", accept_data_loss="unknown", accept_split=True))

    happens(stage, people)
    stuck, rolled_back, failover = typed[0].report, typed[-2].report, typed[-1].report
    assert stuck is not None and "undo failed" in stuck.reason
    assert rolled_back is not None and rolled_back.outcome is RunOutcome.ROLLED_BACK
    assert failover is not None and failover.objectives.rta_seconds is not None and failover.objectives.rta_seconds < 120.0
    stage.close()


def test_a_promotion_that_nobody_could_report_counts_as_one(lab: Studio) -> None:
    """The process died between the promotion and its record; west led, is lost in its turn, and east is back with what it had."""
    stage, typed = new_stage(lab, frame("wrong-way", 3, plot="planned")), list[Command]()

    def people() -> None:
        stage.loop.sleep(20.0)
        stage.world.lose("east")
        stage.loop.sleep(5.0)
        typed.append(stage.type(move(Intent.FAILOVER, "west", accept_data_loss="unknown", accept_split=True)))
        while not any(item.what == "metadata-db.promote" for item in stage.world.effects):
            stage.loop.sleep(0.001)
        typed[0].process.kill()
        stage.loop.sleep(60.0)
        give(stage, typed, CANCEL, next(reversed(stage.disk.runs)))
        stage.loop.sleep(30.0)
        stage.world.lose("west")
        stage.world.bring_back("east")
        stage.loop.sleep(20.0)
        give(stage, typed, Act(at=timedelta(0), intent=Intent.REPROTECT, actor="hasty", reason="by mistake"))
        give(stage, typed, move(Intent.FAILOVER, "east"))

    happens(stage, people)
    follow, back = typed[-2].report, typed[-1].report
    assert follow is not None and follow.outcome is RunOutcome.REFUSED and "may have been promoted in west" in follow.reason
    assert back is not None and back.outcome is RunOutcome.REFUSED and "would lose unknown" in back.reason
    stage.close()
