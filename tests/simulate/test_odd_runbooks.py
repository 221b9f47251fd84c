"""Runbooks that are not like ours: hours of waiting, nothing that could be primary, names alone, nobody who answers. What is right in them
is no violation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dr.app.simulating import Setting, Theatre
from dr.app.simulation import Desk, Studio, new_stage
from dr.model.report import RunReport
from dr.simulate import checks, faults, survey
from dr.simulate.outcome import Outside, record
from dr.simulate.play import play
from dr.simulate.stage import Stage
from dr.simulate.story import END_AFTER, frame

ROOT = Path(__file__).parents[2]
LAB = (ROOT / "runbooks/lab.yaml").read_text()
HEAD = "apiVersion: dr/v1\nname: odd\nregions: {east: {}, west: {}}\nhome: east\nobjectives: {rto: 1h, rpo: 15m}\ncomponents:\n"
SMOKE = '  smoke: {kind: http-check, needs: [dns], urls: ["http://a.test/"]}\n'
NAMES = (
    '  dns:\n    kind: dns-records\n    zone: dr.test\n    names: ["*.ui.dr.test"]\n'
    "    tsig: {name: key, algorithm: hmac-sha256, key: {file: key}}\n    regions:\n"
    "      east: {server: 192.0.2.1, address: 192.0.2.1}\n      west: {server: 192.0.2.2, address: 192.0.2.2}\n"
)
ODD = {
    "wait": LAB + "  quiet: {kind: wait, needs: [dns], duration: 3h}\n",
    "soak": LAB + SMOKE + "  held: {kind: soak, needs: [dns, smoke], checks: [smoke], duration: 3h, every: 60s, within: 5h}\n",
    "programs": HEAD + '  called: {kind: command, run: [call, "{target}"], check: [called]}\n  blind: {kind: command, run: [call]}\n',
    "names": HEAD + NAMES,
}
NIGHT = LAB.replace("objectives:", "approvals: {failover: 1}\nobjectives:")


def theatre(folder: Path, text: str) -> Theatre:
    path = folder / "odd.yaml"
    path.write_text(text)
    return Theatre(Setting(path, "1", 3, {}))


@pytest.mark.parametrize(("name", "numbers"), [
    ("wait", (3, 16)), ("soak", (3, 16)), ("programs", range(25)), ("names", range(25)),
])  # fmt: skip
def test_what_is_right_is_no_violation(name: str, numbers: tuple[int, ...], tmp_path: Path) -> None:
    """A failover, a planned move and a round trip at least, each to its end, however long that takes, and once more."""
    stories = theatre(tmp_path, ODD[name])
    try:
        found = [stories.play(number)[0] for number in numbers]
        assert {"planned", "round-trip"} <= {item.plot for item in found}
    finally:
        stories.close()
    assert [(item.seed, item.violation) for item in found if item.violation is not None] == []
    assert all(item.completed for item in found if item.plot == "planned")


def test_when_a_story_must_be_over_follows_from_the_runbook(tmp_path: Path) -> None:
    """Three moves wait for three hours each; nothing is added where all steps are short, whatever they may take at most."""

    def after(text: str, measured: dict[str, list[float]] | None = None) -> float:
        path = tmp_path / "odd.yaml"
        path.write_text(text)
        made = Theatre(Setting(path, "1", 3, measured or {}))
        story = made.story(0)
        made.close()
        return story.ends - story.heals

    assert after(LAB) == pytest.approx(END_AFTER)
    assert after(ODD["wait"]) - END_AFTER >= 2 * 3 * 3 * 3600
    assert after(LAB, {"metadata-db/promote": [5.0, 4000.0]}) - END_AFTER >= 2 * 3 * 4000
    assert after(NIGHT) == pytest.approx(END_AFTER), "people answer once everything has healed, or the story says that they do not"


@pytest.fixture
def night(tmp_path: Path) -> Studio:
    """A failover that asks for a second person."""
    path = tmp_path / "night.yaml"
    path.write_text(NIGHT)
    return Studio(path)


@pytest.mark.parametrize("plot", ["lost", "partition"])
def test_a_night_in_which_nobody_else_wakes_up(night: Studio, plot: str) -> None:
    """The run stands where it asks, and says so: that is an end. It is told as what it is, and no objective is met."""
    story = replace(frame("4", 3, plot=plot), alone=True)
    stage, outside = new_stage(night, story), Outside(story)
    done = play(stage, story, faults.CATALOGUE, [*checks.ALL(), outside])
    found = record(0, done, stage, outside, {})
    assert done.violations == ()
    assert stage.left_waiting is not None and stage.left_waiting[1] == ("approvals/1",)
    assert (found.completed, found.rto_met, found.rpo_met, found.waited) == (False, False, False, (("approvals/1", None),))
    assert done.seconds < story.heals + 1000, "nobody waits for the morning"
    assert survey.why(found) == "needs a person at approvals/1"
    report = stage.desk.report(stage, stage.left_waiting[0])
    assert report.outcome == "paused" and report.reason == "waits for a person at approvals/1"
    assert not [effect for effect in stage.world.effects if effect.what.endswith("promote")]
    assert survey.values(survey.tally([found]), "waited", "approvals/1").unknown == 1


def test_a_run_that_waits_and_does_not_say_so_is_found(night: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: whoever looks at the run reads that nobody has taken it to its end."""
    whole = Desk.report

    def silent(self: Desk, stage: Stage, run_id: str) -> RunReport:
        return whole(self, stage, run_id).model_copy(update={"reason": "no process has taken this run to its end"})

    monkeypatch.setattr(Desk, "report", silent)
    story = replace(frame("4", 3, plot="lost"), alone=True)
    done = play(new_stage(night, story), story, faults.CATALOGUE, checks.ALL())
    assert [item.rule for item in done.violations] == ["L1"]
    assert "has not ended, and nobody was told why" in done.violations[0].text


def test_some_nights_are_drawn_so_and_no_planned_move_is() -> None:
    """Whoever plans a move sees to it that the others are there."""
    stories = [frame(str(number), 3) for number in range(400)]
    assert 0.05 < sum(story.alone for story in stories) / len(stories) < 0.2
    assert not any(story.alone for story in stories if story.plot == "planned")
