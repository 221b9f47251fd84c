"""A cluster's five endpoints: asked one after the other until one answers; whichever did is asked first the next time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from dr.errors import EffectUnknown, StepError, Transient
from dr.providers.aws.calls import Call
from dr.providers.aws.place import Place
from dr.providers.aws.problems import code_of

T = TypeVar("T")

_MISSING = {"ResourceNotFoundException": "no such routing control on this cluster: correct regions.*.control, or endpoints"}

STATE = Call("route53-recovery-cluster", "GetRoutingControlState", plane="data", refusals=_MISSING)
"""On or Off. https://docs.aws.amazon.com/routing-control/latest/APIReference/API_GetRoutingControlState.html; ResourceNotFoundException,
ThrottlingException, EndpointTemporarilyUnavailableException: "try another cluster endpoint"."""

FLIP = Call("route53-recovery-cluster", "UpdateRoutingControlStates", act=True, plane="data", refusals=_MISSING)
"""Several states at once, all or none. https://docs.aws.amazon.com/routing-control/latest/APIReference/API_UpdateRoutingControlStates.html;
ConflictException: a safety rule is not met, nothing was changed (SafetyRulesToOverride passes over the rules that it names);
ServiceLimitExceededException, ResourceNotFoundException, ValidationException, and as GetRoutingControlState."""

_ELSEWHERE = frozenset({"EndpointTemporarilyUnavailableException", "InternalServerException", "ThrottlingException"})
"""This endpoint did nothing; another one may."""


class Cluster:
    """The endpoints of one cluster. Threads may use it at once; what they tell each other is only where to begin."""

    def __init__(self, endpoints: Mapping[str, str]) -> None:
        self._endpoints = endpoints
        self._first = ""
        self._failed: dict[str, int] = {}

    @property
    def codes(self) -> Sequence[str]:
        """The AWS regions of the endpoints."""
        return tuple(self._endpoints)

    def place(self, code: str, through: Place) -> Place:
        """One endpoint, with a region's credentials. Its account is not asked for: that would be one more call that may hang."""
        return Place(code, code, through.profile, "", through.role, self._endpoints[code])

    def order(self, last: str = "") -> list[str]:
        """Whose turn it is: who answered, then who failed least; ``last``: an AWS region that may be lost."""
        return sorted(self._endpoints, key=lambda code: (code == last, code != self._first, self._failed.get(code, 0)))

    def ask(self, through: Place, send: Callable[[Place], T], last: str = "") -> T:
        """What the first endpoint that works says.

        Raises:
            Transient: none of them works. EffectUnknown: one took it and did not answer; the next question goes to another one.
            Permanent: the cluster says no.
        """
        problem: StepError | None = None
        for code in self.order(last):
            try:
                found = send(self.place(code, through))
            except StepError as error:
                refused_here = code_of(error) in _ELSEWHERE
                if refused_here or isinstance(error, (Transient, EffectUnknown)):
                    self._failed[code] = self._failed.get(code, 0) + 1
                    self._first = "" if self._first == code else self._first
                if not refused_here and not isinstance(error, Transient):
                    raise
                problem = problem or error
            else:
                self._first = code
                self._failed.pop(code, None)
                return found
        assert problem is not None, "there is at least one endpoint"
        text = f"none of the {len(self._endpoints)} endpoints of the cluster works: {problem.message}"
        raise Transient(text, hint="at least three of the five are always there: name all five in endpoints", late=problem.late)
