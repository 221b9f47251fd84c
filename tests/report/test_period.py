"""A period: its runs from their journals, its drills from their records, debt until it is closed; and the page that shows it."""

from __future__ import annotations

from datetime import timedelta

from dr.model.evidence import Following
from dr.model.period import JournalReport, PeriodDrill, PeriodReport
from dr.model.report import DrillReport
from dr.model.words import DebtKind, Intent, RunOutcome, Verb
from dr.report.assess import run_report
from dr.report.period import Checked, Kept, Told, drill
from dr.report.period_page import render_period, share, verdict
from dr.report.replication import Objective, replication
from dr.store.history import stretches
from tests.report.build import ZERO, Story, at, failover, plan, step
from tests.report.schema import problems
from tests.report.test_render import MARKUP, Page, a_drill, wire
from tests.report.test_replication import BEGIN, FIVE, row

DAY = 86400


def reprotect(second: float, run_id: str = "r2") -> Story:
    """The old primary follows again: the debt of the failover is paid."""
    follow = step("metadata-db/follow", Verb.FOLLOW, region="east")
    story = Story(run_id).start(plan((follow,), Intent.REPROTECT), outage_began=None, detected=None, decided=at(second))
    story.events[0] = (at(second), story.events[0][1])
    following = Following(component="metadata-db", region="east", upstream="west", how="pg_rewind")
    story.run("metadata-db/follow", second + 1, second + 2, following)
    return story.over(second + 3)


def told(*stories: Story, days: float = 1) -> Told:
    """The runs of a period of so many days from the first disaster on."""
    found = Told("airflow-lab", ZERO, ZERO + timedelta(days=days), "journal.db")
    for story in stories:
        found.read(story.records())
    return found


def page_of(own: Told, *drills: PeriodDrill, **more: object) -> PeriodReport:
    values: dict[str, object] = {
        "tool_version": "0", "written_at": at(2 * DAY), "state_directory": "/state", "from_at": ZERO, "to_at": at(DAY), "runbook": None,
        "journal": JournalReport(path="/state/journal.db", runs=1, records=20, verified=True, problems=()), "replication": (),
        "runs": tuple(own.runs), "broken": (), "drills": drills, "unreadable": (), "debt": own.owed(), "exit_code": 0, **more,
    }  # fmt: skip
    return PeriodReport.model_validate(values)


def test_a_run_is_told_with_its_numbers_and_where_they_come_from() -> None:
    """What the period says of a run is what the run's own report says; records and head are named."""
    story = failover()
    (run,) = told(story).runs
    own = run_report(story.records(), "journal.db")
    for name in ("objectives", "deviations", "acceptances", "components", "outcome", "exit_code", "actors", "plan_hash"):
        assert getattr(run, name) == getattr(own, name), name
    assert (run.records, run.journal_head) == (len(story.records()), story.records()[-1].hash)
    assert (run.started_at, run.ended_at, run.steps) == (at(1.2), at(3.2), len(own.steps))


def test_a_run_belongs_to_the_period_in_which_it_started() -> None:
    """The end is no part of it; runs outside of it still open and close debt."""
    before, after = failover(run_id="r1"), reprotect(DAY)
    assert [run.run_id for run in told(before, after).runs] == ["r1"]
    assert [run.run_id for run in told(before, reprotect(DAY - 1)).runs] == ["r1", "r2"]


def test_debt_has_an_owner_and_a_command_until_it_is_closed() -> None:
    """Open at the end of the period; closed by a later run; gone where it was closed within."""
    owed = told(failover(run_id="r1", actor="ann")).owed()
    assert {item.kind for item in owed} == {DebtKind.REPROTECT, DebtKind.DIVERGENCE, DebtKind.FENCE}
    assert {(item.owner, item.run_id, item.open, item.command) for item in owed} == {("ann", "r1", True, "dr reprotect runbooks/lab.yaml")}
    assert [item.open for item in told(failover(run_id="r1"), reprotect(2 * DAY)).owed()] == [False] * 3
    assert told(failover(run_id="r1"), reprotect(60)).owed() == ()


def test_the_rpo_is_that_of_the_newest_plan() -> None:
    """Where no runbook is given, the newest run says what was promised."""
    later = failover(run_id="r2")
    later.events[0] = Story().start(plan((), component_rpo={"metadata-db": timedelta(minutes=2)})).events[0]
    assert told(failover(run_id="r1")).objectives == {"metadata-db": Objective(timedelta(minutes=5), "run r1")}
    newest = Story("r2").start(plan((), component_rpo={"metadata-db": timedelta(minutes=2)})).over(2, RunOutcome.REFUSED)
    assert told(failover(run_id="r1"), newest).objectives["metadata-db"] == Objective(timedelta(minutes=2), "run r2")


def a_kept(**journals: Checked) -> Kept:
    story = failover(run_id="r1")
    report: DrillReport = a_drill(run_report(story.records(), "journal.db"))
    return Kept(report, "/state/drills/x.json", "ab" * 32, journals)


def test_a_drill_says_its_mode_and_scope_and_whether_its_journal_still_holds() -> None:
    """World, intents, faults, components; verified, gone, or broken: then the page says so loudly."""
    head = failover(run_id="r1").records()[-1].hash
    found = drill(a_kept(r1=Checked(head, 20)))
    assert (found.world, found.intents, found.faults, found.runbook) == ("lab", (Intent.FAILOVER,), ("kill east",), "airflow-lab")
    assert set(found.components) == {"metadata-db", "deployments", "dns"}
    assert [(run.journal, run.records) for run in found.runs] == [("verified", 20)]
    assert [run.journal for run in drill(a_kept(r1=Checked(None, None))).runs] == ["gone"]
    for broken in (Checked("cd" * 32, 20), Checked(None, None, "record 3 was changed"), Checked(head, 20, "x")):
        (run,) = drill(a_kept(r1=broken)).runs
        assert run.journal == "broken" and run.problem


def test_the_first_sentence_says_the_worst() -> None:
    """A source that cannot be trusted before a missed objective, that before what is unknown, that before "all is well"."""
    own = told(failover())
    line = replication("r", stretches([row(second, 1) for second in range(0, 100, 5)]), ZERO, ZERO, {})
    assert verdict(page_of(own, replication=line)).tone == "warn"
    (inside,) = replication("r", stretches([row(0, 1)]), BEGIN, BEGIN + timedelta(seconds=20), FIVE)
    assert verdict(page_of(own, replication=(inside,))).word == "Within every objective"
    (above,) = replication("r", stretches([row(0, 9)]), BEGIN, BEGIN + timedelta(seconds=20), FIVE)
    assert "above the RPO" in verdict(page_of(own, replication=(above,))).text
    bad = JournalReport(path="j", runs=0, records=0, verified=False, problems=("record 3 was changed",))
    assert verdict(page_of(own, replication=(above,), journal=bad)).word == "Not to be trusted"
    failed = drill(a_kept()).model_copy(update={"verdict": "failed"})
    assert "1 of 1 drills failed" in verdict(page_of(own, failed, replication=(inside,))).text


def test_the_page_is_self_contained_and_shows_every_source() -> None:
    """No script and no address; heads, record counts, SHA-256, owner and command are there; what is broken is named."""
    story = failover(run_id="r1", actor=MARKUP)
    bad = JournalReport(path="j", runs=0, records=0, verified=False, problems=(f"record 3 {MARKUP}",))
    (line,) = replication("r", stretches([row(0, 1), row(20, 9), row(40, None)]), BEGIN, BEGIN + timedelta(hours=3), FIVE)
    text = render_period(page_of(told(story), drill(a_kept()), journal=bad, replication=(line,)))
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "base", "a"} & set(page.tags)
    assert "<script" not in text and "http" not in text.replace("http-equiv", "")
    for expected in (
        story.records()[-1].hash, f"{len(story.records())} journal records", "ab" * 32, "dr reprotect runbooks/lab.yaml",
        "record 3 <script>", "world lab", "3 samples", "worst exposure", "journal not kept any more", "cannot be trusted", "owner <script>",
    ):  # fmt: skip
        assert expected in page.text, expected


def test_an_empty_period_still_says_what_is_not_known() -> None:
    """No run, no drill, no sample: words, and no zero that could be taken for a measurement."""
    text = Page(render_period(page_of(told()))).text
    for expected in ("No run started", "No drill started", "There is no lag sample", "Time inside the RPO unknown"):
        assert expected in text


def test_shares_are_never_rounded_to_all_or_nothing() -> None:
    """A second in a quarter above the RPO is not 0 %."""
    assert [share(value) for value in (0, 1e-9, 0.5, 1 - 1e-9, 1, None)] == ["0 %", "0.001 %", "50.000 %", "99.999 %", "100 %", "unknown"]


def test_the_report_matches_its_published_schema() -> None:
    """dr.report/1 validates, and reads back equal."""
    (line,) = replication("r", stretches([row(0, 1)]), BEGIN, BEGIN + timedelta(hours=3), FIVE)
    report = page_of(told(failover()), drill(a_kept()), replication=(line,))
    assert problems(wire(report), PeriodReport.model_json_schema(mode="serialization")) == []
    assert wire(report)["schema"] == "dr.report/1"
    assert PeriodReport.model_validate_json(report.model_dump_json(by_alias=True)) == report
