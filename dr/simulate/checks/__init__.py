"""Checkers: what must never be (I1 to I18) and what must come (L1, L2), judged from outside of the code under test."""

from __future__ import annotations

from collections.abc import Sequence

from dr.simulate.checks.calls import NoNeed, Untouched
from dr.simulate.checks.copies import Healthy, NothingDestroyed, SameAsBefore
from dr.simulate.checks.ends import Arrived, Ends
from dr.simulate.checks.journals import NoSecret, NothingLost, OneHolder, ReadFirst
from dr.simulate.checks.primaries import Exposed, Grounds, Once, OnePrimary
from dr.simulate.checks.reports import Numbers, Truthful
from dr.simulate.checks.serving import Fates, NamesLead, Present, Starts
from dr.simulate.checks.witness import Rule, Witness
from dr.simulate.play import Checker


def rules() -> tuple[Rule, ...]:
    """One of each, new."""
    exposed = Exposed()
    return (
        OnePrimary(), Grounds(), Once(), exposed, NamesLead(), Starts(), Present(), Fates(), SameAsBefore(), Healthy(),
        NothingDestroyed(), NothingLost(), ReadFirst(), OneHolder(), NoSecret(), NoNeed(), Untouched(), Numbers(), Truthful(exposed),
        Ends(), Arrived(),
    )  # fmt: skip


def ALL() -> Sequence[Checker]:
    """New checkers for one story."""
    return (Witness(rules()),)
