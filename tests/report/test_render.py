"""The HTML file and the JUnit file of a drill, and the schemas of both reports."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from dr.config.outputs import schema_of
from dr.model.base import Json
from dr.model.lag import LagSample
from dr.model.period import PeriodReport
from dr.model.report import DrillReport, ExpectationReport, FaultReport, HostnameReport, RunReport, TruthReport
from dr.model.truth import CleanUp
from dr.model.words import Known, Outcome, RunOutcome
from dr.report.assess import run_report
from dr.report.html import render_drill, render_run
from dr.report.junit import junit
from tests.report.build import Story, at, failover, plan, usual_steps
from tests.report.schema import problems

MARKUP = "<script>alert('x')</script>&\"quoted\""


def a_run(**more: object) -> RunReport:
    return run_report(failover(**more).records(), "lab-state/dr/journal.db")  # type: ignore[arg-type]


def a_drill(*runs: RunReport, **more: object) -> DrillReport:
    values: dict[str, object] = {
        "scenario": "region-outage", "world": "lab", "started_at": at(-10), "finished_at": at(20), "verdict": "passed", "runs": runs,
        "expectations": (ExpectationReport(name="rta", expected=30.0, actual=2.9, met=True),),
        "faults": (FaultReport(kind="kill", target="east", at="5.0s", observed_at=at(0.01)),), "cleanup": CleanUp(),
        "truth": TruthReport(
            outage_seconds=2.6, acknowledged_writes=5000, lost_writes=3, loss_window_seconds=0.2, ledger_path="ledger.jsonl",
            ledger_sha256="ab" * 32,
            hostnames=(
                HostnameReport(hostname="a.ui.dr.test", last_ok=at(0), first_fail=at(0.1), first_ok_after=at(2.6)),
                HostnameReport(hostname="b.ui.dr.test", last_ok=at(0), first_fail=at(0.1), first_ok_after=None),
            ),
        ), **more,
    }  # fmt: skip
    return DrillReport.model_validate(values)


def lag() -> list[LagSample]:
    """A minute of samples, ten seconds of it unknown."""
    return [
        LagSample(component="metadata-db", at=at(second), state=Known.UNKNOWN if -30 <= second < -20 else Known.KNOWN,
                  lag=None if -30 <= second < -20 else timedelta(seconds=0.1))
        for second in range(-60, 0)
    ]  # fmt: skip


class Page(HTMLParser):
    """Checks that tags are balanced, and collects text, tags and attributes."""

    VOID = frozenset({"meta", "br", "link", "img", "hr", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.values: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """What a reader reads, with plain spaces."""
        return re.sub(r"\s+", " ", " ".join(self.words).replace("\u00a0", " ").replace("\u202f", " "))


@pytest.mark.parametrize("text", [render_run(a_run(), lag()), render_drill(a_drill(a_run()), lag())], ids=["run", "drill"])
def test_the_file_refers_to_nothing_outside_of_it(text: str) -> None:
    """No script, no link, no address, no import: it can be opened anywhere, and calls nobody."""
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "base", "a"} & set(page.tags)
    assert not {"src", "href", "xlink:href", "onload", "onclick", "srcset", "action"} & {name for name, _value in page.values}
    assert not re.search(r"https?://|//cdn|@import|@font-face", text)
    assert all(found == "#hatch" for found in re.findall(r"url\(([^)]*)\)", text))


def test_the_verdict_comes_first_then_the_objectives() -> None:
    """A reader who stops after ten lines knows whether it worked and how well."""
    text = Page(render_drill(a_drill(a_run()), lag())).text
    order = ["Passed", "2.90 s", "RTO 1 h", "≤ 3.00 s", "RPO 15 min", "What was expected", "Seen from outside", "Steps against time"]
    places = [text.index(item) for item in order]
    assert places == sorted(places)


def test_everything_written_by_people_is_escaped() -> None:
    """Markup in a reason, an actor, a step's failure or a hostname is text."""
    story = Story().start(plan(usual_steps()), actor=MARKUP, reason=MARKUP)
    story.run("metadata-db/fence", 1.3, 1.4, outcome=Outcome.FAILED, reason=MARKUP)
    run = run_report(story.over(2, RunOutcome.FAILED, MARKUP).records(), MARKUP)
    text = render_drill(a_drill(run, error=MARKUP, verdict="failed", cleanup=CleanUp(leftovers=(MARKUP,))))
    assert "<script" not in text
    assert MARKUP in Page(text).text


def test_unknown_is_a_word_and_never_a_zero() -> None:
    """A run that did not get there shows no number for what it did not measure."""
    text = Page(render_run(run_report(Story().start(plan(usual_steps())).over(1.5, RunOutcome.FAILED, "no").records(), "j"))).text
    assert "Recovery time (RTA) unknown" in text
    assert "Data lost, as time (RPA) unknown" in text


def test_the_rto_is_drawn_where_it_lies_inside_the_picture() -> None:
    """With an RTO of two seconds the line stands in the chart; with an hour the distance is told."""
    story = failover()
    story.events[0] = Story().start(plan(usual_steps(), rto=timedelta(seconds=2))).events[0]
    assert ">RTO</text>" in render_run(run_report(story.records(), "j"))
    assert re.search(r"RTO 1 h lies 1 \d\d\d times this width further on", Page(render_run(a_run())).text)


def test_a_long_outage_before_the_decision_does_not_squeeze_the_steps() -> None:
    """Ten minutes undetected: the picture starts at the decision and says what lies before."""
    assert "outage began 10 min 01 s earlier" in Page(render_run(a_run(outage_began=at(-600)))).text


def test_a_drill_without_runs_or_truth_still_renders() -> None:
    """The world did not start: error and clean-up are there."""
    text = Page(render_drill(a_drill(verdict="failed", error="PostgreSQL is missing", truth=None, faults=(), expectations=()))).text
    assert "PostgreSQL is missing" in text
    assert "Nothing is known from outside" in text


def test_junit_has_a_case_for_each_expectation_and_the_failed_steps() -> None:
    """Two expectations, one not met; a failed run with a failed step; something left over; an error."""
    story = Story().start(plan(usual_steps())).run("metadata-db/fence", 1.3, 1.4)
    story.run("deployments/snapshot", 1.3, 1.4, outcome=Outcome.FAILED, reason=f"{MARKUP}\x00")
    run = run_report(story.over(2, RunOutcome.FAILED, "stopped").records(), "j")
    unmet = ExpectationReport(name="lost_tasks", expected=0, actual=2, met=False, detail="two of sixty")
    met = ExpectationReport(name="outcome", expected="failed", actual="failed", met=True)
    root = ElementTree.fromstring(
        junit(a_drill(run, verdict="failed", expectations=(met, unmet), cleanup=CleanUp(leftovers=("pid 7",)), error="time is over"))
    )
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert cases["outcome"].find("failure") is None
    failure = cases["lost tasks"].find("failure")
    assert failure is not None
    assert (failure.get("message"), failure.text) == ("expected 0, was 2", "two of sixty")
    assert cases["clean-up"].find("failure") is not None
    assert "deployments/snapshot: <script>" in (cases["failover east to west"].findtext("failure") or "")
    assert cases["drill"].find("error") is not None
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("5", "3", "1")


def test_junit_of_an_expected_refusal_has_no_failure() -> None:
    """What was wanted is no failure in CI."""
    refused = run_report(Story().start(plan(usual_steps())).over(1.2, RunOutcome.REFUSED, "exposure").records(), "j")
    assert ElementTree.fromstring(junit(a_drill(refused))).get("failures") == "0"


def wire(report: RunReport | DrillReport | PeriodReport) -> Json:
    return report.model_dump(mode="json", by_alias=True)


def test_real_reports_match_their_published_schemas() -> None:
    """dr.run/1 and dr.drill/1: what is printed validates, and reads back equal."""
    run, drill = a_run(), a_drill(a_run(), a_run())
    assert problems(wire(run), schema_of("dr.run/1")) == []
    assert problems(wire(drill), schema_of("dr.drill/1")) == []
    assert wire(run)["schema"] == "dr.run/1"
    assert DrillReport.model_validate_json(drill.model_dump_json(by_alias=True)) == drill


def test_the_schema_refuses_what_is_no_report() -> None:
    """An outcome that is not one of the words, a missing field, a field too many: the check above can fail."""
    good = wire(a_run())
    assert problems(good | {"outcome": "great"}, schema_of("dr.run/1"))
    assert problems({name: value for name, value in good.items() if name != "epoch"}, schema_of("dr.run/1"))
    assert problems(good | {"extra": 1}, schema_of("dr.run/1"))
    with pytest.raises(ValidationError):
        RunReport.model_validate(good | {"extra": 1})


def test_the_templates_are_packaged() -> None:
    """pyproject ships *.html.j2 of this package: a style sheet with another ending would be missing after an install."""
    folder = Path(render_run.__code__.co_filename).parent
    assert {path.name for path in folder.iterdir() if path.suffix not in (".py", "") and path.is_file()} == {
        "report.html.j2", "run.html.j2", "style.html.j2", "period.html.j2", "simulation.html.j2"
    }  # fmt: skip
