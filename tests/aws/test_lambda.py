"""``aws.lambda-event-source`` and ``aws.lambda`` against the emulated AWS."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from dr.engine.attempt import attempt
from dr.errors import EffectUnknown, Permanent, Transient
from dr.model.evidence import Note, PutBack, Temporary
from dr.model.words import Intent, Outcome, Severity, Verb
from dr.ports import Look
from dr.providers import registry
from dr.providers.aws.capacity.lambda_event_source import LambdaEventSource
from dr.providers.aws.capacity.lambda_function import LambdaFunction
from tests.aws.emulator import Emulator
from tests.aws.rig import CODES, Rig

EAST, WEST = CODES["east"], CODES["west"]


class Functions:
    """One function in both regions, with a queue each."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.name = emulator, f"f{uuid4().hex[:8]}"
        self.mappings: dict[str, str] = {}
        emulator.set_seconds("lambda.mapping", seconds=0.05)
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("main.py", "def handle(event, context): return event")
        trust = {"Version": "2012-10-17", "Statement": []}
        role = emulator.client("iam", EAST).create_role(RoleName=self.name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        for region in (EAST, WEST):
            emulator.client("lambda", region).create_function(
                FunctionName=self.name, Runtime="python3.12", Role=role, Handler="main.handle", Code={"ZipFile": code.getvalue()}
            )

    def listen(self, region: str, *, enabled: bool) -> str:
        """A queue that is polled for the function; its UUID."""
        queue = self.emulator.client("sqs", region).create_queue(QueueName=self.name)["QueueUrl"]
        asked = {"QueueUrl": queue, "AttributeNames": ["QueueArn"]}
        arn = self.emulator.client("sqs", region).get_queue_attributes(**asked)["Attributes"]["QueueArn"]
        client = self.emulator.client("lambda", region)
        made = client.create_event_source_mapping(EventSourceArn=arn, FunctionName=self.name, Enabled=enabled)
        self.mappings[region] = made["UUID"]
        return str(made["UUID"])

    def state(self, region: str) -> str:
        """Enabled, Disabled, or on its way."""
        return str(self.emulator.client("lambda", region).get_event_source_mapping(UUID=self.mappings[region])["State"])

    def returns(self, body: object, error: str = "") -> None:
        """What it returns in west from now on."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.emulator.control("function_returns", region=WEST, name=self.name, body=text, error=error)

    def asked(self) -> list[Mapping[str, Any]]:
        """What it was sent in west."""
        found: list[Mapping[str, Any]] = self.emulator.control("invocations", region=WEST, name=self.name)
        return found


@pytest.fixture
def functions(emulator: Emulator) -> Functions:
    return Functions(emulator)


@pytest.fixture
def events(rig: Rig, functions: Functions) -> LambdaEventSource:
    """East polls, west does not."""
    regions = {
        "east": {"mappings": {"orders": functions.listen(EAST, enabled=True)}},
        "west": {"mappings": {"orders": functions.listen(WEST, enabled=False)}},
    }
    return rig.make(LambdaEventSource, "events", {"regions": regions})


def test_a_planned_move_turns_one_off_and_the_other_on(rig: Rig, functions: Functions, events: LambdaEventSource) -> None:
    """FREEZE in the source, START in the target; both wait for the state itself; the same again changes nothing."""
    assert [step.spec.verb for step in events.steps(Intent.SWITCHOVER, "east", "west")] == [Verb.FREEZE, Verb.START]
    assert [item.look for item in rig.run(events, Intent.SWITCHOVER)] == [Look.DONE, Look.DONE]
    assert (functions.state(EAST), functions.state(WEST)) == ("Disabled", "Enabled")
    count = len(functions.emulator.calls("lambda", "UpdateEventSourceMapping"))
    assert count == 2
    assert [item.look for item in rig.run(events, Intent.SWITCHOVER)] == [Look.DONE, Look.DONE]
    assert len(functions.emulator.calls("lambda", "UpdateEventSourceMapping")) == count


def test_undo_puts_back_what_this_run_changed_and_no_more(rig: Rig, functions: Functions, events: LambdaEventSource) -> None:
    """What was off before stays off."""
    steps = events.steps(Intent.SWITCHOVER, "east", "west")
    rig.run(events, Intent.SWITCHOVER)
    for step in reversed(steps):
        assert step.spec.undoable
        step.operation.undo(rig.context(step, Intent.SWITCHOVER))
        rig.clock.sleep(0.1)
    assert (functions.state(EAST), functions.state(WEST)) == ("Enabled", "Disabled")
    rig.evidence.clear()
    functions.emulator.client("lambda", EAST).update_event_source_mapping(UUID=functions.mappings[EAST], Enabled=False)
    rig.clock.sleep(0.1)
    freeze = rig.step(events, Intent.SWITCHOVER, Verb.FREEZE)
    assert rig.perform(freeze, Intent.SWITCHOVER).look is Look.DONE
    freeze.operation.undo(rig.context(freeze, Intent.SWITCHOVER))
    rig.clock.sleep(0.1)
    assert functions.state(EAST) == "Disabled"


def test_a_failover_does_not_wait_for_the_lost_region(rig: Rig, functions: Functions, events: LambdaEventSource) -> None:
    """The step there is optional, tried once, and asked of nobody; what was not done is a deviation with the command."""
    functions.emulator.lose(EAST)
    lost, start = events.steps(Intent.FAILOVER, "east", "west")
    assert lost.spec.optional and lost.spec.max_attempts == 1 and lost.spec.region == "east" and not start.spec.needs
    failed = attempt(lost.operation, rig.context(lost, Intent.FAILOVER))
    assert failed.outcome is Outcome.FAILED and "may take events as soon as it is back" in failed.reason
    assert "update-event-source-mapping" in failed.reason, "with the command"
    owed = [(item.region, item.what) for item in failed.evidence if isinstance(item, Temporary)]
    assert owed == [("east", "event sources of a lost region")], "owed until it is done"
    assert rig.perform(start, Intent.FAILOVER).look is Look.DONE
    assert functions.state(WEST) == "Enabled"
    functions.emulator.bring_back(EAST)
    rig.aws.clients.gone.tell(f"127.0.0.1:{functions.emulator.ports[EAST]}", None)  # as after a while
    assert [item.look for item in rig.run(events, Intent.REPROTECT)] == [Look.DONE]
    assert functions.state(EAST) == "Disabled"
    paid = [(item.fact, item.what) for item in rig.evidence if isinstance(item, Temporary | PutBack)]
    assert paid == [("put-back", "event sources of a lost region")]


def test_a_lost_region_that_still_answers_is_disabled(rig: Rig, functions: Functions, events: LambdaEventSource) -> None:
    """One call, no look before."""
    functions.emulator.clear_calls()
    lost = events.steps(Intent.FAILOVER, "east", "west")[0]
    assert rig.perform(lost, Intent.FAILOVER).look is Look.DONE
    assert [call.operation for call in functions.emulator.calls("lambda")] == ["UpdateEventSourceMapping"]
    rig.clock.sleep(0.1)
    assert functions.state(EAST) == "Disabled"


def test_a_mapping_that_is_being_changed_is_waited_for(rig: Rig, functions: Functions, events: LambdaEventSource) -> None:
    """ResourceInUseException passes; a lost answer is read again before anything is sent."""
    start = rig.step(events, Intent.FAILOVER, Verb.START)
    functions.emulator.fault(WEST, "refusal", "lambda:UpdateEventSourceMapping", times=1, status=400, code="ResourceInUseException")
    with pytest.raises(Transient, match="ResourceInUse"):
        rig.perform(start, Intent.FAILOVER)
    functions.emulator.fault(WEST, "lost-answer", "lambda:UpdateEventSourceMapping", times=1)
    with pytest.raises(EffectUnknown):
        rig.perform(start, Intent.FAILOVER)
    functions.emulator.clear_calls()
    rig.clock.sleep(0.1)
    assert rig.perform(start, Intent.FAILOVER).look is Look.DONE
    assert not functions.emulator.calls("lambda", "UpdateEventSourceMapping")


def test_findings_of_event_sources(rig: Rig, functions: Functions, events: LambdaEventSource) -> None:
    """None; enabled in both; a concurrency of nothing; a mapping that is gone."""
    assert [item.fact for item in events.view().findings] == []
    client = functions.emulator.client("lambda", WEST)
    client.update_event_source_mapping(UUID=functions.mappings[WEST], Enabled=True)
    client.put_function_concurrency(FunctionName=functions.name, ReservedConcurrentExecutions=0)
    events.limits.clear()  # as after five minutes
    rig.clock.sleep(0.1)
    found = {(item.severity, item.region): item.fact for item in events.view().findings}
    assert "enabled in east and west" in found[Severity.WARNING, None]
    assert "reserved concurrency of 0" in found[Severity.ERROR, "west"]
    client.delete_event_source_mapping(UUID=functions.mappings[WEST])
    facts = [item.fact for item in events.view().findings if item.severity is Severity.ERROR]
    assert any("no event source mapping" in fact for fact in facts)
    assert rig.perform(rig.step(events, Intent.FAILOVER, Verb.START), Intent.FAILOVER).look is Look.BLOCKED


def test_every_call_of_event_sources_was_declared(rig: Rig, functions: Functions, events: LambdaEventSource) -> None:
    """By UUID, in the region of the step."""
    for intent in Intent:
        functions.emulator.clear_calls()
        rig.evidence.clear()
        rig.run(events, intent)
        steps = events.steps(intent, "east", "west")
        assert not rig.undeclared(steps, functions.emulator.calls()), intent
        for step in steps:
            assert {touch.region for touch in step.spec.touches} == {step.spec.region}
            assert all(item.endswith(functions.mappings[CODES[step.spec.region]]) for item in step.spec.permissions)
            for text in (step.spec.by_hand, step.spec.check_by_hand):
                assert not subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).stderr


# aws.lambda


def function(rig: Rig, functions: Functions, **changes: object) -> LambdaFunction:
    own = {"function": functions.name}
    return rig.make(LambdaFunction, "partner", {"regions": {"east": own, "west": own}, **changes})


def test_it_is_told_what_for_and_does_the_same_in_each_intent(rig: Rig, functions: Functions) -> None:
    """The payload names intent, regions, run, epoch and key; it goes to the region that is moved to."""
    functions.returns({"ok": True, "note": "told them"})
    kind = function(rig, functions, payload={"team": "data"})
    for intent in (Intent.FAILOVER, Intent.SWITCHOVER, Intent.FAILBACK):
        (step,) = kind.steps(intent, "east", "west")
        assert step.spec.verb is Verb.COMMAND and step.spec.region == "west" and "the same in every intent" in step.spec.title
        assert rig.perform(step, intent).look is Look.DONE
        assert functions.asked()[-1] == {
            "do": "run", "intent": str(intent), "source": "east", "target": "west", "run_id": "run-1", "epoch": 1, "key": "run-1/key",
            "team": "data",
        }  # fmt: skip
        assert step.spec.touches[0].plane == "data"
    assert kind.steps(Intent.REPROTECT, "east", "west") == ()
    assert next(item.text for item in rig.evidence if isinstance(item, Note)).endswith("ok: told them")


@pytest.mark.parametrize(
    ("body", "error", "told"),
    [
        ({"ok": False, "note": "queue full"}, "", "not ok: queue full"),
        ({"errorType": "KeyError", "errorMessage": "hunter2"}, "Unhandled", r"failed \(Unhandled, KeyError\)"),
        ("hunter2", "", "what it returned is not kept"),
        ({"ok": "hunter2"}, "", "what it returned is not kept"),
    ],
)
def test_only_ok_is_ok(rig: Rig, functions: Functions, body: object, error: str, told: str) -> None:
    """What else it returns is a failure, and none of it is repeated: it may be a secret."""
    functions.returns(body, error)
    (step,) = function(rig, functions).steps(Intent.FAILOVER, "east", "west")
    with pytest.raises(Permanent, match=told) as failed:
        rig.perform(step, Intent.FAILOVER)
    assert "hunter2" not in failed.value.message + failed.value.hint


def test_an_unknown_outcome_waits_for_a_person(rig: Rig, functions: Functions) -> None:
    """Without a check it may have run; with ``repeatable`` it is run again, with the same key; with a check it is asked."""
    functions.returns({"ok": True})
    functions.emulator.fault(WEST, "lost-answer", "lambda:Invoke", times=1)
    (step,) = function(rig, functions).steps(Intent.FAILOVER, "east", "west")
    with pytest.raises(EffectUnknown):
        rig.perform(step, Intent.FAILOVER)
    seen = rig.perform(step, Intent.FAILOVER, number=2)
    assert seen.look is Look.BLOCKED and "dr skip" in seen.reason
    assert len(functions.asked()) == 1 and step.spec.max_attempts == 1
    (again,) = function(rig, functions, repeatable=True).steps(Intent.FAILOVER, "east", "west")
    assert rig.perform(again, Intent.FAILOVER, number=2).look is Look.DONE
    assert len({str(item) for item in functions.asked()}) == 1
    (asks,) = function(rig, functions, check=True).steps(Intent.FAILOVER, "east", "west")
    assert rig.perform(asks, Intent.FAILOVER).look is Look.DONE
    assert functions.asked()[-1]["do"] == "check"


def test_a_check_that_says_no_is_waited_for(rig: Rig, functions: Functions) -> None:
    """Run once; then asked until it is done."""
    functions.returns({"ok": False, "note": "half way"})
    (step,) = function(rig, functions, check=True).steps(Intent.FAILOVER, "east", "west")
    context = rig.context(step, Intent.FAILOVER)
    assert step.operation.observe(context).look is Look.NEEDED
    functions.returns({"ok": True})
    step.operation.act(context)
    functions.returns({"ok": False, "note": "half way"})
    seen = step.operation.verify(context)
    assert (seen.look, seen.reason) == (Look.NEEDED, "half way")
    functions.returns({"ok": True})
    assert step.operation.verify(context).look is Look.DONE


def test_outside_its_worlds_nothing_is_invoked(rig: Rig, functions: Functions) -> None:
    """A drill touches nothing outside its world (I12)."""
    functions.returns({"ok": True})
    kind = function(rig, functions)
    kind.site = replace(rig.site, world="sim")
    (step,) = kind.steps(Intent.FAILOVER, "east", "west")
    seen = rig.perform(step, Intent.FAILOVER)
    assert seen.look is Look.DONE and "declared for live" in seen.reason
    assert functions.asked() == []
    assert not functions.emulator.calls("lambda", "Invoke")


def test_findings_and_permissions_of_a_function(rig: Rig, functions: Functions, emulator: Emulator) -> None:
    """One that is not there; one that takes longer than an answer is waited for; what is called is declared; denied names the action."""
    kind = function(rig, functions)
    assert [item.fact for item in kind.view().findings] == []
    emulator.client("lambda", WEST).update_function_configuration(FunctionName=functions.name, Timeout=300)
    assert [(item.severity, item.region) for item in kind.view().findings] == [(Severity.WARNING, "west")]
    functions.returns({"ok": True})
    emulator.clear_calls()
    rig.run(kind, Intent.FAILOVER)
    assert not rig.undeclared(kind.steps(Intent.FAILOVER, "east", "west"), emulator.calls())
    emulator.deny("lambda:InvokeFunction", WEST)
    with pytest.raises(Permanent) as refused:
        rig.run(kind, Intent.FAILOVER)
    assert "lambda:InvokeFunction" in refused.value.hint
    absent = rig.make(LambdaFunction, "absent", {"regions": {"east": {"function": functions.name}, "west": {"function": "nothing"}}})
    assert [(item.severity, item.region) for item in absent.view().findings] == [(Severity.ERROR, "west")]
    for step in kind.steps(Intent.FAILOVER, "east", "west"):
        for text in (step.spec.by_hand, step.spec.check_by_hand):
            assert not subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).stderr


def test_settings_of_lambda(rig: Rig, tmp_path: Path) -> None:
    """``dr``'s own words are not to be written; a UUID is one."""
    own = {"east": {"function": "f"}, "west": {"function": "f"}}
    with pytest.raises(ValidationError, match="dr says that itself"):
        rig.make(LambdaFunction, "x", {"regions": own, "payload": {"key": "mine"}})
    with pytest.raises(ValidationError):
        rig.make(LambdaEventSource, "x", {"regions": {"east": {"mappings": {"a": "no"}}, "west": {"mappings": {"a": "no"}}}})
    for kind in (LambdaEventSource, LambdaFunction):
        assert registry.find(kind.kind) is kind
