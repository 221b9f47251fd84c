"""All legal transitions of steps and of runs. What is not here is refused; a test enumerates the rest."""

from __future__ import annotations

from collections.abc import Mapping

from dr.model.words import RunStatus, StepState, Word


class Trigger(Word):
    """What can happen to a step."""

    START = "start"
    ASK = "ask for approval"
    APPROVE = "approve"
    DONE = "done"
    ALREADY = "already"
    RETRY = "retry"
    UNKNOWN = "unknown"
    FAIL = "fail"
    CANCEL = "cancel"
    DUE = "due"
    SKIP = "skip"
    CRASH = "crash"
    AGAIN = "again"
    LOOK_AGAIN = "look again"
    OWED = "owed fence again"
    DROP = "drop"
    UNDO = "undo"
    UNDONE = "undone"
    UNDO_FAILED = "undo failed"


class RunTrigger(Word):
    """What can happen to a run."""

    PAUSE = "pause"
    QUIET = "quiet"
    STUCK = "stuck"
    RESUME = "resume"
    RESUME_BACK = "resume rolling back"
    BACK = "cancel or roll back"
    TURN = "turn"
    END = "end"


_S, _T = StepState, Trigger
STEP_TABLE: Mapping[tuple[StepState, Trigger], StepState] = {
    (_S.PENDING, _T.START): _S.RUNNING,
    (_S.PENDING, _T.ASK): _S.WAITING_APPROVAL,
    (_S.PENDING, _T.SKIP): _S.SKIPPED,
    (_S.PENDING, _T.DROP): _S.CANCELLED,
    (_S.WAITING_APPROVAL, _T.APPROVE): _S.PENDING,
    (_S.WAITING_APPROVAL, _T.SKIP): _S.SKIPPED,
    (_S.WAITING_APPROVAL, _T.DROP): _S.CANCELLED,
    (_S.WAITING_APPROVAL, _T.CRASH): _S.PENDING,
    (_S.RUNNING, _T.DONE): _S.DONE,
    (_S.RUNNING, _T.ALREADY): _S.ALREADY,
    (_S.RUNNING, _T.RETRY): _S.BACKOFF,
    (_S.RUNNING, _T.UNKNOWN): _S.UNKNOWN,
    (_S.RUNNING, _T.FAIL): _S.FAILED,
    (_S.RUNNING, _T.CANCEL): _S.CANCELLED,
    (_S.RUNNING, _T.CRASH): _S.PENDING,
    (_S.BACKOFF, _T.DUE): _S.PENDING,
    (_S.BACKOFF, _T.CRASH): _S.PENDING,
    (_S.BACKOFF, _T.SKIP): _S.SKIPPED,
    (_S.BACKOFF, _T.DROP): _S.CANCELLED,
    (_S.UNKNOWN, _T.DUE): _S.PENDING,
    (_S.UNKNOWN, _T.CRASH): _S.PENDING,
    (_S.UNKNOWN, _T.SKIP): _S.SKIPPED,
    (_S.UNKNOWN, _T.DROP): _S.CANCELLED,
    # what was found may not hold any more: a fence, after a pause
    (_S.DONE, _T.LOOK_AGAIN): _S.PENDING,
    (_S.ALREADY, _T.LOOK_AGAIN): _S.PENDING,
    # it was not acknowledged and nothing waits for it any more: however it ends, it is done, as it was
    (_S.DONE, _T.OWED): _S.RUNNING,
    (_S.FAILED, _T.AGAIN): _S.PENDING,
    (_S.FAILED, _T.SKIP): _S.SKIPPED,
    (_S.CANCELLED, _T.AGAIN): _S.PENDING,
    (_S.CANCELLED, _T.SKIP): _S.SKIPPED,
    # undone is what may have taken effect, however its attempt ended
    (_S.DONE, _T.UNDO): _S.UNDOING,
    (_S.FAILED, _T.UNDO): _S.UNDOING,
    (_S.CANCELLED, _T.UNDO): _S.UNDOING,
    (_S.UNDOING, _T.UNDONE): _S.UNDONE,
    # how far an undo came is not known: no longer done, may still have an effect
    (_S.UNDOING, _T.UNDO_FAILED): _S.FAILED,
    (_S.UNDOING, _T.CRASH): _S.FAILED,
}

_R, _U = RunStatus, RunTrigger
RUN_TABLE: Mapping[tuple[RunStatus, RunTrigger], RunStatus] = {
    (_R.RUNNING, _U.PAUSE): _R.PAUSING,
    (_R.PAUSING, _U.PAUSE): _R.PAUSING,
    (_R.ROLLING_BACK, _U.PAUSE): _R.PAUSING,
    (_R.PAUSING, _U.QUIET): _R.PAUSED,
    (_R.RUNNING, _U.STUCK): _R.PAUSED,
    (_R.ROLLING_BACK, _U.STUCK): _R.PAUSED,
    # resumed while running: the process that held it crashed
    (_R.RUNNING, _U.RESUME): _R.RUNNING,
    (_R.PAUSING, _U.RESUME): _R.RUNNING,
    (_R.PAUSED, _U.RESUME): _R.RUNNING,
    (_R.PAUSING, _U.RESUME_BACK): _R.ROLLING_BACK,
    (_R.PAUSED, _U.RESUME_BACK): _R.ROLLING_BACK,
    (_R.ROLLING_BACK, _U.RESUME_BACK): _R.ROLLING_BACK,
    (_R.RUNNING, _U.BACK): _R.ROLLING_BACK,
    (_R.PAUSING, _U.BACK): _R.ROLLING_BACK,
    (_R.PAUSED, _U.BACK): _R.ROLLING_BACK,
    (_R.ROLLING_BACK, _U.BACK): _R.ROLLING_BACK,
    (_R.RUNNING, _U.TURN): _R.RUNNING,
    (_R.PAUSED, _U.TURN): _R.RUNNING,
    (_R.ROLLING_BACK, _U.TURN): _R.RUNNING,
    (_R.RUNNING, _U.END): _R.ENDED,
    (_R.PAUSED, _U.END): _R.ENDED,
    (_R.ROLLING_BACK, _U.END): _R.ENDED,
}
