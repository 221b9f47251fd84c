"""One attempt is read, act, read, and ends in exactly one outcome whatever an operation does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from dr.engine.attempt import Attempted, attempt, take_back
from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.model.evidence import Evidence, Fenced, Note, RecoveryPoint
from dr.model.plan import Acceptance
from dr.model.words import FenceState, Guard, Intent, Outcome, Verb
from dr.ports import AttemptContext, Look, Seen
from tests.engine.build import START, spec
from tests.engine.doubles import StillClock, context_for, note

SECRET = "password=hunter2"
Answer = Seen | Exception | tuple[Evidence, ...]


@dataclass
class Scripted:
    """An operation whose every call is scripted, and noted. Verify repeats its last answer."""

    observes: Answer = field(default_factory=lambda: Seen(Look.NEEDED))
    preserves: Answer = ()
    acts: Answer = ()
    verifies: Sequence[Answer] = (Seen(Look.DONE),)
    undoes: Exception | None = None
    calls: list[str] = field(default_factory=list)
    given: list[AttemptContext] = field(default_factory=list)
    after: Callable[[str], None] = lambda _call: None

    def _call(self, name: str, answer: Answer, context: AttemptContext) -> Answer:
        self.calls.append(name)
        self.given.append(context)
        self.after(name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def observe(self, context: AttemptContext) -> Seen:
        return self._call("observe", self.observes, context)  # type: ignore[return-value]

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        return self._call("preserve", self.preserves, context)  # type: ignore[return-value]

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        return self._call("act", self.acts, context)  # type: ignore[return-value]

    def verify(self, context: AttemptContext) -> Seen:
        answer = self.verifies[min(self.calls.count("verify"), len(self.verifies) - 1)]
        return self._call("verify", answer, context)  # type: ignore[return-value]

    def undo(self, context: AttemptContext) -> None:
        self.calls.append("undo")
        if self.undoes is not None:
            raise self.undoes


def outcome(operation: Scripted, *, look_first: bool = False, **context: object) -> Attempted:
    return attempt(operation, context_for(spec("a"), **context), look_first=look_first)  # type: ignore[arg-type]


def test_needed_is_preserved_acted_and_verified() -> None:
    """The order of one attempt, and the evidence of all of it, in that order; act sees what observe and preserve found."""
    operation = Scripted(
        Seen(Look.NEEDED, evidence=(note("seen"),)), (note("kept"),), (note("did"),), (Seen(Look.DONE, "holds", (note("held"),)),)
    )
    result = outcome(operation, evidence=(note("before"),))
    assert operation.calls == ["observe", "preserve", "act", "verify"]
    assert (result.outcome, result.acted, result.reason) == (Outcome.DONE, True, "holds")
    assert result.evidence == [note("seen"), note("kept"), note("did"), note("held")]
    assert operation.given[2].evidence == (note("before"), note("seen"), note("kept"))
    assert operation.given[3].evidence == (note("before"), note("seen"), note("kept"), note("did"))


@pytest.mark.parametrize(("look_first", "expected"), [(False, Outcome.ALREADY), (True, Outcome.DONE)])
def test_what_is_done_is_not_acted_on(look_first: bool, expected: Outcome) -> None:
    """Found done: already; after an attempt that may have acted, it was this run's doing."""
    operation = Scripted(Seen(Look.DONE, "there", (note("seen"),)))
    result = outcome(operation, look_first=look_first)
    assert operation.calls == ["observe"]
    assert (result.outcome, result.acted, result.reason, result.evidence) == (expected, False, "there", [note("seen")])


def test_blocked_is_failed_with_its_reason() -> None:
    """Cannot be done now: nothing acts."""
    operation = Scripted(Seen(Look.BLOCKED, "disk full", (note("seen"),)))
    result = outcome(operation)
    assert operation.calls == ["observe"]
    assert (result.outcome, result.acted, result.reason, result.evidence) == (Outcome.FAILED, False, "disk full", [note("seen")])


BAD = {
    "transient": Transient("refused", hint="wait"),
    "unknown": EffectUnknown("no answer", hint="wait"),
    "permanent": Permanent("wrong password", hint="wait"),
    "other": StepError("odd", hint="wait"),
    "fault": KeyError(SECRET),
}


@pytest.mark.parametrize(
    ("where", "error", "expected"),
    [
        ("observe", "transient", Outcome.RETRY),
        ("observe", "unknown", Outcome.RETRY),  # a read without answer had no effect
        ("observe", "permanent", Outcome.FAILED),
        ("observe", "other", Outcome.FAILED),
        ("observe", "fault", Outcome.FAILED),
        ("preserve", "transient", Outcome.RETRY),
        ("preserve", "unknown", Outcome.RETRY),
        ("preserve", "permanent", Outcome.FAILED),
        ("preserve", "fault", Outcome.FAILED),
        ("act", "transient", Outcome.RETRY),
        ("act", "unknown", Outcome.UNKNOWN),
        ("act", "permanent", Outcome.FAILED),
        ("act", "fault", Outcome.UNKNOWN),
        ("verify", "transient", Outcome.UNKNOWN),  # acted: nothing says any more that nothing happened
        ("verify", "unknown", Outcome.UNKNOWN),
        ("verify", "permanent", Outcome.FAILED),
        ("verify", "fault", Outcome.UNKNOWN),
    ],
)
def test_each_error_is_one_outcome(where: str, error: str, expected: Outcome) -> None:
    """Worth retrying, not worth it, or unknown; acted exactly from the act on."""
    operation = Scripted()
    setattr(operation, {"verify": "verifies"}.get(where, f"{where}s"), (BAD[error],) if where == "verify" else BAD[error])
    result = outcome(operation)
    assert (result.outcome, result.acted) == (expected, where in ("act", "verify"))
    assert operation.calls[-1] == where
    assert error == "fault" or "(try: wait)" in result.reason


def test_what_was_found_before_an_error_is_kept() -> None:
    """The evidence of observe and act survives a verify that breaks."""
    operation = Scripted(Seen(Look.NEEDED, evidence=(note("seen"),)), (), (note("did"),), (Transient("gone"),))
    assert outcome(operation).evidence == [note("seen"), note("did")]


def test_a_fault_of_a_kind_does_not_leak_its_message() -> None:
    """I15: the message of an unforeseen error may hold a secret: only its type and the operation are said, also for an undo."""
    result = outcome(Scripted(acts=KeyError(SECRET)))
    assert result.reason == "KeyError in Scripted: a fault of the kind, please report it"
    undone = take_back(Scripted(undoes=ValueError(SECRET)), context_for(spec("a")))
    assert undone == "ValueError in Scripted: a fault of the kind, please report it"


def test_an_answer_that_is_no_answer_is_a_fault_of_the_kind() -> None:
    """An operation that returns nothing: failed before the act, unknown after it."""
    assert outcome(Scripted(observes=None)).outcome is Outcome.FAILED  # type: ignore[arg-type]
    assert outcome(Scripted(verifies=(None,))).outcome is Outcome.UNKNOWN  # type: ignore[arg-type]


def test_verify_is_asked_until_it_holds() -> None:
    """Three times not yet, then done: short waits that grow, by the clock that was handed in."""
    clock = StillClock()
    not_yet = Seen(Look.NEEDED, "in recovery", (note("ignored"),))
    operation = Scripted(verifies=(not_yet, not_yet, not_yet, Seen(Look.DONE, "holds", (note("held"),))))
    result = attempt(operation, context_for(spec("a"), clock))
    assert (result.outcome, result.reason, result.evidence) == (Outcome.DONE, "holds", [note("held")])
    assert clock.slept == sorted(clock.slept)
    assert len(clock.slept) == 3
    assert max(clock.slept) <= 0.25


def test_verify_ends_at_the_deadline_as_unknown() -> None:
    """Never seen to hold: the effect is unknown, and polling ended when the time was over, not before."""
    clock = StillClock()
    result = attempt(Scripted(verifies=(Seen(Look.NEEDED, "in recovery"),)), context_for(spec("a"), clock, deadline=clock.monotonic() + 5))
    assert (result.outcome, result.acted) == (Outcome.UNKNOWN, True)
    assert result.reason == "acted, and could not see it hold in time: in recovery"
    assert 5 <= sum(clock.slept) <= 5.3


def test_what_settles_soon_is_not_waited_for_to_its_deadline() -> None:
    """It may be that nothing was done, whatever was said: the effect is unknown long before the budget is used up."""
    clock = StillClock()
    step = spec("a").model_copy(update={"settles": timedelta(seconds=3)})
    result = attempt(
        Scripted(verifies=(Seen(Look.NEEDED, "not streaming"),)), context_for(step, clock, deadline=clock.monotonic() + 3600)
    )  # fmt: skip
    assert (result.outcome, result.acted) == (Outcome.UNKNOWN, True)
    assert 3 <= sum(clock.slept) <= 3.3


def test_a_deadline_that_has_passed_still_looks_once() -> None:
    """Verify is asked at least once after an act."""
    clock = StillClock()
    operation = Scripted()
    assert attempt(operation, context_for(spec("a"), clock, deadline=clock.monotonic() - 1)).outcome is Outcome.DONE
    assert operation.calls[-1] == "verify"


def test_verify_that_saw_it_go_wrong_is_failed() -> None:
    """BLOCKED after the act: a person must look."""
    result = outcome(Scripted(verifies=(Seen(Look.NEEDED), Seen(Look.BLOCKED, "two primaries"))))
    assert (result.outcome, result.acted, result.reason) == (Outcome.FAILED, True, "two primaries")


def test_without_the_lease_nothing_acts() -> None:
    """The lease ran out before the act: not acted, and tried again, should it be renewed; undo does not act either."""
    operation = Scripted()
    result = outcome(operation, may_act=lambda: False)
    assert "act" not in operation.calls
    assert (result.outcome, result.acted) == (Outcome.RETRY, False)
    assert "lease" in result.reason
    assert "lease" in (take_back(operation, context_for(spec("a"), may_act=lambda: False)) or "")
    assert "undo" not in operation.calls


@pytest.mark.parametrize("during", ["observe", "preserve"])
def test_cancelled_before_the_act_is_cancelled(during: str) -> None:
    """A person cancelled while it looked or preserved: nothing acts."""
    operation = Scripted()
    operation.after = lambda call: cancelled.append(call) if call == during else None
    cancelled: list[str] = []
    result = outcome(operation, cancelled=lambda: bool(cancelled))
    assert (result.outcome, result.acted, operation.calls[-1]) == (Outcome.CANCELLED, False, during)


def test_cancelled_while_verifying_ends_the_polls() -> None:
    """Acted, then cancelled: cancelled, and it is known that it acted."""
    cancelled: list[str] = []
    operation = Scripted(verifies=(Seen(Look.NEEDED),))
    operation.after = lambda call: cancelled.append(call) if call == "verify" else None
    result = outcome(operation, cancelled=lambda: bool(cancelled))
    assert (result.outcome, result.acted) == (Outcome.CANCELLED, True)
    assert operation.calls.count("verify") == 1


def test_cancelled_does_not_hide_what_is_unknown() -> None:
    """A call without answer stays unknown when a person cancelled meanwhile; one that had no effect does not go on."""
    assert outcome(Scripted(acts=EffectUnknown("no answer")), cancelled=lambda: True).outcome is Outcome.CANCELLED
    cancelled: list[str] = []
    for error, expected in ((EffectUnknown("no answer"), Outcome.UNKNOWN), (Transient("refused"), Outcome.CANCELLED)):
        cancelled.clear()
        operation = Scripted(acts=error)
        operation.after = lambda call: cancelled.append(call) if call == "act" else None
        assert outcome(operation, cancelled=lambda: bool(cancelled)).outcome is expected


FENCED = Fenced(component="db", region="east", state=FenceState.FENCED, proof="gone", writes_ended_at=START)


def recovery_point(behind: float | None) -> Seen:
    point = None if behind is None else START - timedelta(minutes=behind)
    return Seen(
        Look.NEEDED, evidence=(RecoveryPoint(component="db", region="west", read_at=START, recovery_point=point), Note(text="last"))
    )


def promote(
    seen: Seen, evidence: Sequence[Evidence] = (FENCED,), acceptances: Sequence[Acceptance] = (), intent: Intent = Intent.FAILOVER
) -> tuple[Attempted, Scripted]:
    operation = Scripted(seen)
    step = spec("db/promote", verb=Verb.PROMOTE, irreversible=True)
    context = context_for(step, evidence=tuple(evidence), acceptances=tuple(acceptances), intent=intent)
    return attempt(operation, context), operation


def test_a_promotion_asks_its_guards_with_what_it_has_just_read() -> None:
    """Fenced and inside the RPO: it acts. The recovery point is the one read now, not one of an earlier attempt."""
    result, _ = promote(recovery_point(3))
    assert (result.outcome, result.guard) == (Outcome.DONE, None)
    assert {item.name for item in result.guards} == {Guard.FENCE, Guard.EXPOSURE}, "kept when they passed, too"
    old = RecoveryPoint(component="db", region="west", read_at=START, recovery_point=START)
    result, operation = promote(Seen(Look.NEEDED), [FENCED, old])
    assert (result.outcome, result.guard) == (Outcome.FAILED, Guard.EXPOSURE)
    assert operation.calls == ["observe"]


def test_a_refused_promotion_says_what_to_type() -> None:
    """I4 and I6 at once: failed, nothing acted, the first guard by name, all reasons, and the command that accepts both."""
    result, operation = promote(recovery_point(60), [])
    assert operation.calls == ["observe"]
    assert (result.outcome, result.acted, result.guard) == (Outcome.FAILED, False, Guard.FENCE)
    assert "db was not fenced; db would lose 1h00m, RPO 15m00s" in result.reason
    assert result.reason.endswith("(try: dr resume run-1 --accept-split --accept-data-loss DURATION --reason TEXT)")
    assert result.evidence[0].fact == "recovery-point", "what was read is evidence also where it was refused"


def test_another_components_fence_is_no_fence() -> None:
    """I4 is by component."""
    other = FENCED.model_copy(update={"component": "logs"})
    assert promote(recovery_point(3), [other])[0].guard is Guard.FENCE


def test_the_newest_fence_counts() -> None:
    """Fenced once, not acknowledged later: not fenced."""
    later = FENCED.model_copy(update={"state": FenceState.UNACKNOWLEDGED})
    assert promote(recovery_point(3), [FENCED, later])[0].guard is Guard.FENCE


def test_acceptances_open_the_way() -> None:
    """A recorded split and a bounded loss, both accepted: it acts."""
    split = Acceptance(guard=Guard.FENCE, actor="lead", reason="east is dark", at=START)
    loss = Acceptance(guard=Guard.EXPOSURE, actor="lead", reason="east is dark", at=START, bound=timedelta(hours=2))
    assert promote(recovery_point(60), [], [split, loss])[0].outcome is Outcome.DONE
    assert promote(recovery_point(60), [], [split])[0].guard is Guard.EXPOSURE


def test_a_planned_promotion_loses_nothing() -> None:
    """Three minutes are inside the RPO; a switchover refuses them all the same."""
    result, _ = promote(recovery_point(3), intent=Intent.SWITCHOVER)
    assert (result.outcome, result.guard) == (Outcome.FAILED, Guard.EXPOSURE)
    assert "a planned move loses nothing" in result.reason


def test_what_is_promoted_already_needs_no_guard() -> None:
    """I5: found primary, it is not promoted again, fence or not."""
    result, operation = promote(Seen(Look.DONE), [])
    assert (result.outcome, operation.calls) == (Outcome.ALREADY, ["observe"])


def test_an_undo_tells_what_went_wrong() -> None:
    """None when it went well; the reason with its hint when not."""
    assert take_back(Scripted(), context_for(spec("a"))) is None
    assert take_back(Scripted(undoes=Transient("unreachable", hint="look")), context_for(spec("a"))) == "unreachable (try: look)"


def test_an_undo_waits_for_what_the_undo_before_it_started() -> None:
    """A rollback starts the database, then what writes to it: "not yet" is asked again, and only a lasting "no" stops the rollback."""

    class ComingUp(Scripted):
        def undo(self, context: AttemptContext) -> None:
            super().undo(context)
            if self.calls.count("undo") < 4:
                raise Transient("HTTP 503 unreachable")

    clock, operation = StillClock(), ComingUp()
    assert take_back(operation, context_for(spec("a"), clock)) is None
    assert operation.calls == ["undo"] * 4 and clock.slept
    never, gone = Scripted(undoes=Permanent("two primaries")), Scripted(undoes=Transient("unreachable"))
    assert (take_back(never, context_for(spec("a"))), never.calls) == ("two primaries", ["undo"])
    assert take_back(gone, context_for(spec("a"), cancelled=lambda: True)) == "unreachable"
    assert gone.calls == ["undo"]


@pytest.mark.parametrize(
    ("settles", "deadline", "waits"),
    [(None, 3600, 5), (1, 3600, 5), (60, 3600, 60), (60, 20, 20), (3600, 36_000, 120)],
    ids=["as-ever", "never-shorter", "while-its-act-is-under-way", "not-beyond-the-deadline", "not-for-an-hour"],
)
def test_an_undo_waits_while_its_act_settles(settles: float | None, deadline: float, waits: float) -> None:
    """What the act began refuses the undo until it is over: asked until then, ever less often; what settles within an hour is not waited
    for that long, because everybody is frozen meanwhile."""

    class Changing(Scripted):
        def undo(self, context: AttemptContext) -> None:
            super().undo(context)
            if clock.monotonic() < over:
                raise Transient("ResourceInUseException")

    step = spec("a").model_copy(update={"settles": None if settles is None else timedelta(seconds=settles)})
    for late, expected in ((-2.0, None), (2.0, "ResourceInUseException")):
        clock = StillClock()
        over = clock.monotonic() + waits + late
        operation = Changing()
        assert take_back(operation, context_for(step, clock, deadline=clock.monotonic() + deadline)) == expected
        assert min(waits, waits + late) <= sum(clock.slept) <= waits + 1.0
        assert len(operation.calls) < 30 + waits, "asked less often once it takes long"
        assert max(clock.slept) <= 1.0, "somebody who gives the move up does not wait"
