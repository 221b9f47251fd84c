"""Simulated worlds: the same machine, planner, guards, attempts and journal codec as ever, in virtual time. No real I/O."""

from __future__ import annotations

from importlib.util import find_spec

from dr.errors import UsageError


def check_installed() -> None:
    """To be asked before any module in here is loaded.

    Raises:
        UsageError: what simulating needs is not installed.
    """
    if find_spec("greenlet") is None:
        raise UsageError("simulating needs greenlet, which is not installed", hint="pip install 'dr[simulate]'")
