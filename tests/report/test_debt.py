"""Debt opens and closes by facts of the journal only."""

from __future__ import annotations

from dr.model.evidence import Evidence, Following, Identities, Preserved
from dr.model.words import DebtKind, Intent, Outcome, RunOutcome, Verb
from dr.report.debt import open_debt
from tests.report.build import RUNBOOK, Story, at, failover, fenced, plan, point, promoted, step, usual_steps


def kinds(*stories: Story) -> set[DebtKind]:
    return {item.kind for item in open_debt([story.records() for story in stories])}


def later(*evidence: Evidence, intent: Intent = Intent.REPROTECT, run_id: str = "later") -> Story:
    """A second run with one step that found these facts."""
    only = step("metadata-db/follow", Verb.FOLLOW, region="east")
    source, target = ("east", "west") if intent is Intent.REPROTECT else ("west", "east")
    return Story(run_id).start(plan((only,), intent, source, target)).run("metadata-db/follow", 60, 62, *evidence).over(63)


FOLLOWING = Following(component="metadata-db", region="east", upstream="west", how="pg_rewind")


def test_a_failover_of_a_dead_region_leaves_three_things_to_do() -> None:
    """Re-protect, a fence to be acknowledged, and writes that may have to be preserved: each with its command."""
    debt = open_debt([failover().records()])
    assert {item.kind for item in debt} == {DebtKind.REPROTECT, DebtKind.FENCE, DebtKind.DIVERGENCE}
    assert {item.command for item in debt} == {f"dr reprotect {RUNBOOK}"}
    fence = next(item for item in debt if item.kind is DebtKind.FENCE)
    assert "lab-state/east/exec pg_ctl stop -m fast" in fence.text
    assert fence.since == at(1.46)


def test_a_clean_fence_with_everything_arrived_leaves_only_the_reprotect() -> None:
    """Nothing can have diverged."""
    assert kinds(failover(fence=fenced(0.2), recovery=point(0.2, complete=True))) == {DebtKind.REPROTECT}


def test_following_again_pays_everything() -> None:
    """A region that follows takes no writes of its own; what it had was preserved before (I17)."""
    assert kinds(failover(), later(FOLLOWING)) == set()


def test_a_later_acknowledged_fence_closes_the_fence_and_nothing_else() -> None:
    """The fence is retried until it is acknowledged."""
    assert kinds(failover(), later(fenced(None))) == {DebtKind.REPROTECT, DebtKind.DIVERGENCE}


def test_preserving_closes_the_divergence_and_nothing_else() -> None:
    """Kept, not yet overwritten."""
    kept = Preserved(component="metadata-db", region="east", at=at(61), path="/kept", manifest="/kept/manifest", items=12)
    assert kinds(failover(), later(kept)) == {DebtKind.REPROTECT, DebtKind.FENCE}


def test_a_dns_server_that_was_not_reached_stays_until_it_is_copied() -> None:
    """Another component's following does not close it."""
    lost = failover(not_reached=("127.0.10.1:15353",))
    assert DebtKind.DNS in kinds(lost)
    assert DebtKind.DNS in kinds(lost, later(FOLLOWING))
    assert kinds(lost, later(FOLLOWING, Following(component="dns", region="east", upstream="west", how="copied"))) == set()
    corrected = plan((step("dns/follow", Verb.FOLLOW, region="east"),), Intent.REPROTECT)
    assert DebtKind.DNS not in kinds(lost, Story("two").start(corrected).run("dns/follow", 60, 61).over(62))
    assert DebtKind.DNS in kinds(lost, Story("two").start(corrected).run("dns/follow", 60, 61, outcome=Outcome.FAILED))


def test_a_refused_run_leaves_nothing() -> None:
    """Nothing was touched."""
    assert kinds(Story().start(plan(usual_steps())).over(1.3, RunOutcome.REFUSED)) == set()


def test_a_run_killed_before_its_promotion_leaves_nothing_yet() -> None:
    """The old primary is still the only one."""
    story = Story().start(plan(usual_steps())).run("deployments/snapshot", 1.21, 1.25).run("metadata-db/fence", 1.21, 1.3)
    assert kinds(story) == set()


def test_a_promotion_back_home_turns_the_debt_around() -> None:
    """After a failback it is the other region that has to follow, and says so until it does."""
    home = later(point(61, complete=True), promoted(61, region="east"), intent=Intent.FAILBACK)
    debt = open_debt([failover().records(), later(FOLLOWING).records(), home.records()])
    assert [(item.kind, "west does not follow east" in item.text) for item in debt] == [(DebtKind.REPROTECT, True)]


def test_identities_that_differ_are_drift_until_they_are_equal() -> None:
    """Missing and changed are named."""

    def compared(*missing: str) -> Identities:
        return Identities(component="deployments", checked=5, changed=(), missing=missing, created_later=(), before_taken_at=at(-9),
                          before_sha256="bb", after_sha256="aa")  # fmt: skip

    wrong = later(compared("d-001"))
    assert "d-001 missing" in open_debt([wrong.records()])[0].text
    assert kinds(wrong, later(compared(), run_id="again")) == set()


def test_an_optional_step_that_failed_is_owed_until_it_succeeds() -> None:
    """The clean-up names what a person would type."""
    tidy = step("metadata-db/tidy", Verb.RELEASE, optional=True, by_hand="pg_ctl reload")
    failed = Story("one").start(plan((tidy,))).run("metadata-db/tidy", 2, 3, outcome=Outcome.FAILED, reason="no answer").over(4)
    debt = open_debt([failed.records()])
    assert [(item.kind, item.command) for item in debt] == [(DebtKind.CLEAN_UP, "pg_ctl reload")]
    assert kinds(failed, Story("two").start(plan((tidy,))).run("metadata-db/tidy", 2, 3).over(4)) == set()
