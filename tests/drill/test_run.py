"""The drill's own loop, with a world, an operator and a clock that are fakes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dr.drill.run import run_drill
from dr.errors import LabError
from dr.model.words import Guard, Intent, RunOutcome, Verb
from dr.report.assess import run_report
from tests.drill.fakes import FakeOperator, Stage
from tests.report.build import Story, acceptance, failover, plan, point, promoted, redirected, step, usual_steps

FAILOVER = {"at": "5s", "intent": "failover", "to": "west", "accept_data_loss": "15m", "accept_split": True, "reason": "lost"}


def whole(stage: Stage, run_id: str = "run-1") -> None:
    """``dr failover`` answers with a finished run."""

    def answer(_operator: FakeOperator) -> tuple[int, str]:
        stage.journal.stories[run_id] = failover(run_id=run_id)
        return 0, ""

    stage.script["failover"] = answer


def test_faults_and_acts_happen_in_their_time_and_the_world_is_ended() -> None:
    """Kill at 5 s, then the failover, at the same moment in this order; truth before the end of the world; all expectations met."""
    expect = {"outcome": "completed", "exit_code": 0, "rta": "10s", "primary": "west", "runs": 1}
    stage = Stage({"timeline": [{"at": "5s", "kill": {"region": "east"}}], "acts": [FAILOVER], "expect": expect})
    whole(stage)
    report = run_drill(stage.drill())
    assert stage.world.log == ["up", "inject kill at 7.0", "settle", "truth", "down"]  # two seconds of warm-up before
    assert stage.typed == [
        ["failover", "runbooks/lab.yaml", "--to", "west", "--yes", "--accept-data-loss", "15m", "--accept-split", "--reason", "lost",
         "--actor", "on-call", "--json"]
    ]  # fmt: skip
    assert (report.verdict, report.error, [line.name for line in report.expectations if not line.met]) == ("passed", "", [])
    assert [(fault.kind, fault.target, fault.at) for fault in report.faults] == [("kill", "east", "5.0s")]
    assert report.debt == report.runs[-1].debt != ()


def test_a_scenario_is_played_as_often_as_it_says() -> None:
    """Twice in one world: each time with its own warm-up, fault and command, settled in between; every exit code and every run counts."""
    stage = Stage(
        {
            "timeline": [{"at": "5s", "kill": {"region": "east"}}, {"on": "failover.ended", "bring_back": {"region": "east"}}],
            "acts": [FAILOVER], "expect": {"exit_codes": [0, 0], "runs": 2}, "repeat": 2,
        }
    )  # fmt: skip

    def answer(_operator: FakeOperator) -> tuple[int, str]:
        run_id = f"run-{len(stage.journal.stories) + 1}"
        stage.journal.stories[run_id] = failover(run_id=run_id)
        return 0, ""

    stage.script["failover"] = answer
    report = run_drill(stage.drill())
    assert [entry.split(" at ")[0] for entry in stage.world.log] == [
        "up", "inject kill", "inject bring_back", "settle", "inject kill", "inject bring_back", "settle", "truth", "down",
    ]  # fmt: skip
    assert [line.name for line in report.expectations if not line.met] == []
    assert [run.run_id for run in report.runs] == ["run-1", "run-2"]


def test_an_unmet_expectation_fails_the_drill() -> None:
    """RTA 2.9 s, at most 1 s wanted."""
    stage = Stage({"acts": [FAILOVER], "expect": {"rta": "1s"}})
    whole(stage)
    report = run_drill(stage.drill())
    assert (report.verdict, report.expectations[0].met, report.expectations[0].actual) == ("failed", False, 2.9)


def test_a_killed_orchestrator_is_resumed_by_another_operator() -> None:
    """The kill strikes as soon as the journal has the start of the promotion; exit codes are 137, then 0; one run."""
    stage = Stage(
        {
            "timeline": [{"on": "metadata-db/promote.started", "kill": {"process": "orchestrator"}}],
            "acts": [FAILOVER, {"on": "orchestrator.killed", "command": "resume", "actor": "second"}],
            "expect": {"exit_codes": [137, 0], "runs": 1, "outcome": "completed"},
        }
    )
    story = Story("run-1").start(plan(usual_steps()), acceptances=(acceptance(Guard.FENCE), acceptance(Guard.EXPOSURE)))

    def begins(operator: FakeOperator) -> tuple[int, str]:
        story.run("deployments/snapshot", 1.21, 1.25).run("metadata-db/fence", 1.21, 1.3).begin("metadata-db/promote", 1.31)
        stage.journal.stories["run-1"] = story
        assert operator.killed.wait(30)
        return -9, ""

    def ends(_operator: FakeOperator) -> tuple[int, str]:
        story.resume(3).run("metadata-db/fence", 3.02, 3.05)
        story.run("metadata-db/promote", 3.1, 3.2, point(-0.1), promoted(3.2)).run("deployments/prepare", 3.1, 3.2)
        story.run("deployments/hold", 3.21, 3.3).run("deployments/verify-inside", 3.31, 3.4).run("dns/redirect", 3.41, 3.5, redirected(3.5))
        story.run("dns/propagate", 3.51, 3.6).run("deployments/verify-outside", 3.61, 3.7)
        story.run("deployments/reconcile", 3.71, 3.8).run("deployments/start", 3.81, 3.9).over(4)
        return 0, ""

    stage.script |= {"failover": begins, "resume": ends}
    report = run_drill(stage.drill())
    assert report.error == ""
    assert [line.name for line in report.expectations if not line.met] == []
    assert stage.typed[1] == ["resume", "run-1", "--actor", "second", "--json"]
    assert [(fault.target, fault.observed_at is not None) for fault in report.faults] == [("orchestrator", True)]


def test_acts_of_a_round_trip_wait_for_the_prompt() -> None:
    """The next command is typed when the one before has answered, not when its last record is written."""
    stage = Stage(
        {
            "acts": [FAILOVER, {"on": "failover.ended", "intent": "reprotect"}, {"on": "reprotect.ended", "intent": "failback"}],
            "timeline": [{"on": "failover.ended", "bring_back": {"region": "east"}}],
            "expect": {"exit_codes": [0, 0, 0]},
        }
    )
    order: list[str] = []

    def script(intent: Intent) -> None:
        def answer(_operator: FakeOperator) -> tuple[int, str]:
            stage.journal.stories[intent] = failover(intent=intent, run_id=intent)
            order.append(f"{intent} answered with {len(stage.typed)} typed")
            return 0, ""

        stage.script[intent] = answer

    for intent in (Intent.FAILOVER, Intent.REPROTECT, Intent.FAILBACK):
        script(intent)
    report = run_drill(stage.drill())
    assert report.verdict == "passed"
    assert order == ["failover answered with 1 typed", "reprotect answered with 2 typed", "failback answered with 3 typed"]
    assert any(entry.startswith("inject bring_back") for entry in stage.world.log)


def test_what_the_monitor_does_by_itself_is_no_event_and_no_result() -> None:
    """The fence that it tries again is a re-protect, too: nobody in the scenario waits for it, and expectations judge the others' runs."""
    stage = Stage(
        {
            "acts": [FAILOVER, {"on": "reprotect.ended", "intent": "failback"}],
            "expect": {"runs": 1, "outcome": "completed"},
        }
    )

    def answer(_operator: FakeOperator) -> tuple[int, str]:
        stage.journal.stories["run-1"] = failover(run_id="run-1")
        retry = Story("run-2").start(plan(usual_steps(), intent=Intent.REPROTECT), actor="dr monitor")
        stage.journal.stories["run-2"] = retry.over(2, RunOutcome.FAILED, "not yet")
        return 0, ""

    stage.script["failover"] = answer
    report = run_drill(stage.drill())
    assert [words[0] for words in stage.typed] == ["failover"]
    assert [(line.name, line.met) for line in report.expectations[:2]] == [("outcome", True), ("runs", True)]
    assert report.expectations[-1].actual == "never came: reprotect.ended"
    assert len(report.runs) == 2


def test_a_second_keyboard_does_not_wait_for_the_prompt() -> None:
    """``at_once``: typed while the first command still holds its run; both answer."""
    other = {"on": "failover:metadata-db/fence.started", "at_once": True, "intent": "reprotect"}
    stage = Stage({"acts": [FAILOVER, other], "expect": {"exit_codes": [0, 3]}})
    second = threading.Event()
    story = Story("run-1").start(plan(usual_steps())).begin("metadata-db/fence", 1.3)

    def holds(_operator: FakeOperator) -> tuple[int, str]:
        stage.journal.stories["run-1"] = story
        assert second.wait(30)
        return 0, ""

    def refused(_operator: FakeOperator) -> tuple[int, str]:
        second.set()
        return 3, ""

    stage.script |= {"failover": holds, "reprotect": refused}
    report = run_drill(stage.drill())
    assert (report.verdict, report.error) == ("passed", "")


def test_something_can_come_a_while_after_an_event() -> None:
    """``after`` counts from the event: east is back three seconds after the failover, and the report says so."""
    stage = Stage({"acts": [FAILOVER], "timeline": [{"on": "failover.ended", "after": "3s", "bring_back": {"region": "east"}}]})
    whole(stage)
    report = run_drill(stage.drill())
    entry = next(item for item in stage.world.log if item.startswith("inject bring_back"))
    assert 10.0 <= float(entry.rpartition(" ")[2]) < 10.5  # 2 s of warm-up, the failover at 5 s
    assert report.faults[0].at == "failover.ended + 3.0s"


def test_an_approval_goes_to_the_step_that_waits() -> None:
    """``approve: gate`` names the component; the step that is asked for is typed."""
    stage = Stage({"acts": [FAILOVER, {"on": "gate.waiting", "approve": "gate", "actor": "lead", "reason": "seen"}]})
    answered = threading.Event()
    story = Story("run-1").start(plan((step("gate/attest", Verb.GATE, approval=True),)))

    def waits(_operator: FakeOperator) -> tuple[int, str]:
        stage.journal.stories["run-1"] = story
        assert answered.wait(30)
        return 0, ""

    def approves(_operator: FakeOperator) -> tuple[int, str]:
        answered.set()
        return 0, ""

    stage.script |= {"failover": waits, "approve": approves}
    run_drill(stage.drill())
    assert stage.typed[1] == ["approve", "run-1", "gate/attest", "--reason", "seen", "--actor", "lead", "--json"]


def test_a_refusal_that_was_never_journaled_is_read_from_what_was_printed() -> None:
    """``dr failover --json`` prints dr.run/1 for a refusal, too."""
    refused = run_report(Story("never-journaled").start(plan(usual_steps())).over(1.3, RunOutcome.REFUSED, "no").records(), "j")
    stage = Stage({"acts": [FAILOVER], "expect": {"outcome": "refused", "exit_code": 3}})
    stage.script["failover"] = lambda _operator: (3, refused.model_dump_json(by_alias=True))
    assert run_drill(stage.drill()).verdict == "passed"


def test_an_event_that_never_comes_fails_the_drill() -> None:
    """A scenario that did not do what it says has proven nothing."""
    stage = Stage({"acts": [FAILOVER], "timeline": [{"on": "dns/teleport.started", "kill": {"region": "west"}}]})
    whole(stage)
    report = run_drill(stage.drill())
    assert report.verdict == "failed"
    assert report.expectations[-1].actual == "never came: dns/teleport.started"


def test_an_orchestrator_that_is_not_there_cannot_be_killed() -> None:
    """Said, and failed."""
    stage = Stage({"acts": [FAILOVER], "timeline": [{"at": "1s", "kill": {"process": "orchestrator"}}]})
    whole(stage)
    report = run_drill(stage.drill())
    assert "no orchestrator was running" in report.error
    assert report.faults[0].observed_at is None


def test_the_time_limit_ends_the_drill_and_the_operators() -> None:
    """A command that never answers is killed; truth is still asked for, and the world ended."""
    stage = Stage({"acts": [FAILOVER], "time_limit": "20s"})

    def never(operator: FakeOperator) -> tuple[int, str]:
        assert operator.killed.wait(30)
        return -9, ""

    stage.script["failover"] = never
    report = run_drill(stage.drill())
    assert report.verdict == "failed"
    assert "time limit of 20.0s" in report.error
    assert stage.world.log[-2:] == ["truth", "down"]


@pytest.mark.parametrize("where", ["up", "settle", "truth"])
def test_what_fails_in_the_world_fails_the_drill_and_the_world_is_ended(where: str) -> None:
    """The error and its hint are in the report; nothing is left."""
    stage = Stage({"acts": [FAILOVER]})
    whole(stage)
    stage.world.fails[where] = LabError("PostgreSQL did not start", hint="dr lab doctor")
    report = run_drill(stage.drill())
    assert report.verdict == "failed"
    assert report.error == "PostgreSQL did not start; try: dr lab doctor"
    assert stage.world.log[-1] == "down"
    assert all(operator.killed.is_set() for operator in stage.operators)


@pytest.mark.parametrize("where", ["up", "settle"])
def test_ctrl_c_and_faults_of_our_own_end_the_world_too(where: str) -> None:
    """Whatever comes through, the world is ended before it does."""
    for problem in (KeyboardInterrupt(), ZeroDivisionError()):
        stage = Stage({"acts": [FAILOVER]})
        whole(stage)
        stage.world.fails[where] = problem
        with pytest.raises(type(problem)):
            run_drill(stage.drill())
        assert stage.world.log[-1] == "down"


def test_ctrl_c_during_the_clean_up_does_not_stop_it() -> None:
    """The second look at the keyboard is not a reason to leave servers running."""
    stage = Stage({"acts": [FAILOVER]})
    whole(stage)
    stage.world.fails["down"] = KeyboardInterrupt()
    ended = stage.world.down

    def down() -> object:
        try:
            return ended()
        finally:
            stage.world.fails.pop("down", None)

    stage.world.down = down  # type: ignore[method-assign,assignment]
    with pytest.raises(KeyboardInterrupt):
        run_drill(stage.drill())
    assert stage.world.log.count("down") == 2


def test_leftovers_fail_the_drill_and_are_named() -> None:
    """Clean-up is part of what is proven."""
    stage = Stage({"acts": [FAILOVER]})
    whole(stage)
    stage.world.leftovers = ("postgres (pid 7)",)
    report = run_drill(stage.drill())
    assert (report.verdict, report.cleanup.ok) == ("failed", False)
    assert "left over: postgres (pid 7)" in stage.said


def test_a_world_that_cannot_be_ended_says_so() -> None:
    """An error of the clean-up is a leftover, not a crash."""
    stage = Stage({"acts": [FAILOVER]})
    whole(stage)
    stage.world.fails["down"] = LabError("pid 7 does not end")
    assert run_drill(stage.drill()).cleanup.leftovers == ("pid 7 does not end",)


def test_the_monitor_watches_from_before_the_warm_up_until_the_truth_is_known() -> None:
    """It starts after the world and is stopped before the world is ended."""
    stage = Stage({"acts": [FAILOVER]})
    whole(stage)

    @contextmanager
    def monitor() -> Iterator[None]:
        stage.world.log.append("monitor on")
        yield
        stage.world.log.append("monitor off")

    stage.monitor = monitor()
    run_drill(stage.drill())
    assert stage.world.log == ["up", "monitor on", "settle", "truth", "monitor off", "down"]


def test_runs_of_earlier_drills_are_not_this_ones() -> None:
    """The journal may hold others; they are neither waited for nor judged."""
    stage = Stage({"acts": [FAILOVER], "expect": {"runs": 1}})
    stage.journal.stories["old"] = failover(run_id="old")
    whole(stage)
    report = run_drill(stage.drill())
    assert [run.run_id for run in report.runs] == ["run-1"]
