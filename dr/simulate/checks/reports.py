"""I16: every number of a report is the journal's, and none is better than what truly happened."""

from __future__ import annotations

from dr.errors import ExitCode
from dr.model.events import RunStarted, StepStarted
from dr.model.report import RunReport
from dr.model.words import DebtKind, FenceState, Guard, Intent, Known, RunOutcome, Verb
from dr.providers.sim.world import Effect
from dr.simulate.checks.account import Account
from dr.simulate.checks.primaries import Exposed
from dr.simulate.checks.witness import Rule, Told

_NOISE = 1e-5


class Numbers(Rule):
    """I16: each report is that of a prefix of its run's journal, whose head it names; RTA, its parts, RPA, tasks, Deployments and exit code
    are reckoned again from those records and compared. And I1: a split that is recorded is owed as a fence by every report until the fence
    was acknowledged."""

    name = "I16"

    def over(self) -> None:
        """All reports."""
        for command in self.witness.stage.commands:
            if command.report is not None:
                self._report(command.report)

    def _report(self, report: RunReport) -> None:
        told = self.witness.told.get(report.run_id)
        heads = [] if told is None else [record.hash for record in told.run.records]
        if told is None or report.journal_head not in heads:
            if not self.witness.stage.disk.damages:
                self.broken(f"the report of run {report.run_id} names a journal head that is in no journal")
            return
        events = told.events[: heads.index(report.journal_head) + 1]
        if not isinstance(events[0][1], RunStarted):
            return
        account = Account(events)
        self._times(report, account)
        state, value = account.rpa
        found = report.objectives
        if not _same(found.rpa_seconds, value) or (value is not None and found.rpa_state is not state):
            self._differs(report, "RPA", f"{found.rpa_seconds} {found.rpa_state}", f"{value} {state}")
        tasks = None if report.tasks.in_flight is None else (report.tasks.in_flight, report.tasks.requeued, report.tasks.failed)
        if tasks != account.tasks:
            self._differs(report, "tasks", tasks, account.tasks)
        if (report.deployments.total, report.deployments.healthy) != account.deployments:
            self._differs(report, "Deployments", (report.deployments.total, report.deployments.healthy), account.deployments)
        self._owed(report, told)

    def _times(self, report: RunReport, account: Account) -> None:
        found, rta = report.objectives, account.rta
        if not _same(found.rta_seconds, rta):
            self._differs(report, "RTA", found.rta_seconds, rta)
        parts = [value for value in report.rta_breakdown_seconds.model_dump().values() if value is not None]
        if rta is not None and abs(sum(parts) - rta) > 10 * _NOISE:
            self._differs(report, "the sum of the parts of the RTA", sum(parts), rta)
        if report.outcome is RunOutcome.COMPLETED and account.plan.intent.moves:
            state, loss = account.rpa
            late = rta is None or rta > account.plan.rto.total_seconds()
            lossy = any(_above(account, name) for name in _data(account))
            wanted = ExitCode.OBJECTIVE_MISSED if late or lossy else ExitCode.DONE
            if report.exit_code != wanted:
                self._differs(report, f"exit code (RTA {rta}, RPA {loss} {state})", report.exit_code, int(wanted))

    def _owed(self, report: RunReport, told: Told) -> None:
        split = report.fence.state is FenceState.SPLIT_ACCEPTED and report.outcome is RunOutcome.COMPLETED
        if split and not any(item.kind is DebtKind.FENCE for item in report.debt):
            self.broken(f"run {told.run_id} completed with a recorded split, and its report owes no fence", "I1")
        if report.fence.state is FenceState.SPLIT_ACCEPTED and not told.accepted(Guard.FENCE):
            self.broken(f"the report of run {told.run_id} says that a split was accepted; nobody did", "I1")

    def _differs(self, report: RunReport, what: str, said: object, reckoned: object) -> None:
        self.broken(f"{what} of run {report.run_id}: the report says {said}, its journal {reckoned}")


class Truthful(Rule):
    """I16, against the world: an RPA that is known or bound is not below what the promotion truly lost; an RTA that is given is not below
    the time for which names led nobody to a region that takes writes, as far as effects show it: from the first effect after which they
    did not to the last one. Clocks that are off by so much measure wrong by so much, which no journal can know: that is allowed for.
    """

    name = "I16"

    def __init__(self, exposed: Exposed) -> None:
        self._exposed = exposed

    def begun(self) -> None:
        """Service is there."""
        self._served = True
        self._since = self._until = 0.0
        self._gaps: list[tuple[float, float]] = []
        self._skew = 0.0

    def effect(self, effect: Effect) -> None:
        """Is service there now? And which clocks stamp its data?"""
        self._skew = max(self._skew, *(abs(database.skew) for database in self.witness.databases), 0.0)
        served = self._serves()
        if served and not self._served:
            self._gaps.append((self._since, self._until))
        elif not served:
            self._since = effect.at if self._served else self._since
            self._until = effect.at
        self._served = served

    def _serves(self) -> bool:
        for zone in self.witness.names:
            serving: dict[str, bool] = {}
            for region in zone.believed():
                if region is None:
                    return False
                if region not in serving:
                    serving[region] = zone.served(region) and all(store.serves(region) for store in self.witness.deployments)
                if not serving[region]:
                    return False
        return True

    def over(self) -> None:
        """All reports of runs that moved something."""
        last = {command.report.run_id: command.report for command in self.witness.stage.commands if command.report is not None}
        for report in last.values():
            told = self.witness.told.get(report.run_id)
            if told is not None and report.outcome is RunOutcome.COMPLETED and report.intent is not Intent.REPROTECT:
                self._lost(report, told)
                self._away(report, told)

    def _lost(self, report: RunReport, told: Told) -> None:
        for item in report.components:
            truth = self._exposed.lost.get((item.id, told.run_id))
            if truth is None or item.rpa_seconds is None:
                continue
            off = self._off()
            if truth > item.rpa_seconds + (off if item.rpa_state is not Known.KNOWN else 0.0) + 0.01:
                self.broken(f"run {told.run_id} reports an RPA of {item.rpa_seconds} s of {item.id}, truly lost were {truth:.3f} s")

    def _off(self) -> float:
        """By how much two clocks of this story may differ, in seconds."""
        stage = self.witness.stage
        clocks = [abs(item.skew) + abs(item.rate - 1.0) * stage.loop.now for item in stage.processes]
        return 2 * max(clocks, default=0.0) + self._skew

    def _away(self, report: RunReport, told: Told) -> None:
        verified, rta = report.stamps.verified, report.objectives.rta_seconds
        if verified is None or rta is None:
            return
        begun, end = told.moment(told.events[0][0]), told.moment(verified)
        off = self._off()
        first = told.events[0][1]
        froze = _froze(told) if isinstance(first, RunStarted) and first.plan.intent.planned else 0.0
        for gone, until in self._gaps:
            # what was away before a planned move froze anything is not that move's; what had ended by then no failover's that it became
            since = max(gone, froze) if report.intent.planned or until < froze else gone
            if begun <= until <= end + 1.0 and until - since > rta + off + 0.1:
                self.broken(f"run {told.run_id} reports an RTA of {rta} s, and service was away from {since:.1f} to {until:.1f} at least")


def _froze(told: Told) -> float:
    """When a run first set out to take writes away, by its journal."""
    ways = {step for step, spec in told.specs.items() if spec.verb in (Verb.FREEZE, Verb.FENCE)}
    return next((told.moment(at) for at, event in told.events if isinstance(event, StepStarted) and event.step in ways), 0.0)


def _data(account: Account) -> list[str]:
    """Components that hold data."""
    names = [spec.component for spec in account.plan.steps if spec.verb == "promote"]
    return list(dict.fromkeys([*names, *(item.component for item in account.facts if item.fact == "recovery-point")]))


def _above(account: Account, component: str) -> bool:
    """It lost more than its own RPO, or nobody knows what."""
    value = account.loss(component)[1]
    return value is None or value > account.plan.component_rpo.get(component, account.plan.rpo).total_seconds()


def _same(one: float | None, other: float | None) -> bool:
    return one is other if one is None or other is None else abs(one - other) <= _NOISE
