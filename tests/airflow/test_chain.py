"""The chains of every intent, as a plan sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dr.errors import UsageError
from dr.lab.layout import Layout
from dr.model.words import Intent, Verb
from dr.providers.airflow import AirflowDeployments
from dr.providers.airflow.config import DeploymentsConfig
from dr.providers.system import SystemClock
from tests.airflow.world import config, site


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path)


@pytest.fixture
def kind(layout: Layout, tmp_path: Path) -> AirflowDeployments:
    return AirflowDeployments("deployments", config(layout), ["metadata-db"], site(layout, SystemClock(), tmp_path))


@pytest.mark.parametrize("intent", list(Intent))
def test_steps_can_be_put_in_order_and_done_by_hand(kind: AirflowDeployments, intent: Intent) -> None:
    """Needs name earlier steps of the same chain only; every step says what a person would type, touch and be allowed to do."""
    before: set[str] = set()
    for step in kind.steps(intent, "east", "west"):
        assert set(step.spec.needs) <= before
        before.add(step.spec.id)
        assert step.spec.by_hand and step.spec.check_by_hand
        assert step.spec.touches
        assert "{" not in step.spec.title
    assert before


def test_the_same_arguments_give_the_same_steps(kind: AirflowDeployments) -> None:
    """A resumed run finds its steps again."""
    first, second = (kind.steps(Intent.FAILOVER, "east", "west") for _ in range(2))
    assert [step.spec for step in first] == [step.spec for step in second]


def test_a_failover_needs_nothing_of_the_lost_region(kind: AirflowDeployments) -> None:
    """I11: every step touches the target only."""
    assert {touch.region for step in kind.steps(Intent.FAILOVER, "east", "west") for touch in step.spec.touches} == {"west"}


def test_a_planned_move_freezes_before_it_drains_and_can_take_both_back(kind: AirflowDeployments) -> None:
    """The source is touched by lock, snapshot, freeze and drain before, and stands by after; what holds it up has an undo."""
    steps = {step.spec.verb: step.spec for step in kind.steps(Intent.SWITCHOVER, "east", "west")}
    assert {verb for verb, spec in steps.items() if spec.region == "east"} == {
        Verb.LOCK, Verb.SNAPSHOT, Verb.FREEZE, Verb.DRAIN, Verb.STAND_BY,
    }  # fmt: skip
    assert steps[Verb.DRAIN].needs == (steps[Verb.FREEZE].id,)
    assert {verb for verb, spec in steps.items() if spec.undoable} == {Verb.LOCK, Verb.FREEZE, Verb.DRAIN}


def test_schedulers_start_after_every_fate_is_decided(kind: AirflowDeployments) -> None:
    """Reconcile before start, start before the canary, the canary before any DAG is put back."""
    steps = {step.spec.verb: step.spec for step in kind.steps(Intent.FAILOVER, "east", "west")}
    assert steps[Verb.RECONCILE].id in steps[Verb.START].needs
    assert steps[Verb.START].id in steps[Verb.CANARY].needs
    assert steps[Verb.CANARY].id in steps[Verb.RELEASE].needs


def test_service_comes_before_tasks(kind: AirflowDeployments) -> None:
    """Nothing is done to 80 databases and their schedulers before every public name has accepted a write."""
    steps = {step.spec.verb: step.spec for step in kind.steps(Intent.FAILOVER, "east", "west")}
    assert steps[Verb.HOLD].needs == (steps[Verb.VERIFY_OUTSIDE].id,)
    assert steps[Verb.VERIFY_OUTSIDE].needs == (steps[Verb.VERIFY_INSIDE].id,)


def test_a_drain_that_waits_is_in_the_plan(layout: Layout, tmp_path: Path) -> None:
    """The time that running tasks are given is part of the estimate, and the budget leaves room for it."""
    given = config(layout, drain="90s")
    kind = AirflowDeployments("deployments", given, ["metadata-db"], site(layout, SystemClock(), tmp_path))
    drain = next(step.spec for step in kind.steps(Intent.SWITCHOVER, "east", "west") if step.spec.verb is Verb.DRAIN)
    assert drain.estimate >= given.drain
    assert drain.budget > given.drain


def test_re_protect_only_quiets_the_old_side(kind: AirflowDeployments) -> None:
    """A returning region does nothing, then stands by."""
    steps = [(step.spec.verb, step.spec.region) for step in kind.steps(Intent.REPROTECT, "east", "west")]
    assert steps == [(Verb.FREEZE, "east"), (Verb.STAND_BY, "east")]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"drain": "soon"}, "drain"),
        ({"tasks": {"at_most_once": "requeue"}}, "at_most_once"),
        ({"certificates": {"north": "tls"}}, "north"),
        ({"regions": {"east": {"address": "a", "control": "http://a:1"}, "west": {"address": "b", "control": "https://b:1"}}}, "control"),
        ({"control_token": {"value": "planted"}}, "control_token"),
        ({"threads": 0}, "threads"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_settings_that_are_refused(layout: Layout, changes: dict[str, object], text: str) -> None:
    """Each wrong setting is named."""
    with pytest.raises(ValueError, match=text):
        config(layout, **changes)


def test_the_database_must_be_needed(layout: Layout, tmp_path: Path) -> None:
    """Without the edge to its database nothing would wait for the promotion."""
    with pytest.raises(UsageError, match="metadata-db is not in needs"):
        AirflowDeployments("deployments", config(layout), [], site(layout, SystemClock(), tmp_path))


def test_regions_are_the_runbooks(layout: Layout, tmp_path: Path) -> None:
    """A region that the runbook does not have is refused before anything is connected."""
    ends = config(layout).regions
    wrong = config(layout, certificates={}, regions={"east": ends["east"], "north": ends["west"]})
    assert isinstance(wrong, DeploymentsConfig)
    with pytest.raises(UsageError, match=r"deployments: regions\.north: unknown region"):
        AirflowDeployments("deployments", wrong, ["metadata-db"], site(layout, SystemClock(), tmp_path))


def test_a_view_of_nothing_is_bounded_and_says_why(kind: AirflowDeployments) -> None:
    """No authority file, no servers: unreachable with a reason, never an exception."""
    view = kind.view()
    assert {item.role.value for item in view.regions.values()} == {"unreachable"}
    assert all(item.reason for item in view.regions.values())
    assert view.primary is None
