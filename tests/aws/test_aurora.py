"""Aurora global databases: every intent against the emulated RDS, refusals, crashes between the call and its answer, findings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from dr.errors import EffectUnknown, Permanent, Transient, UsageError
from dr.model.evidence import Fenced, Following, Note, Preserved, Promoted, RecoveryPoint
from dr.model.words import FenceState, Intent, Known, Role, Severity, Verb
from dr.ports import Look
from dr.providers.aws.aurora import AuroraGlobalDatabase
from dr.providers.aws.aurora.protect import LEFT_BY_FAILOVER, kept_name
from tests.aws.emulator import Emulator
from tests.aws.rig import CODES, Rig

_NUMBERS = count(1)
ENGINE = {"Engine": "aurora-postgresql"}


class Pair:
    """A global database of its own for each test."""

    def __init__(self, emulator: Emulator, *, instances: bool = True) -> None:
        number = next(_NUMBERS)
        self.emulator, self.name = emulator, f"aurora-{number}"
        self.clusters = {region: f"{self.name}-{region}" for region in CODES}
        self.rds("east").create_global_cluster(GlobalClusterIdentifier=self.name, EngineVersion="16.4", **ENGINE)
        for region in CODES:
            login = {"MasterUsername": "airflow", "MasterUserPassword": "a-long-password"} if region == "east" else {}
            self.rds(region).create_db_cluster(
                DBClusterIdentifier=self.clusters[region], GlobalClusterIdentifier=self.name, EngineVersion="16.4", **ENGINE, **login
            )  # fmt: skip
            if instances or region == "east":
                self.rds(region).create_db_instance(
                    DBInstanceIdentifier=f"{self.clusters[region]}-1", DBClusterIdentifier=self.clusters[region],
                    DBInstanceClass="db.r6g.large", **ENGINE,
                )  # fmt: skip
        self.lag("west", 250.0)

    def rds(self, region: str) -> Any:
        return self.emulator.client("rds", CODES[region])

    def lag(self, region: str, milliseconds: float) -> None:
        other = next(code for name, code in CODES.items() if name != region)
        dimensions = {"DBClusterIdentifier": self.clusters[region], "SourceRegion": other}
        self.emulator.set_metric(CODES[region], "AWS/RDS", "AuroraGlobalDBReplicationLag", dimensions, milliseconds)

    def settings(self, **more: object) -> dict[str, object]:
        regions = {region: {"cluster": name} for region, name in self.clusters.items()}
        return {"global_cluster": self.name, "regions": regions, **more}

    def writer(self) -> str:
        """The region that writes, as RDS tells it past the proxies."""
        [whole] = self.rds("west").describe_global_clusters(GlobalClusterIdentifier=self.name)["GlobalClusters"]
        [arn] = [member["DBClusterArn"] for member in whole["GlobalClusterMembers"] if member["IsWriter"]]
        return next(region for region, code in CODES.items() if f":{code}:" in arn)


@pytest.fixture
def pair(emulator: Emulator) -> Iterator[Pair]:
    yield Pair(emulator)
    emulator.clear_faults()


@pytest.fixture
def aurora(rig: Rig, pair: Pair) -> AuroraGlobalDatabase:
    return rig.make(AuroraGlobalDatabase, "metadata-db", pair.settings())


def test_both_regions_are_seen_with_roles_and_lag(aurora: AuroraGlobalDatabase) -> None:
    """east writes; west follows, and says itself how far behind it is: a bound, one value a minute."""
    view = aurora.view()
    assert {region: seen.role for region, seen in view.regions.items()} == {"east": Role.PRIMARY, "west": Role.SECONDARY}
    assert view.lag is not None and view.lag.state is Known.BOUND and view.lag.recovery_point is not None
    assert view.lag.lag is not None and 0.25 <= view.lag.lag.total_seconds() < 125
    assert not [finding for finding in view.findings if finding.severity is Severity.ERROR]


def test_a_switchover_loses_nothing_and_is_asked_in_the_writers_region(rig: Rig, aurora: AuroraGlobalDatabase, pair: Pair) -> None:
    """One SwitchoverGlobalCluster, signed for east; afterwards west writes and east follows."""
    seen = rig.run(aurora, Intent.SWITCHOVER)
    assert {item.look for item in seen} == {Look.DONE}
    assert pair.writer() == "west"
    acts = [call for call in pair.emulator.calls("rds") if "Global" in call.operation and not call.operation.startswith("Describe")]
    assert [(call.operation, call.region) for call in acts] == [("SwitchoverGlobalCluster", CODES["east"])]
    point = [item for item in rig.evidence if isinstance(item, RecoveryPoint)][-1]
    assert point.complete
    assert [item.state for item in rig.evidence if isinstance(item, Fenced)] == [FenceState.NOT_NEEDED]
    assert [item.region for item in rig.evidence if isinstance(item, Following)] == ["east"]


@pytest.mark.parametrize("how", ["refuse", "hang"])
def test_a_failover_needs_nothing_of_the_lost_region(rig: Rig, aurora: AuroraGlobalDatabase, pair: Pair, how: str) -> None:
    """FailoverGlobalCluster with data loss allowed, in west; no call enters east."""
    pair.emulator.lose(CODES["east"], how)
    pair.emulator.clear_calls()
    seen = rig.run(aurora, Intent.FAILOVER)
    assert {item.look for item in seen} == {Look.DONE}
    assert pair.writer() == "west"
    calls = pair.emulator.calls()
    assert {call.region for call in calls} == {CODES["west"]}
    assert [call.operation for call in calls if call.operation.startswith("Failover")] == ["FailoverGlobalCluster"]
    states = [item.state for item in rig.evidence if isinstance(item, Fenced)]
    assert states == [FenceState.UNACKNOWLEDGED], "only Aurora itself knows, and says so afterwards"
    assert [item for item in rig.evidence if isinstance(item, Note) and "no write was made" in item.text]


def test_every_call_was_declared(rig: Rig, aurora: AuroraGlobalDatabase, pair: Pair) -> None:
    """What the steps of all intents call is what their uses name: the policies are made of these."""
    pair.emulator.clear_calls()
    for intent, source, target in (
        (Intent.SWITCHOVER, "east", "west"), (Intent.FAILBACK, "west", "east"), (Intent.FAILOVER, "east", "west"),
        (Intent.REPROTECT, "east", "west"),
    ):  # fmt: skip
        rig.evidence.clear()
        rig.run(aurora, intent, source, target)
        steps = aurora.steps(intent, source, target)
        assert not rig.undeclared(steps, pair.emulator.calls()), intent
        pair.emulator.clear_calls()


def test_a_lost_answer_is_no_second_promotion(rig: Rig, aurora: AuroraGlobalDatabase, pair: Pair) -> None:
    """The call took effect, its answer did not come: unknown; the next attempt reads, and sends nothing."""
    pair.emulator.lose(CODES["east"])
    pair.emulator.fault(CODES["west"], "lost-answer", "rds:FailoverGlobalCluster", times=1)
    step = rig.step(aurora, Intent.FAILOVER, Verb.PROMOTE)
    with pytest.raises(EffectUnknown):
        rig.perform(step, Intent.FAILOVER)
    assert rig.perform(step, Intent.FAILOVER).look is Look.DONE
    assert len(pair.emulator.calls("rds", "FailoverGlobalCluster")) == 1
    assert [item.region for item in rig.evidence if isinstance(item, Promoted)] == ["west"]


def test_an_act_is_never_repeated_by_the_library(rig: Rig, aurora: AuroraGlobalDatabase, pair: Pair) -> None:
    """A 500 to an act is one call and an unknown effect; to a read it is up to three calls."""
    pair.emulator.fault(CODES["west"], "error", "rds:FailoverGlobalCluster", times=1)
    with pytest.raises(EffectUnknown):
        rig.perform(rig.step(aurora, Intent.FAILOVER, Verb.PROMOTE), Intent.FAILOVER)
    assert len(pair.emulator.calls("rds", "FailoverGlobalCluster")) == 1
    pair.emulator.clear_calls()
    pair.emulator.fault(CODES["west"], "error", "rds:DescribeGlobalClusters", times=2)
    assert rig.perform(rig.step(aurora, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER).look is Look.DONE
    assert len(pair.emulator.calls("rds", "DescribeGlobalClusters")) == 3


def test_throttling_before_the_effect_is_worth_retrying(rig: Rig, aurora: AuroraGlobalDatabase, pair: Pair) -> None:
    """Transient: nothing happened."""
    pair.emulator.fault(CODES["west"], "throttle", "rds:FailoverGlobalCluster", times=1)
    with pytest.raises(Transient, match="Throttl"):
        rig.perform(rig.step(aurora, Intent.FAILOVER, Verb.PROMOTE), Intent.FAILOVER)


def test_a_missing_permission_is_named(rig: Rig, aurora: AuroraGlobalDatabase, pair: Pair) -> None:
    """In the step: for good, with the action. In the look: an error finding, so that a failover is refused before anything."""
    pair.emulator.deny("rds:FailoverGlobalCluster")
    with pytest.raises(Permanent) as caught:
        rig.perform(rig.step(aurora, Intent.FAILOVER, Verb.PROMOTE), Intent.FAILOVER)
    assert "rds:FailoverGlobalCluster" in caught.value.hint
    pair.emulator.deny("rds:DescribeDBClusters", CODES["west"])
    errors = [finding for finding in aurora.view().findings if finding.severity is Severity.ERROR]
    assert [(item.region, "rds:DescribeDBClusters" in item.fix) for item in errors] == [("west", True)]


def test_a_headless_secondary_gets_its_instance_first(rig: Rig, emulator: Emulator) -> None:
    """Named before; created in the move under a name that a repetition gives again; then promoted."""
    pair = Pair(emulator, instances=False)
    bare = rig.make(AuroraGlobalDatabase, "bare", pair.settings())
    assert [item.fact for item in bare.view().findings if item.severity is Severity.ERROR and "headless" in item.fact]
    west = {"cluster": pair.clusters["west"], "instance_class": "db.r6g.large"}
    settings = pair.settings(regions={"east": {"cluster": pair.clusters["east"]}, "west": west})
    database = rig.make(AuroraGlobalDatabase, "metadata-db", settings)
    assert [item for item in database.view().findings if item.severity is Severity.WARNING and "minutes of the RTO" in item.fact]
    emulator.lose(CODES["east"])
    emulator.clear_calls()
    assert {seen.look for seen in rig.run(database, Intent.FAILOVER)} == {Look.DONE}
    made = emulator.calls("rds", "CreateDBInstance")
    assert len(made) == 1
    assert pair.writer() == "west"
    again = rig.perform(rig.step(database, Intent.FAILOVER, "add-instances"), Intent.FAILOVER)
    assert again.look is Look.DONE and len(emulator.calls("rds", "CreateDBInstance")) == 1


def test_versions_that_differ_are_told_and_detached(rig: Rig, pair: Pair) -> None:
    """A managed failover would be refused: an error finding with the way out; ``promotion: detach`` takes it, and says what it leaves."""
    pair.emulator.control("set_engine_version", region=CODES["west"], cluster=pair.clusters["west"], version="15.4")
    managed = rig.make(AuroraGlobalDatabase, "managed", pair.settings())
    errors = [item for item in managed.view().findings if item.severity is Severity.ERROR]
    assert len(errors) == 1 and "promotion: detach" in errors[0].fix
    detached = rig.make(AuroraGlobalDatabase, "detached", pair.settings(promotion="detach"))
    assert not [item for item in detached.view().findings if item.severity is Severity.ERROR]
    pair.emulator.lose(CODES["east"])
    pair.emulator.clear_calls()
    assert {seen.look for seen in rig.run(detached, Intent.FAILOVER)} == {Look.DONE}
    assert [call.operation for call in pair.emulator.calls() if call.operation.startswith("Remove")] == ["RemoveFromGlobalCluster"]
    assert detached.view().regions["west"].role is Role.PRIMARY
    proofs = [item.proof for item in rig.evidence if isinstance(item, Fenced)]
    assert any("may be a writer when it comes back" in proof for proof in proofs)


def test_reprotect_keeps_the_old_volume_before_it_follows(rig: Rig, aurora: AuroraGlobalDatabase, pair: Pair) -> None:
    """The snapshot that expires gets a copy that does not; then east follows west, and a second time nothing is sent."""
    pair.emulator.lose(CODES["east"])
    rig.run(aurora, Intent.FAILOVER)
    pair.emulator.bring_back(CODES["east"])
    rig.site.clock.sleep(5.5)  # what was unreachable is asked again after five seconds
    seen = rig.run(aurora, Intent.REPROTECT)
    assert [item.look for item in seen] == [Look.DONE] * 3, [item.reason for item in seen]
    kept = [item for item in rig.evidence if isinstance(item, Preserved)]
    snapshots = pair.rds("east").describe_db_cluster_snapshots(DBClusterIdentifier=pair.clusters["east"])["DBClusterSnapshots"]
    names = {item["DBClusterSnapshotIdentifier"] for item in snapshots}
    [left] = [name for name in names if name.startswith(LEFT_BY_FAILOVER)]
    assert kept_name(left) in names
    assert [item.path.rpartition(":")[2] for item in kept] == [kept_name(left)]
    assert [item.region for item in rig.evidence if isinstance(item, Following)] == ["east"]
    pair.emulator.clear_calls()
    rig.run(aurora, Intent.REPROTECT)
    assert not [call for call in pair.emulator.calls("rds") if not call.operation.startswith("Describe")]


def test_the_old_volume_is_waited_for_where_aurora_has_not_come_to_it(rig: Rig, aurora: AuroraGlobalDatabase, pair: Pair) -> None:
    """East answers, and is a reader by the global database's word; what only it had is not kept before Aurora has taken its snapshot."""
    pair.emulator.set_seconds("rds.resync", seconds=60)
    try:
        pair.emulator.lose(CODES["east"])
        rig.run(aurora, Intent.FAILOVER)
        pair.emulator.bring_back(CODES["east"])
        rig.site.clock.sleep(5.5)
        preserve = rig.step(aurora, Intent.REPROTECT, Verb.PRESERVE)
        context = rig.context(preserve, Intent.REPROTECT)
        assert rig.perform(rig.step(aurora, Intent.REPROTECT, Verb.FENCE), Intent.REPROTECT).look is Look.DONE
        seen = preserve.operation.observe(context)
        assert seen.look is Look.NEEDED and "has not come to the old volume" in seen.reason
        with pytest.raises(Transient, match="no snapshot"):
            preserve.operation.act(context)
        pair.emulator.advance(61)
        assert rig.perform(preserve, Intent.REPROTECT).look is Look.DONE
    finally:
        pair.emulator.set_seconds("rds.resync", seconds=0.2)
    [kept] = [item for item in rig.evidence if isinstance(item, Preserved)]
    assert "dr-preserved-" in kept.path


def test_another_promotion_under_way_is_waited_for(rig: Rig, aurora: AuroraGlobalDatabase, pair: Pair) -> None:
    """Somebody asked a moment ago: the step sends nothing, and is done when that is."""
    pair.emulator.lose(CODES["east"])
    pair.emulator.set_seconds("rds.failover", seconds=0.5)
    try:
        [whole] = pair.rds("west").describe_global_clusters(GlobalClusterIdentifier=pair.name)["GlobalClusters"]
        [arn] = [item["DBClusterArn"] for item in whole["GlobalClusterMembers"] if CODES["west"] in item["DBClusterArn"]]
        pair.rds("west").failover_global_cluster(GlobalClusterIdentifier=pair.name, TargetDbClusterIdentifier=arn, AllowDataLoss=True)
        rig.site.clock.sleep(0.3)
        pair.emulator.clear_calls()
        assert rig.perform(rig.step(aurora, Intent.FAILOVER, Verb.PROMOTE), Intent.FAILOVER).look is Look.DONE
        assert not pair.emulator.calls("rds", "FailoverGlobalCluster")
    finally:
        pair.emulator.set_seconds("rds.failover", seconds=0.2)


def test_the_wrong_account_is_refused_before_anything(rig: Rig, pair: Pair) -> None:
    """Both are named; no call but who-am-I is made."""
    regions = {
        name: region.model_copy(update={"aws": region.aws.model_copy(update={"account": "999999999999"})})
        for name, region in rig.site.regions.items() if region.aws is not None
    }  # fmt: skip
    assert isinstance(rig.site.regions, dict)
    rig.site.regions.update(regions)
    other = rig.make(AuroraGlobalDatabase, "metadata-db", pair.settings())
    pair.emulator.clear_calls()
    errors = [item for item in other.view().findings if item.severity is Severity.ERROR]
    assert len(errors) == 2 and all("123456789012" in item.fact and "999999999999" in item.fact for item in errors)
    assert {call.operation for call in pair.emulator.calls()} == {"GetCallerIdentity"}


def test_settings_that_contradict_each_other(rig: Rig, pair: Pair) -> None:
    """Two AWS regions, one engine for ``sql``."""
    with pytest.raises(ValueError, match="Aurora PostgreSQL only"):
        AuroraGlobalDatabase.Config.model_validate(
            pair.settings(
                regions={name: {"cluster": cluster, "engine": "aurora-mysql"} for name, cluster in pair.clusters.items()},
                sql={"database": "a", "user": "b", "endpoints": {"east": "e", "west": "w"}},
            )
        )
    assert isinstance(rig.site.regions, dict)
    east = rig.site.regions["east"]
    rig.site.regions["west"] = east
    with pytest.raises(UsageError, match="both are"):
        rig.make(AuroraGlobalDatabase, "metadata-db", pair.settings())


def test_by_hand_is_the_very_call(aurora: AuroraGlobalDatabase, pair: Pair) -> None:
    """The command names what the step sends, in the region where it sends it."""
    step = next(step for step in aurora.steps(Intent.FAILOVER, "east", "west") if step.spec.verb is Verb.PROMOTE)
    arn = aurora.cluster_arn("west")
    assert step.spec.by_hand == (
        f"aws rds failover-global-cluster --global-cluster-identifier {pair.name} --target-db-cluster-identifier {arn} --allow-data-loss "
        f"--region {CODES['west']} --profile {CODES['west']}"
    )
    assert "rds:FailoverGlobalCluster on " + arn in step.spec.permissions


# --- by SQL -----------------------------------------------------------------------------------------------------------


def by_sql(rig: Rig, pair: Pair, **more: object) -> AuroraGlobalDatabase:
    """With ``sql`` whose endpoints take no connection."""
    nowhere = {"east": "127.0.0.1", "west": "127.0.0.1"}
    settings = {"database": "airflow", "user": "dr", "sslmode": "disable", "port": 9, "endpoints": nowhere, **more}
    return rig.make(AuroraGlobalDatabase, "metadata-db", pair.settings(sql=settings))


def test_where_the_secondary_cannot_be_read_cloudwatch_says_its_recovery_point(rig: Rig, pair: Pair) -> None:
    """A warning says so, and what to correct; a failover goes on with what CloudWatch has."""
    aurora = by_sql(rig, pair)
    view = aurora.view()
    [found] = [item for item in view.findings if "cannot be read in west itself" in item.fact]
    assert (found.severity, found.region) == (Severity.WARNING, "west") and "sql.reader_endpoints.west" in found.fix
    assert view.lag is not None and view.lag.state is Known.BOUND
    assert rig.perform(rig.step(aurora, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER).look is Look.DONE
    point = [item for item in rig.evidence if isinstance(item, RecoveryPoint)][-1]
    assert point.recovery_point is not None


def test_a_failover_does_not_wait_for_a_recovery_point_that_nobody_says(rig: Rig, pair: Pair) -> None:
    """CloudWatch in west is ill, too: unknown is for the guard to refuse, and for a person to accept."""
    pair.emulator.fault(CODES["west"], "throttle", "cloudwatch:*")
    try:
        aurora = by_sql(rig, pair)
        assert rig.perform(rig.step(aurora, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER).look is Look.DONE
    finally:
        pair.emulator.clear_faults()
    assert [item.recovery_point for item in rig.evidence if isinstance(item, RecoveryPoint)] == [None]


def test_the_lag_is_that_of_users_transactions_where_there_is_such(rig: Rig, pair: Pair) -> None:
    """AWS's own measure of what a failover loses; what replicates at all may be nearer than that."""
    dimensions = {"DBClusterIdentifier": pair.clusters["west"]}
    pair.emulator.set_metric(CODES["west"], "AWS/RDS", "AuroraGlobalDBRPOLag", dimensions, 40_000.0)
    view = rig.make(AuroraGlobalDatabase, "metadata-db", pair.settings()).view()
    assert view.lag is not None and view.lag.lag is not None and 40 <= view.lag.lag.total_seconds() < 165


def test_what_needs_the_databases_gets_either_endpoint(rig: Rig, pair: Pair) -> None:
    """The writer endpoint of a secondary is inactive: libpq is given both, the writer's first; so are people."""
    readers = {"east": "reader-east.example", "west": "reader-west.example"}
    writers = {"east": "writer-east.example", "west": "writer-west.example"}
    aurora = by_sql(rig, pair, endpoints=writers, reader_endpoints=readers, port=5432)
    assert aurora.psql("west", '"$database"').endswith('-h writer-west.example,reader-west.example -p 5432 -U dr -d "$database"')
    step = rig.step(aurora, Intent.FAILOVER, Verb.VERIFY_INSIDE)
    assert step.spec.by_hand.startswith(aurora.psql("west"))
    assert "WRITER_ENDPOINT_IN_WEST" in rig.make(AuroraGlobalDatabase, "other", pair.settings()).psql("west")


@pytest.mark.parametrize("action", ["cloudwatch:GetMetricData", "rds:DescribeDBClusterParameters", "cloudwatch:DescribeAlarmsForMetric"])
def test_a_permission_that_hides_a_part_is_a_warning_and_the_roles_are_seen(rig: Rig, pair: Pair, action: str) -> None:
    """What is only for findings or for the lag, refused: named with what to allow; nothing else is lost."""
    pair.emulator.deny(action)
    try:
        view = rig.make(AuroraGlobalDatabase, "metadata-db", pair.settings()).view()
    finally:
        pair.emulator.clear_faults()
    found = [item for item in view.findings if "a part is not known" in item.fact]
    assert [(item.severity, item.region) for item in found] == [(Severity.WARNING, "east"), (Severity.WARNING, "west")]
    assert all(f"allow {action} on " in item.fix for item in found)
    assert {region: seen.role for region, seen in view.regions.items()} == {"east": Role.PRIMARY, "west": Role.SECONDARY}
