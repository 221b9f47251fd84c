"""A command of the runbook: run once, where it may run, and nothing of what it prints is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dr.engine.attempt import attempt
from dr.errors import DrError, EffectUnknown, UsageError
from dr.model.evidence import CommandRan, Note
from dr.model.runbook import Region
from dr.model.words import Intent, Outcome, Verb
from dr.ports import AttemptContext, Completed, Site, Step
from dr.providers.generic.command import Command, CommandConfig
from dr.providers.system import SystemClock
from tests.airflow.world import Files, Kept

SECRET = "planted-9b1d"
CLOCK = SystemClock()


class Remote:
    """A region's host that answers as it is told."""

    def __init__(self, status: int = 0) -> None:
        self.status, self.ran = status, list[tuple[str, ...]]()

    def run(self, argv: Sequence[str], *, timeout: timedelta | None = None, stdin: str | None = None) -> Completed:
        self.ran.append(tuple(argv))
        if self.status == -1:
            raise EffectUnknown("no answer in time")
        return Completed(self.status, SECRET, SECRET)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(
        runbook="mine", regions={"east": Region(), "west": Region()}, hosts={"east": Remote(), "west": Remote()}, clock=CLOCK,
        secrets=Files(tmp_path), samples=Kept(), artefacts=tmp_path / "artefacts", base=tmp_path, peers={},
    )  # fmt: skip


def command(site: Site, **settings: object) -> Step:
    kind = Command("warm-cache", CommandConfig.model_validate(settings), [], site)
    [step] = kind.steps(Intent.FAILOVER, "east", "west")
    return step


def context(step: Step, number: int = 1) -> AttemptContext:
    return AttemptContext(
        run_id="run-1", step=step.spec, intent=Intent.FAILOVER, source="east", target="west", number=number, key="run-1/x", epoch=1,
        actor="on-call", clock=CLOCK, deadline=CLOCK.monotonic() + 5,
    )  # fmt: skip


def shell(text: str) -> list[str]:
    return ["sh", "-c", text]


def test_it_runs_beside_the_runbook_and_leaves_only_its_exit_status(site: Site, tmp_path: Path) -> None:
    """Output never leaks: not into evidence, not into reasons, not into files of ours (I15)."""
    step = command(site, run=shell(f"echo {SECRET}; echo {SECRET} >&2; touch ran"))
    result = attempt(step.operation, context(step))
    assert result.outcome is Outcome.DONE
    assert (tmp_path / "ran").exists()
    [fact] = result.evidence
    assert isinstance(fact, CommandRan)
    assert (fact.program, fact.exit_status) == ("sh", 0)
    assert SECRET not in fact.model_dump_json() + result.reason
    assert not any(SECRET in path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_a_failure_says_the_status_and_nothing_else(site: Site) -> None:
    """What it printed may be a secret; the reason names the program and how to see more."""
    step = command(site, run=["sh", "fail.sh"])
    (site.base / "fail.sh").write_text(f"echo {SECRET} >&2; exit 3\n")
    result = attempt(step.operation, context(step))
    assert result.outcome is Outcome.FAILED
    assert "sh ended with exit status 3" in result.reason
    assert f"by hand: (cd {site.base} && sh fail.sh)" in result.reason
    assert SECRET not in result.reason


def test_placeholders_are_filled_and_nothing_is_expanded(site: Site, tmp_path: Path) -> None:
    """Only the four names mean something; a shell's signs stay what they are."""
    words = ["{source}", "{target}", "{intent}", "{run}", "{other}", "$HOME", "*"]
    (tmp_path / "show").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\" > shown\n")
    (tmp_path / "show").chmod(0o755)
    step = command(site, run=["./show", *words])
    assert attempt(step.operation, context(step)).outcome is Outcome.DONE
    assert (tmp_path / "shown").read_text().split("\n")[:-1] == ["east", "west", "failover", "run-1", "{other}", "$HOME", "*"]


@pytest.mark.parametrize("world", ["lab", "sim"])
def test_outside_its_worlds_it_does_nothing_and_says_so(site: Site, tmp_path: Path, world: str) -> None:
    """I12: by default a command runs in the live world only."""
    step = command(replace(site, world=world), run=shell("touch ran"), undo=shell("touch undone"))
    result = attempt(step.operation, context(step))
    assert result.outcome is Outcome.ALREADY
    assert [type(item) for item in result.evidence] == [Note]
    step.operation.undo(context(step))
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "undone").exists()


def test_the_check_decides_before_and_after(site: Site, tmp_path: Path) -> None:
    """Done before: not run. Not done after: not believed, whatever the exit status was."""
    step = command(site, run=shell("echo x >> ran"), check=shell("test -f ran"))
    assert attempt(step.operation, context(step)).outcome is Outcome.DONE
    assert attempt(step.operation, context(step, 2)).outcome is Outcome.ALREADY
    assert (tmp_path / "ran").read_text() == "x\n"
    lying = command(site, run=shell("true"), check=shell("false"))
    short = replace(context(lying), deadline=CLOCK.monotonic())
    assert attempt(lying.operation, short).outcome is Outcome.UNKNOWN


def test_without_a_check_an_unknown_effect_waits_for_a_person(site: Site) -> None:
    """I9: never run a second time blindly; the reason says what to type."""
    step = command(replace(site, hosts={"west": Remote(-1)}), run=["purge"], where="west")
    assert attempt(step.operation, context(step)).outcome is Outcome.UNKNOWN
    again = attempt(step.operation, context(step, 2), look_first=True)
    assert again.outcome is Outcome.FAILED
    assert "dr skip run-1 warm-cache/run" in again.reason


@pytest.mark.parametrize(
    ("settings", "outcome"), [({"repeatable": True}, Outcome.RETRY), ({"check": ["false"]}, Outcome.RETRY), ({}, Outcome.FAILED)]
)
def test_only_what_can_be_repeated_is_tried_again(site: Site, settings: dict[str, object], outcome: Outcome) -> None:
    """A failed command is worth another try where that is known to do no harm."""
    step = command(site, run=["false"], **settings)
    assert attempt(step.operation, context(step)).outcome is outcome
    assert (step.spec.max_attempts > 1) == (outcome is Outcome.RETRY)


def test_a_host_that_cannot_be_reached_is_an_unknown_effect(site: Site) -> None:
    """Status 255 says nothing about whether it ran."""
    step = command(replace(site, hosts={"west": Remote(255)}), run=["purge"], where="west")
    assert attempt(step.operation, context(step)).outcome is Outcome.UNKNOWN


def test_it_runs_in_the_region_that_is_named(site: Site) -> None:
    """``source`` and ``target`` follow the move, a region's name does not."""
    for where, region in (("source", "east"), ("target", "west"), ("east", "east")):
        step = command(site, run=["hook"], where=where)
        assert step.spec.region == region
        assert attempt(step.operation, context(step)).outcome is Outcome.DONE
    east, west = site.hosts["east"], site.hosts["west"]
    assert isinstance(east, Remote) and isinstance(west, Remote)
    assert (len(east.ran), len(west.ran)) == (2, 1)


def test_a_command_that_hangs_is_ended(site: Site) -> None:
    """The limit is the runbook's; what it did is unknown."""
    step = command(site, run=["sleep", "60"], timeout="200ms")
    assert attempt(step.operation, context(step)).outcome is Outcome.UNKNOWN


def test_undo_runs_when_there_is_one(site: Site, tmp_path: Path) -> None:
    """A planned move that is rolled back takes it back, and fails loudly where that fails."""
    step = command(site, run=shell("true"), undo=shell("touch undone"))
    assert step.spec.undoable
    step.operation.undo(context(step))
    assert (tmp_path / "undone").exists()
    bad = command(site, run=shell("true"), undo=shell("false"))
    with pytest.raises(DrError, match="exit status 1"):
        bad.operation.undo(context(bad))


def test_intents(site: Site) -> None:
    """One command for all moves, or one for each; re-protect only where it is named."""
    every = Command("c", CommandConfig.model_validate({"run": ["x"]}), [], site)
    some = Command("c", CommandConfig.model_validate({"run": {"failover": ["x"], "reprotect": ["y", "{target}"]}}), [], site)
    assert [bool(every.steps(intent, "east", "west")) for intent in Intent] == [True, True, True, False]
    assert [bool(some.steps(intent, "east", "west")) for intent in Intent] == [True, False, False, True]
    [step] = some.steps(Intent.REPROTECT, "east", "west")
    assert (step.spec.verb, step.spec.by_hand) == (Verb.COMMAND, f"(cd {site.base} && y west)")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "run"),
        ({"run": []}, "run"),
        ({"run": "rm -rf /"}, "run"),
        ({"run": ["x"], "worlds": ["Mars!"]}, "worlds"),
        ({"run": {"failover": ["x"]}, "intents": ["failover"]}, "intents"),
        ({"run": ["x"], "undo": ["y"], "irreversible": True}, "irreversible"),
        ({"run": ["x"], "shell": True}, "shell"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, object], text: str) -> None:
    """Each wrong setting is named."""
    with pytest.raises(ValueError, match=text):
        CommandConfig.model_validate(settings)


def test_where_must_exist_and_have_a_host(site: Site) -> None:
    """Refused when the runbook is read, not at 03:00."""
    with pytest.raises(UsageError, match="where: moon is not known"):
        command(site, run=["x"], where="moon")
    with pytest.raises(UsageError, match="no host for west"):
        command(replace(site, hosts={"east": Remote()}), run=["x"], where="target")


def test_the_settings_survive_the_journal() -> None:
    """A run keeps the runbook as JSON; the same settings come back."""
    given = CommandConfig.model_validate({"run": {"failover": ["x"]}, "timeout": "5s"})
    assert CommandConfig.model_validate(json.loads(given.model_dump_json())) == given
