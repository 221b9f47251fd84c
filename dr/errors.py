"""Every error of ``dr``, and the exit codes. No imports of the project: this is the lowest layer.

The tree::

    DrError
    ├── UsageError                 exit 2   what a person wrote is wrong; nothing was touched
    │   └── FileError                       a runbook or scenario: file, line, field, expected
    ├── Refused                    exit 3   the world says no; nothing was touched
    │   ├── GuardsRefused                   one or more guards, each with the flag that accepts it
    │   ├── RunInFlight                     another run holds the runbook's lease
    │   ├── CredentialMissing               a file or environment variable is not there
    │   ├── StateUnreadable                 journal or samples cannot be read or trusted
    │   └── NotThere                        a run, step, server or part that was named does not exist
    ├── NeedsOperator              exit 4   the run is paused; one of the printed commands continues it
    ├── StateLost                  exit 1   the journal cannot be written (disk full, I/O error): the run stops
    ├── LeaseLost                  exit 4   another holder has a higher epoch: this process must not act
    ├── StepError                           raised inside a step; becomes the outcome of the attempt
    │   ├── Transient                       worth retrying: time-out before effect, refused, throttled
    │   ├── Permanent                       not worth retrying: a person must look
    │   └── EffectUnknown                   the call may have taken effect: observe before anything else
    ├── IllegalTransition          exit 1   an event that the transition table does not have (a bug of ours)
    └── LabError                   exit 1   a part of the lab is missing or did not start

Every error carries ``hint``: the next thing to type or do. The message says what and where.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What every command of ``dr`` exits with; the one place where the numbers stand."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    PAUSED = 4
    OBJECTIVE_MISSED = 5
    INTERRUPTED = 130


class DrError(Exception):
    """What went wrong and where (``str``), and the next step (``hint``, empty when there is none)."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DrError):
    """The command line or a file is wrong. Nothing was touched."""

    exit_code = ExitCode.USAGE


class FileError(UsageError):
    """A file that people write is wrong: where exactly, and what was expected there.

    Args:
        file: path as the person gave it.
        line: 1-based line, or 0 when the whole file is meant.
        field: dotted path of the field, for example ``components.metadata-db.rpo``.
        expected: what was expected instead, one sentence.
        more: further problems of the same file, each on a line of its own in the message.
    """

    def __init__(self, file: str, line: int, field: str, expected: str, *, hint: str = "", more: tuple[FileError, ...] = ()) -> None:
        where = f"{file}:{line}" if line else file
        first = f"{where}: {field}: {expected}" if field else f"{where}: {expected}"
        super().__init__("\n".join([first, *(error.message for error in more)]), hint=hint)
        self.file, self.line, self.field, self.expected, self.more = file, line, field, expected, more


class Refused(DrError):
    """The world does not allow it. Nothing was touched."""

    exit_code = ExitCode.REFUSED


class GuardsRefused(Refused):
    """One or more guards refuse.

    Args:
        verdicts: pairs of guard name and reason, in the order of evaluation.
    """

    def __init__(self, verdicts: tuple[tuple[str, str], ...], *, hint: str = "") -> None:
        super().__init__("refused: " + "; ".join(f"{name}: {reason}" for name, reason in verdicts), hint=hint)
        self.verdicts = verdicts


class RunInFlight(Refused):
    """Another run of this runbook is in flight. ``held``: a live process holds it, else it waits for somebody to go on with it."""

    def __init__(self, runbook: str, run_id: str, holder: str, since: str, *, held: bool = True) -> None:
        by = f"held by {holder}" if held else "held by nobody now,"
        super().__init__(
            f"run {run_id} of {runbook} is in flight, {by} since {since}",
            hint=f"dr status · dr {'pause' if held else 'resume'} {run_id} · dr cancel {run_id}",
        )
        self.runbook, self.run_id, self.holder, self.since = runbook, run_id, holder, since


class CredentialMissing(Refused):
    """A credential that the runbook names is not there. Never carries the value."""


class StateUnreadable(Refused):
    """The journal, the samples or a lab record cannot be read, or were changed from outside."""


class NotThere(Refused):
    """Something that was named does not exist."""


class NeedsOperator(DrError):
    """The run is paused and waits for a person."""

    exit_code = ExitCode.PAUSED


class StateLost(DrError):
    """The journal cannot be written any more; everything written so far stays readable."""


class LeaseLost(DrError):
    """Another holder took the lease with a higher epoch."""

    exit_code = ExitCode.PAUSED


class StepError(DrError):
    """Raised by an operation; ``dr.engine.attempt`` turns it into an outcome.

    ``late``: no answer came within the time. Who was asked is lost or only slow, and nobody can tell.
    """

    def __init__(self, message: str, *, hint: str = "", late: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.late = late


class Transient(StepError):
    """Nothing happened, and trying again may help."""


class Permanent(StepError):
    """Trying again does not help; a person must look."""


class EffectUnknown(StepError):
    """The call may or may not have taken effect; the step is observed before anything else."""


class IllegalTransition(DrError):
    """An event that the transition table does not have for this state."""


class LabError(DrError):
    """A part of the lab is missing, did not start, or could not be ended."""
