"""What a person types where the tool is gone: the words that every rendered runbook and every plan share. Data only.

Commands are for ``bash``. A check ends with exit status 0 where the step is done, and with another one where it is not; what it prints is
for the eye. No value of a credential is ever part of a command: it names the file or the variable.
"""

from __future__ import annotations

from dataclasses import dataclass

RECORD = "dr-by-hand.txt"
"""The record that people keep while they work by hand, in the folder that they work in."""

MARK = "by-hand"
"""What stands where a run's id would stand, in everything that people write into databases by hand."""


@dataclass(frozen=True)
class Typed:
    """A command, and the command that checks it."""

    do: str
    check: str


@dataclass(frozen=True)
class Question:
    """How a person asks a component in one region what nobody may guess.

    primary: prints what the component is there; ``reads`` says which answer means that it is the primary.
    recovery_point: prints the newest moment whose data is there; empty for what has no data of its own.
    """

    component: str
    region: str
    primary: str
    reads: str
    recovery_point: str = ""


def said_yes(step: str) -> Typed:
    """A person's answer, kept in the record. ``step`` is its id."""
    do = f"printf '%s %s yes: %s\\n' \"$(date -u +%FT%TZ)\" '{step}' \"${{WHO:?set WHO to the name of who said yes}}\" >> {RECORD}"
    return Typed(do, f"grep -F '{step} yes: ' {RECORD}")
