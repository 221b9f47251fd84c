"""The catalogue of faults: every one bites somewhere, and after the healing every story ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from dr import __version__
from dr.app.simulation import Studio, new_stage
from dr.errors import StateUnreadable
from dr.model.events import Resumed, RunStarted
from dr.model.words import RunOutcome
from dr.providers.sim.process import chance
from dr.providers.sim.weather import Mishap, Spell
from dr.providers.sim.wire import Wire
from dr.simulate.faults import CATALOGUE, aws, draw
from dr.simulate.faults.base import Fault
from dr.simulate.faults.process import NEWER
from dr.simulate.play import Played, play
from dr.simulate.stage import Stage
from dr.simulate.story import Group, Story, Struck, frame

ROOT = Path(__file__).parents[2]
BOOKS = ("lab", "platform", "careful")
PLOTS = ("lost", "planned", "partition", "round-trip")
TRIES = 24
"""Stories that are tried until a fault bites. A spell of stale answers is felt in one of four: most answers are as they were before."""
NAMED = {
    Group.PROCESS: ["crash-before-write", "crash-after-write", "crash-before-effect", "crash-after-effect", "kill-during-write",
                    "freeze-longer-than-lease", "freeze-shorter-than-lease", "interrupted-twice", "upgraded"],
    Group.CALLS: ["throttled", "server-errors", "slow", "timeout-with-effect", "timeout-without-effect", "effect-after-timeout",
                  "delivered-twice", "stale-reads", "lost-page", "half-done", "already-there", "stuck-pending", "says-done"],
    Group.NETWORK: ["region-dies", "region-read-only", "regions-cut", "operator-cut-from-target", "one-way", "stubborn-resolvers",
                    "flapping-path", "flapping-replication", "monitor-cut"],
    Group.DATA: ["lag-frozen", "lag-missing", "lag-negative", "lag-skewed", "lag-jumps", "log-backlog", "image-absent",
                 "image-other-digest", "secret-missing", "secret-undecryptable", "fernet-key-differs", "certificate-expired"],
    Group.DATABASE: ["slow-promotion", "promotion-breaks-off", "old-primary-returns", "timeline-fork", "connections-exhausted",
                     "frozen-primary"],
    Group.CLOCK: ["hour-ahead", "hour-behind", "backwards", "drift", "summer-time", "monitor-off"],
    Group.PEOPLE: ["second-operator", "three-operators", "failback-during-failover", "credentials-expire", "approval-withdrawn",
                   "nobody-approves", "wrong-region", "runbook-edited", "cancel", "pause", "skip"],
    Group.LOCAL: ["disk-full", "disk-full-in-mid-run", "fsync-error", "read-only", "bit-flip", "cut-tail", "two-processes"],
    Group.CAPACITY: ["none-for-a-while", "quota", "thundering-herd", "slow-runtime"],
}  # fmt: skip
"""What there must be."""


@cache
def studio(book: str) -> Studio:
    return Studio(ROOT / "runbooks" / f"{book}.yaml")


def told(story: Story, book: str) -> tuple[Stage, Played]:
    stage = new_stage(studio(book), story)
    return stage, play(stage, story, CATALOGUE, [])


def signature(stage: Stage) -> list[object]:
    """What happened, less what the faults say of themselves."""
    effects = [(round(item.at, 6), item.what, item.region, item.step) for item in stage.world.effects if not item.what.startswith("fault ")]
    answers = [(item.act, item.begun, item.exit_code, item.report and item.report.reason, str(item.error)) for item in stage.commands]
    journals = [record.hash for run in stage.disk.runs.values() for record in run.records]
    return [effects, answers, journals]


@cache
def quiet(seed: str, plot: str, book: str) -> list[object]:
    return signature(told(bold(seed, plot), book)[0])


def bold(seed: str, plot: str) -> Story:
    """A short story: who is on call decides, and waits for nobody."""
    story = frame(seed, 4, plot=plot)
    return replace(story, person=replace(story.person, bold=True))


def book_for(fault: Fault) -> str:
    """The simplest platform that it can happen to."""
    return next(book for book in BOOKS if fault.fits(studio(book).runbook))


def stories(fault: Fault) -> Iterator[tuple[Story, str]]:
    """Stories with that one fault, of all plots."""
    book = book_for(fault)
    for number in range(TRIES):
        plot = PLOTS[number % len(PLOTS)]
        story = bold(f"bite-{number}", plot)
        struck = fault.draw(chance(story.seed, fault.name), story, studio(book).runbook)
        yield with_faults(story, struck), book


def with_faults(story: Story, *struck: Struck) -> Story:
    return replace(story, faults=struck)


def test_names() -> None:
    """At least 60, each with its group in its name and one line for people; everything that was asked for is there."""
    assert len(CATALOGUE) >= 60
    for name, fault in CATALOGUE.items():
        assert name == fault.name and name.startswith(f"{fault.group}-")
        assert name == name.lower() and " " not in name and "_" not in name
        assert fault.what and not fault.what.endswith(".")
    missing = [f"{group}-{name}" for group, names in NAMED.items() for name in names if f"{group}-{name}" not in CATALOGUE]
    assert not missing


@pytest.mark.parametrize("name", [name for name, fault in CATALOGUE.items() if fault not in aws.FAULTS])
def test_every_fault_bites_and_heals(name: str) -> None:
    """In a story of its own something really is another way than without it; the story ends all the same. Those of AWS: ``test_aws``."""
    bitten = False
    for story, book in stories(CATALOGUE[name]):
        stage, played = told(story, book)
        assert not played.violations, (story.seed, story.plot, story.faults)
        bitten = signature(stage) != quiet(story.seed, story.plot, book)
        if bitten:
            break
    assert bitten, f"{name} changes nothing"


def test_a_stale_answer_is_the_one_before() -> None:
    """While the spell lasts a question gets the answer of the time before, whatever is so by now; a new question and another client not."""
    stage = new_stage(studio("lab"), bold("stale", "lost"))
    world, process, heard = stage.world, stage.process("asker"), list[float]()
    wire, first = Wire(world, process), Wire(world, stage.process("other"))

    def ask(by: Wire, what: str = "dns.view") -> float:
        return by.read("west", what, lambda: world.now)

    def main() -> None:
        heard.append(ask(wire))
        world.weather.spells.append(Spell(Mishap.STALE, world.now, world.now + 5.0, 1.0, lambda _call: True))
        heard.extend((ask(wire), ask(wire, "dns.state"), ask(first)))
        process.clock.sleep(6.0)
        heard.append(ask(wire))

    process.start(main)
    stage.loop.run(60.0)
    assert len(heard) == 5
    assert heard[1] == heard[0] < heard[2] < heard[3] < heard[4]


def test_a_damaged_journal_is_refused_until_it_is_restored() -> None:
    """Every command says so, touches nothing, and goes on after somebody has put the journal back."""
    for name in ("local-bit-flip", "local-cut-tail"):
        story = bold("damaged", "lost")
        struck = CATALOGUE[name].draw(chance("damaged", name), story, studio("lab").runbook)
        values = {**struck.values, "effects": 3, "seconds": 300.0, "records": 2, "record": 0.2}
        stage, played = told(with_faults(story, Struck(name, struck.at, values)), "lab")
        refused = [command for command in stage.commands if isinstance(command.error, StateUnreadable)]
        assert refused
        own = {command.process.name for command in refused if command.begun > refused[0].begun}
        assert not [effect for effect in stage.world.effects if effect.process in own]
        assert not played.violations


def test_an_upgrade_in_mid_run_is_refused_and_the_older_version_goes_on() -> None:
    """What the new version does not know it refuses, touching nothing; told so, people take the version that started the run."""
    for component in ("metadata-db", "deployments", "dns"):
        story = with_faults(bold("upgrade", "planned"), Struck("process-upgraded", 20.0, {"component": component, "nth": 12}))
        stage, played = told(story, "lab")
        refused = [command for command in stage.commands if "does not know the steps" in str(command.error)]
        assert refused and all(f"{component}/" in str(command.error) for command in refused)
        assert all(f"version of dr ({NEWER})" in str(command.error) for command in refused)
        assert {command.error.hint for command in refused if command.error} == {f"go on with dr {__version__}, which started it"}
        assert versions(stage) == {("run-started", __version__), ("resumed", __version__)}
        assert not {effect.process for effect in stage.world.effects} & {command.process.name for command in refused}
        assert not played.violations


def versions(stage: Stage) -> set[tuple[str, str]]:
    """Who took a run in hand with which version, as the journals say. An answer that touched nothing took none."""
    events = [record.event for run in stage.disk.runs.values() if len(run.records) > 2 for record in run.records]
    return {(event.event, event.tool_version) for event in events if isinstance(event, (RunStarted, Resumed))}


def test_an_upgrade_that_knows_the_steps_goes_on_and_is_journaled() -> None:
    """Who goes on is another version than who started; the journal says so, and so does the report."""
    story = with_faults(bold("upgrade", "planned"), Struck("process-upgraded", 20.0, {"component": "", "nth": 12}))
    stage, played = told(story, "lab")
    assert not [command for command in stage.commands if "does not know the steps" in str(command.error)]
    assert versions(stage) == {("run-started", __version__), ("resumed", NEWER)}
    (done,) = [report for report in played.reports if report.outcome is RunOutcome.COMPLETED]
    assert done.tool_version == __version__, "of the run: who started it"
    assert any(f"dr is {NEWER} now, was {__version__}" in text for text in done.deviations)
    assert not played.violations


def test_a_seed_draws_one_story() -> None:
    """The same seed draws the same faults; from none to a dozen, of every group; what is left out changes no other one."""
    runbook = studio("platform").runbook
    groups, most, none = set(), 0, 0
    for number in range(300):
        story = draw(frame(str(number), 4), runbook)
        assert story == draw(frame(str(number), 4), runbook)
        assert all(CATALOGUE[item.name].fits(runbook) and item.at > 0 for item in story.faults)
        groups |= {CATALOGUE[item.name].group for item in story.faults}
        most, none = max(most, len(story.faults)), none + (not story.faults)
        if story.faults:
            less = story.without(story.faults[0])
            assert less.faults == story.faults[1:] and with_faults(less) == with_faults(story)
    assert groups == set(Group) and most == 12 and none


def test_the_same_story_is_told_the_same_way() -> None:
    """With faults, too, byte for byte."""
    for number in range(6):
        story = draw(frame(f"again-{number}", 4), studio("lab").runbook)
        assert told(story, "lab")[1].digest == told(story, "lab")[1].digest
