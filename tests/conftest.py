"""What tests of every topic share: the lab of real servers, up once for a session.

``lab`` is up with 5 Deployments. A test that breaks it takes ``fresh_lab`` instead: its own start, and a healthy lab for those after it.
A test that starts labs itself (a drill) takes ``no_lab``; those run last, after the session's lab has ended.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from dr.lab import doctor
from dr.lab.lab import Lab
from dr.lab.layout import Layout
from dr.model.scenario import Workload
from dr.ports import Clock
from dr.providers.system import SystemClock

# machines are shared and noisy: no test fails for being slow; a failing example prints how to repeat it
settings.register_profile("dr", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("dr")

PROJECT = Path(__file__).parents[1]
WORKLOAD = Workload(deployments=5, running_tasks=60, warm_up=timedelta(0))


def pytest_configure() -> None:
    """A shell starts what it runs in the background with Ctrl-C ignored, and what a test starts and interrupts would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start labs of their own come last, so that the session's lab is started once."""
    items.sort(key=lambda item: "no_lab" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def clock() -> Clock:
    """Real time."""
    return SystemClock()


@pytest.fixture(scope="session")
def lab(clock: Clock) -> Iterator[Lab]:
    """Two healthy regions with 5 Deployments and 60 running tasks, in the state directory that runbooks/lab.yaml names."""
    doctor.fix()
    lab = Lab(Layout.find(PROJECT), clock)
    lab.up(WORKLOAD, owned=True)
    yield lab
    assert lab.down().ok


@pytest.fixture
def fresh_lab(lab: Lab) -> Iterator[Lab]:
    """The session's lab, started anew for this test, which may break it."""
    lab.down()
    lab.up(WORKLOAD, owned=True)
    yield lab
    lab.down()
    lab.up(WORKLOAD, owned=True)


@pytest.fixture
def no_lab(clock: Clock) -> Lab:
    """The lab of this checkout, not running: for tests that start it themselves, or start ``dr`` processes that do."""
    lab = Lab(Layout.find(PROJECT), clock)
    record = lab.records.lab()
    if record is not None and record.owner_pid is None and lab.status().state == "up":
        pytest.fail(f"a lab that somebody keeps is running in {lab.layout.state}: dr lab down")
    lab.down()
    doctor.fix()
    return lab
