"""I1: a fence that was not acknowledged is debt, and whoever watches retries it as soon as the lost region answers."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from dr.app import App
from dr.app.status import debt
from dr.lab.lab import Lab
from dr.model.plan import Acceptance
from dr.model.scenario import Fault, Target
from dr.model.words import DebtKind, Guard, Intent, Role, RunOutcome

ROOT = Path(__file__).parents[2]


def kinds_of_debt(app: App) -> set[DebtKind]:
    return {item.kind for item in debt(app.runs, "airflow-lab")}


@pytest.mark.lab
def test_the_monitor_fences_what_comes_back(fresh_lab: Lab, tmp_path: Path) -> None:
    """East dies, west is promoted on an accepted split, east returns as a writable primary: the monitor
    stops its server, the debt of the fence is closed by a run of the monitor's own, re-protect and divergence stay owed."""
    app = App(tmp_path / "state")
    platform = app.load(ROOT / "runbooks" / "lab.yaml")
    now, stop = fresh_lab.clock.now(), threading.Event()
    lost = (Acceptance(guard=Guard.FENCE, actor="ann", reason="dark", at=now),
            Acceptance(guard=Guard.EXPOSURE, actor="ann", reason="dark", at=now, bound=timedelta(minutes=15)))  # fmt: skip
    fresh_lab.inject(Fault(at=timedelta(0), kill=Target(region="east")))
    report = app.start(platform, Intent.FAILOVER, "west", actor="ann", reason="east is lost", acceptances=lost)
    assert report.outcome is RunOutcome.COMPLETED
    assert DebtKind.FENCE in kinds_of_debt(app)
    said: list[str] = []
    watch = threading.Thread(
        target=app.monitor, args=(platform,),
        kwargs={"interval": timedelta(milliseconds=200), "port": None, "stop": stop, "say": said.append},
    )  # fmt: skip
    watch.start()
    try:
        fresh_lab.inject(Fault(at=timedelta(0), bring_back=Target(region="east")))
        until = time.monotonic() + 60
        while DebtKind.FENCE in kinds_of_debt(app) and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        stop.set()
        watch.join(30)
    assert DebtKind.FENCE not in kinds_of_debt(app), said
    assert {DebtKind.REPROTECT, DebtKind.DIVERGENCE} <= kinds_of_debt(app)
    newest = app.list_runs()[0]
    assert (newest.intent, newest.outcome, newest.actors) == (Intent.REPROTECT, RunOutcome.COMPLETED, ("dr monitor",))
    view = next(view for view in platform.views() if view.component == "metadata-db")
    assert view.primary == "west"
    assert view.regions["east"].role is not Role.PRIMARY
    platform.close()
    app.close()
