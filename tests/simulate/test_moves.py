"""Whole platforms move in a simulated world: away from a lost region, protected again, and home; and they refuse what would not work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from dr.app.simulation import Studio, new_stage
from dr.model.events import RunStarted
from dr.model.evidence import Accounted, Healthy, Identities, Preserved, PutBack, RecoveryPoint, Temporary
from dr.model.report import RunReport
from dr.model.scenario import Act
from dr.model.words import Guard, Intent, RunOutcome, StepState, Verdict
from dr.providers.sim.beside import Channel, Check, Pools
from dr.providers.sim.certificates import Certificates
from dr.providers.sim.database import Database
from dr.providers.sim.deployments import Deployments
from dr.providers.sim.images import Images
from dr.providers.sim.names import Names
from dr.providers.sim.objects import Objects, count
from dr.providers.sim.secrets import Secrets
from dr.providers.sim.silences import Silences
from dr.providers.sim.sort import Sort
from dr.simulate.stage import Command, Stage
from dr.simulate.story import frame

ROOT = Path(__file__).parents[2]
RUNBOOKS = ("platform", "careful")
LONG = 4000.0
S = TypeVar("S", bound=Sort)
F = TypeVar("F")


@pytest.fixture(scope="module", params=RUNBOOKS)
def studio(request: pytest.FixtureRequest) -> Iterator[Studio]:
    """Each runbook."""
    studio = Studio(ROOT / f"runbooks/{request.param}.yaml")
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def platform() -> Iterator[Studio]:
    """The whole platform."""
    studio = Studio(ROOT / "runbooks/platform.yaml")
    yield studio
    studio.close()


class Town:
    """One world, and one person in it who answers whatever is asked."""

    def __init__(self, studio: Studio, *, monitored: bool = True) -> None:
        self.stage: Stage = new_stage(studio, frame("moves", 5))
        self.world = self.stage.world
        if monitored:
            self.stage.desk.watch(self.stage, self.stage.process("monitor"))
        self.run(30.0)

    def the(self, sort: type[S]) -> S:
        """The one component of a sort."""
        return next(store for store in self.world.stores.values() if isinstance(store, sort))

    def run(self, seconds: float) -> None:
        """Time passes."""
        self.stage.loop.run(self.stage.loop.now + seconds)

    def moves(self, intent: Intent, to: str | None = None, *, split: bool = False, accept: tuple[str, ...] = ()) -> RunReport:
        """A command, and what came of it. Approvals and gates are answered, by two people."""
        act = Act(
            at=timedelta(0), intent=intent, to=to, reason="it has to be", accept_split=split,
            accept_data_loss="unknown" if split else None, accept=accept,
        )  # fmt: skip
        command = self.stage.type(act)
        self._answer(command)
        assert command.error is None, command.error
        assert command.report is not None, "it answers with a report"
        return command.report

    def _answer(self, command: Command) -> None:
        said: set[str] = set()
        until = self.stage.loop.now + LONG
        while command.running and self.stage.loop.now < until:
            self.stage.loop.run(self.stage.loop.now + 5.0, lambda: not command.running)
            for run in list(self.stage.disk.runs.values())[-1:]:
                started = run.records[0].event if run.records else None
                for spec in started.plan.steps if isinstance(started, RunStarted) else ():
                    if spec.approval and spec.id not in said and command.running:
                        said.add(spec.id)
                        act = Act(at=timedelta(0), approve=spec.id, actor=f"person-{len(said)}", reason="ticket 7")
                        self.stage.type(act, run_id=run.run_id)

    def away(self) -> RunReport:
        """The east dies, and everything goes to the west."""
        self.world.lose("east")
        self.run(10.0)
        return self.moves(Intent.FAILOVER, "west", split=True)

    def facts(self, fact: type[F], report: RunReport) -> list[F]:
        """Evidence of a class, of one run."""
        records = self.stage.disk.runs[report.run_id or ""].records
        found = [item for record in records for item in getattr(record.event, "evidence", ())]
        return [item for item in found if isinstance(item, fact)]


def whole(report: RunReport) -> None:
    """It came to its end, and nothing was left for later."""
    assert report.outcome is RunOutcome.COMPLETED, (report.outcome, report.reason, report.guards)
    undone = [step.id for step in report.steps if step.state not in (StepState.DONE, StepState.ALREADY)]
    assert not undone, undone


def names_lead(town: Town, region: str) -> None:
    """Every name, at every server, and for the world outside."""
    names = town.the(Names)
    town.run(names.ttl + 1.0)
    assert {leads for own in names.leads.values() for leads in own.values()} == {region}
    assert {names.answer(name) for name in names.hostnames} == {region}


def test_there_and_home_again(studio: Studio) -> None:
    """A failover of a lost region with acceptances, a re-protect, a failback: all complete, and the planned one loses nothing."""
    town = Town(studio)
    report = town.away()
    assert report.outcome is RunOutcome.COMPLETED, (report.reason, report.guards)
    assert town.the(Deployments).runtimes["west"].schedulers == set(town.the(Deployments).ids)

    town.world.bring_back("east")
    town.run(20.0)
    whole(town.moves(Intent.REPROTECT))
    assert town.the(Database).copies["east"].upstream == "west"

    town.run(20.0)
    lost = len(town.the(Database).destroyed)
    home = town.moves(Intent.FAILBACK, "east")
    whole(home)
    assert len(town.the(Database).destroyed) == lost, "a planned move overwrites nothing"
    assert all(point.complete for point in town.facts(RecoveryPoint, home)[1:] if point.component == town.the(Database).name)
    assert town.the(Database).writable("east") and not town.the(Database).writable("west")
    names_lead(town, "east")


def test_a_switchover_and_back(studio: Studio) -> None:
    """Planned in both directions, with everything that stands beside: nothing is lost, nothing stays behind."""
    town = Town(studio)
    whole(town.moves(Intent.SWITCHOVER, "west"))
    names_lead(town, "west")
    assert not town.the(Database).destroyed
    town.run(30.0)
    whole(town.moves(Intent.SWITCHOVER, "east"))
    names_lead(town, "east")
    assert not town.the(Database).destroyed
    assert not town.the(Deployments).runtimes["west"].schedulers


def test_without_a_monitor_a_failover_still_completes(studio: Studio) -> None:
    """Nothing was kept outside the lost region: what that means for its data is accepted, not believed."""
    assert Town(studio, monitored=False).away().outcome is RunOutcome.COMPLETED


def test_objects_of_the_lost_region_are_named_kept_and_brought_over(platform: Studio) -> None:
    """What the bucket of the lost region had not sent is on its disks only: counted, kept outside, then in both."""
    town = Town(platform)
    objects = town.the(Objects)
    report = town.away()
    lost = count(objects.missing("east", "west"))
    assert lost > 0
    assert [item.complete for item in town.facts(Accounted, report) if item.component == objects.name] == [False]
    town.world.bring_back("east")
    town.run(5.0)
    again = town.moves(Intent.REPROTECT)
    whole(again)
    kept = [item.items for item in town.facts(Preserved, again) if item.component == objects.name]
    assert kept and kept[-1] is not None and kept[-1] >= lost
    assert not objects.missing("east", "west") and objects.replicates("west", "east")
    newest = objects.newest("east")
    assert newest is not None and newest.region == "west" and newest == objects.newest("west")


def test_a_newer_object_is_never_written_over(platform: Studio) -> None:
    """Both sides wrote one object while they were apart: the older one gives way, a younger one of the old side is left alone."""
    town = Town(platform)
    objects = town.the(Objects)
    town.world.set_link("east", "west", open_=False)
    objects.write("east", "older")
    town.run(2.0)
    town.away()
    objects.write("west", "older")
    objects.write("west", "younger")
    town.world.bring_back("east")
    town.run(1.0)
    town.world.set_link("west", "east", open_=False)
    objects.write("east", "younger")
    young = dict(objects.versions["east"])["younger"]
    town.world.set_link("west", "east", open_=True)
    report = town.moves(Intent.REPROTECT)
    assert report.outcome is RunOutcome.COMPLETED
    assert all(item.old < item.new for item in objects.replaced)
    assert objects.versions["east"]["older"] == objects.versions["west"]["older"]
    assert objects.versions["east"]["younger"] == young > objects.versions["west"]["younger"]
    assert "younger" in {key for item in objects.preserved for key, _ in item.keys}


def refused_by(report: RunReport) -> set[str]:
    """The guards that said no."""
    return {item.name for item in report.guards if item.verdict is Verdict.REFUSED}


def untouched(town: Town) -> bool:
    """Nobody changed anything."""
    return not any(effect.run_id for effect in town.world.effects)


def test_an_image_that_is_missing_in_the_target_refuses_a_failover(platform: Studio) -> None:
    """Before anything is touched; accepted, all start but the one that has no image, and that is said (I13)."""
    town = Town(platform)
    town.the(Images).missing["west"].add(town.the(Deployments).images["d-003"])
    report = town.away()
    assert report.outcome is RunOutcome.REFUSED
    assert refused_by(report) == {Guard.PREREQUISITES}
    assert "d-003" in report.reason and untouched(town)

    report = town.moves(Intent.FAILOVER, "west", split=True, accept=("prerequisites",))
    assert report.outcome is RunOutcome.PAUSED
    assert town.the(Deployments).runtimes["west"].schedulers == set(town.the(Deployments).ids) - {"d-003"}
    assert town.facts(Healthy, report)[-1].unhealthy.keys() == {"d-003"}


def test_an_image_that_only_the_source_has_comes_over_in_a_planned_move(platform: Studio) -> None:
    """Prepare copies it while the source is there; views call it missing before, so the guard asks for a word."""
    town = Town(platform)
    digest = town.the(Images).push("east", "d-001")
    report = town.moves(Intent.SWITCHOVER, "west")
    assert report.outcome is RunOutcome.REFUSED and digest in report.reason and untouched(town)
    whole(town.moves(Intent.SWITCHOVER, "west", accept=("prerequisites",)))
    assert not town.the(Images).missing["west"] and not town.the(Images).tags["west"]


@pytest.mark.parametrize("how", ["missing", "undecryptable"])
def test_a_secret_that_does_not_work_in_the_target_refuses(platform: Studio, how: str) -> None:
    """Missing, or a key that does not decrypt what is in the database."""
    town = Town(platform)
    secrets = town.the(Secrets)
    if how == "missing":
        secrets.forget("west", "deployments/d-002/fernet")
    else:
        secrets.rotate("east", "d-002")
    report = town.away()
    assert report.outcome is RunOutcome.REFUSED and refused_by(report) == {Guard.PREREQUISITES}
    assert "d-002" in report.reason and untouched(town)
    assert town.the(Deployments).lacking("west").keys() == {"d-002"}


def test_an_expired_certificate_refuses_and_one_that_ends_soon_does_not(platform: Studio) -> None:
    """What clients still accept is a warning."""
    town = Town(platform)
    certificates = town.the(Certificates)
    certificates.expires["west"]["d-001.ui"] = town.world.now + 3600.0
    certificates.expires["west"]["d-001.api"] = town.world.now + 5.0
    report = town.away()
    assert report.outcome is RunOutcome.REFUSED and "d-001.api" in report.reason and "d-001.ui" not in report.reason


def test_alerts_are_silent_during_a_move_and_ring_after_it(platform: Studio) -> None:
    """Temporary, and put back; a silence also has an end of its own."""
    town = Town(platform)
    report = town.moves(Intent.SWITCHOVER, "west")
    assert {item.region for item in town.facts(Temporary, report) if item.component == "alerts"} == {"east", "west"}
    assert {item.region for item in town.facts(PutBack, report) if item.component == "alerts"} == {"east", "west"}
    silences = town.the(Silences)
    assert not silences.active("east") and not silences.active("west")
    silences.silence("east", "run")
    town.run(silences.expires + 1.0)
    assert not silences.active("east")


def test_people_are_told_once_and_a_broken_channel_stops_nothing(platform: Studio) -> None:
    """Each stage once; what could not be sent is a deviation."""
    town = Town(platform)
    town.moves(Intent.SWITCHOVER, "west")
    sent = [stage for _, stage, _ in town.the(Channel).sent]
    assert sent == ["investigating", "failing-over", "restored", "resolved"]
    town.the(Channel).broken = True
    town.run(30.0)
    report = town.moves(Intent.SWITCHOVER, "east")
    assert report.outcome is RunOutcome.COMPLETED and any("people" in text for text in report.deviations)


def test_identities_are_compared_after_a_move(studio: Studio) -> None:
    """The Deployments that were kept of the lost region are those of the new one."""
    town = Town(studio)
    town.run(90.0)
    found = town.facts(Identities, town.away())
    assert found and found[-1].checked == 5 and not found[-1].changed and not found[-1].missing


def test_old_sessions_are_dropped_and_a_check_that_does_not_hold_is_waited_for() -> None:
    """Pools let go after each promotion; a soak begins anew when one of its checks fails meanwhile."""
    studio = Studio(ROOT / "runbooks/careful.yaml")
    try:
        town = Town(studio)
        check = next(store for store in town.world.stores.values() if isinstance(store, Check) and store.name == "watched")
        check.wrong = "no data: unknown"
        town.stage.loop.at(town.world.now + 60.0, lambda: setattr(check, "wrong", ""))
        report = town.away()
        assert report.outcome is RunOutcome.COMPLETED, report.reason
        assert town.the(Pools).restarted == {"west": 1} and town.the(Pools).old("west") is False
        assert town.world.now > 90.0
    finally:
        studio.close()
