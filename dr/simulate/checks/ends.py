"""L1, L2: everything comes to an end that a person can read, and the end is the one that was asked for."""

from __future__ import annotations

from dr.model.words import DebtKind, Intent, RunOutcome
from dr.providers.sim.world import Effect
from dr.simulate.checks.primaries import recorded_split
from dr.simulate.checks.witness import Rule, Told

_SAYS_WHY = (RunOutcome.PAUSED, RunOutcome.REFUSED, RunOutcome.FAILED, RunOutcome.ROLLED_BACK, RunOutcome.CANCELLED)


class Ends(Rule):
    """L1: when the story is over, each run has ended, or was left behind by a command that says what it waits for, or stands where somebody
    has to say yes who does not before the morning, and says so; and whatever did not do what was asked says why. (That all of it happens
    in time is checked by the play itself.)"""

    name = "L1"

    def over(self) -> None:
        """All runs, all answers."""
        answers = [command.report for command in self.witness.stage.commands if command.report is not None]
        said = {report.run_id: report for report in answers}
        for told in self.witness.told.values():
            last = said.get(told.run_id)
            if told.ended is None and self._needs_somebody(told):
                continue
            if told.ended is None and (last is None or not last.reason):
                self.broken(f"run {told.run_id} ({told.plan.intent if told.plan else '?'}) has not ended, and nobody was told why")
        for report in answers:
            if report.outcome in _SAYS_WHY and not report.reason:
                self.broken(f"run {report.run_id} is {report.outcome}, and does not say why")
        for command in self.witness.stage.commands:
            if command.error is not None and not command.error.message:
                self.broken(f"{command.process.name} was answered with {type(command.error).__name__} without a word")

    def _needs_somebody(self, told: Told) -> bool:
        """It is the run that the story ends with because nobody answers, and whoever looks at it is told at which steps."""
        left = self.witness.stage.left_waiting
        if left is None or left[0] != told.run_id:
            return False
        report = self.witness.stage.desk.report(self.witness.stage, told.run_id)
        return report.outcome is RunOutcome.PAUSED and any(f"waits for a person at {step}" in report.reason for step in left[1])


class Arrived(Rule):
    """L2: whatever happened on the way, after the last move that completed the platform is as if nothing had: its target is the one primary
    of every database (another one takes writes only after a recorded split), every public name that is looked up now leads there, every
    Deployment has its scheduler there and takes writes, nothing is held or frozen, and deploys are accepted, or their lock is owed."""

    name = "L2"

    def begun(self) -> None:
        """Nothing has moved."""
        self._ended: list[Told] = []

    def effect(self, effect: Effect) -> None:
        """Only the end counts."""

    def over(self) -> None:
        """The whole platform."""
        moved = [told for told in self.witness.told.values() if told.ended is not None and told.ended.outcome is RunOutcome.COMPLETED]
        moved = [told for told in moved if told.plan is not None and told.plan.intent.moves]
        if not moved or moved[-1].plan is None:
            return
        told, target = moved[-1], moved[-1].plan.target
        for why in (*self._databases(told, target), *self._services(told, target), *self._names(target)):
            self.broken(f"after the {moved[-1].plan.intent} to {target}: {why}")
            return

    def _databases(self, told: Told, target: str) -> list[str]:
        found = []
        for database in self.witness.databases:
            leads = database.primary()
            if leads is None or leads.region != target or not database.writable(target):
                found.append(f"{database.name} takes no writes there")
            for other in self.witness.others(database, target):
                planned = told.plan is not None and told.plan.intent is not Intent.FAILOVER
                if database.writable(other) and (planned or recorded_split(told, database.name)):
                    found.append(f"{database.name} takes writes in {other}, too")
        return found

    def _services(self, told: Told, target: str) -> list[str]:
        found = []
        for store in self.witness.deployments:
            runtime = store.runtimes[target]
            if not store.serves(target):
                found.append(f"{store.name} take no writes there")
            if runtime.schedulers != set(store.ids):
                found.append(f"{len(runtime.schedulers)} of {len(store.ids)} schedulers run there")
            unlocks = f"{store.name}/unlock"  # who skips it has taken that upon himself, and the run says so
            if runtime.locked and unlocks not in told.skipped and not self._owed(told, store.name):
                found.append(f"deploys to {store.name} are refused there")
        return found

    def _owed(self, told: Told, component: str) -> bool:
        """The lock could not be taken away, which is no reason to stop: it ends by itself, and until then the run's report has it as debt,
        with the command that takes it away."""
        report = self.witness.stage.desk.report(self.witness.stage, told.run_id)
        return any(item.kind is DebtKind.CLEAN_UP and item.component == component and item.command for item in report.debt)

    def _names(self, target: str) -> list[str]:
        found = []
        for zone in self.witness.names:
            away = [hostname for hostname in zone.hostnames if zone.answer(hostname) != target]
            if away and zone.cached_until < self.witness.stage.world.now:
                found.append(f"{away[0]} and {len(away) - 1} other names lead to {zone.answer(away[0])}")
        return found
