"""Every scenario of ``scenarios/`` in the lab, as a person runs it: one command, judged by its own expectations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from dr.config.scenario import load_scenario
from dr.model.report import DrillReport
from dr.model.words import RunOutcome
from tests.scenarios.files import of_worlds

ROOT = Path(__file__).parents[2]
SCENARIOS = of_worlds("lab", "sim")
LONGEST_SECONDS = 420
LONG = {
    "round-trip-five", "platform-scale", "scale-80", "log-filer-behind", "log-replication-stalled", "planned-long-ttl", "frozen-region",
    "failover-during-failback", "partition", "old-primary-returns", "careful-switchover", "only-database-lost", "capacity-missing",
    "both-regions-lost",
}  # fmt: skip
"""Those that take longest: ``make test-all``."""
PARAMETERS = [pytest.param(path, id=path.stem, marks=[pytest.mark.long] if path.stem in LONG else []) for path in SCENARIOS]


@pytest.mark.scenario
@pytest.mark.usefixtures("no_lab")
@pytest.mark.parametrize("path", PARAMETERS)
def test_the_drill_passes(path: Path, tmp_path: Path) -> None:
    """All expectations are met, an expected refusal too, nothing is left over, and the reports are written."""
    argv = [str(Path(sys.executable).with_name("dr")), "drill", str(path.relative_to(ROOT)), "--json"]
    argv += ["--junit", str(tmp_path / "junit.xml"), "--report", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    try:
        report = DrillReport.model_validate_json(done.stdout)
    except ValidationError:
        pytest.fail(f"no report; repeat with: {' '.join(argv[:3])}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    unmet = [f"{line.name}: expected {line.expected}, was {line.actual} {line.detail}" for line in report.expectations if not line.met]
    story = f"repeat with: {' '.join(argv[:3])}\n{report.error}\n{done.stderr[-4000:]}"
    assert unmet == [], story
    assert report.cleanup.leftovers == (), story
    assert (report.verdict, done.returncode) == ("passed", 0), story
    assert (tmp_path / "junit.xml").stat().st_size > 0
    assert "</html>" in next(tmp_path.glob("*.html")).read_text(encoding="utf-8")


def test_every_promised_scenario_is_there() -> None:
    """The seven of the spine, every bad day that was promised, and the whole platform's own."""
    assert {path.stem for path in SCENARIOS} >= {
        "region-outage", "region-outage-lagging-link", "planned-switchover", "round-trip", "orchestrator-killed", "scale-80",
        "refused-exposure", "frozen-primary", "frozen-region", "partition", "old-primary-returns", "both-regions-lost", "two-operators",
        "failover-during-failback", "switchover-turned", "target-dns-down", "cached-too-long", "capacity-missing", "only-database-lost",
        "careful-switchover",
        "planned-long-ttl", "platform-outage", "platform-scale", "round-trip-five", "log-replication-stalled", "log-filer-behind",
        "image-missing", "image-missing-accepted", "image-other-digest", "secret-missing", "secret-undecryptable", "fernet-differs",
        "certificate-missing", "certificate-expired",
    }  # fmt: skip


def test_every_refusal_bites_on_its_own_reason() -> None:
    """Exit 3, 4 and 5 could have any cause: who expects one names the text or the objective; a refused run its guard, and no promotion."""
    for path in SCENARIOS:
        expect = load_scenario(path).expect
        codes = {expect.exit_code, *(expect.exit_codes or ()), *(expect.exit_codes_any_order or ())}
        if codes & {3, 4}:
            assert expect.says or expect.waited_for, path.stem
        if 5 in codes:
            assert expect.rto_met is False or expect.rpo_met is False, path.stem
        if expect.outcome is RunOutcome.REFUSED:
            assert expect.refused_by is not None and expect.promotions == 0, path.stem
