"""Groups whose members write: a planned move takes them down in the region that is left, and what they had is not forgotten over that."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dr.engine.attempt import take_back
from dr.errors import EffectUnknown, Permanent
from dr.model.evidence import Sized
from dr.model.words import Intent, Severity, Verb
from dr.ports import Look
from dr.providers.aws.capacity.kind import Capacity
from tests.aws.emulator import Emulator
from tests.aws.rig import Rig
from tests.aws.test_capacity import EAST, WEST, Groups, Nodegroups, Services, World, world

__all__ = ["world"]


@pytest.fixture
def writers(rig: Rig, world: World) -> Capacity[Any]:
    """East runs 6 and 3, west one of each."""
    world.make(EAST, 6, 3)
    world.make(WEST, 1, 1)
    return rig.make(world.kind, "workers", world.settings(writers=True))


def both(world: World, region: str) -> tuple[int, int]:
    """How many there are to be."""
    return world.size(region), world.size(region, "web")


def test_a_planned_move_leaves_no_writer_behind(rig: Rig, world: World, writers: Capacity[Any], emulator: Emulator) -> None:
    """The target has what the source had, then the source has none; the same again sends nothing; each call was declared."""
    emulator.clear_calls()
    steps = writers.steps(Intent.SWITCHOVER, "east", "west")
    assert [(step.spec.verb, step.spec.region, step.spec.undoable) for step in steps] == [
        (Verb.SCALE, "west", True), (Verb.FREEZE, "east", True),
    ]  # fmt: skip
    assert all(step.spec.settles for step in steps), "an undo of either may find AWS busy with what it takes back"
    assert [item.look for item in rig.run(writers, Intent.SWITCHOVER)] == [Look.DONE] * 2
    assert (both(world, EAST), both(world, WEST)) == ((0, 0), (6, 3))
    assert world.acts() == [WEST, WEST, EAST, EAST]
    assert not rig.undeclared(steps, emulator.calls())
    assert [item.look for item in rig.run(writers, Intent.SWITCHOVER)] == [Look.DONE] * 2
    assert len(world.acts()) == 4


def test_nobody_is_taken_down_who_is_no_writer_and_nobody_in_a_lost_region(rig: Rig, world: World, writers: Capacity[Any]) -> None:
    """Without ``writers`` a planned move has no such step; a failover and re-protect have none with it."""
    plain = rig.make(world.kind, "plain", world.settings())
    assert [step.spec.verb for step in plain.steps(Intent.SWITCHOVER, "east", "west")] == [Verb.SCALE]
    assert [step.spec.verb for step in writers.steps(Intent.FAILOVER, "east", "west")] == [Verb.SCALE]
    assert writers.steps(Intent.REPROTECT, "east", "west") == ()


def test_what_is_stopping_still_writes(rig: Rig, world: World, writers: Capacity[Any], emulator: Emulator) -> None:
    """Taken down is not gone: an instance whose lifecycle hook waits, a task that has got its signal, a node that is being drained."""
    freeze = rig.step(writers, Intent.SWITCHOVER, Verb.FREEZE)
    emulator.control("hold_stopping", region=EAST, held=True)
    said: list[str] = []
    try:
        seen = rig.perform(freeze, Intent.SWITCHOVER, deadline=rig.clock.monotonic() + 1.0, say=said.append)
        assert seen.look is Look.NEEDED and "workers: 6 " in seen.reason and said[-1] == seen.reason
        assert both(world, EAST) == (0, 0), "asked for"
        again = rig.step(writers, Intent.SWITCHOVER, Verb.FREEZE).operation.observe(rig.context(freeze, Intent.SWITCHOVER))
        assert again.look is Look.NEEDED and not again.evidence, "nor is it for who comes after a crash; what it had is told once"
    finally:
        emulator.control("hold_stopping", region=EAST, held=False)
    assert rig.perform(freeze, Intent.SWITCHOVER).look is Look.DONE
    assert world.acts() == [EAST, EAST]


def test_a_lost_answer_and_a_denied_act(rig: Rig, world: World, writers: Capacity[Any], emulator: Emulator) -> None:
    """Read before anything else is sent; denied: the action is named, and nobody is taken down."""
    freeze = rig.step(writers, Intent.SWITCHOVER, Verb.FREEZE)
    action = writers.scaling(writers.places["east"], "x", 0)[0].iam[0]
    emulator.deny(action, EAST)
    with pytest.raises(Permanent) as refused:
        rig.perform(freeze, Intent.SWITCHOVER)
    assert action in refused.value.hint and both(world, EAST) == (6, 3)
    emulator.clear_faults()
    emulator.fault(EAST, "lost-answer", f"*:{world.act}", times=1)
    with pytest.raises(EffectUnknown):
        rig.perform(freeze, Intent.SWITCHOVER)
    assert rig.perform(freeze, Intent.SWITCHOVER).look is Look.DONE


def test_undo_gives_back_what_they_had(rig: Rig, world: World, writers: Capacity[Any], emulator: Emulator) -> None:
    """A size that somebody gave since is left alone; an act that is under way still is waited for."""
    freeze = rig.step(writers, Intent.SWITCHOVER, Verb.FREEZE)
    assert rig.perform(freeze, Intent.SWITCHOVER).look is Look.DONE
    writers.scale(None, "east", {world.names["web"]: 5})
    for code in writers.again[:1]:
        emulator.fault(EAST, "refusal", f"*:{world.act}", times=3, status=400, code=code)
    context = rig.context(freeze, Intent.SWITCHOVER)
    sized = [item for item in rig.evidence if isinstance(item, Sized)]
    assert [(item.region, item.before, item.wanted) for item in sized] == [("east", {"workers": 6, "web": 3}, {"workers": 0, "web": 0})]
    context = replace(context, evidence=(*sized, *context.evidence))
    assert take_back(freeze.operation, context) is None
    assert both(world, EAST) == (6, 5)
    count = len(world.acts())
    assert take_back(freeze.operation, context) is None
    assert len(world.acts()) == count


def test_what_was_taken_down_is_not_remembered_as_empty(rig: Rig, world: World, writers: Capacity[Any], emulator: Emulator) -> None:
    """The move was given up after its freeze, and nothing was put back: whoever moves next, planned or not, has what was there before."""
    assert rig.perform(rig.step(writers, Intent.SWITCHOVER, Verb.FREEZE), Intent.SWITCHOVER).look is Look.DONE
    writers.view()  # as the monitor does, which sees none
    rig.evidence.clear()
    later = rig.make(world.kind, "workers", world.settings(writers=True))
    assert later.primary_sizes(Intent.SWITCHOVER, "east") == {"workers": 6, "web": 3}
    emulator.lose(EAST)
    assert rig.perform(rig.step(later, Intent.FAILOVER, Verb.SCALE), Intent.FAILOVER).look is Look.DONE
    assert both(world, WEST) == (6, 3)


def test_what_this_run_took_down_it_knows_by_its_own_journal(
    rig: Rig, world: World, writers: Capacity[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed on a machine that remembers nothing."""
    rig.perform(rig.step(writers, Intent.SWITCHOVER, Verb.FREEZE), Intent.SWITCHOVER)
    monkeypatch.setattr(writers.memory, "last", lambda region: None)
    assert rig.perform(rig.step(writers, Intent.SWITCHOVER, Verb.SCALE), Intent.SWITCHOVER).look is Look.DONE
    assert both(world, WEST) == (6, 3)


def test_an_owner_who_changes_a_size_is_believed(rig: Rig, world: World, writers: Capacity[Any]) -> None:
    """What is remembered is the newest size that was not none; without ``writers`` none is none."""
    writers.view()
    writers.scale(None, "east", {world.names["workers"]: 4, world.names["web"]: 0})
    writers.view()
    assert writers.remembered("east") == {"workers": 4, "web": 3}
    plain = rig.make(world.kind, "plain", world.settings())
    plain.view()
    assert plain.remembered("east") == {"workers": 4, "web": 0}
    assert plain.primary_sizes(Intent.SWITCHOVER, "east") == {"workers": 4, "web": 0}


def test_the_way_back_goes_by_what_leads_now(rig: Rig, world: World, writers: Capacity[Any]) -> None:
    """The old primary has none, and had 6: what the new one has counts; then that has none."""
    rig.run(writers, Intent.SWITCHOVER)
    writers.view()
    writers.scale(None, "west", {world.names["workers"]: 8})
    writers.view()
    rig.evidence.clear()
    assert [item.look for item in rig.run(writers, Intent.FAILBACK, "west", "east")] == [Look.DONE] * 2
    assert (both(world, EAST), both(world, WEST)) == ((8, 3), (0, 0))


def test_reprotect_gives_what_was_taken_down_what_stands_by(rig: Rig, world: World) -> None:
    """And nothing to anything else that has too few; what is not a writer is never given more."""
    world.make(EAST, 6, 3)
    world.make(WEST, 6, 3)
    kind = rig.make(world.kind, "workers", world.settings(writers=True, stand_by=2))
    assert [item.look for item in rig.run(kind, Intent.SWITCHOVER)] == [Look.DONE] * 2
    rig.evidence.clear()
    plain = rig.make(world.kind, "plain", world.settings(stand_by=2))
    assert [item.look for item in rig.run(plain, Intent.REPROTECT)] == [Look.DONE]
    assert both(world, EAST) == (0, 0)
    assert [item.look for item in rig.run(kind, Intent.REPROTECT)] == [Look.DONE]
    assert both(world, EAST) == (2, 2)
    rig.clock.sleep(0.2)  # until a node group can be changed again
    kind.scale(None, "east", {world.names["web"]: 1})
    count = len(world.acts())
    assert [item.look for item in rig.run(kind, Intent.REPROTECT)] == [Look.DONE]
    assert (both(world, EAST), len(world.acts())) == ((2, 1), count), "somebody gave it one"


def test_a_minimum_is_refused_before_anything_is_touched(rig: Rig, world: World) -> None:
    """An error for moves away from there, none for the others; the step itself refuses, too."""
    world.make(EAST, 6, 3, least=1)
    world.make(WEST, 1, 1)
    kind = rig.make(world.kind, "workers", world.settings(writers=True))
    errors = [item for item in kind.view().findings if item.severity is Severity.ERROR]
    assert [(item.region, item.fix) for item in errors] == [("west", "lower its minimum to 0")] * 2
    assert all("keeps at least 1" in item.fact and "in east" in item.fact for item in errors)
    seen = rig.perform(rig.step(kind, Intent.SWITCHOVER, Verb.FREEZE), Intent.SWITCHOVER)
    assert seen.look is Look.BLOCKED and "lower its minimum to 0" in seen.reason and "dr skip" in seen.reason
    assert world.acts() == []
    back = rig.perform(rig.step(kind, Intent.FAILBACK, Verb.FREEZE, "west", "east"), Intent.FAILBACK, "west", "east")
    assert back.look is Look.DONE and both(world, WEST) == (0, 0)


def test_what_keeps_instances_is_told(rig: Rig, emulator: Emulator) -> None:
    """Protected from scale-in, or nothing may be terminated: a planned move would wait for ever."""
    world = Groups(emulator)
    world.make(EAST, 2, 1)
    world.make(WEST, 2, 1)
    kind: Capacity[Any] = rig.make(world.kind, "workers", world.settings(writers=True))
    client, name = emulator.client("autoscaling", EAST), world.names["workers"]
    client.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=["Terminate"])
    errors = [(item.region, item.fix) for item in kind.view().findings if item.severity is Severity.ERROR]
    assert errors == [("west", "aws autoscaling resume-processes")]
    client.resume_processes(AutoScalingGroupName=name, ScalingProcesses=["Terminate"])
    client.update_auto_scaling_group(AutoScalingGroupName=name, NewInstancesProtectedFromScaleIn=True)
    [error] = [item for item in kind.view().findings if item.severity is Severity.ERROR]
    assert error.region == "west" and "protected from scale-in" in error.fact
    client.update_auto_scaling_group(AutoScalingGroupName=name, NewInstancesProtectedFromScaleIn=False)
    [described] = client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    resting = [described["Instances"][0]["InstanceId"]]
    client.enter_standby(AutoScalingGroupName=name, InstanceIds=resting, ShouldDecrementDesiredCapacity=True)
    [error] = [item for item in kind.view().findings if item.severity is Severity.ERROR]
    assert error.region == "west" and "in Standby" in error.fact
    client.exit_standby(AutoScalingGroupName=name, InstanceIds=resting)
    assert not [item for item in kind.view().findings if item.severity is Severity.ERROR]


def test_a_service_is_not_taken_for_empty_where_its_tasks_may_not_be_listed(rig: Rig, emulator: Emulator) -> None:
    """A planned move claims that nobody writes: what it cannot see stops it before anything is taken down."""
    world = Services(emulator)
    world.make(EAST, 2, 1)
    world.make(WEST, 2, 1)
    kind: Capacity[Any] = rig.make(world.kind, "workers", world.settings(writers=True))
    emulator.deny("ecs:ListTasks", EAST)
    with pytest.raises(Permanent, match="ListTasks"):
        rig.perform(rig.step(kind, Intent.SWITCHOVER, Verb.FREEZE), Intent.SWITCHOVER)
    assert world.acts() == []


def test_a_service_whose_minimum_may_not_be_seen_is_not_taken_down(rig: Rig, emulator: Emulator) -> None:
    """Service Auto Scaling would bring its tasks back during the drain: an error for moves away from there, and the step refuses."""
    world = Services(emulator)
    world.make(EAST, 2, 1, least=1)
    world.make(WEST, 2, 1)
    kind: Capacity[Any] = rig.make(world.kind, "workers", world.settings(writers=True))
    emulator.deny("application-autoscaling:DescribeScalableTargets", EAST)
    errors = [item for item in kind.view().findings if item.severity is Severity.ERROR]
    assert [item.region for item in errors] == ["west"] * 2
    assert all("its minimum is not known" in item.fact and "DescribeScalableTargets" in item.fix for item in errors)
    seen = rig.perform(rig.step(kind, Intent.SWITCHOVER, Verb.FREEZE), Intent.SWITCHOVER)
    assert seen.look is Look.BLOCKED and "allow application-autoscaling:DescribeScalableTargets" in seen.reason and "dr skip" in seen.reason
    assert world.acts() == []
    plain = rig.make(world.kind, "plain", world.settings())
    assert not [item for item in plain.view().findings if item.severity is Severity.ERROR], "nobody is taken down there"


ANSWERS: dict[type[World], Callable[[int], dict[str, object]]] = {
    Groups: lambda left: {"describe-auto-scaling-groups": left},
    Nodegroups: lambda left: {"describe-nodegroup": "eks-1", "describe-auto-scaling-groups": left},
    Services: lambda left: {"list-tasks": "a b" if left else "", "describe-tasks": "STOPPING" if left else ""},
}


@pytest.mark.parametrize("left", [0, 2])
def test_by_hand_it_is_the_same(rig: Rig, world: World, writers: Capacity[Any], tmp_path: Path, left: int) -> None:
    """Every group is given none, by what is sent; the check ends with 0 once nothing is left, and not before."""
    spec = rig.step(writers, Intent.SWITCHOVER, Verb.FREEZE).spec
    assert spec.by_hand.count("aws ") == 2 and all(name in spec.by_hand for name in world.names.values())
    assert "987654321" not in spec.by_hand and "SIZE" not in spec.by_hand
    answers = ANSWERS[type(world)](left)
    cases = "\n".join(f"*{name}*) printf '%s' {json.dumps(str(answer))};;" for name, answer in answers.items())
    fake = tmp_path / "aws"
    fake.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}\nesac\n')
    fake.chmod(0o755)
    script = f'export PATH="{tmp_path}:$PATH"\n{spec.check_by_hand}'
    ran = subprocess.run(["bash", "-c", script], capture_output=True, check=False, text=True)
    assert ((ran.returncode == 0), ran.stderr) == (left == 0, "")
