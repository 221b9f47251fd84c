"""What lies in no region: one look serves all regions, and it goes through whichever region's credentials still work."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from datetime import timedelta
from typing import Generic, TypeVar

from dr.errors import DrError, StepError, Transient
from dr.model.evidence import Redirected
from dr.model.lag import LagSample, RegionView
from dr.model.plan import Touch
from dr.model.words import Known, Role
from dr.ports import AttemptContext, Step
from dr.providers.aws.config import AwsConfig
from dr.providers.aws.kind import AwsKind
from dr.providers.aws.place import Place
from dr.providers.aws.turn import Turn

T = TypeVar("T")
L = TypeVar("L")
C = TypeVar("C", bound=AwsConfig)


class EverywhereKind(AwsKind[C, L], ABC, Generic[C, L]):
    """Base of kinds that lead people to a region and lie in none themselves. ``look`` says what there is, wherever it was asked from."""

    _through = ""

    def sample(self, primary: str | None) -> LagSample:
        """Known, without a lag: nothing of it is replicated. Asks nobody."""
        return LagSample(component=self.name, at=self.site.clock.now(), state=Known.KNOWN, reason="nothing of it is replicated")

    def looks(self, seconds: float) -> dict[str, L | StepError]:
        """One look for all regions; waits so long at most. What comes too late is there for the next look, where the kind keeps it."""
        self.aws.meet(self.places.values())
        clock = self.site.clock
        turn = Turn(clock.monotonic() + seconds)
        pool = ThreadPoolExecutor(1, thread_name_prefix=f"{self.name}-view")
        found: L | StepError
        try:
            found = turn.wait(pool.submit(self.through, lambda place: self._look(place, turn, seconds)), clock)
        except FutureTimeout:
            found = Transient(f"{self.name}: no answer in time", late=True)
        except StepError as error:
            found = error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return dict.fromkeys(self.places, found)

    def through(self, ask: Callable[[Place], T], first: str = "") -> T:
        """Asks through one region's credentials after the other until one answers; whose worked last comes first.

        Args:
            first: the region to begin with.

        Raises:
            StepError: none did: what the last one said; a refusal rather than a silence.
        """
        order = sorted(self.places, key=lambda region: region != (first or self._through))
        problem: StepError | None = None
        for region in order:
            try:
                found = ask(self.places[region])
            except StepError as error:
                problem = error if problem is None or isinstance(problem, Transient) else problem
            except DrError as error:  # a credential that is not there
                problem = problem or Transient(f"{self.name} in {region}: {error.message}", hint=error.hint)
            else:
                self._through = region
                return found
        assert problem is not None, "there are at least two regions"
        raise problem

    def refused(self, ask: Callable[[Place], object], known: str) -> dict[str, StepError]:
        """By region, what its credentials may not ask, although those of region ``known`` may: a move there would end with that.

        A region that is silent may be lost, and says nothing of its credentials.
        """
        found = {}
        for region, place in self.places.items():
            if region == known:
                continue
            try:
                ask(place)
            except Transient:
                continue
            except StepError as error:
                found[region] = error
        return found


def asking(step: Step, region: str, *more: tuple[str, str]) -> Step:
    """The step asks name servers, too. ``more``: as for ``also``."""
    return also(step, region, ("dns", "to ask name servers (port 53) from where dr runs"), *more)


def also(step: Step, region: str, *asked: tuple[str, str]) -> Step:
    """The step asks services that are no API of AWS, too: each with what it needs to be allowed."""
    spec, touches = step.spec, tuple(Touch(service=service, plane="data", region=region) for service, _ in asked)
    changes = {"touches": (*spec.touches, *touches), "permissions": (*spec.permissions, *(right for _, right in asked))}
    return replace(step, spec=spec.model_copy(update=changes))


def led_to(regions: Sequence[str], leading: str | None) -> dict[str, RegionView]:
    """The roles where everybody is led to one region; nobody's is the primary where it is none or several."""
    return {region: RegionView(role=Role.PRIMARY if region == leading else Role.SECONDARY) for region in regions}


def left(context: AttemptContext, component: str, more: timedelta = timedelta(0)) -> timedelta:
    """How long caches may still hold the old answers, by the redirect's evidence; zero where a person did it by hand."""
    done = context.found(Redirected, component)
    return timedelta(0) if done is None else max(timedelta(0), done.at + done.old_ttl + more - context.clock.now())
