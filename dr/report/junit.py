"""A drill as JUnit XML, for CI: expectations are test cases, then clean-up, and every run with its failed steps. Pure."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from dr.model.report import DrillReport, RunReport
from dr.model.words import RunOutcome, StepState
from dr.report.wording import expectation, words

_FORBIDDEN = {number: " " for number in range(32) if chr(number) not in "\t\n\r"}
"""Control characters that XML 1.0 has no way to write."""


def junit(report: DrillReport) -> str:
    """One test suite. Its ``failures`` are expectations that are not met, what is left over, and steps that failed in a run that
    was expected to complete; a drill that could not be played to its end is an ``error``."""
    suite = Element("testsuite", name=f"dr drill {report.scenario}", timestamp=report.started_at.strftime("%Y-%m-%dT%H:%M:%S"))
    place = f"dr.drill.{report.scenario}"
    for line in report.expectations:
        expected, actual = expectation(line)
        case = SubElement(suite, "testcase", classname=place, name=words(line.name), time="0")
        if not line.met:
            _says(case, "failure", f"expected {expected}, was {actual}", line.detail)
    case = SubElement(suite, "testcase", classname=place, name="clean-up", time="0")
    if not report.cleanup.ok:
        _says(case, "failure", f"left over: {', '.join(report.cleanup.leftovers)}", "")
    for run in report.runs:
        _run(suite, place, run, expected=report.verdict == "passed")
    if report.error:
        _says(SubElement(suite, "testcase", classname=place, name="drill", time="0"), "error", report.error, "")
    failures, errors = len(suite.findall("testcase/failure")), len(suite.findall("testcase/error"))
    counts = {"tests": str(len(suite.findall("testcase"))), "failures": str(failures), "errors": str(errors), "skipped": "0"}
    suite.attrib.update(counts, time=f"{(report.finished_at - report.started_at).total_seconds():.3f}")
    root = Element("testsuites", counts)
    root.append(suite)
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _run(suite: Element, place: str, run: RunReport, *, expected: bool) -> None:
    """Failed steps are told in the output of a drill that passed (a refusal may be what was wanted), else they are its failure."""
    seconds = run.objectives.rta_seconds
    case = SubElement(
        suite, "testcase", classname=place, name=f"{run.intent} {run.from_region} to {run.to_region}", time=f"{seconds or 0:.3f}"
    )  # fmt: skip
    failed = [f"{step.id}: {step.reason}" for step in run.steps if step.state is StepState.FAILED]
    if not expected and (failed or run.outcome is not RunOutcome.COMPLETED):
        _says(case, "failure", f"{run.outcome}" + (f": {run.reason}" if run.reason else ""), "\n".join(failed))
    lines = [f"run {run.run_id}", f"outcome {run.outcome}", *(f"failed {item}" for item in failed), *run.deviations]
    SubElement(case, "system-out").text = "\n".join(lines).translate(_FORBIDDEN)


def _says(case: Element, tag: str, message: str, text: str) -> None:
    SubElement(case, tag, message=message.translate(_FORBIDDEN)).text = text.translate(_FORBIDDEN)
