"""metric-check against the lab's real Prometheus (part alerts): now, over a range, gone stale, never there, a wrong query, nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from dr.engine.attempt import Attempted, attempt
from dr.lab.extras.alerts import PROMETHEUS_PORT
from dr.lab.lab import Lab
from dr.model.evidence import Note
from dr.model.scenario import Fault, Target, Workload
from dr.model.words import Outcome
from dr.ports import Clock
from dr.providers.generic.checks.metric_check import MetricCheck, MetricCheckConfig
from tests.conftest import WORKLOAD
from tests.generic.served import World, context, step_of

pytestmark = pytest.mark.lab

SECONDS = 60.0
"""Prometheus looks every 5 s; a busy machine may take its time."""


@pytest.fixture(scope="module")
def watched(lab: Lab) -> Iterator[Lab]:
    """A lab with Alertmanager and Prometheus in both regions; the tests stand in the order in which they break it."""
    lab.down()
    lab.up(Workload(deployments=1, running_tasks=0, warm_up=timedelta(0), parts=("alerts",)), owned=True)
    yield lab
    lab.down()
    lab.up(WORKLOAD, owned=True)


@pytest.fixture
def ask(watched: Lab, tmp_path: Path) -> Callable[..., Attempted]:
    """One attempt of a check, against the target's own Prometheus."""
    sources = {region.name: f"http://{region.address}:{PROMETHEUS_PORT}" for region in watched.layout.regions}

    def once(query: str, expect: str, target: str = "west", **settings: object) -> Attempted:
        given = {"query": query, "expect": expect, "sources": sources, "timeout": "5s", **settings}
        step = step_of(MetricCheck("metric", MetricCheckConfig.model_validate(given), [], World(tmp_path).site))
        return attempt(step.operation, replace(context(step), target=target))

    return once


def until(clock: Clock, good: Callable[[Attempted], bool], look: Callable[[], Attempted]) -> Attempted:
    """Looks again until it is as it should be; the last look where the time is over."""
    deadline = clock.monotonic() + SECONDS
    while not good(seen := look()) and clock.monotonic() < deadline:
        clock.sleep(0.25)
    return seen


def done(seen: Attempted) -> bool:
    return seen.outcome is Outcome.DONE


def test_now(ask: Callable[..., Attempted], clock: Clock) -> None:
    """An instant vector holds once it was scraped, in each region; another expectation does not; a scalar needs no scrape."""
    for target in ("east", "west"):
        seen = until(clock, done, partial(ask, 'up{job="prometheus"}', "== 1", target))
        assert seen.outcome is Outcome.DONE, seen.reason
        assert [item.text for item in seen.evidence if isinstance(item, Note)] == ["metric: 1 series == 1, newest 1"]
    wrong = ask('up{job="prometheus"}', "> 1")
    assert wrong.outcome is Outcome.RETRY
    assert "job=prometheus" in wrong.reason and "was 1, expected > 1" in wrong.reason
    assert ask("scalar(vector(7))", "== 7").outcome is Outcome.DONE
    assert "was NaN" in ask("vector(0) / 0", "== 0").reason


def test_over_a_range(ask: Callable[..., Attempted], clock: Clock) -> None:
    """Every point of the window must hold, and a window that began before there was data is unknown."""
    young = ask('up{job="prometheus"}', "== 1", window="10m", within="11m", step="10s")
    assert young.outcome is Outcome.RETRY
    assert "of 61 points: unknown" in young.reason
    held = until(clock, done, lambda: ask('up{job="prometheus"}', "== 1", window="6s"))
    assert held.outcome is Outcome.DONE, held.reason
    assert [item.text for item in held.evidence if isinstance(item, Note)] == ["metric: 1 series == 1 for 6.0s, newest 1"]
    some = ask("time() - scalar(vector(time())) + 1", "< 1", window="6s")
    assert "was 1 and 6 more times wrong" in some.reason


def test_no_data_is_unknown(ask: Callable[..., Attempted]) -> None:
    """Never zero: a metric that does not exist holds under no expectation, now or over a window."""
    for settings in ({}, {"window": "5s"}):
        seen = ask("never_heard_of_it", ">= 0", **settings)
        assert seen.outcome is Outcome.RETRY
        assert "no data: unknown" in seen.reason


@pytest.mark.parametrize("window", [{}, {"window": "5s"}])
def test_a_wrong_expression_is_not_tried_again(ask: Callable[..., Attempted], window: dict[str, str]) -> None:
    """Prometheus answers 400: it says where, and nothing but another runbook helps."""
    seen = ask("sum(up", "> 0", **window)
    assert seen.outcome is Outcome.FAILED
    assert "parse error" in seen.reason


def test_what_went_stale_is_unknown_and_not_its_last_value(watched: Lab, ask: Callable[..., Attempted], clock: Clock) -> None:
    """The Alertmanager dies: its own series end with the next scrape, within the 5 minutes in which Prometheus would look back; that it
    is down is a value like any other."""
    alive = until(clock, done, lambda: ask("alertmanager_build_info", "== 1", "east"))
    assert alive.outcome is Outcome.DONE, alive.reason
    watched.inject(Fault(at=timedelta(0), kill=Target(region="east", server="alertmanager")))
    stale = until(clock, lambda seen: not done(seen), lambda: ask("alertmanager_build_info", "== 1", "east"))
    assert stale.outcome is Outcome.RETRY
    assert "no data: unknown" in stale.reason
    assert ask('up{job="alertmanager"}', "== 0", "east").outcome is Outcome.DONE
    gap = until(clock, lambda seen: "unknown" in seen.reason, lambda: ask("alertmanager_build_info", "== 1", "east", window="8s"))
    assert "points: unknown" in gap.reason


def test_nobody_answers(watched: Lab, ask: Callable[..., Attempted]) -> None:
    """The target's Prometheus is gone: not known, tried again, never taken for good; the other region's is not asked instead."""
    watched.inject(Fault(at=timedelta(0), kill=Target(region="west", server="prometheus")))
    gone = ask('up{job="prometheus"}', "== 1")
    assert gone.outcome is Outcome.RETRY
    assert f"127.0.20.1:{PROMETHEUS_PORT}" in gone.reason
    assert ask('up{job="prometheus"}', "== 1", "east").outcome is Outcome.DONE
