"""One round over all components: heartbeats on the primaries, samples in the secondaries, into ``ports.Samples``.

Everything that can hang runs in a bounded pool, at most one call of each sort for a component at a time: a region that is
gone costs each round a bounded time and a bounded number of threads, and the rounds go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeGuard, TypeVar

from dr.model.identity import IdentitySnapshot
from dr.model.lag import Beat, ComponentView, LagSample
from dr.monitor import watch
from dr.monitor.watch import Pace, Round
from dr.ports import Clock, IdentitySource, Kind, Samples

T = TypeVar("T")

_MOST_THREADS = 32


class Questions(Generic[T]):
    """Calls under way, one for each component at most."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._asked: dict[str, Future[T]] = {}

    def ask(self, component: str, call: Callable[[], T]) -> bool:
        """Starts a call; False while an earlier one has not come back."""
        if component in self._asked and not self._asked[component].done():
            return False
        self._asked[component] = self._pool.submit(call)
        return True

    def futures(self, components: Iterable[str]) -> list[Future[Any]]:
        """The calls of some components, to wait for, together with those of another sort."""
        return [self._asked[name] for name in components if name in self._asked]

    def take(self, component: str) -> Future[T] | None:
        """The finished call of a component, once; None while there is none."""
        future = self._asked.get(component)
        return self._asked.pop(component) if future is not None and future.done() else None


class Sampler:
    """Asks all components of one runbook, round by round. ``round`` is called by one thread.

    Waiting for answers is the one thing here that no handed-in clock can do: it is real time, and bounded by ``Pace``.
    A component is sampled once its view has shown that it has a lag: others have no data of their own to lose.

    Args:
        kinds: by component name. They are not closed here.
        samples: where everything is stored.
    """

    def __init__(self, runbook: str, kinds: Mapping[str, Kind], samples: Samples, clock: Clock, pace: Pace | None = None) -> None:
        self._runbook, self._kinds, self._samples, self._clock = runbook, kinds, samples, clock
        self._pace = pace or Pace()
        self._pool = ThreadPoolExecutor(min(_MOST_THREADS, 4 * len(kinds)), thread_name_prefix="monitor")
        self._viewing: Questions[ComponentView] = Questions(self._pool)
        self._beating: Questions[Beat | None] = Questions(self._pool)
        self._sampling: Questions[LagSample] = Questions(self._pool)
        self._identifying: Questions[IdentitySnapshot] = Questions(self._pool)
        self._view_asked: dict[str, float] = {}
        self._identities_asked: dict[str, float] = {}
        self._views: dict[str, ComponentView] = {}
        self._primaries: dict[str, str] = {}
        self._replicating: set[str] = set()
        self._failing: set[str] = set()
        self._sampled: dict[str, LagSample] = {}

    def round(self) -> Round:
        """One round, stored.

        Raises:
            StateLost, StateUnreadable: the samples cannot be written.
        """
        began, troubles = self._clock.now(), []
        self._ask_views()
        if not self._views:
            wait(self._viewing.futures(self._kinds), self._pace.limit.total_seconds())
        troubles += self._take_views()
        self._ask_identities()
        beats, samples = self._beats_and_samples(began)
        troubles += self._take_views()
        self._samples.add(self._runbook, samples.values(), beats.values())
        troubles += self._keep_identities()
        troubles += self._samples.troubles()
        self._failing = {name for name, beat in beats.items() if beat.acknowledged_at is None}
        now = self._clock.now()
        views = {name: view for name, view in self._views.items() if watch.believed(view, now, self._pace)}
        return Round(began, samples, beats, views, tuple(troubles))

    def close(self) -> None:
        """Lets go of the threads; calls under way end by themselves (they are bounded)."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _beats_and_samples(self, began: datetime) -> tuple[dict[str, Beat], dict[str, LagSample]]:
        beaten = dict(self._primaries)
        for name, region in beaten.items():
            self._beating.ask(name, partial(self._kinds[name].beat, region))
        wait(self._beating.futures(beaten), self._pace.grace.total_seconds())
        sampled = [name for name in self._kinds if name in self._replicating]
        for name in sampled:
            self._sampling.ask(name, partial(self._kinds[name].sample, self._primaries.get(name)))
        spent = self._clock.now() - began
        left = max(self._pace.limit - spent, timedelta(0))
        wait([*self._beating.futures(beaten), *self._sampling.futures(sampled)], left.total_seconds())
        beats = {name: self._beat(name, region, began) for name, region in beaten.items()}
        return {name: beat for name, beat in beats.items() if beat is not None}, {name: self._sample(name) for name in sampled}

    def _beat(self, name: str, region: str, sent_at: datetime) -> Beat | None:
        future = self._beating.take(name)
        if future is None:
            return watch.failed_beat(name, region, sent_at, watch.no_answer(self._pace))
        error = future.exception()
        return future.result() if error is None else watch.failed_beat(name, region, sent_at, watch.reason_of(error))

    def _sample(self, name: str) -> LagSample:
        future, error = self._sampling.take(name), None
        if future is not None and (error := future.exception()) is None:
            self._sampled[name] = future.result()
            return future.result()
        reason = watch.no_answer(self._pace) if error is None else watch.reason_of(error)
        return watch.unknown_sample(name, self._clock.now(), reason, self._sampled.get(name))

    def _ask_views(self) -> None:
        now = self._clock.monotonic()
        for name, kind in self._kinds.items():
            due = watch.view_due(self._view_asked.get(name), now, self._pace, failing=name in self._failing)
            if due and self._viewing.ask(name, kind.view):
                self._view_asked[name] = now

    def _take_views(self) -> list[str]:
        troubles = []
        for name in self._kinds:
            future = self._viewing.take(name)
            if future is None:
                continue
            error = future.exception()
            if error is not None:
                troubles.append(f"{name}: who is primary is unknown: {watch.reason_of(error)}")
                continue
            view = self._views[name] = future.result()
            primary = watch.next_primary(self._primaries.get(name), view)
            if primary is not None:
                self._primaries[name] = primary
            if view.lag is not None:
                self._replicating.add(name)
        return troubles

    def _ask_identities(self) -> None:
        now = self._clock.monotonic()
        for name, kind in self._kinds.items():
            region, asked = self._primaries.get(name), self._identities_asked.get(name)
            due = asked is None or now - asked >= self._pace.identities.total_seconds()
            if region is not None and due and _knows_identities(kind) and self._identifying.ask(name, partial(kind.identities, region)):
                self._identities_asked[name] = now

    def _keep_identities(self) -> list[str]:
        """What has come in by now; a slow answer is kept by a later round."""
        troubles = []
        for name in self._kinds:
            future = self._identifying.take(name)
            if future is None:
                continue
            error = future.exception()
            if error is None:
                self._samples.keep_identities(self._runbook, name, future.result())
            else:
                troubles.append(f"{name}: identities were not read: {watch.reason_of(error)}")
        return troubles


def _knows_identities(kind: object) -> TypeGuard[IdentitySource]:
    return callable(getattr(kind, "identities", None))
