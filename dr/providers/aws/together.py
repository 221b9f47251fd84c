"""Calls that belong together, made at the same time: all results, or the gravest of what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from dr.errors import EffectUnknown, StepError, Transient
from dr.providers.aws.hub import Aws

T = TypeVar("T")


def together(aws: Aws, jobs: Collection[Callable[[], T]]) -> list[T]:
    """All results, in order. A job must not ask for others this way: it would wait for its own thread.

    Raises:
        StepError: after all are over: one that may have taken effect before one that failed for good, that before one to be tried again.
    """
    results = aws.many(jobs)
    wrong = [result for result in results if isinstance(result, StepError)]
    if wrong:
        raise min(wrong, key=lambda error: (not isinstance(error, EffectUnknown), isinstance(error, Transient)))
    return [result for result in results if not isinstance(result, StepError)]
