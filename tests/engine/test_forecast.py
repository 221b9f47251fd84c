"""The warning before the RTO: said once, as soon as the estimates show it, and journaled by the host that runs the run."""

from __future__ import annotations

import threading
from datetime import timedelta

from dr.engine import forecast
from dr.engine.machine import apply
from dr.engine.state import RunState
from dr.model.events import Observed, StepStarted
from dr.model.evidence import PredictedLate
from dr.model.plan import Plan
from dr.model.words import Intent, Verb
from dr.ports import AttemptContext
from tests.engine.build import RUN, START, plan, spec, started
from tests.engine.doubles import FakeOperation, World, operations, wait_until
from tests.engine.test_runner import EmbeddedHost

SECOND = timedelta(seconds=1)


def move(rto: timedelta = 10 * SECOND, intent: Intent = Intent.FAILOVER) -> Plan:
    """restore 1 s → verify-inside 1 s → redirect 2 s; a chore of an hour that service does not wait for."""
    return plan(
        spec("db/restore", estimate=SECOND),
        spec("app/verify-inside", "db/restore", verb=Verb.VERIFY_INSIDE, estimate=SECOND, max_attempts=1000),
        spec("dns/redirect", "app/verify-inside", verb=Verb.REDIRECT, estimate=2 * SECOND),
        spec("app/canary", "db/restore", verb=Verb.CANARY, estimate=timedelta(hours=1)),
        rto=rto, intent=intent,
    )  # fmt: skip


def running(made: Plan) -> RunState:
    state = RunState(RUN)
    apply(state, started(made), START)
    apply(state, StepStarted(step="db/restore", attempt=1), START)
    return state


def test_what_takes_longer_than_estimated_is_said_before_the_rto_is_over() -> None:
    """The restore hangs. At 6 s three more seconds of steps fit into the RTO of 10 s, at 7.5 s they do not: 2.5 s are left then."""
    state = running(move())
    assert forecast.late(state, START + 6 * SECOND) is None
    found = forecast.late(state, START + 7.5 * SECOND)
    assert found is not None
    assert (found.deadline, found.service_back, found.waits_for) == (START + 10 * SECOND, START + 10.5 * SECOND, "db/restore")
    assert str(found).startswith("2.5s before the RTO of 10.0s is over, service is predicted back 0.50s after it")


def test_it_is_said_once() -> None:
    """Once journaled it is not said again."""
    state = running(move())
    found = forecast.late(state, START + 8 * SECOND)
    assert found is not None
    apply(state, Observed(evidence=found), START + 8 * SECOND)
    assert forecast.late(state, START + 9 * SECOND) is None


def test_a_run_that_moves_nothing_has_no_rto() -> None:
    """Re-protect may take as long as it takes."""
    assert forecast.late(running(move(intent=Intent.REPROTECT)), START + timedelta(days=1)) is None


def test_the_runner_journals_it_while_the_step_is_under_way() -> None:
    """A restore that hangs: the prediction stands in the journal before the restore has ended, once."""
    host, go = EmbeddedHost(), threading.Event()

    def hangs(_context: AttemptContext) -> None:
        assert go.wait(30)

    made = move()
    world = World()
    work = operations(world, made, FakeOperation(world, "db/restore", during=hangs))
    thread = threading.Thread(target=host.run, args=([started(made)], work))
    thread.start()

    def predictions() -> list[int]:
        rows = [event for _at, event in host.journal.events()]
        return [number for number, event in enumerate(rows) if isinstance(event, Observed) and isinstance(event.evidence, PredictedLate)]

    wait_until(lambda: bool(predictions()), "the prediction is journaled")
    ended_already = [event for _at, event in host.journal.events() if event.event == "step-ended"]
    go.set()
    thread.join(30)
    assert ended_already == []
    assert len(predictions()) == 1
