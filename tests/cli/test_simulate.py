"""``dr simulate``: the same seeds give the same answer, whoever plays them; one story told; exit codes; one page."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dr.app import simulating
from dr.app.learned import ENOUGH, durations
from dr.app.state import State
from dr.cli.main import run
from dr.config.outputs import schema_of
from dr.errors import ExitCode
from dr.model.base import Json
from dr.model.simulation import Flaw, SimulateReport, ViolationReport
from dr.model.words import Intent
from dr.report.simulation_page import histogram, render_simulation
from dr.simulate.outcome import Record
from dr.simulate.survey import Tally
from tests.report.schema import problems

ROOT = Path(__file__).parents[2]
LAB = str(ROOT / "runbooks/lab.yaml")
SEEDS = 6
Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Nothing was ever run here."""
    return str(tmp_path_factory.mktemp("state"))


def asked(capsys: Output, *argv: str) -> tuple[int, dict[str, Json]]:
    """Exit code and the object on stdout."""
    capsys.readouterr()
    code = run(["simulate", *argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


def untimed(body: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in body.items() if name != "timing"}


def test_the_same_seeds_give_the_same_answer(state: str, capsys: Output) -> None:
    """In one process, once more, and in two; all that differs is how long it took. It matches its schema."""
    argv = (LAB, "--seeds", str(SEEDS), "--state", state)
    code, first = asked(capsys, *argv)
    assert problems(first, schema_of("dr.simulate/1")) == []
    assert (first["schema"], first["seeds"], first["complete"], first["exit_code"]) == ("dr.simulate/1", SEEDS, True, code)
    assert sum(plot["share"]["stories"] for plot in first["plots"]) == first["share"]["stories"] == SEEDS
    assert first["timing"]["stories_per_second"] > 0
    _, again = asked(capsys, *argv)
    assert untimed(again) == untimed(first)
    _, shared = asked(capsys, *argv, "--jobs", "2")
    assert untimed(shared) == untimed(first)
    _, others = asked(capsys, *argv, "--seed", "1000")
    assert untimed(others) != untimed(first)


def test_one_story_is_told(state: str, capsys: Output) -> None:
    """From the disaster to the outcome: who typed what, what it answered, each step, what was lost."""
    seed = next(str(number) for number in range(1, 50) if _plot(str(number)) == "lost")
    assert run(["simulate", LAB, "--seed", seed, "--explain", "--state", state]) in (0, 1, 5)
    told = capsys.readouterr().out
    assert re.search(r"^ +\+0:00\.0  world +east is lost$", told, re.MULTILINE)
    for words in (
        f"seed {seed}:", "types: dr failover --to west", "is answered: exit", "metadata-db/promote done", "RTA ", "RPA ", "RTO 1h00m",
    ):  # fmt: skip
        assert words in told, words
    times = [_seconds(line) for line in told.splitlines()]
    assert times == sorted(times), "told in order"
    assert run(["simulate", LAB, "--seed", seed, "--explain", "--state", state, "--json"]) in (0, 1, 5)
    body = json.loads(capsys.readouterr().out)
    assert body["seeds"] == 1 and body["first_seed"] == seed
    assert [line["text"] for line in body["story"] if line["text"] == "east is lost"] == ["east is lost"]


def _plot(seed: str) -> str:
    from dr.simulate.story import frame

    return frame(seed, 5).plot


def _seconds(line: str) -> float:
    sign, minutes, seconds = re.findall(r"^ *([+-])(\d+):([\d.]+)", line)[0]
    return (-1 if sign == "-" else 1) * (60 * int(minutes) + float(seconds))


def test_a_table_says_what_matters_first(state: str, capsys: Output) -> None:
    """How many ended within both objectives; then by plot; flaws with what would mend them; plain lines without a terminal."""
    run(["simulate", LAB, "--seeds", "3", "--state", state])
    out = capsys.readouterr().out
    assert re.match(r"airflow-lab: \d of 3 simulated disasters ended within RTO 1h00m and RPO 15m00s", out)
    assert "\x1b[" not in out
    assert "unchecked-need: nobody looks whether the images of deployments" in out and "oci-registry" in out
    assert f"dr simulate {LAB} --seed " in out


class Parts(HTMLParser):
    """What a page would fetch, and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset")]


def test_the_page_is_self_contained(state: str, tmp_path: Path, capsys: Output) -> None:
    """No script, nothing that is fetched; a picture that is drawn in it."""
    page = tmp_path / "new/page.html"
    run(["simulate", LAB, "--seeds", "3", "--state", state, "--html", str(page)])
    assert str(page) in capsys.readouterr().err
    text = page.read_text()
    found = Parts(text)
    assert found.fetched == [] and "script" not in found.tags and "link" not in found.tags
    assert "url(#" not in text.replace("url(#hatch)", "") and "@import" not in text and "http://" not in text and "https://" not in text
    assert "svg" in found.tags and "rect" in found.tags
    assert "airflow-lab" in text


def a_report(state: str, capsys: Output, **changes: object) -> SimulateReport:
    _, body = asked(capsys, LAB, "--seeds", "2", "--state", state)
    return SimulateReport.model_validate(body).model_copy(update=changes)


def test_the_page_escapes_everything(state: str, capsys: Output) -> None:
    """Names come from files that people write."""
    evil = "<img src=x onerror=alert(1)>"
    violation = ViolationReport(rule="I1", seed=evil, plot="lost", text=evil, at_seconds=1.0, faults=(evil,), command=evil)
    flaw = Flaw(name="no-fence", component=evil, steps=(evil,), intents=(Intent.FAILOVER,), text=evil, fix=evil)
    report = a_report(
        state, capsys, runbook=evil, runbook_path=evil, first_seed=evil, violations=(violation,), violations_total=2, flaws=(flaw,)
    )
    page = render_simulation(report)
    assert evil not in page and "&lt;img src=x" in page
    assert "img" not in Parts(page).tags
    assert "Violation" in page and "and 1 more" in page


def test_the_picture_fits_its_frame(state: str, capsys: Output) -> None:
    """Bars lie side by side inside of it; the RTO is drawn where it lies."""
    report = a_report(state, capsys)
    bars = report.rta_histogram
    inside = report.model_copy(update={"rto_seconds": (bars[0].from_seconds + bars[0].to_seconds) / 2})
    drawn = histogram(inside)
    assert drawn is not None and drawn.rto is not None
    assert all(bar.x >= 0 and bar.x + bar.width <= 880 and bar.y >= 0 for bar in drawn.bars)
    assert drawn.rto == pytest.approx(880 / len(bars) / 2, abs=0.01)
    assert histogram(report.model_copy(update={"rta_histogram": ()})) is None


@pytest.mark.parametrize("argv", [
    (LAB, "--explain"), (LAB, "--explain", "--seed", "3", "--seeds", "4"), (LAB, "--seeds", "0"), (LAB, "--jobs", "0"),
    (LAB, "--minutes", "0"), ("none.yaml",), (LAB, "--html", "/proc/none/page.html"), (LAB, "--deployments", "0"), (LAB, "--html", ""),
    ("",), (LAB, "--seed", ""), (LAB, "--seed", " "), (LAB, "--seed", "a b"), (LAB, "--seed", "1\n2"), (LAB, "--minutes", "nan"),
    (LAB, "--minutes", "inf"), (LAB, "--minutes", "-1"), (LAB, "--seeds", "-1"), (LAB, "--jobs", "257"), ("/dev/null",),
])  # fmt: skip
def test_wrong_command_lines(argv: tuple[str, ...], state: str, capsys: Output) -> None:
    """Exit 2, nothing on stdout."""
    assert run(["simulate", *argv, "--state", state]) == ExitCode.USAGE
    seen = capsys.readouterr()
    assert seen.out == "" and seen.err


def test_without_greenlet_it_says_what_to_install(state: str, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a traceback."""
    monkeypatch.setattr("dr.simulate.find_spec", lambda _name: None)
    assert run(["simulate", LAB, "--state", state]) == ExitCode.USAGE
    assert "dr[simulate]" in capsys.readouterr().err


def test_a_kind_that_no_world_knows(state: str, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would do nothing there, and everything would look wrong: said at once."""
    from dr.providers import registry
    from tests.cli import toy

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()
    assert run(["simulate", str(toy.make(tmp_path)), "--state", state]) == ExitCode.USAGE
    assert "db is of kind toy, which the simulated world has no picture of" in capsys.readouterr().err


# --- exit codes, with stories made by hand ----------------------------------------------------------------------------


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[Record]:
    """What the stories come to, one after the other; the last one for all that follow."""
    from tests.simulate.test_survey import PLAIN

    records: list[Record] = [PLAIN]
    monkeypatch.setattr(
        simulating.Theatre, "play", lambda _self, number, told=False: (records[min(number, len(records) - 1)]._replace(number=number), ())
    )
    return records


def test_exit_codes(played: list[Record], state: str, capsys: Output) -> None:
    """0: all met; 5: one was missed; 1: something that must never happen."""
    from dr.simulate.outcome import Broken

    argv = (LAB, "--seeds", "3", "--state", state)
    assert asked(capsys, *argv)[0] == ExitCode.DONE
    played.append(played[0]._replace(rpo_met=False, over_rpo=("metadata-db",)))
    code, body = asked(capsys, *argv)
    assert (code, body["share"]["within_both"]) == (ExitCode.OBJECTIVE_MISSED, 1)
    played.append(played[0]._replace(violation=Broken("I1", "two primaries", 1.0), rto_met=False, rpo_met=False))
    code, body = asked(capsys, *argv)
    assert (code, body["violations_total"], body["violations"][0]["rule"]) == (ExitCode.FAILED, 1, "I1")
    assert "--explain" in body["violations"][0]["command"]


def test_ctrl_c_ends_with_what_there_is(played: list[Record], state: str, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 130, and the stories that were played count."""
    before = signal.getsignal(signal.SIGINT)
    add = Tally.add

    def interrupted(self: Tally, record: Record) -> None:
        add(self, record)
        if record.number == 3:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Tally, "add", interrupted)
    assert threading.current_thread() is threading.main_thread()
    code, body = asked(capsys, LAB, "--seeds", "1000", "--state", state)
    assert (code, body["complete"], body["seeds"]) == (ExitCode.INTERRUPTED, False, 4)
    assert signal.getsignal(signal.SIGINT) is before


def test_minutes_end_it(played: list[Record], state: str, capsys: Output) -> None:
    """Without a number of seeds; what ends in its time is whole."""
    code, body = asked(capsys, LAB, "--minutes", "0.002", "--state", state)
    assert (code, body["complete"]) == (ExitCode.DONE, True)
    assert body["seeds"] > 0


@pytest.mark.parametrize("jobs", [1, 3])
def test_however_little_time_there_is_some_stories_are_played(jobs: int, state: str) -> None:
    """An answer about no story at all would say that all is well. As many chunks as there are jobs are begun, and no more."""
    wanted = simulating.Wanted(Path(LAB), minutes=1e-300, seeds=None, jobs=jobs)
    many = simulating.Simulating(State(Path(state)), wanted)
    assert [list(chunk) for chunk in many._chunks(4)] == [list(range(4 * number, 4 * number + 4)) for number in range(jobs)]
    assert many.complete


def test_ctrl_c_while_a_story_is_told_tells_what_was_played(
    state: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The first one, exit 130, and no line of what did not happen."""
    from dr.providers.sim.world import World

    lose = World.lose

    def interrupted(self: World, region: str) -> None:
        lose(self, region)
        os.kill(os.getpid(), signal.SIGINT)

    seed = next(str(number) for number in range(1, 50) if _plot(str(number)) == "lost")
    monkeypatch.setattr(World, "lose", interrupted)
    code = run(["simulate", LAB, "--seed", seed, "--explain", "--state", state])
    told = capsys.readouterr().out
    assert code == ExitCode.INTERRUPTED
    assert "east is lost" in told and "INTERRUPTED: told as far as it was played" in told
    assert "types: dr failover" not in told and "VIOLATION" not in told


def _until(holds: Callable[[], object]) -> None:
    """Waits; for as long as no machine takes."""
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to that")


def _children(process: int) -> list[str]:
    return Path(f"/proc/{process}/task/{process}/children").read_text().split()


def _gone(group: int) -> bool:
    """Nobody of a process group is there any more."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_ctrl_c_at_any_moment_of_a_real_process(tmp_path: Path) -> None:
    """With worker processes, from their first instruction on: exit 130, no traceback, nobody is left, nothing lies around."""
    litter = tmp_path / "litter"
    litter.mkdir()
    argv = [sys.executable, "-m", "dr", "simulate", LAB, "--seeds", "100000", "--jobs", "2", "--state", str(tmp_path / "state")]
    own = {**os.environ, "TMPDIR": str(litter)}
    for seconds in (0.05, 0.2, 0.7, 3.0):
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=own)
        _until(partial(_children, process.pid))
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everybody
        out, err = process.communicate(timeout=60)
        assert process.returncode == ExitCode.INTERRUPTED, (seconds, err)
        assert "Traceback" not in err
        assert "interrupted" in err or "INTERRUPTED, this is what there is so far" in out, seconds
        _until(partial(_gone, process.pid))
    assert list(litter.iterdir()) == []


def test_a_bug_is_a_violation_and_costs_one_story(state: str, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told with its seed; the others are played."""
    from dr.simulate import play

    whole = play.play

    def breaks(stage: Any, story: Any, *others: Any) -> Any:
        if story.seed == "2":
            raise KeyError("nothing of that name")
        return whole(stage, story, *others)

    monkeypatch.setattr(play, "play", breaks)
    code, body = asked(capsys, LAB, "--seeds", "3", "--state", state)
    assert (code, body["seeds"]) == (ExitCode.FAILED, 3)
    told = next(item for item in body["violations"] if item["seed"] == "2")
    assert told["rule"] == "error" and "nothing of that name" in told["text"]


def test_making_a_story_shorter_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then what was found by then is told. The play under way ends, but for the first, which is the story as it was."""
    from dr.simulate import play

    whole, played, stops = play.play, list[Any](), list[Any]()

    def breaks(stage: Any, story: Any, *others: Any) -> Any:
        played.append(story)
        stops.append(others[-1])
        if story.faults:
            stage.broken("I7", "planted")
        return whole(stage, story, *others)

    monkeypatch.setattr(play, "play", breaks)
    theatre = simulating.Theatre(simulating.Setting(Path(LAB), "1", 3, {}))
    try:
        number = next(number for number in range(50) if len(theatre.story(number).faults) >= 4)
        short = theatre.shorter(number, "I7", lambda: len(played) >= 3)
        assert len(played) == 3 and played[0] == theatre.story(number)
        assert stops[0] is None and stops[-1]()
        assert short.faults and short.told.startswith("violation of I7") and short.told.endswith(simulating._CUT)
        assert theatre.shorter(number, "I7", lambda: True) == (None, simulating._NO_TIME)
        assert len(played) == 3, "nothing is played when there is no time at all"
        short = theatre.shorter(number, "I7")
        assert short.faults is not None and len(short.faults) == 1 and simulating._CUT not in short.told
    finally:
        theatre.close()


def test_all_stories_share_the_time(played: list[Record], state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted from when the last story was played."""
    from dr.simulate.outcome import Broken
    from dr.simulate.survey import Shorter

    passed = [1000.0]
    seen: list[bool] = []

    def shorter(_theatre: Any, _number: int, _rule: str, enough: Callable[[], bool]) -> Shorter:
        seen.append(enough())
        passed[0] += simulating._SHORTENING / 2
        return Shorter(None, "")

    monkeypatch.setattr(simulating.Simulating, "_seconds", property(lambda _self: passed[0]))
    monkeypatch.setattr(simulating.Theatre, "shorter", shorter)
    played[0] = played[0]._replace(violation=Broken("I1", "two primaries", 1.0))
    report = simulating.Simulating(State(Path(state)), simulating.Wanted(Path(LAB), seeds=3)).many()
    assert (report.violations_total, seen) == (3, [False, False, True])
    assert report.timing.wall_seconds == 1000.0


# --- what was learned ---------------------------------------------------------------------------------------------------


def test_steps_take_what_they_once_took(tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of five runs of one's own journal; with four the estimate counts."""
    from dr.providers import registry
    from tests.cli import toy

    monkeypatch.setattr(registry, "_registry", registry._registry)
    toy.install()
    path = toy.make(tmp_path)
    own = tmp_path / "own"
    for number in range(ENOUGH):
        (path.parent / "db/east").write_text("primary")
        (path.parent / "db/west").write_text("secondary")
        state = State(own)
        assert (len(durations(state, "toys")) > 0) is False, number
        state.close()
        assert run(["failover", str(path), "--to", "west", "--yes", "--reason", "test", "--state", str(own)]) in (0, 5)
    state = State(own)
    learned = durations(state, "toys")
    state.close()
    assert set(learned) >= {"db/promote"} and all(len(took) >= ENOUGH for took in learned.values())
    assert durations(State(tmp_path / "none"), "toys") == {}
    capsys.readouterr()


def test_a_world_draws_from_what_was_measured() -> None:
    """One of the samples, the same for one seed; else the estimate, times a pace."""
    from dr.providers.sim.loop import Loop
    from dr.providers.sim.process import chance
    from dr.providers.sim.weather import Weather
    from dr.providers.sim.world import World, names

    def world(seed: str) -> World:
        made = World(Loop(), seed, names(("east", "west")), Weather(chance(seed, "weather")))
        made.measured = {"db/promote": (3.0, 4.0, 50.0)}
        return made

    drawn = {world(str(seed)).takes("db/promote", 1.0) for seed in range(60)}
    assert drawn == {3.0, 4.0, 50.0}
    assert world("7").takes("db/promote", 1.0) == world("7").takes("db/promote", 1.0)
    other = world("7")
    assert other.takes("db/fence", 2.0) == 2.0 * other.pace("db/fence")
