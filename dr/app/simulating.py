"""``dr simulate``: a runbook against many simulated disasters, in this process or in several, and the one story that is to be told."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shlex
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import TYPE_CHECKING

from dr import __version__
from dr.app.by_hand import unseen
from dr.app.learned import durations
from dr.app.state import State
from dr.errors import DrError, ExitCode, LabError, UsageError
from dr.model.simulation import SimulateReport, TimingReport, ToldLine
from dr.model.words import Intent, Verb
from dr.providers.sim.sorts import KINDS
from dr.simulate import survey
from dr.simulate.flaws import flaws

if TYPE_CHECKING:
    from dr.model.runbook import Runbook
    from dr.simulate.outcome import Outside, Record
    from dr.simulate.play import Played
    from dr.simulate.stage import Stage
    from dr.simulate.story import Story

CHUNK = 4
"""Stories that a worker plays before it hands over what came of them."""
_SHORTENED, _PLAYS = 3, 60
"""So many stories with a violation are made shorter, each with so many plays at most."""
_SHORTENING = 180.0
"""Seconds for all of them together: one that never comes to its end is a week long, and takes more than a minute each time."""
_CUT = "fewer faults may be enough for it: there was no time to try"
_NO_TIME = "there was no time to find out which faults are enough for it"
_MOVED = (Verb.PROMOTE, Verb.REDIRECT, Verb.START)
"""What such a step does, a world must be able to show."""
_DIGITS = 40
_LOOK_EVERY = 0.2
"""Seconds between two looks whether it is to stop."""

BUGS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError, DrError)
"""What only a bug raises out of a story: told as a violation, with its seed."""


@dataclass(frozen=True)
class Wanted:
    """What is to be simulated.

    first: the first seed; with a number the following ones count on from it. seeds: how many stories at most; minutes: for how long at
    most, None: as long as it takes. jobs: processes. deployments: in the simulated platform. state: as it was given, for commands.
    """

    runbook: Path
    first: str = "1"
    seeds: int | None = 200
    minutes: float | None = None
    jobs: int = 1
    deployments: int = 5
    state: str | None = None


@dataclass(frozen=True)
class Setting:
    """What every process needs to play the same stories. measured: what steps took in real runs, by step, in seconds."""

    runbook: Path
    first: str
    deployments: int
    measured: Mapping[str, Sequence[float]]

    def seed(self, number: int) -> str:
        """The seed of the story with a number, from 0."""
        counts = self.first.isascii() and self.first.isdigit() and len(self.first) <= _DIGITS
        return str(int(self.first) + number) if counts else self.first + (f"-{number}" if number else "")


class Theatre:
    """Plays stories of one runbook, one after the other. ``stop``: asked often; true ends a story in the middle."""

    def __init__(self, setting: Setting, stop: Callable[[], bool] | None = None) -> None:
        from dr.app.simulation import Studio
        from dr.simulate.story import end_after

        self.setting, self.studio, self._stop = setting, Studio(setting.runbook), stop
        home, away = _regions(self.studio.runbook)
        moved = (Intent.FAILOVER, Intent.SWITCHOVER, Intent.REPROTECT)
        plans = [unseen(self.studio.real, Intent.FAILBACK, away, home), *(unseen(self.studio.real, intent, home, away) for intent in moved)]
        self._ends_after = end_after(plans, setting.measured)

    def story(self, number: int) -> Story:
        """The story with a number."""
        from dr.simulate import faults
        from dr.simulate.story import frame

        story = frame(self.setting.seed(number), self.setting.deployments, ends_after=self._ends_after)
        return faults.draw(story, self.studio.runbook)

    def play(self, number: int, *, told: bool = False) -> tuple[Record, tuple[ToldLine, ...]]:
        """One story, and its lines where it is to be told."""
        from dr.simulate import faults
        from dr.simulate.outcome import record
        from dr.simulate.told import tell

        played, stage, outside = self._played(self.story(number))
        found = record(number, played, stage, outside, {name: item.group.value for name, item in faults.CATALOGUE.items()})
        return found, tell(stage, played, found, {name: item.what for name, item in faults.CATALOGUE.items()}) if told else ()

    def _played(self, story: Story, stop: Callable[[], bool] | None = None) -> tuple[Played, Stage, Outside]:
        from dr.app.simulation import new_stage
        from dr.simulate import checks, faults
        from dr.simulate.outcome import Outside
        from dr.simulate.play import Played, play

        gc.collect(0)  # the story before: a world is full of circles, and while they are fresh they cost a third of what they cost later
        stage, outside = new_stage(self.studio, story), Outside(story)
        stage.world.measured = self.setting.measured
        try:
            return play(stage, story, faults.CATALOGUE, [*checks.ALL(), outside], stop or self._stop), stage, outside
        except BUGS as error:  # one story must not cost the thousand others
            stage.broken("error", _where(error))
            stage.close()
            return Played(story, (), tuple(stage.violations), "", (), len(stage.world.effects), stage.loop.now), stage, outside

    def shorter(self, number: int, rule: str, enough: Callable[[], bool] = lambda: False) -> survey.Shorter:
        """The story of a violation, with as few faults as it takes. ``enough``: asked often; true ends it with the shortest story found by
        then, and begins none. The story as it was is played to its end all the same: without that there is nothing to tell."""
        from dr.simulate.shrink import shrink
        from dr.simulate.tell import told

        if enough():
            return survey.Shorter(None, _NO_TIME)
        stages: list[Stage] = []

        def again(story: Story) -> Played:
            played, stage, _ = self._played(story, (lambda: self.stopped or enough()) if stages else None)
            if any(item.rule == rule for item in played.violations):
                stages[:] = [stage]  # the last one that violated the rule is the one that is told
            return played

        try:
            short = shrink(again, self.story(number), rule, most=_PLAYS, enough=enough)
        except ValueError as error:
            return survey.Shorter(None, "" if self.stopped else f"{error} when it is played again: no two plays of a seed may differ")
        if self.stopped:
            return survey.Shorter(None, "")
        violation = next(item for item in short.played.violations if item.rule == rule)
        text = told(stages[0], short.story, violation)
        text = text if short.whole or not enough() else f"{text}\n{_CUT}"
        return survey.Shorter(tuple(dict.fromkeys(fault.name for fault in short.story.faults)), text)

    def chunk(self, numbers: Sequence[int]) -> survey.Tally:
        """Several stories; not the one in the middle of which it was to stop."""
        found = survey.Tally()
        for number in numbers:
            played = self.play(number)[0]
            if self.stopped:
                break
            found.add(played)
        return found

    @property
    def stopped(self) -> bool:
        """It was to stop."""
        return self._stop is not None and self._stop()

    def close(self) -> None:
        """Forgets everything."""
        self.studio.close()


class Simulating:
    """One ``dr simulate``.

    Args:
        state: the user's own; what earlier runs and drills took is read from it.
        say: told now and then how many stories were played, and in how many seconds.
        stop: asked often; true ends it with what there is.

    Raises:
        FileError: the runbook is wrong.
    """

    def __init__(
        self, state: State, wanted: Wanted, *, say: Callable[[survey.Tally, float], None] = lambda _found, _seconds: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        from dr.config.runbook import load_runbook

        self.state, self.wanted, self._say, self._stop = state, wanted, say, stop
        self.runbook = load_runbook(wanted.runbook)
        measured = durations(state, self.runbook.name)
        self.setting = Setting(wanted.runbook, wanted.first, wanted.deployments, measured)
        self._begun = state.clock.monotonic()
        self.complete = True

    def many(self) -> SimulateReport:
        """Many stories."""
        theatre = self._theatre()
        try:
            found = survey.Tally()
            for part in self._alone(theatre) if self.wanted.jobs == 1 else self._together():
                found.merge(part)
                self._say(found, self._seconds)
            return self._report(theatre, found)
        finally:
            theatre.close()

    def explain(self) -> SimulateReport:
        """One story, told."""
        theatre = self._theatre()
        try:
            record, lines = theatre.play(0, told=True)
            self.complete = not self._stop()
            if not self.complete:
                lines = (*lines, ToldLine(at_seconds=lines[-1].at_seconds, what="end", text="INTERRUPTED: told as far as it was played"))
            return self._report(theatre, survey.tally([record])).model_copy(update={"story": lines})
        finally:
            theatre.close()

    def _theatre(self) -> Theatre:
        """Raises UsageError where the world has no picture of something that is moved."""
        theatre = Theatre(self.setting, self._stop)
        for step in unseen(theatre.studio.real, Intent.FAILOVER, *_regions(self.runbook)).steps:
            if step.verb in _MOVED and step.kind not in KINDS:
                theatre.close()
                raise UsageError(
                    f"{step.component} is of kind {step.kind}, which the simulated world has no picture of: {step.id} would do nothing",
                    hint="dr drill, against real servers; dr runbook check",
                )
        return theatre

    # --- playing --------------------------------------------------------------------------------------------------

    @property
    def _seconds(self) -> float:
        return self.state.clock.monotonic() - self._begun

    def _chunks(self, size: int) -> Iterator[Sequence[int]]:
        """Numbers of stories until it is interrupted, or the time is used up; each job gets some, however little time there is: an answer
        about no story at all would say that all is well."""
        numbers = iter(count() if self.wanted.seeds is None else range(self.wanted.seeds))
        for begun in count():
            late = self.wanted.minutes is not None and self._seconds >= self.wanted.minutes * 60
            chunk = [] if late and begun >= self.wanted.jobs else list(islice(numbers, size))
            if not chunk or self._stop():
                return
            yield chunk

    def _alone(self, theatre: Theatre) -> Iterator[survey.Tally]:
        for chunk in self._chunks(1):
            yield theatre.chunk(chunk)
        self.complete = not self._stop()

    def _together(self) -> Iterator[survey.Tally]:
        """Each process has its own studio. What it plays depends on the seeds alone, so who plays which is all the same."""
        context = multiprocessing.get_context("spawn")  # not fork: this process has threads and open databases
        waiting: set[Future[survey.Tally]] = set()
        others = multiprocessing.active_children()
        pool = ProcessPoolExecutor(self.wanted.jobs, context, _begin, (self.setting,))
        try:
            chunks = self._chunks(CHUNK)
            while True:
                while len(waiting) < 2 * self.wanted.jobs and (chunk := next(chunks, None)) is not None:
                    with _deaf():
                        waiting.add(pool.submit(_chunk, chunk))
                done = set() if self._stop() else wait(waiting, _LOOK_EVERY, FIRST_COMPLETED).done
                for result in done:
                    waiting.remove(result)
                    yield result.result()
                if not waiting or self._stop():  # a time that is used up begins nothing more, and drops no story for being long
                    self.complete = self.complete and not self._stop()
                    return
        except BrokenProcessPool as error:
            text = "a process that plays stories ended before it was done"
            raise LabError(text, hint="is there enough memory? fewer with --jobs") from error
        finally:
            if waiting:  # nobody wants to know what they are still playing
                for process in set(multiprocessing.active_children()).difference(others):
                    process.terminate()
            pool.shutdown(cancel_futures=True)

    # --- what is made of it ---------------------------------------------------------------------------------------

    def _report(self, theatre: Theatre, found: survey.Tally) -> SimulateReport:
        from dr.simulate import checks, faults

        runbook, setting, seconds = self.runbook, self.setting, self._seconds
        share = survey.share(found, "group", "all")
        code = ExitCode.FAILED if found.violations else ExitCode.OBJECTIVE_MISSED if share.within_both < share.stories else ExitCode.DONE
        again = {item.seed: self._command(item.seed) for item in (*found.worst, *found.broken)}
        broken = found.broken[:_SHORTENED] if self.complete else []
        until = seconds + _SHORTENING
        shorter = {
            item.seed: theatre.shorter(item.number, item.violation.rule, lambda: self._seconds >= until)
            for item in broken
            if item.violation is not None
        }
        self.complete = self.complete and not self._stop()
        home, away = _regions(runbook)
        plans = {intent: unseen(theatre.studio.real, intent, home, away) for intent in (Intent.FAILOVER, Intent.SWITCHOVER)}
        return SimulateReport(
            tool_version=__version__, commit=commit(), runbook=runbook.name, runbook_path=runbook.path, runbook_sha256=runbook.sha256,
            rto_seconds=runbook.objectives.rto.total_seconds(), rpo_seconds=runbook.objectives.rpo.total_seconds(),
            deployments=setting.deployments, first_seed=setting.first, seeds=found.stories, complete=self.complete,
            learned_steps=len(setting.measured), faults_known=len(faults.CATALOGUE), checkers=len(checks.rules()),
            exit_code=code if self.complete else ExitCode.INTERRUPTED, share=share, plots=survey.plots(found),
            groups=survey.groups(found), rta_histogram=survey.histogram(found.values.get(("rta", "group", "all"), {})),
            critical_steps=survey.critical_steps(found), faults=survey.faults(found), guards=survey.guards(found),
            decisions=survey.decisions(found), worst=survey.worst(found, again), violations=survey.violations(found, again, shorter),
            violations_total=found.violations, flaws=flaws(runbook, plans, found),
            timing=TimingReport(wall_seconds=round(seconds, 3), stories_per_second=round(found.stories / seconds, 2) if seconds else 0.0),
        )  # fmt: skip

    def _command(self, seed: str) -> str:
        """What tells a story again."""
        words = ["dr", "simulate", str(self.wanted.runbook), "--seed", seed, "--deployments", str(self.wanted.deployments), "--explain"]
        return shlex.join([*words, *(["--state", self.wanted.state] if self.wanted.state else [])])


def _regions(runbook: Runbook) -> tuple[str, str]:
    """Home, and where its moves go in the stories."""
    return runbook.home, next(name for name in runbook.regions if name != runbook.home)


def _where(error: BaseException) -> str:
    """What went wrong and where, in one line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"


_theatre: Theatre | None = None
"""A worker's own."""


@contextmanager
def _deaf() -> Iterator[None]:
    """What begins meanwhile never hears Ctrl-C, from its first instruction on; this process hears it a moment later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(setting: Setting) -> None:
    """A worker begins. Ctrl-C is its parent's business, who ends it; without its parent it has nothing to do."""
    global _theatre
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    _theatre = Theatre(setting)
    # as ``dr`` itself does: what was built for good is not walked through again, and a story makes 100,000 small things
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone."""
    wait_for([parent])
    os._exit(1)


def _chunk(numbers: Sequence[int]) -> survey.Tally:
    """A worker plays."""
    assert _theatre is not None, "it has begun"
    return _theatre.chunk(numbers)


def commit(package: Path = Path(__file__).parents[1]) -> str | None:
    """The commit of the source tree that this code lies in; None where it was installed otherwise."""
    try:
        folder = package.parent / ".git"
        head = (folder / "HEAD").read_text(encoding="utf-8").strip()
        name = head.removeprefix("ref: ")
        if name == head:
            return head
        if (folder / name).is_file():
            return (folder / name).read_text(encoding="utf-8").strip()
        packed = (folder / "packed-refs").read_text(encoding="utf-8").splitlines()
        return next((line.partition(" ")[0] for line in packed if line.endswith(f" {name}")), None)
    except (OSError, ValueError):
        return None
