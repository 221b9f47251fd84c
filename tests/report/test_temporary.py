"""What a run changes for its own time only: debt once the run has ended and it was not put back; closed by facts."""

from __future__ import annotations

from dr.model.events import CancelRequested, RunEnded, SkipRequested, UndoEnded, UndoStarted
from dr.model.evidence import PutBack, Temporary
from dr.model.report import Debt
from dr.model.words import DebtKind, Intent, Outcome, RunOutcome, Verb
from dr.report.debt import open_debt
from tests.report.build import Story, at, plan, step

LOCKED = Temporary(
    component="deployments", region="east", what="deploys", text="deploys are locked by lab/one", until=at(14400), by_hand="curl …/unlock"
)
OPEN = PutBack(component="deployments", region="west", what="deploys", text="gone")
STEPS = (
    step("deployments/lock", Verb.LOCK, region="east", undoable=True),
    step("metadata-db/promote", Verb.PROMOTE, "deployments/lock", irreversible=True),
    step("deployments/unlock", Verb.UNLOCK, "metadata-db/promote", optional=True, max_attempts=1),
)
MOVE = plan(STEPS, Intent.SWITCHOVER)


def temporary(*stories: Story) -> list[Debt]:
    return [item for item in open_debt([story.records() for story in stories]) if item.kind is DebtKind.CLEAN_UP]


def begun(run_id: str = "one") -> Story:
    return Story(run_id).start(MOVE).run("deployments/lock", 2, 3, LOCKED)


def unlocked(story: Story) -> Story:
    return story.run("metadata-db/promote", 4, 5).run("deployments/unlock", 6, 7, OPEN).over(8)


def test_what_was_put_back_is_no_debt() -> None:
    """Lock, promote, unlock; and while a run is under way, its lock is its own business."""
    assert temporary(unlocked(begun())) == []
    assert temporary(begun()) == []


def test_a_lock_that_outlives_its_run_is_owed_with_the_command_that_removes_it() -> None:
    """The unlock failed and was not needed to go on: one item, its end and its command. A later run's unlock closes it."""
    left = begun().run("metadata-db/promote", 4, 5).run("deployments/unlock", 6, 7, outcome=Outcome.FAILED).over(8)
    [owed] = temporary(left)
    assert (owed.command, owed.since) == ("curl …/unlock", at(3))
    assert "deploys are locked by lab/one, still, after run one" in owed.text
    assert f"ends by itself on {at(14400):%Y-%m-%d at %H:%M} UTC" in owed.text
    assert len(temporary(left, begun("two"))) == 1, "the next run has not put it back yet"
    assert temporary(left, unlocked(begun("two"))) == []


def test_a_skipped_unlock_is_owed_all_the_same() -> None:
    """A person said so; the lock is there."""
    story = begun().run("metadata-db/promote", 4, 5)
    story.add(6, SkipRequested(step="deployments/unlock", actor="lead", reason="in a hurry")).over(8)
    assert len(temporary(story)) == 1


def test_what_an_undo_took_back_is_no_debt() -> None:
    """A rollback before the promotion; also where an earlier run had left a lock, because the undo takes both away."""
    back = begun("two").add(4, CancelRequested(actor="lead")).add(5, UndoStarted(step="deployments/lock"))
    back.add(6, UndoEnded(step="deployments/lock", ok=True)).add(7, RunEnded(outcome=RunOutcome.ROLLED_BACK))
    assert temporary(back) == []
    left = begun().run("metadata-db/promote", 4, 5).run("deployments/unlock", 6, 7, outcome=Outcome.FAILED).over(8)
    assert temporary(left, back) == []


def test_a_move_cancelled_past_the_point_of_no_return_owes_its_lock_once() -> None:
    """Neither the lock nor its end is listed as a step that was not done; the lock itself is."""
    story = begun().run("metadata-db/promote", 4, 5).add(6, CancelRequested(actor="lead"))
    story.add(7, RunEnded(outcome=RunOutcome.CANCELLED))
    assert [item.text.partition(",")[0] for item in temporary(story)] == ["deploys are locked by lab/one"]


def test_a_thing_without_an_end_says_none() -> None:
    """A TTL stays lowered until somebody raises it."""
    low = LOCKED.model_copy(update={"what": "ttl", "until": None, "text": "the TTL is lowered"})
    story = Story("one").start(MOVE).run("deployments/lock", 2, 3, low).run("metadata-db/promote", 4, 5)
    story.run("deployments/unlock", 6, 7, OPEN).over(8)
    [owed] = temporary(story)
    assert owed.text == "the TTL is lowered, still, after run one"
