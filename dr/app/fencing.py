"""The fence that a failover owes (I1): tried again as soon as the lost region answers, by whoever watches.

What it does is a run like any other, with journal, lease and report, but a small one: the fences of the re-protect chains alone, one
attempt each, seconds long. It never waits for a region, never pauses, and stands in nobody's way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from dr.app import status
from dr.app.platform import Platform
from dr.app.runs import FENCE_BUDGET, Request
from dr.errors import DrError, RunInFlight, StepError
from dr.model.lag import ComponentView
from dr.model.words import DebtKind, Intent, Role, RunOutcome
from dr.monitor.watch import Round
from dr.ports import Mailbox, Pool

if TYPE_CHECKING:
    from dr.app.conduct import Conductor

ACTOR = "dr monitor"
_AGAIN = (timedelta(seconds=5), timedelta(minutes=5))
"""The first and the longest wait between two tries; each is twice the one before."""
_PROBE = timedelta(seconds=2)
_NOT_REACHED = 255
_THERE = (Role.PRIMARY, Role.SECONDARY)


class FenceRetry:
    """Hears what the monitor sees, and fences what came back. One try at a time, in a thread of its own: heartbeats go on.

    Args:
        say: one line for people.
    """

    def __init__(self, conductor: Conductor, platform: Platform, say: Callable[[str], None]) -> None:
        self._conductor, self._platform, self._say = conductor, platform, say
        self._pool: Pool = platform.threads.pool(1, "fence")
        self._over: Mailbox[None] = platform.threads.mailbox()
        self._under_way = False
        self._next = 0.0
        self._wait = _AGAIN[0]
        self._told = ""
        self._grown: tuple[str, ...] = ()
        self._debts: set[str] = set()

    def saw(self, _seen: Round | None = None) -> None:
        """One round is over. Only now and then the journal is asked what is owed, and the region whether it answers."""
        clock = self._platform.site.clock
        if clock.monotonic() < self._next or self._under_way:
            return
        self._next = clock.monotonic() + _AGAIN[0].total_seconds()
        self._under_way = True
        self._pool.do(self._try)

    def close(self) -> None:
        """Waits for a try under way."""
        clock = self._platform.site.clock
        until = clock.monotonic() + FENCE_BUDGET.total_seconds()
        while self._under_way and (left := until - clock.monotonic()) > 0:
            self._over.take(left)  # there may be words of earlier tries, too
        self._pool.close()

    def _try(self) -> None:
        try:
            self._look()
        except DrError as error:  # a damaged journal: nobody knows what is owed until a person has restored it
            self._tell(f"what fences are owed cannot be read: {error.message}")
        finally:
            self._under_way = False
            self._over.put(None)

    def _tell(self, text: str) -> None:
        """What lasts is said once."""
        if text != self._told:
            self._told = text
            self._say(text)

    def _look(self) -> None:
        owed = self._owed()
        # asked anew: what a round knows may be from before the disaster
        back = sorted(name for name in owed & self._platform.kinds.keys() if self._answers(self._platform.kinds[name].view()))
        if back:
            self._fence(back)
        elif not owed:
            self._wait = _AGAIN[0]

    def _owed(self) -> set[str]:
        """The components whose fence is owed; reckoned anew only where some run has grown: an older one may be turned after a newer one
        was refused."""
        runs, name = self._conductor.runs, self._platform.runbook.name
        grown = tuple(item.head for item in runs.state.journal.listing(name))
        if grown != self._grown:
            self._debts = {item.component for item in status.debt(runs, name) if item.kind is DebtKind.FENCE}
            self._grown = grown
        return self._debts

    def _answers(self, view: ComponentView) -> bool:
        """A region that is not primary: its server answers, or at least its hosts do (a frozen server holds its port and is silent)."""
        others = [name for name in view.regions if name != view.primary]
        return view.primary is not None and any(view.regions[name].role in _THERE or self._reached(name) for name in others)

    def _reached(self, region: str) -> bool:
        host = self._platform.site.hosts.get(region)
        try:
            return host is not None and host.run(["true"], timeout=_PROBE).status != _NOT_REACHED
        except StepError:
            return False

    def _fence(self, components: Sequence[str]) -> None:
        what, reason = ", ".join(components), "the region is back and its fence is owed"
        request = Request(Intent.REPROTECT, None, ACTOR, reason, only=tuple(components), fence_only=True)
        try:
            report = self._conductor.start(self._platform, request)
        except RunInFlight as error:  # whoever owes it may be at it still: asked again as soon as that is over, not minutes later
            self._tell(f"the fence of {what} is owed: {error.message}")
            self._next = self._platform.site.clock.monotonic() + _AGAIN[0].total_seconds()
            return
        except DrError as error:  # it cannot be told who is primary: whoever is there deals with it first
            self._say(f"the fence of {what} is owed: {error.message}")
        else:
            left = [item.text for item in report.debt if item.kind is DebtKind.FENCE]
            why = report.reason if report.outcome is RunOutcome.REFUSED else "; ".join(left)
            self._say(f"fence of {what}: {why or 'acknowledged'} (run {report.run_id})")
        self._next = self._platform.site.clock.monotonic() + self._wait.total_seconds()
        self._wait = min(2 * self._wait, _AGAIN[1])
