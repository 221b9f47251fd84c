"""Runs a scenario: world up, monitor on, warm-up, faults and acts in their time, truth, judgement; the world is ended always."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import ValidationError

from dr.drill import keyboard
from dr.drill.schedule import KILLED, Item, RunWatch, describe_target, due, hits_orchestrator, merge
from dr.drill.scorecard import Results, score
from dr.errors import DrError, LabError
from dr.model.base import show_duration
from dr.model.report import DrillReport, ExpectationReport, FaultReport, HostnameReport, RunReport, TruthReport
from dr.model.scenario import Act, Fault, Scenario
from dr.model.truth import CleanUp, Truth
from dr.model.words import RunOutcome
from dr.ports import Clock, Journal, Mailbox, Operator, Threads, World

WATCHING = 0.004
IDLE = 0.02
"""Seconds between two looks at the journal: short only while something waits for an event."""

SETTLE = timedelta(seconds=30)
GIVEN_UP = timedelta(seconds=2)
"""How long the client may take to see every hostname again; after a move that did not complete nobody expects it to."""
_KILLED_WITHIN = 10.0
"""Seconds that a killed keyboard may take to be gone."""


@dataclass(frozen=True)
class Drill:
    """What a drill works with; everything is handed in.

    runbook: path of the runbook, as the operator types it. assess: a run's report by its id, earlier debt included.
    operators: makes one keyboard each time; a keyboard takes one command. monitor: watches while it is entered.
    threads: what answers are waited for in. seed: of a simulated world.
    """

    scenario: Scenario
    runbook: str
    world: World
    operators: Callable[[], Operator]
    journal: Journal
    assess: Callable[[str], RunReport]
    clock: Clock
    monitor: AbstractContextManager[object]
    threads: Threads
    say: Callable[[str], None] = lambda _text: None
    seed: int | None = None


def run_drill(drill: Drill) -> DrillReport:
    """The whole drill.

    The world is ended on success, failure and Ctrl-C alike. What fails in the world becomes ``error`` and a failed verdict.

    Raises:
        KeyboardInterrupt: a person interrupted; the world was ended before.
    """
    played = _Played(drill)
    started, error = drill.clock.now(), ""
    truth: Truth | None = None
    runs: list[RunReport] = []
    try:
        try:
            drill.say(f"starting the {drill.world.name}")
            drill.world.up(drill.scenario.workload)
            with drill.monitor:
                error = played.play()
                runs = played.reports()
                drill.say("waiting for the client")
                drill.world.settle(SETTLE if any(run.outcome is RunOutcome.COMPLETED for run in runs) else GIVEN_UP)
                truth = drill.world.truth()
        finally:
            cleanup = _end(played, drill)
    except DrError as problem:
        error = "; ".join(text for text in (error, problem.message, f"try: {problem.hint}" if problem.hint else "") if text)
    running = drill.scenario.workload.running_tasks
    theirs = [run for run in runs if not run.actors or run.actors[0] in played.actors]
    seen = Results(theirs, truth, played.exit_codes(), played.last_exit(), running, played.printed())
    lines = score(drill.scenario.expect, seen) + played.missed()
    passed = not error and cleanup.ok and all(line.met for line in lines)
    return DrillReport(
        scenario=drill.scenario.name,
        world=drill.world.name,
        seed=drill.seed,
        started_at=started,
        finished_at=drill.clock.now(),
        verdict="passed" if passed else "failed",
        expectations=lines,
        runs=tuple(runs),
        faults=tuple(played.faults),
        truth=_truth(truth),
        cleanup=cleanup,
        debt=runs[-1].debt if runs else (),
        error=error,
    )


def _end(played: _Played, drill: Drill) -> CleanUp:
    """Ends operators and world, whatever state they are in. A Ctrl-C in the middle of it does not stop it."""
    try:
        return _end_once(played, drill)
    except KeyboardInterrupt:
        drill.say("ending the world first")
        _end_once(played, drill)
        raise


def _end_once(played: _Played, drill: Drill) -> CleanUp:
    drill.say("cleaning up")
    played.let_go()
    try:
        left = drill.world.down()
    except DrError as problem:
        left = CleanUp(leftovers=(problem.message,))
    for item in left.leftovers:
        drill.say(f"left over: {item}")
    return left


@dataclass
class _Typed:
    """One command that was typed, and what came of it. ``running``: it has not answered yet; ``over`` hears when it has."""

    act: Act
    operator: Operator
    over: Mailbox[None]
    code: int | None = None
    out: str = ""
    running: bool = True

    def gone(self) -> None:
        """Waits a while for the answer of a keyboard that was killed."""
        if self.running:
            self.over.take(_KILLED_WITHIN)


@dataclass
class _Played:
    """The playing of a scenario: what is still due, what was typed, what was seen."""

    drill: Drill
    faults: list[FaultReport] = field(default_factory=list)
    typed: dict[int, _Typed] = field(default_factory=dict)
    keyboards: list[Operator] = field(default_factory=list)
    watches: dict[str, RunWatch] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.left: list[str] = []
        self.turn = -1
        self.before = self.earlier = frozenset(self.drill.journal.runs())
        self.actors = frozenset(act.actor for act in self.drill.scenario.acts)
        self.answers = self.drill.threads.pool(len(self.drill.scenario.acts) * self.drill.scenario.repeat, "answer")

    def play(self) -> str:
        """The scenario as often as it says, settled in between. Returns what went wrong, or nothing."""
        for turn in range(self.drill.scenario.repeat):
            if turn:
                self.drill.say(f"once more: {turn + 1} of {self.drill.scenario.repeat}")
                self.drill.world.settle(SETTLE)
            self._begin(turn)
            self._once()
            self.left += [due(item) for _when, item in (*self.waiting, *self.timed, *self.later)]
            if self.errors:
                break
        return "; ".join(self.errors)

    def _begin(self, turn: int) -> None:
        schedule = merge(self.drill.scenario)
        self.turn = turn
        self.timed, self.waiting = list(schedule.timed), list(schedule.waiting)
        self.later: list[tuple[float, Item]] = []
        self.ready: list[Item] = []
        self.earlier = frozenset(self.drill.journal.runs())

    def _once(self) -> None:
        """Warm-up, then everything in its time until all commands have answered."""
        drill, clock = self.drill, self.drill.clock
        # the keyboards are there before the disaster: what is drilled is the failover, not the start of an interpreter
        for _act in drill.scenario.acts:
            self.keyboards.append(drill.operators())
        drill.say(f"warming up for {show_duration(drill.scenario.workload.warm_up)}")
        clock.sleep(drill.scenario.workload.warm_up.total_seconds())
        start = clock.monotonic()
        limit = drill.scenario.time_limit.total_seconds()
        while self._go_on(clock.monotonic() - start):
            if clock.monotonic() - start > limit:
                self.errors.append(f"not over within the time limit of {show_duration(drill.scenario.time_limit)}")
                break
            clock.sleep(WATCHING if self.waiting else IDLE)

    def _go_on(self, elapsed: float) -> bool:
        """One turn: does what is due. False when nothing is left that could still happen."""
        answered = not any(command.running for command in self.typed.values())
        # looked at after the commands, so that nothing they wrote before they answered is missed
        self._look()
        did = False
        while self.timed and self.timed[0][0].total_seconds() <= elapsed:
            self._do(self.timed.pop(0)[1])
            did = True
        for moment, item in list(self.later):
            if moment <= self.drill.clock.monotonic():
                self.later.remove((moment, item))
                self._now(item)
        for item in list(self.ready):
            if not self._must_wait(item):
                self.ready.remove(item)
                self._do(item)
                did = True
        return bool(did or self.timed or self.later or self.ready or not answered)

    def _must_wait(self, item: Item) -> bool:
        """``run.ended`` stands in the journal a moment before its process gives the lease back: a person types after the prompt."""
        return isinstance(item, Act) and not item.at_once and keyboard.takes_a_run(item) and self._holder() is not None

    def _look(self) -> None:
        """Reads what is new in the journal, and makes ready what waited for it."""
        if not self.waiting and not any(act.approve for act in self.drill.scenario.acts):
            return
        for run_id in self.drill.journal.runs():
            if run_id in self.earlier:
                continue
            watch = self.watches.setdefault(run_id, RunWatch(run_id))
            names = watch.feed(self.drill.journal.records(run_id, watch.seq))
            if watch.state.started is not None and watch.state.started.actor not in self.actors:
                continue  # the monitor's own: nobody in the scenario waits for it
            for name in names:
                self._fire(name)

    def _fire(self, name: str) -> None:
        due_now = [item for on, item in self.waiting if on == name]
        self.waiting = [(on, item) for on, item in self.waiting if on != name]
        for item in due_now:
            if item.after:
                self.later.append((self.drill.clock.monotonic() + item.after.total_seconds(), item))
            else:
                self._now(item)

    def _now(self, item: Item) -> None:
        """Its event has come. A fault strikes at once: the next record may already be too late."""
        if isinstance(item, Fault):
            self._do(item)
        else:
            self.ready.append(item)

    def _do(self, item: Item) -> None:
        if isinstance(item, Act):
            self._type(item)
        elif hits_orchestrator(item):
            self._kill_orchestrator(item)
        else:
            self.drill.say(f"{due(item)}: {item.kind} {describe_target(item)}")
            self._note(item, self.drill.world.inject(item))

    def _note(self, fault: Fault, moment: datetime | None) -> None:
        self.faults.append(FaultReport(kind=fault.kind, target=describe_target(fault), at=due(fault), observed_at=moment))

    def _kill_orchestrator(self, fault: Fault) -> None:
        holder = self._holder()
        if holder is None or fault.kill is None:
            self.errors.append(f"{due(fault)}: no orchestrator was running that could be hit with {fault.kind}")
            self._note(fault, None)
            return
        self.drill.say(f"{due(fault)}: kill orchestrator")
        holder.operator.kill()
        self._note(fault, self.drill.clock.now())
        holder.gone()
        self._fire(KILLED)

    def _holder(self) -> _Typed | None:
        """The command that holds a run now."""
        return next((command for command in reversed(self.typed.values()) if command.running and keyboard.takes_a_run(command.act)), None)

    def _type(self, act: Act) -> None:
        acts = self.drill.scenario.acts
        number = self.turn * len(acts) + next(index for index, item in enumerate(acts) if item is act)
        runs = [run_id for run_id in self.drill.journal.runs() if run_id not in self.earlier]
        waiting = self.watches[runs[-1]].waiting() if runs and runs[-1] in self.watches else []
        try:
            words = keyboard.argv(act, self.drill.runbook, runs[-1] if runs else None, waiting)
        except LookupError as problem:
            self.errors.append(f"{due(act)}: {problem.args[0]}")
            return
        self.drill.say(f"{due(act)}: dr {' '.join(words)}")
        command = _Typed(act, self.keyboards[number], self.drill.threads.mailbox())
        self.typed[number] = command
        command.operator.type(words)
        self.answers.do(lambda: self._await(command))

    def _await(self, command: _Typed) -> None:
        try:
            status, command.out = command.operator.wait(self.drill.scenario.time_limit)
        except LabError as problem:
            self.errors.append(problem.message)
        else:
            command.code = 128 - status if status < 0 else status  # ended by a signal: as a shell says it
        finally:
            command.running = False
            command.over.put(None)

    def reports(self) -> list[RunReport]:
        """The runs of this drill in the order of their start; then those that were refused before they were journaled."""
        found = [self.drill.assess(run_id) for run_id in self.drill.journal.runs() if run_id not in self.before]
        known = {run.run_id for run in found} | self.before
        for number in sorted(self.typed):
            answer = _answer(self.typed[number].out)
            if answer is not None and answer.run_id not in known:
                found.append(answer)
        return found

    def exit_codes(self) -> list[int | None]:
        """Of all acts, in the order of the scenario; None where the act was not typed or has not answered."""
        asked = len(self.drill.scenario.acts) * self.drill.scenario.repeat
        return [self.typed[number].code if number in self.typed else None for number in range(asked)]

    def printed(self) -> list[str]:
        """What the commands printed on stdout, in the order of the scenario."""
        return [self.typed[number].out for number in sorted(self.typed)]

    def last_exit(self) -> int | None:
        """Of the last act that took a run."""
        codes = zip(self.drill.scenario.acts * self.drill.scenario.repeat, self.exit_codes(), strict=True)
        return next((code for act, code in reversed(list(codes)) if keyboard.takes_a_run(act)), None)

    def missed(self) -> tuple[ExpectationReport, ...]:
        """A fault or an act that never came is a scenario that did not do what it says."""
        if not self.left:
            return ()
        return (
            ExpectationReport(
                name="scenario_played", expected="every fault and act", actual=f"never came: {', '.join(self.left)}", met=False
            ),
        )  # fmt: skip

    def let_go(self) -> None:
        """Ends the operators' processes that are still there."""
        for operator in self.keyboards:
            operator.kill()
        for command in self.typed.values():
            command.gone()
        self.answers.close()


def _answer(out: str) -> RunReport | None:
    """What a command printed, where it is a run's report."""
    try:
        return RunReport.model_validate_json(out)
    except ValidationError:
        return None


def _truth(truth: Truth | None) -> TruthReport | None:
    if truth is None:
        return None
    return TruthReport(
        outage_seconds=truth.outage.total_seconds() if truth.outage is not None else None,
        acknowledged_writes=truth.acknowledged_writes,
        lost_writes=truth.lost_writes,
        unconfirmed_writes=truth.unconfirmed_writes,
        preserved_writes=truth.preserved_writes,
        acknowledged_objects=truth.acknowledged_objects,
        lost_objects=truth.lost_objects,
        loss_window_seconds=truth.loss_window.total_seconds(),
        ledger_path=truth.ledger_path,
        ledger_sha256=truth.ledger_sha256,
        hostnames=tuple(
            HostnameReport(hostname=item.hostname, last_ok=item.last_ok, first_fail=item.first_fail, first_ok_after=item.first_ok_after)
            for item in truth.hostnames
        ),
    )
