"""notify: the right words at each stage, never twice, never where it is not declared, never in the way, and no secret in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dr.engine.attempt import Attempted, attempt
from dr.model.evidence import Healthy, Note, WriteAccepted
from dr.model.words import Intent, Outcome, Severity, Stage, Verb
from dr.ports import AttemptContext, Step
from dr.providers.generic.notify import Notify
from dr.providers.generic.notify.config import NotifyConfig
from tests.generic.served import CLOCK, HttpServer, World, context, facts, says, slowly

SECRET = "planted-5e1f"
BEGAN = datetime(2026, 3, 1, 2, 40, tzinfo=UTC)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def steps(world: World, intent: Intent = Intent.FAILOVER, **settings: object) -> Sequence[Step]:
    given = {"to": [{"file": "out/told.log"}], "timeout": "2s", **settings}
    return Notify("people", NotifyConfig.model_validate(given), [], world.site).steps(intent, "east", "west")


def send(step: Step, **more: object) -> Attempted:
    return attempt(step.operation, context(step, **more))  # type: ignore[arg-type]


def told(world: World) -> list[str]:
    return (world.base / "out" / "told.log").read_text().splitlines()


def test_each_stage_says_what_is_known_then(world: World) -> None:
    """Since when, where to, the expected end by the plan, how long it took, what works now."""
    now = CLOCK.now()
    known: dict[str, object] = {"outage_began": now - timedelta(minutes=5), "to_service": timedelta(minutes=2)}
    evidence = (
        WriteAccepted(component="d", region="west", route="outside", names=("a", "b"), first_at=now, last_at=now),
        WriteAccepted(component="d", region="west", route="inside", names=("c",), first_at=now, last_at=now),
        Healthy(component="d", total=5, healthy=4),
    )
    for step in steps(world):
        assert send(step, **known, evidence=evidence).outcome is Outcome.DONE
    lines = told(world)
    assert [line.split()[1] for line in lines] == ["investigating:", "failing-over:", "restored:", "resolved:"]
    assert "mine: east does not serve (since 2" in lines[0] and "on-call has started a failover to west; run run-1" in lines[0]
    eta = datetime.strptime(lines[1].split("expected back at ")[1][:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert abs(eta - (now + timedelta(minutes=2))) < timedelta(seconds=30)
    assert "restored in west at " in lines[2] and "after 5m0" in lines[2] and "2 public names accept writes" in lines[2]
    assert "Deployments that work: 4 of 5" in lines[3]


def test_what_is_not_known_is_said_so(world: World) -> None:
    """No made-up end, no zero."""
    for step in steps(world):
        assert send(step).outcome is Outcome.DONE
    lines = told(world)
    assert "since unknown" in lines[0] and "expected back at unknown" in lines[1]
    assert "after unknown; unknown public names" in lines[2] and "work: unknown" in lines[3]


def test_a_planned_move_alarms_nobody(world: World) -> None:
    """Other words where nothing was lost."""
    for step in steps(world, Intent.SWITCHOVER):
        assert send(step, intent=Intent.SWITCHOVER).outcome is Outcome.DONE
    assert "planned switchover from east to west" in told(world)[0]
    assert "does not serve" not in "".join(told(world))


def test_own_words(world: World) -> None:
    """The runbook's, with the facts that they name."""
    [step] = steps(world, stages=["resolved"], texts={"resolved": "done in {target}\n by {actor}"})
    assert send(step).outcome is Outcome.DONE
    assert told(world)[0].endswith("resolved: done in west by on-call")


@pytest.mark.parametrize("text", ["{password}", "{run.__class__}", "{run!r}", "{run:>{now}}", "{", "{}"])
def test_words_that_are_refused(text: str) -> None:
    """Only the facts that are meant to be told can be: nothing else gets into a text (I15)."""
    with pytest.raises(ValueError, match="expected"):
        NotifyConfig.model_validate({"to": [{"file": "x"}], "texts": {"resolved": text}})


def test_never_twice(world: World) -> None:
    """The journal said before the effect that an attempt begins: a second one, after a crash, only says so."""
    step = steps(world)[0]
    assert send(step).outcome is Outcome.DONE
    again = attempt(step.operation, context(step, number=2), look_first=True)
    assert again.outcome is Outcome.DONE
    assert "not sent again" in again.reason
    assert [type(item) for item in again.evidence] == [Note]
    assert len(told(world)) == 1
    assert step.spec.max_attempts == 1


@pytest.mark.parametrize("name", ["lab", "sim"])
def test_a_drill_is_silent_unless_declared(world: World, name: str) -> None:
    """I12: by default the live world only."""
    world.world = name
    result = send(steps(world)[0])
    assert result.outcome is Outcome.ALREADY
    assert "not sent" in result.reason
    assert not (world.base / "out").exists()
    assert send(steps(world, worlds=["live", name])[0]).outcome is Outcome.DONE
    assert len(told(world)) == 1


def test_a_webhook_gets_text_and_fields(world: World) -> None:
    """What chat systems show, and the same for programs; the secret URL is shown to nobody."""
    with HttpServer(says({})) as server:
        (world.base / "url").write_text(f"{server.url}/{SECRET}\n")
        hook = {"url": {"file": "url"}, "headers": {"X-Key": {"file": "url"}}}
        [step] = steps(world, to=[{"webhook": hook}], stages=["restored"])
        result = send(step)
        [got] = server.got
    assert result.outcome is Outcome.DONE
    assert (got.method, got.path) == ("POST", f"/{SECRET}")
    body = json.loads(got.body)
    assert body["text"].startswith("mine: service is restored")
    assert (body["stage"], body["run"], body["source"], body["target"]) == ("restored", "run-1", "east", "west")
    assert SECRET not in facts(result.evidence) + step.spec.model_dump_json()


@pytest.mark.parametrize(
    ("status", "text"), [(500, "was not sent: refused with status 500"), (302, "refused with status 302")]
)
def test_a_refused_webhook_is_a_deviation_and_is_not_repeated(world: World, status: int, text: str) -> None:
    """The step fails, is not needed, and the hint has the message for who tells people instead."""
    with HttpServer(says({}, status)) as server:
        (world.base / "url").write_text(f"{server.url}/{SECRET}")
        [step] = steps(world, to=[{"webhook": {"url": {"file": "url"}}}], stages=["restored"])
        result = send(step)
        assert len(server.got) == 1
    assert result.outcome is Outcome.FAILED
    assert step.spec.optional
    assert text in result.reason and "tell them: mine: service is restored" in result.reason
    assert SECRET not in result.reason


def test_a_webhook_that_is_not_there_or_silent(world: World) -> None:
    """Bounded, and honest about what is known."""
    with HttpServer(says({})) as server:
        gone = f"{server.url}/{SECRET}"
    (world.base / "url").write_text(gone)
    [step] = steps(world, to=[{"webhook": {"url": {"file": "url"}}}], stages=["restored"])
    refused = send(step)
    assert "webhook: the message restored was not sent: its URL: no connection" in refused.reason
    with HttpServer(slowly(0.5)) as slow:
        (world.base / "url").write_text(f"{slow.url}/{SECRET}")
        [step] = steps(world, to=[{"webhook": {"url": {"file": "url"}}}], stages=["restored"], timeout="100ms")
        silent = send(step)
        assert len(slow.got) == 1
    assert "may or may not have been sent" in silent.reason
    assert SECRET not in refused.reason + silent.reason
    assert refused.outcome is silent.outcome is Outcome.FAILED


def test_a_command_gets_the_text_on_stdin(world: World) -> None:
    """No shell; its output is not kept."""
    say = ["sh", "-c", f"cat > heard; echo {SECRET} >&2; exit $0", "0"]
    [step] = steps(world, to=[{"command": say}], stages=["resolved"])
    result = send(step)
    assert result.outcome is Outcome.DONE
    assert (world.base / "heard").read_text().startswith("mine: the failover to west is done")
    [bad] = steps(world, to=[{"command": [*say[:3], "3"]}], stages=["resolved"])
    failed = send(bad)
    assert failed.outcome is Outcome.FAILED
    assert "exit status 3" in failed.reason
    assert SECRET not in failed.reason + facts(failed.evidence)


def test_every_channel_is_tried(world: World) -> None:
    """One that fails keeps the message from nobody else, and is named."""
    both = [{"command": ["false"]}, {"file": "out/told.log"}]
    [step] = steps(world, to=both, stages=["resolved"])
    result = send(step)
    assert result.outcome is Outcome.FAILED
    assert "command false" in result.reason and "file" not in result.reason.split("(try")[0]
    assert len(told(world)) == 1
    assert (world.base / "out" / "told.log").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written(world: World) -> None:
    """Said with the folder to look at."""
    (world.base / "out").write_text("a file where a folder should be")
    assert "cannot be written" in send(steps(world)[0]).reason


def test_the_steps_in_the_plan(world: World) -> None:
    """In order among themselves, optional, with what a person would type."""
    found = steps(world, stages=["resolved", "investigating"])
    assert [step.spec.stage for step in found] == [Stage.INVESTIGATING, Stage.RESOLVED]
    assert [step.spec.needs for step in found] == [(), ("people/investigating",)]
    assert all(step.spec.verb is Verb.NOTIFY and step.spec.optional and step.spec.check_by_hand for step in found)
    assert found[0].spec.by_hand.startswith("echo 'mine: east does not serve (since BEGAN)")
    assert not steps(world, Intent.REPROTECT)


def test_a_missing_credential_is_known_before_the_day(world: World) -> None:
    """A warning: nothing waits for a message, so nothing is refused for one."""
    kind = Notify("people", NotifyConfig.model_validate({"to": [{"webhook": {"url": {"file": "nothing"}}}]}), [], world.site)
    [finding] = kind.view().findings
    assert finding.severity is Severity.WARNING
    assert "nothing" in finding.fact
    result = send(kind.steps(Intent.FAILOVER, "east", "west")[0])
    assert result.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    "settings",
    [{"to": []}, {"to": [{}]}, {"to": [{"file": "x", "command": ["y"]}]}, {"to": [{"file": "x"}], "stages": []},
     {"to": [{"file": "x"}], "stages": ["panic"]}, {"to": [{"command": []}]}],
)  # fmt: skip
def test_settings_that_are_refused(settings: dict[str, object]) -> None:
    """One way to people at least, each of one sort."""
    with pytest.raises(ValueError):
        NotifyConfig.model_validate(settings)


def test_nothing_is_sent_without_the_lease(world: World) -> None:
    """Another process holds the run: that one tells people."""
    step = steps(world)[0]
    lost: AttemptContext = replace(context(step), may_act=lambda: False)
    assert attempt(step.operation, lost).outcome is Outcome.RETRY
    assert not (world.base / "out").exists()
