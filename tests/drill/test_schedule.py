"""What is due when, and what the events of a run are called."""

from __future__ import annotations

import pytest

from dr.drill.keyboard import argv
from dr.drill.schedule import RunWatch, describe_target, due, hits_orchestrator, merge
from dr.model.events import Approved, PauseRequested
from dr.model.scenario import Act, Fault, Scenario
from dr.model.words import Verb
from tests.report.build import Story, failover, plan, step, usual_steps


def scenario(**more: object) -> Scenario:
    return Scenario.model_validate({"name": "s", "runbook": "r.yaml", "world": "lab", "expect": {}, **more})


def test_timeline_and_acts_are_merged_by_time_faults_first() -> None:
    """At the same second the disaster comes before the person who answers it."""
    made = merge(
        scenario(
            timeline=[{"at": "5s", "kill": {"region": "east"}}, {"at": "9s", "bring_back": {"region": "east"}},
                      {"on": "run.ended", "link": {"reset": True}}],
            acts=[{"at": "5s", "intent": "failover", "to": "west"}, {"at": "1s", "command": "status"},
                  {"on": "run.paused", "command": "resume"}],
        )
    )  # fmt: skip
    assert [(moment.total_seconds(), type(item)) for moment, item in made.timed] == [(1.0, Act), (5.0, Fault), (5.0, Act), (9.0, Fault)]
    assert [on for on, _item in made.waiting] == ["run.ended", "run.paused"]


@pytest.mark.parametrize(
    ("fault", "target", "orchestrator"),
    [
        ({"kill": {"region": "east"}}, "east", False),
        ({"freeze": {"region": "east", "server": "postgres"}}, "east/postgres", False),
        ({"kill": {"process": "orchestrator"}}, "orchestrator", True),
        ({"link": {"delay": "200ms", "bytes_per_second": 1000}}, "link (delay 0.20s, 1000 bytes/s)", False),
        ({"link": {"blackhole": True, "reset": True}}, "link (blackhole, reset)", False),
        ({"link": {}}, "link (healthy)", False),
    ],
)
def test_targets_are_described(fault: dict[str, object], target: str, orchestrator: bool) -> None:
    """As a report says them; only the orchestrator is the drill's own to kill."""
    made = Fault.model_validate({"at": "1s", **fault})
    assert (describe_target(made), hits_orchestrator(made), due(made)) == (target, orchestrator, "1.0s")


def test_the_events_of_a_run_in_their_order() -> None:
    """Started and done of every step, between the start and the end of the run, each name once."""
    names = RunWatch("r").feed(failover().records())
    assert names[:2] == ["run.started", "failover.started"]
    assert names[-2:] == ["run.ended", "failover.ended"]
    promote = [name for name in names if name.startswith("metadata-db/promote")]
    assert promote == ["metadata-db/promote.started", "metadata-db/promote.done"]


def test_records_are_fed_piece_by_piece() -> None:
    """The same names, wherever the journal was cut."""
    records = failover().records()
    whole = RunWatch("r").feed(records)
    watch = RunWatch("r")
    assert [name for record in records for name in watch.feed([record])] == whole
    assert watch.seq == records[-1].seq


def test_a_pause_is_an_event_when_the_run_is_quiet() -> None:
    """Asked while a step is under way, reached when that step ends."""
    story = Story().start(plan(usual_steps())).begin("metadata-db/fence", 1.3).add(1.4, PauseRequested(actor="lead"))
    watch = RunWatch("r")
    assert "run.paused" not in watch.feed(story.records())
    story.end("metadata-db/fence", 1.5)
    assert watch.feed(story.records()[watch.seq :]) == [
        "metadata-db/fence.done", "failover:metadata-db/fence.done", "run.paused", "failover.paused"
    ]  # fmt: skip


def test_a_gate_waits_until_it_is_answered() -> None:
    """The generic name and the step's own; afterwards nothing waits."""
    story = Story().start(plan((step("gate/attest", Verb.GATE, approval=True),)))
    watch = RunWatch("r")
    assert watch.feed(story.records())[-2:] == ["gate/attest.waiting", "gate.waiting"]
    assert watch.waiting() == ["gate/attest"]
    watch.feed(story.add(2, Approved(step="gate/attest", actor="lead")).records()[watch.seq :])
    assert watch.waiting() == []


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ({"intent": "switchover", "to": "west", "accept": ["identities"]},
         "switchover book.yaml --to west --yes --accept identities --actor on-call --json"),
        ({"intent": "failback", "actor": "lead"}, "failback book.yaml --yes --actor lead --json"),
        ({"intent": "reprotect", "to": "east"}, "reprotect book.yaml --yes --actor on-call --json"),
        ({"command": "status"}, "status book.yaml --json"),
        ({"command": "pause", "reason": "wait"}, "pause run-1 --reason wait --actor on-call --json"),
        ({"command": "cancel"}, "cancel run-1 --actor on-call --json"),
        ({"command": "resume", "accept_split": True}, "resume run-1 --accept-split --actor on-call --json"),
        ({"approve": "gate"}, "approve run-1 gate/attest --actor on-call --json"),
        ({"approve": "gate/other"}, "approve run-1 gate/other --actor on-call --json"),
        ({"skip": "dns/redirect", "reason": "by hand"}, "skip run-1 dns/redirect --reason by hand --actor on-call --json"),
    ],
)  # fmt: skip
def test_what_is_typed(act: dict[str, object], words: str) -> None:
    """One command line for each sort of act."""
    made = Act.model_validate({"at": "1s", **act})
    assert " ".join(argv(made, "book.yaml", "run-1", ["gate/attest"])) == words


def test_an_act_that_answers_a_run_needs_one() -> None:
    """Without a run there is nothing to type."""
    with pytest.raises(LookupError):
        argv(Act.model_validate({"at": "1s", "command": "pause"}), "book.yaml", None)
