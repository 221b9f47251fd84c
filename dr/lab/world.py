"""The lab as the world of a drill (``ports.World``): started for it, broken by it, judged from outside, ended with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar

from dr.lab import ending
from dr.lab.lab import Lab
from dr.lab.platform import ledger
from dr.lab.platform.config import ClientConfig, read_config
from dr.model.scenario import Fault, Workload
from dr.model.truth import CleanUp, Truth

_LOOK_SECONDS = 0.05


class LabWorld:
    """Two regions of real servers. Ends only what it started: a lab that a person keeps makes ``up`` refuse, and stays."""

    name: ClassVar[str] = "lab"

    def __init__(self, lab: Lab, say: Callable[[str], None] = lambda _text: None) -> None:
        self._lab, self._say = lab, say
        self._started = False

    def up(self, workload: Workload) -> None:
        """Starts everything, seeds the workload, waits until both regions and the outside client are healthy.

        Raises:
            LabError: a part is missing or did not start.
            Refused: a lab is running already.
        """
        self._lab.up(workload, self._say, owned=True)
        self._started = True

    def inject(self, fault: Fault) -> datetime:
        """Makes one fault happen; returns when it took hold. Raises LabError."""
        return self._lab.inject(fault)

    def settle(self, timeout: timedelta) -> None:
        """Waits until every name has accepted a write that was sent after now, or the time is over."""
        clock, config = self._lab.clock, self._client()
        since, deadline = clock.now(), clock.monotonic() + timeout.total_seconds()
        while not ledger.settled(config, self._lab.layout.agent_ledger, since) and clock.monotonic() < deadline:
            clock.sleep(_LOOK_SECONDS)

    def truth(self) -> Truth:
        """What the outside client saw. Ends it first: the ledger is complete then, and its digest final."""
        outside = self._lab.records.all(server="client") + self._lab.records.all(server="agent")
        ending.end(outside, [], self._lab.clock)
        return ledger.truth(self._client(), self._lab.layout.agent_ledger)

    def down(self) -> CleanUp:
        """Ends everything that ``up`` started; names what it could not. Repeatable."""
        if not self._started:
            return CleanUp()
        left = self._lab.down()
        self._started = not left.ok
        return left

    def _client(self) -> ClientConfig:
        return read_config(self._lab.layout.client_config, ClientConfig)
