"""Guards refuse what would lose data or split a component; what a person may accept can be accepted, and the refusal says how."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from dr.engine import guards
from dr.model.evidence import Fenced, RecoveryPoint
from dr.model.lag import ComponentView, Exposure, Finding, LagSample, RegionView
from dr.model.plan import Acceptance, GuardResult
from dr.model.words import FenceState, Guard, Intent, Known, Role, Severity, Verdict
from tests.engine.build import START, plan

RPO = timedelta(minutes=15)
PASSED, REFUSED, OVERRIDDEN = Verdict.PASSED, Verdict.REFUSED, Verdict.OVERRIDDEN


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def accept(guard: Guard, bound: timedelta | None = None, *, unbounded: bool = False, actor: str = "lead") -> Acceptance:
    return Acceptance(guard=guard, actor=actor, reason="region lost", at=START, bound=bound, unbounded=unbounded)


def lost(value: timedelta | None, state: Known = Known.KNOWN, component: str = "db") -> Exposure:
    return Exposure(component=component, state=state, value=value, reason="stale sample" if state is Known.UNKNOWN else "")


def view(east: Role, west: Role, findings: Sequence[Finding] = ()) -> ComponentView:
    regions = {"east": RegionView(role=east), "west": RegionView(role=west, reason="no answer" if west is Role.UNREACHABLE else "")}
    return ComponentView(component="db", kind="fake", at=START, regions=regions, findings=tuple(findings))


def before(
    intent: Intent, seen: ComponentView, exposure: Exposure | None = None, acceptances: Sequence[Acceptance] = (), reason: str = ""
) -> dict[Guard, GuardResult]:
    exposures = {} if exposure is None else {"db": exposure}
    results = guards.before_run(intent, "east", "west", [seen], exposures, {"db": RPO}, acceptances, reason=reason)
    return {item.name: item for item in results}


DEAD = view(Role.UNREACHABLE, Role.SECONDARY)
HEALTHY = view(Role.PRIMARY, Role.SECONDARY)


@pytest.mark.parametrize(
    ("exposure", "acceptances", "verdict"),
    [
        (lost(minutes(15)), [], PASSED),
        (lost(minutes(14), Known.BOUND), [], PASSED),
        (lost(minutes(16)), [], REFUSED),
        (lost(minutes(16), Known.BOUND), [], REFUSED),
        (lost(None, Known.UNKNOWN), [], REFUSED),
        (lost(timedelta(0), Known.UNKNOWN), [], REFUSED),
        (lost(minutes(16)), [accept(Guard.EXPOSURE, minutes(16))], OVERRIDDEN),
        (lost(minutes(16), Known.BOUND), [accept(Guard.EXPOSURE, minutes(20))], OVERRIDDEN),
        (lost(minutes(17)), [accept(Guard.EXPOSURE, minutes(16))], REFUSED),
        (lost(minutes(17)), [accept(Guard.EXPOSURE, minutes(20)), accept(Guard.EXPOSURE, minutes(1))], OVERRIDDEN),
        (lost(minutes(16)), [accept(Guard.FENCE)], REFUSED),
        (lost(None, Known.UNKNOWN), [accept(Guard.EXPOSURE, timedelta(days=9))], REFUSED),
        (lost(None, Known.UNKNOWN), [accept(Guard.EXPOSURE, unbounded=True)], OVERRIDDEN),
        (lost(minutes(99)), [accept(Guard.EXPOSURE, unbounded=True)], OVERRIDDEN),
    ],
)  # fmt: skip
def test_exposure(exposure: Exposure, acceptances: list[Acceptance], verdict: Verdict) -> None:
    """I6: within the RPO passes; above it only an acceptance that covers it; unknown is not zero, and no bound covers it."""
    result = guards.exposure(exposure, RPO, acceptances)
    assert (result.name, result.verdict, result.component) == (Guard.EXPOSURE, verdict, "db")
    assert result.overridden_by == ("lead" if verdict is OVERRIDDEN else None)
    assert bool(result.accept) is (verdict is REFUSED)


def test_an_exposure_says_what_would_be_lost() -> None:
    """The number, the objective and why; unknown says unknown, whatever number came with it."""
    assert guards.exposure(lost(minutes(16)), RPO, []).reason == "db would lose 16m00s, RPO 15m00s"
    assert guards.exposure(lost(timedelta(0), Known.UNKNOWN), RPO, []).reason == "db would lose unknown, RPO 15m00s (stale sample)"


def test_a_target_that_is_not_there_cannot_be_accepted() -> None:
    """Unreachable or stopped: refused whatever is accepted; secondary, or promoted already, passes."""
    everything = [accept(guard) for guard in Guard]
    for role in (Role.UNREACHABLE, Role.UNKNOWN, Role.STOPPED):
        result = before(Intent.FAILOVER, view(Role.UNREACHABLE, role), None, everything)[Guard.TARGET_REACHABLE]
        assert (result.verdict, result.accept) == (REFUSED, ())
    for role in (Role.PRIMARY, Role.SECONDARY):
        assert before(Intent.FAILOVER, view(Role.UNREACHABLE, role))[Guard.TARGET_REACHABLE].verdict is PASSED
    gone = before(Intent.FAILOVER, view(Role.PRIMARY, Role.UNREACHABLE))[Guard.TARGET_REACHABLE]
    assert gone.reason == "db in west is unreachable: no answer"


def late(east: Role, west: Role) -> ComponentView:
    """What is unreachable did not answer in time."""
    regions = {
        name: RegionView(role=role, reason="no answer within 1.8 s" if role is Role.UNREACHABLE else "", late=role is Role.UNREACHABLE)
        for name, role in (("east", east), ("west", west))
    }
    return ComponentView(component="db", kind="fake", at=START, regions=regions)


@pytest.mark.parametrize("intent", list(Intent))
def test_a_target_that_did_not_answer_in_time_is_no_target(intent: Intent) -> None:
    """Slowness is named as what it may be, and neither it nor any acceptance makes the region reachable."""
    everything = [accept(guard, unbounded=True) for guard in Guard]
    result = before(intent, late(Role.PRIMARY, Role.UNREACHABLE), lost(minutes(0)), everything, "because")[Guard.TARGET_REACHABLE]
    assert (result.verdict, result.accept) == (REFUSED, ())
    assert result.reason == (
        "db in west is unreachable: no answer within 1.8 s (it did not answer in time, which may be slowness and no loss)"
    )


def test_a_source_that_did_not_answer_in_time_is_not_called_lost() -> None:
    """A planned move does not send a person into a failover because a machine is busy; what answered with a no is told as before."""
    slow = before(Intent.SWITCHOVER, late(Role.UNREACHABLE, Role.SECONDARY))
    assert Guard.PRIMARY_HEALTHY not in slow
    results = guards.before_run(Intent.SWITCHOVER, "east", "west", [late(Role.UNREACHABLE, Role.SECONDARY)], {}, {}, [], reason="")
    (no,) = guards.refused(results)
    assert no.reason == (
        "db in east is unreachable: no answer within 1.8 s (it did not answer in time, which may be slowness and no loss), "
        "a planned move needs both sides: wait, or give east up: use failover"
    )
    (gone,) = guards.refused(
        guards.before_run(Intent.SWITCHOVER, "east", "west", [view(Role.STOPPED, Role.SECONDARY)], {}, {}, [], reason="")
    )
    assert gone.reason == "db in east is stopped, a planned move needs both sides: use failover"


@pytest.mark.parametrize(
    ("intent", "seen", "slow"),
    [
        (Intent.SWITCHOVER, late(Role.UNREACHABLE, Role.SECONDARY), True),
        (Intent.SWITCHOVER, late(Role.PRIMARY, Role.UNREACHABLE), True),
        (Intent.FAILOVER, late(Role.STOPPED, Role.UNREACHABLE), True),
        (Intent.REPROTECT, late(Role.STOPPED, Role.UNREACHABLE), True),
        (Intent.SWITCHOVER, late(Role.STOPPED, Role.UNREACHABLE), False),
        (Intent.SWITCHOVER, late(Role.UNREACHABLE, Role.STOPPED), False),
        (Intent.FAILOVER, late(Role.UNREACHABLE, Role.STOPPED), False),
        (Intent.SWITCHOVER, view(Role.PRIMARY, Role.UNREACHABLE), False),
        (Intent.SWITCHOVER, HEALTHY, False),
    ],
)
def test_only_what_did_not_answer_in_time_may_be_slow(intent: Intent, seen: ComponentView, slow: bool) -> None:
    """Where anything that the intent needs is known to be down, or is missing for another reason, waiting is no advice."""
    results = guards.before_run(intent, "east", "west", [seen], {}, {}, [accept(Guard.PRIMARY_HEALTHY)], reason="")
    assert guards.maybe_slow(plan(intent=intent, views=(seen,)), results) is slow


def test_another_reason_beside_slowness_is_a_reason() -> None:
    """A refusal of a component that answered is not explained by one that did not."""
    seen = late(Role.PRIMARY, Role.UNREACHABLE)
    other = view(Role.PRIMARY, Role.STOPPED).model_copy(update={"component": "dns"})
    results = guards.before_run(Intent.SWITCHOVER, "east", "west", [seen, other], {}, {}, [], reason="")
    a_plan = plan(intent=Intent.SWITCHOVER, views=(seen, other))
    assert not guards.maybe_slow(a_plan, results)
    assert guards.maybe_slow(a_plan, [item for item in results if item.component == "db"])


def test_a_failover_of_a_healthy_primary_needs_a_reason() -> None:
    """Refused without one; a reason or an acceptance overrides, with who or what; a lost primary needs none."""
    result = before(Intent.FAILOVER, HEALTHY)[Guard.PRIMARY_HEALTHY]
    assert (result.verdict, result.accept) == (REFUSED, ("--reason TEXT",))
    assert before(Intent.FAILOVER, HEALTHY, reason="the data centre burns")[Guard.PRIMARY_HEALTHY].overridden_by == (
        "reason: the data centre burns"
    )
    by = before(Intent.FAILOVER, HEALTHY, None, [accept(Guard.PRIMARY_HEALTHY)])[Guard.PRIMARY_HEALTHY]
    assert (by.verdict, by.overridden_by) == (OVERRIDDEN, "lead")
    assert before(Intent.FAILOVER, DEAD)[Guard.PRIMARY_HEALTHY].verdict is PASSED


def holding(east: Role, west: Role = Role.SECONDARY, epochs: tuple[int | None, int | None] = (None, None)) -> ComponentView:
    """A component with data of its own."""
    regions = {"east": RegionView(role=east, epoch=epochs[0]), "west": RegionView(role=west, epoch=epochs[1])}
    sample = LagSample(component="data", at=START, state=Known.UNKNOWN)
    return ComponentView(component="data", kind="fake", at=START, regions=regions, lag=sample)


@pytest.mark.parametrize(
    ("views", "verdict"),
    [
        ([holding(Role.PRIMARY), DEAD], REFUSED),  # a side part died
        ([holding(Role.UNREACHABLE), HEALTHY], PASSED),  # the data is gone, its names are not
        ([holding(Role.PRIMARY), HEALTHY], REFUSED),
        ([DEAD, HEALTHY], PASSED),  # nothing here holds data: any of them counts
        ([holding(Role.PRIMARY, Role.PRIMARY, (1, 2)), DEAD], PASSED),  # an old primary that came back is not the primary
        ([holding(Role.PRIMARY, Role.PRIMARY), DEAD], REFUSED),
        ([], PASSED),
    ],
)  # fmt: skip
def test_what_holds_data_says_whether_the_primary_is_healthy(views: list[ComponentView], verdict: Verdict) -> None:
    """A dead name server beside a healthy database: a failover would fence and lose what nothing forces it to."""
    results = guards.before_run(Intent.FAILOVER, "east", "west", views, {}, {}, (), reason="")
    found = next(item for item in results if item.name is Guard.PRIMARY_HEALTHY)
    assert found.verdict is verdict
    if verdict is REFUSED and DEAD in views:
        assert "data in east: healthy and primary" in found.reason and "only db does not work there" in found.reason


@pytest.mark.parametrize("intent", [Intent.SWITCHOVER, Intent.FAILBACK])
def test_a_planned_move_needs_both_sides(intent: Intent) -> None:
    """A source that is not primary: refused, not acceptable, and the reason names failover."""
    assert before(intent, HEALTHY)[Guard.PRIMARY_HEALTHY].verdict is PASSED
    result = before(intent, DEAD, None, [accept(guard) for guard in Guard])[Guard.TARGET_REACHABLE]
    assert result.verdict is REFUSED
    assert "use failover" in result.reason


@pytest.mark.parametrize(
    ("lag", "acceptances", "verdict"),
    [
        (lost(minutes(1)), [], PASSED),
        (lost(minutes(16)), [], REFUSED),
        (lost(None, Known.UNKNOWN), [], REFUSED),
        (lost(timedelta(0), Known.UNKNOWN), [], REFUSED),
        (lost(minutes(16)), [accept(Guard.REVERSE_REPLICATION)], OVERRIDDEN),
    ],
)
def test_a_planned_move_needs_healthy_replication(lag: Exposure, acceptances: list[Acceptance], verdict: Verdict) -> None:
    """I14: lag inside the RPO passes; above, or unknown, only an acceptance."""
    result = before(Intent.FAILBACK, HEALTHY, lag, acceptances)[Guard.REVERSE_REPLICATION]
    assert result.verdict is verdict
    assert ("unknown behind" in result.reason) is (lag.state is Known.UNKNOWN)


def test_prerequisites() -> None:
    """I13: an error refuses, with its fix; a warning does not; accepted, it is overridden. Re-protect does not ask."""
    missing = Finding(component="db", severity=Severity.ERROR, fact="no certificate", fix="issue one")
    noise = Finding(component="db", severity=Severity.WARNING, fact="old version")
    broken = view(Role.UNREACHABLE, Role.SECONDARY, [missing, noise])
    result = before(Intent.FAILOVER, broken)[Guard.PREREQUISITES]
    assert (result.verdict, result.reason) == (REFUSED, "no certificate; fix: issue one")
    assert before(Intent.FAILOVER, broken, None, [accept(Guard.PREREQUISITES)])[Guard.PREREQUISITES].verdict is OVERRIDDEN
    assert before(Intent.FAILOVER, view(Role.UNREACHABLE, Role.SECONDARY, [noise]))[Guard.PREREQUISITES].verdict is PASSED
    assert Guard.PREREQUISITES not in before(Intent.REPROTECT, broken)


def test_what_several_components_lack_alike_is_one_refusal() -> None:
    """Said once, with all of them; what only one lacks stays its own."""
    same = Finding(component="db", severity=Severity.ERROR, fact="no credentials")
    own = Finding(component="db", severity=Severity.ERROR, fact="no certificate")
    one = view(Role.UNREACHABLE, Role.SECONDARY, [same, own])
    other = one.model_copy(update={"component": "logs", "findings": (same.model_copy(update={"component": "logs"}),)})
    said = guards.before_run(Intent.FAILOVER, "east", "west", (one, other), {}, {}, (), reason="")
    found = [item for item in said if item.verdict is REFUSED]
    assert [(item.reason, item.component) for item in found] == [("no credentials (db, logs)", None), ("no certificate", "db")]


NOW = START + minutes(10)


def fence(state: FenceState, ended: timedelta | None = None) -> Fenced:
    return Fenced(component="db", region="east", state=state, proof="p", writes_ended_at=None if ended is None else START + ended)


def point(at: timedelta | None, *, complete: bool = False) -> RecoveryPoint:
    moment = None if at is None else START + at
    return RecoveryPoint(component="db", region="west", read_at=NOW, recovery_point=moment, complete=complete)


@pytest.mark.parametrize(
    ("fenced", "found", "state", "value"),
    [
        # fenced: writes are known to have ended then
        (fence(FenceState.FENCED, minutes(2)), point(minutes(1)), Known.KNOWN, minutes(1)),
        # what came before something that arrived was not the end, and a recovery point ahead of the clock bounds nothing: never a known 0
        (fence(FenceState.FENCED, minutes(2)), point(minutes(3)), Known.BOUND, minutes(7)),
        (fence(FenceState.FENCED, minutes(2)), point(minutes(2)), Known.BOUND, minutes(8)),
        (fence(FenceState.FENCED, minutes(2)), point(minutes(11)), Known.UNKNOWN, None),
        (fence(FenceState.UNACKNOWLEDGED), point(minutes(10)), Known.UNKNOWN, None),
        # not fenced, or nobody knows since when: until now, and that is only a bound
        (fence(FenceState.UNACKNOWLEDGED, minutes(2)), point(minutes(1)), Known.BOUND, minutes(9)),
        (fence(FenceState.SPLIT_ACCEPTED, minutes(2)), point(minutes(1)), Known.BOUND, minutes(9)),
        (fence(FenceState.FENCED), point(minutes(1)), Known.BOUND, minutes(9)),
        (None, point(minutes(1)), Known.BOUND, minutes(9)),
        # everything that was ever written is there
        (fence(FenceState.FENCED), point(minutes(1), complete=True), Known.KNOWN, timedelta(0)),
        # nothing was read
        (fence(FenceState.FENCED, minutes(2)), point(None), Known.UNKNOWN, None),
        (fence(FenceState.FENCED, minutes(2)), None, Known.UNKNOWN, None),
    ],
)
def test_exposure_at_promote(fenced: Fenced | None, found: RecoveryPoint | None, state: Known, value: timedelta | None) -> None:
    """Writes ended − recovery point; only a fence says when writes ended, an unread recovery point is unknown, not zero."""
    exposure = guards.exposure_at_promote("db", fenced, found, NOW)
    assert (exposure.state, exposure.value) == (state, value)


@pytest.mark.parametrize(
    ("fenced", "at", "behind", "state", "value"),
    [
        # not fenced: now, by the target's clock
        (None, minutes(6), minutes(2), Known.BOUND, minutes(6)),
        # ahead of this machine's clock, and not of the target's: that is told, and no longer unknown
        (None, minutes(11), minutes(2), Known.BOUND, minutes(1)),
        (None, minutes(13), minutes(2), Known.UNKNOWN, None),
        # fenced: the moment that this machine stamped is as slow as its clock
        (fence(FenceState.FENCED, minutes(2)), minutes(1), minutes(2), Known.KNOWN, minutes(3)),
        (fence(FenceState.FENCED, minutes(2)), minutes(3), minutes(2), Known.KNOWN, minutes(1)),
        # the target's clock is no later, or was not read: this machine's counts, as ever
        (None, minutes(6), timedelta(0), Known.BOUND, minutes(4)),
        (None, minutes(6), None, Known.BOUND, minutes(4)),
    ],
)
def test_a_slow_clock_here_does_not_make_the_loss_smaller(
    fenced: Fenced | None, at: timedelta, behind: timedelta | None, state: Known, value: timedelta | None
) -> None:
    """I6: of this machine's clock and the target's own the later one counts, and who is refused reads why."""
    found = guards.exposure_at_promote("db", fenced, point(at).model_copy(update={"clock_behind": behind}), NOW)
    assert (found.state, found.value) == (state, value)
    told = "this machine's clock is 2m00s behind the other side's" in found.reason
    assert told is bool(behind and value)


def test_a_slow_clock_here_does_not_get_past_the_objective() -> None:
    """Four minutes by this machine's clock, six by the target's, and five may be lost: refused, with the flag that accepts it."""
    slow = point(minutes(6)).model_copy(update={"clock_behind": minutes(2)})
    results = guards.before_promote("db", fence(FenceState.NOT_NEEDED), slow, minutes(5), [], NOW, planned=False)
    assert [item.verdict for item in results] == [PASSED, REFUSED]
    assert "would lose 6m00s, RPO 5m00s" in results[1].reason
    assert guards.way_out(results) == "--accept-data-loss DURATION"


def promote(
    fenced: Fenced | None, found: RecoveryPoint | None, acceptances: Sequence[Acceptance] = (), *, planned: bool = False
) -> tuple[Verdict, Verdict]:
    results = guards.before_promote("db", fenced, found, RPO, acceptances, NOW, planned=planned)
    assert [item.name for item in results] == [Guard.FENCE, Guard.EXPOSURE]
    return results[0].verdict, results[1].verdict


def test_promote_needs_a_fence_or_an_accepted_split() -> None:
    """I4: a fence that was tried and not acknowledged is none; a refused connection is none; an acceptance makes it a recorded split."""
    near = point(minutes(9))
    assert promote(fence(FenceState.FENCED, minutes(2)), near) == (PASSED, PASSED)
    assert promote(fence(FenceState.NOT_NEEDED), near) == (PASSED, PASSED)
    assert promote(fence(FenceState.UNACKNOWLEDGED), near) == (REFUSED, PASSED)
    assert promote(None, near) == (REFUSED, PASSED)
    assert promote(None, near, [accept(Guard.FENCE)]) == (OVERRIDDEN, PASSED)
    assert promote(None, near, [accept(Guard.EXPOSURE, unbounded=True)]) == (REFUSED, PASSED)


def test_a_planned_move_loses_nothing() -> None:
    """Inside the RPO is not enough for a planned promotion: everything must be there, or a person accepts the loss."""
    fenced = fence(FenceState.FENCED, minutes(2))
    assert promote(fenced, point(minutes(1), complete=True), planned=True) == (PASSED, PASSED)
    assert promote(fenced, point(minutes(1)), planned=False) == (PASSED, PASSED)
    assert promote(fenced, point(minutes(1)), planned=True) == (PASSED, REFUSED)
    assert promote(fenced, None, planned=True) == (PASSED, REFUSED)
    assert promote(fenced, point(minutes(1)), [accept(Guard.EXPOSURE, minutes(1))], planned=True) == (PASSED, OVERRIDDEN)


def test_the_way_out_prints_each_flag_once() -> None:
    """Fence and exposure refused: both flags, one reason, at the end."""
    results = guards.before_promote("db", None, point(minutes(-9)), RPO, [], NOW, planned=False)
    more = guards.exposure(lost(minutes(99), component="logs"), RPO, [])
    assert guards.way_out([*results, more]) == "--accept-split --accept-data-loss DURATION --reason TEXT"


def test_the_way_out_of_an_unknown_loss_is_not_a_duration() -> None:
    """No duration covers an unknown loss; "unknown" covers known ones of other components, too."""
    unknown, known = guards.exposure(lost(None, Known.UNKNOWN), RPO, []), guards.exposure(lost(minutes(99), component="logs"), RPO, [])
    assert guards.way_out([known, unknown]) == "--accept-data-loss unknown --reason TEXT"


def test_there_is_no_way_out_of_what_nobody_may_accept() -> None:
    """One guard that cannot be accepted is enough: no flags are printed that would not help."""
    results = before(Intent.FAILOVER, view(Role.PRIMARY, Role.UNREACHABLE)).values()
    assert {item.name for item in guards.refused(results)} == {Guard.TARGET_REACHABLE, Guard.PRIMARY_HEALTHY}
    assert guards.way_out(results) == ""
    assert guards.way_out([]) == ""


def test_every_acceptable_guard_has_its_flag() -> None:
    """And no other: the design names what may be accepted."""
    assert set(guards.FLAG) == {guard for guard in Guard if guard.acceptable}


@pytest.mark.parametrize("intent", [Intent.FAILOVER, Intent.SWITCHOVER])
def test_nobody_moves_onto_an_old_primary(intent: Intent) -> None:
    """I17: amid a split the older copy is not moved to, whatever is accepted; where only it is left, nothing is newer."""

    def split(east: Role) -> ComponentView:
        regions = {"east": RegionView(role=east, epoch=2), "west": RegionView(role=Role.PRIMARY, epoch=1)}
        return ComponentView(component="db", kind="fake", at=START, regions=regions)

    accepting = [accept(Guard.PREREQUISITES), accept(Guard.FENCE), accept(Guard.EXPOSURE, unbounded=True)]
    found = before(intent, split(Role.PRIMARY), lost(None, Known.UNKNOWN), accepting, reason="x")[Guard.TARGET_REACHABLE]
    assert found.verdict is REFUSED
    assert "east has the newer copy" in found.reason
    assert guards.way_out([found]) == ""
    alone = before(Intent.FAILOVER, split(Role.UNREACHABLE), lost(None, Known.UNKNOWN), accepting, reason="x")
    assert alone[Guard.TARGET_REACHABLE].verdict is PASSED


@pytest.mark.parametrize(
    ("own", "promoted", "epoch", "acceptances", "verdict"),
    [
        (1, "west", 2, [], REFUSED),
        (1, "west", 2, [accept(Guard.PREREQUISITES)], OVERRIDDEN),
        (3, "west", 2, [], None),  # promoted by hand since
        (2, "east", 2, [], None),
        (None, "west", 2, [], None),
        (1, "west", None, [], None),
        (4, "west", 2, [], None),
    ],
)  # fmt: skip
def test_nothing_follows_an_old_primary_that_came_back(
    own: int | None, promoted: str, epoch: int | None, acceptances: list[Acceptance], verdict: Verdict | None
) -> None:
    """West, which was promoted, is silent; east is back and takes writes: it is the only primary that anybody sees."""
    regions = {"east": RegionView(role=Role.PRIMARY, epoch=own), "west": RegionView(role=Role.UNREACHABLE)}
    seen = ComponentView(component="db", kind="fake", at=START, regions=regions)
    found = guards.followed([seen], "east", {"db": promoted}, {} if epoch is None else {"db": {promoted: epoch}}, acceptances)
    assert [item.verdict for item in found] == ([] if verdict is None else [verdict])
    assert all((item.name, item.component) == (Guard.PREREQUISITES, "db") for item in found)
    assert all("promoted in west since, as of 2" in item.reason for item in found)


def test_who_was_given_up_for_an_older_copy_is_not_followed_either() -> None:
    """West had taken over as of 2 and was given up: east leads again, as of 1. West is back, and has the greater epoch."""
    seen = ComponentView(component="db", kind="fake", at=START, regions={name: RegionView(role=Role.PRIMARY, epoch=number)
                                                                         for name, number in (("east", 1), ("west", 2))})  # fmt: skip
    [found] = guards.followed([seen], "west", {"db": "east"}, {"db": {"west": 2, "east": 1}}, [])
    assert (found.verdict, "promoted in east since, as of 1" in found.reason) == (REFUSED, True)
