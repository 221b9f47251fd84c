"""Waits, checks and messages in real runs: a pause is heard at once, no message is sent twice, none stands in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.engine.state import RunState
from dr.model.events import PauseRequested, StepEnded, StepStarted
from dr.model.plan import Plan
from dr.model.words import Intent, Outcome, RunOutcome, RunStatus, StepState
from dr.ports import Step
from dr.providers.generic.checks.http_check import HttpCheck, HttpCheckConfig
from dr.providers.generic.checks.waiting import Wait, WaitConfig
from dr.providers.generic.notify import Notify
from dr.providers.generic.notify.config import NotifyConfig
from tests.engine.build import RUN, plan, started
from tests.engine.conformance import resumed
from tests.engine.test_runner import EmbeddedHost
from tests.generic.served import CLOCK, HttpServer, World, says


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def host() -> EmbeddedHost:
    host = EmbeddedHost()
    host.clock = CLOCK  # type: ignore[assignment]  # waits are real here
    return host


def planned(*steps: Step) -> Plan:
    return plan(*(step.spec for step in steps))


def run(host: EmbeddedHost, *steps: Step, again: bool = False) -> RunState:
    return host.run([resumed(host) if again else started(planned(*steps))], {step.spec.id: step.operation for step in steps})


def people(world: World, **settings: object) -> list[Step]:
    given = {"to": [{"file": "told.log"}], "stages": ["investigating"], "timeout": "2s", **settings}
    return list(Notify("people", NotifyConfig.model_validate(given), [], world.site).steps(Intent.FAILOVER, "east", "west"))


class Heard(list[tuple[str, str]]):
    """What a run says; somebody who hears the first word of a wait asks for a pause."""

    def __init__(self, host: EmbeddedHost) -> None:
        super().__init__()
        self._host = host

    def append(self, said: tuple[str, str]) -> None:
        if not self:
            self._host.inbox.put(RUN, PauseRequested(actor="lead"))
        super().append(said)


def test_a_wait_lets_a_pause_through_and_goes_on_where_it_was(world: World, host: EmbeddedHost) -> None:
    """A day is being waited for; the pause takes effect at once, and what is resumed waits until the same time as before."""
    [step] = Wait("settle", WaitConfig.model_validate({"duration": "24h"}), [], world.site).steps(Intent.FAILOVER, "east", "west")
    until = []
    for again in (False, True):
        host.said = Heard(host)
        state = run(host, step, again=again)
        assert state.status is RunStatus.PAUSED
        assert host.said[0] == ("settle/wait", "24h00m left")
        until.append([item for item in state.evidence if item.fact == "waits-until"])
    assert len(until[0]) == 1
    assert until[0] == until[1]


def test_a_message_that_cannot_be_sent_is_a_deviation(world: World, host: EmbeddedHost) -> None:
    """The run is completed all the same, and says so."""
    (world.base / "told.log").mkdir()
    state = run(host, *people(world))
    assert state.outcome is RunOutcome.COMPLETED
    assert state.steps["people/investigating"].state is StepState.FAILED
    assert "people/investigating failed and was not needed to go on" in state.deviations[0]
    assert "was not sent" in state.deviations[0]


def test_after_a_crash_no_message_is_sent_again(world: World, host: EmbeddedHost) -> None:
    """The first process died while it sent: it may have been sent, so the second one only says that."""
    [step] = people(world)
    host.journal.append(RUN, [(CLOCK.now(), started(planned(step))), (CLOCK.now(), StepStarted(step=step.spec.id, attempt=1))])
    state = run(host, step, again=True)
    assert state.outcome is RunOutcome.COMPLETED
    assert not (world.base / "told.log").exists()
    assert "not sent again" in state.steps[step.spec.id].reason


def test_a_check_is_tried_again_until_it_holds(world: World, host: EmbeddedHost) -> None:
    """Not yet is no failure: the machine waits and looks again."""
    codes = iter([503, 503, 200])
    with HttpServer(lambda _got: (next(codes), b"")) as server:
        config = HttpCheckConfig.model_validate({"urls": [server.url], "every": "20ms"})
        state = run(host, *HttpCheck("smoke", config, [], world.site).steps(Intent.FAILOVER, "east", "west"))
    assert state.outcome is RunOutcome.COMPLETED
    ends = [item.outcome for _, item in host.journal.events() if isinstance(item, StepEnded)]
    assert ends == [Outcome.RETRY, Outcome.RETRY, Outcome.DONE]


@pytest.mark.parametrize("optional", [False, True])
def test_a_check_that_never_holds_fails_with_what_was_seen(world: World, host: EmbeddedHost, optional: bool) -> None:
    """When its time is over: the run waits for a person; where it is optional, it goes on and says so."""
    with HttpServer(says({}, 503)) as server:
        config = HttpCheckConfig.model_validate({"urls": [server.url], "every": "20ms", "within": "200ms", "optional": optional})
        state = run(host, *HttpCheck("smoke", config, [], world.site).steps(Intent.FAILOVER, "east", "west"))
    assert state.steps["smoke/check"].state is StepState.FAILED
    assert "status 503, expected 200" in state.steps["smoke/check"].reason
    assert state.status is (RunStatus.ENDED if optional else RunStatus.PAUSED)
