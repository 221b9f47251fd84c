"""aws.s3-bucket: two buckets that replicate to each other, in the emulator; what is sent, seen, refused, and done twice."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dr.errors import EffectUnknown, Permanent, StepError, Transient, UsageError
from dr.model.evidence import Accounted, Fenced, Following, Preserved, Promoted, RecoveryPoint, Redirected, WriteAccepted
from dr.model.lag import LagSample
from dr.model.words import FenceState, Intent, Known, Severity, Verb
from dr.ports import Look
from dr.providers.aws.kind import used
from dr.providers.aws.metrics import Metrics
from dr.providers.aws.s3 import S3Bucket, chains, objects, protect, redirect
from dr.providers.aws.s3.listing import Version, compare
from dr.providers.aws.two_way import Told, joined
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig

ROLE = f"arn:aws:iam::{ACCOUNT}:role/batch"
T0 = datetime(2026, 11, 1, tzinfo=UTC)
MOVES = (Intent.FAILOVER, Intent.SWITCHOVER, Intent.FAILBACK, Intent.REPROTECT)


class Pair:
    """Two buckets of one test, named after it."""

    def __init__(self, emulator: Emulator, **rule: Any) -> None:
        self.emulator, self.name = emulator, f"logs-{uuid.uuid4().hex[:8]}"
        for region, code in CODES.items():
            placed = {} if code == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": code}}
            self.client(region).create_bucket(Bucket=self.bucket(region), **placed)
            self.client(region).put_bucket_versioning(Bucket=self.bucket(region), VersioningConfiguration={"Status": "Enabled"})
        for region in CODES:
            self.replicate(region, **rule)

    def client(self, region: str) -> Any:
        return self.emulator.client("s3", CODES[region])

    def bucket(self, region: str) -> str:
        return f"{self.name}-{region}"

    def replicate(self, region: str, *, timed: bool = True, measured: bool = True, **more: Any) -> None:
        other = next(name for name in CODES if name != region)
        there: dict[str, Any] = {"Bucket": f"arn:aws:s3:::{self.bucket(other)}", **more.pop("Destination", {})}
        if measured:
            there["Metrics"] = {"Status": "Enabled", "EventThreshold": {"Minutes": 15}}
        if timed:
            there["ReplicationTime"] = {"Status": "Enabled", "Time": {"Minutes": 15}}
        rule = {
            "ID": f"to-{other}", "Priority": 1, "Status": "Enabled", "Filter": {"Prefix": ""}, "Destination": there,
            "DeleteMarkerReplication": {"Status": "Enabled"},
            "SourceSelectionCriteria": {"ReplicaModifications": {"Status": "Enabled"}}, **more,
        }  # fmt: skip
        config = {"Role": f"arn:aws:iam::{ACCOUNT}:role/crr", "Rules": [rule]}
        self.client(region).put_bucket_replication(Bucket=self.bucket(region), ReplicationConfiguration=config)

    def put(self, region: str, key: str, body: bytes = b"x") -> None:
        self.client(region).put_object(Bucket=self.bucket(region), Key=key, Body=body)

    def status(self, region: str, key: str) -> str:
        return str(self.client(region).head_object(Bucket=self.bucket(region), Key=key).get("ReplicationStatus", ""))

    def keys(self, region: str) -> set[str]:
        listed = self.client(region).list_objects_v2(Bucket=self.bucket(region)).get("Contents", ())
        return {item["Key"] for item in listed if not item["Key"].startswith(".dr/")}

    def settings(self, **more: object) -> dict[str, object]:
        return {"regions": {region: {"bucket": self.bucket(region)} for region in CODES}, "batch_role": ROLE, **more}

    def access_point(self) -> str:
        control = self.emulator.client("s3control", "us-west-2")
        details = {"Name": self.name, "Regions": [{"Bucket": self.bucket(region)} for region in CODES]}
        control.create_multi_region_access_point(AccountId=ACCOUNT, ClientToken=self.name, Details=details)
        alias = control.get_multi_region_access_point(AccountId=ACCOUNT, Name=self.name)["AccessPoint"]["Alias"]
        return f"arn:aws:s3::{ACCOUNT}:accesspoint/{alias}"


@pytest.fixture
def pair(emulator: Emulator) -> Pair:
    emulator.set_seconds(seconds=0.05)
    return Pair(emulator)


@pytest.fixture
def bucket(rig: Rig, pair: Pair) -> S3Bucket:
    return rig.make(S3Bucket, "logs", pair.settings())


def until(condition: Callable[[], bool], rig: Rig) -> None:
    for _ in range(200):
        if condition():
            return
        rig.clock.sleep(0.05)
    raise AssertionError("never")


def later(rig: Rig) -> None:
    """As ten seconds later: what CloudWatch said is too old."""
    Metrics.of(rig.aws)._answers.clear()


# --- what is seen


def test_a_well_kept_pair_has_no_finding_and_a_lag(bucket: S3Bucket) -> None:
    """Replication Time Control in both directions: CloudWatch of both regions tells, and nothing is wrong."""
    view = bucket.view()
    assert view.findings == ()
    assert view.regions == {}, "a bucket takes writes in both regions: it has no primary"
    assert view.lag is not None and view.lag.state is Known.BOUND and view.lag.behind_items == 0 and view.lag.follows


def test_a_poll_asks_cloudwatch_once_for_each_region(rig: Rig, emulator: Emulator) -> None:
    """The settings of five buckets were asked by the first look; what a poll of all of them asks is one call for each region."""
    kinds = [rig.make(S3Bucket, f"logs-{number}", Pair(emulator).settings()) for number in range(5)]
    for kind in kinds:
        kind.sample(None)
    rig.clock.sleep(0)  # the first look registered the questions
    for kind in kinds:
        kind._sampled = None  # as ten seconds later
    later(rig)
    with emulator.counted() as made:
        for kind in kinds:
            assert kind.sample(None).state is Known.BOUND
    assert sorted(call.name for call in made) == ["cloudwatch:GetMetricData"] * 2


def test_objects_on_their_way_and_failed_ones_are_counted(pair: Pair, bucket: S3Bucket, rig: Rig, emulator: Emulator) -> None:
    emulator.control("hold_replication", bucket=pair.bucket("east"), held=True)
    for number in range(3):
        pair.put("east", f"held/{number}", b"12345")
    lag = bucket.view().lag
    assert lag is not None and (lag.behind_items, lag.behind_bytes) == (3, 15)
    emulator.control("fail_replication", bucket=pair.bucket("east"), keys="held/*")
    emulator.control("hold_replication", bucket=pair.bucket("east"), held=False)

    def failed(key: str) -> bool:
        return pair.status("east", key) == "FAILED"

    for number in range(3):
        until(partial(failed, f"held/{number}"), rig)
    later(rig)
    view = bucket.view()
    assert view.lag is not None and view.lag.failed_items and view.lag.failed_items >= 3
    assert any("failed to replicate to west" in item.fact and "create-job" in item.fix for item in view.findings)


@pytest.mark.parametrize(
    ("rule", "expected", "severity"),
    [
        ({"timed": False}, "no Replication Time Control: an RPO of 15m", Severity.WARNING),
        ({"timed": False, "measured": False}, "measures nothing", Severity.WARNING),
        ({"DeleteMarkerReplication": {"Status": "Disabled"}}, "leaves out delete markers", Severity.WARNING),
        ({"SourceSelectionCriteria": {"ReplicaModifications": {"Status": "Disabled"}}}, "replica modification sync", Severity.WARNING),
        ({"Filter": {"Prefix": "only/"}}, "sends only what has prefix only/", Severity.WARNING),
        ({"Status": "Disabled"}, "to-west is disabled", Severity.ERROR),
        (
            {
                "SourceSelectionCriteria": {
                    "SseKmsEncryptedObjects": {"Status": "Enabled"},
                    "ReplicaModifications": {"Status": "Enabled"},
                },
                "Destination": {"EncryptionConfiguration": {"ReplicaKmsKeyID": f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"}},
            },
            "which is a key of eu-west-1: west cannot use it",
            Severity.ERROR,
        ),
    ],
)
def test_what_a_rule_lacks_is_a_finding(pair: Pair, rig: Rig, rule: Mapping[str, Any], expected: str, severity: Severity) -> None:
    pair.replicate("east", **rule)
    kind = rig.make(S3Bucket, "logs", pair.settings())
    found = [item for item in kind.view().findings if expected in item.fact]
    assert [(item.severity, item.region) for item in found] == [(severity, "west")], kind.view().findings
    assert found[0].fix


def test_a_pair_without_a_way_back_and_without_versions_is_told(pair: Pair, rig: Rig) -> None:
    pair.client("west").delete_bucket_replication(Bucket=pair.bucket("west"))
    pair.client("west").put_bucket_versioning(Bucket=pair.bucket("west"), VersioningConfiguration={"Status": "Suspended"})
    kind = rig.make(S3Bucket, "logs", {**pair.settings(), "batch_role": None})
    found = {item.fact: item for item in kind.view().findings}
    back = next(item for fact, item in found.items() if "nothing is sent from" in fact)
    assert (back.severity, back.region) == (Severity.ERROR, "east") and "put-bucket-replication" in back.fix
    assert any("versioning of" in fact and "Suspended" in fact for fact in found)
    assert any("no batch_role" in fact for fact in found)


def test_a_key_that_the_bucket_cannot_use_is_an_error(pair: Pair, rig: Rig, emulator: Emulator) -> None:
    kms = emulator.client("kms", CODES["west"])
    made = kms.create_key()["KeyMetadata"]
    key = made["Arn"]
    encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}}]}
    pair.client("west").put_bucket_encryption(Bucket=pair.bucket("west"), ServerSideEncryptionConfiguration=encryption)
    kms.disable_key(KeyId=made["KeyId"])
    found = rig.make(S3Bucket, "logs", pair.settings()).view().findings
    assert any("Disabled: it takes no writes" in item.fact and item.region == "west" for item in found)
    assert any("leaves out what is encrypted with a key" in item.fact and item.region == "east" for item in found)


def test_what_a_lost_source_said_last_is_remembered(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    """I6: the recovery point stays where it was, and gets older; another process has it from the monitor's samples."""
    before = bucket.sample("east")
    rig.site.samples.add("test", [before])
    emulator.lose(CODES["east"])
    later(rig)
    again = S3Bucket("logs", bucket.config, (), replace(rig.site, shared={}))
    for kind in (bucket, again):
        view = kind.view()
        assert view.lag is not None and view.lag.recovery_point == before.recovery_point and view.lag.state is Known.BOUND
        assert "known last" in view.lag.reason and view.lag.follows is None
        assert any(item.region == "east" and item.severity is Severity.WARNING for item in view.findings)
    again.close()


def test_directions_join_to_the_worst() -> None:
    now = T0 + timedelta(minutes=5)
    fine, behind = Told(now, behind_items=0, follows=True), Told(T0, behind_items=4, failed=2, follows=True)
    both = joined("x", now, {"a": fine, "b": behind}, None)
    assert (both.lag, both.behind_items, both.failed_items) == (timedelta(minutes=5), 4, 2)
    kept = LagSample(component="x", at=T0, state=Known.KNOWN, lag=timedelta(0), recovery_point=T0)
    lost = joined("x", now, {"a": fine, "b": Transient("gone")}, kept)
    assert (lost.state, lost.recovery_point, lost.lag) == (Known.BOUND, T0, timedelta(minutes=5))
    assert joined("x", now, {"a": Transient("gone")}, None).state is Known.UNKNOWN
    assert joined("x", now, {"a": Told(None, "no rule", follows=False)}, None).follows is None
    one_way = joined("x", now, {"a": behind, "b": Told(None, "no rule", follows=False)}, None)
    assert (one_way.recovery_point, one_way.follows, one_way.reason) == (T0, True, "no rule")
    gone = joined("x", now, {"a": Transient("gone"), "b": Told(None, "no rule", follows=False)}, kept)
    assert gone.recovery_point == T0 and gone.follows is None


@pytest.mark.parametrize(
    ("old", "leading", "expected"),
    [
        (("v1", 0), ("v1", 0), ""),
        (("v1", 0), None, "only_old only_there"),
        (None, ("v2", 0), "to_old"),
        (("v1", 0), ("v2", 1), "to_old only_there"),
        (("v1", 1), ("v2", 0), "conflicts only_there"),
        (("v1", 0), ("-", 1), "only_there"),
        (("v1", 1), ("-", 0), "conflicts only_there"),
        (("-", 0), None, ""),
        (("-", 1), ("v1", 0), "conflicts"),
        (("-", 0), ("v1", 1), "to_old"),
        (("-", 0), ("-", 1), ""),
    ],
)
def test_no_newer_version_is_ever_overwritten(old: tuple[str, int] | None, leading: tuple[str, int] | None, expected: str) -> None:
    """A newer version of the old side is a conflict; what the leading side deleted later is not brought back."""

    def side(made: tuple[str, int] | None) -> dict[str, Version]:
        if made is None:
            return {}
        return {"k": Version("k", made[0] + str(made[1]), made[0], 1, T0 + timedelta(seconds=made[1]), deleted=made[0] == "-")}

    found = compare(side(old), side(leading), ".dr/")
    names = [name for name in ("only_old", "to_old", "conflicts", "only_there") if getattr(found, name)]
    assert " ".join(names) == expected


# --- chains


@pytest.mark.parametrize("intent", MOVES)
def test_each_chain_is_whole_and_can_be_typed(bucket: S3Bucket, intent: Intent) -> None:
    steps = bucket.steps(intent, "east", "west")
    assert [item.spec for item in steps] == [item.spec for item in bucket.steps(intent, "east", "west")]
    ids = [step.spec.id for step in steps]
    assert len(set(ids)) == len(ids) and all(need in ids for step in steps for need in step.spec.needs)
    for step in steps:
        assert step.spec.by_hand and step.spec.check_by_hand, step.spec.id
        arns = [name for use in used(step) for name in use.resources]
        assert all(name == "*" or name.startswith("arn:aws:") for name in arns)
    wild = {str(use.call) for step in steps for use in used(step) if use.resources == ("*",)}
    assert wild <= {"cloudwatch GetMetricData", "s3control ListJobs", "s3control CreateJob"}


def test_a_failover_touches_nothing_of_the_source(pair: Pair, rig: Rig) -> None:
    kind = rig.make(S3Bucket, "logs", pair.settings(access_point=f"arn:aws:s3::{ACCOUNT}:accesspoint/abc.mrap"))
    steps = kind.steps(Intent.FAILOVER, "east", "west")
    assert [step.spec.verb for step in steps] == [Verb.PREPARE, Verb.VERIFY_INSIDE, Verb.REDIRECT, Verb.PROPAGATE, Verb.FINGERPRINT]
    assert {touch.region for step in steps for touch in step.spec.touches} == {
        "west", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2",
    }  # fmt: skip
    assert all(pair.bucket("east") not in permission for step in steps for permission in step.spec.permissions)
    assert {touch.plane for touch in steps[2].spec.touches} == {"data"}


def test_without_a_role_nothing_asks_for_a_job(pair: Pair, rig: Rig) -> None:
    kind = rig.make(S3Bucket, "logs", {**pair.settings(), "batch_role": None})
    for intent in MOVES:
        actions = {action for step in kind.steps(intent, "east", "west") for use in used(step) for action in use.call.iam}
        assert "s3:CreateJob" not in actions
        for step in kind.steps(intent, "east", "west"):
            assert step.spec.by_hand.split()[0] in {"aws", "comm", "diff", "printf", "echo"}, step.spec.by_hand


def test_one_bucket_for_both_regions_is_refused(rig: Rig) -> None:
    with pytest.raises(UsageError, match="both are the bucket logs-1"):
        rig.make(S3Bucket, "logs", {"regions": {"east": {"bucket": "logs-1"}, "west": {"bucket": "logs-1"}}})


# --- moves


def test_failover_with_the_source_gone(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    """Nothing of the source is called; the recovery point is what was known last; what is done once is done already the next time."""
    rig.site.samples.add("test", [bucket.sample("east")])
    emulator.lose(CODES["east"])
    emulator.clear_calls()
    assert [seen.look for seen in rig.run(bucket, Intent.FAILOVER)] == [Look.DONE] * 3
    made = emulator.calls()
    assert {call.proxy for call in made} == {CODES["west"]}
    assert not rig.undeclared(bucket.steps(Intent.FAILOVER, "east", "west"), made)
    context = rig.context(rig.step(bucket, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER)
    fenced, point = context.found(Fenced), context.found(RecoveryPoint)
    assert fenced is not None and fenced.state is FenceState.NOT_NEEDED
    assert point is not None and point.recovery_point is not None
    assert context.found(WriteAccepted) and context.found(Promoted)
    emulator.clear_calls()
    assert rig.perform(rig.step(bucket, Intent.FAILOVER, Verb.VERIFY_INSIDE), Intent.FAILOVER).look is Look.DONE
    assert not emulator.calls("s3", "PutObject"), "the marker of this run was there"


def test_a_write_whose_answer_is_lost_is_seen_by_the_next_attempt(rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    step = rig.step(bucket, Intent.FAILOVER, Verb.VERIFY_INSIDE)
    emulator.fault(CODES["west"], "lost-answer", "s3:PutObject", times=1)
    with pytest.raises(StepError, match="no answer"):
        rig.perform(step, Intent.FAILOVER)
    assert rig.perform(step, Intent.FAILOVER).look is Look.DONE
    assert len(emulator.calls("s3", "PutObject")) == 1


def test_switchover_waits_until_everything_arrived(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    for number in range(5):
        pair.put("east", f"k/{number}")
    drain = rig.step(bucket, Intent.SWITCHOVER, Verb.DRAIN)
    emulator.control("hold_replication", bucket=pair.bucket("east"), held=True)
    pair.put("east", "late")
    drain.operation.act(rig.context(drain, Intent.SWITCHOVER))
    assert drain.operation.verify(rig.context(drain, Intent.SWITCHOVER)).look is Look.NEEDED
    emulator.control("hold_replication", bucket=pair.bucket("east"), held=False)
    emulator.clear_calls()
    seen = rig.run(bucket, Intent.SWITCHOVER)
    assert [item.look for item in seen] == [Look.DONE] * 5, seen
    assert pair.keys("west") == pair.keys("east") and "late" in pair.keys("west")
    assert not rig.undeclared(bucket.steps(Intent.SWITCHOVER, "east", "west"), emulator.calls())
    points = [item for item in rig.evidence if isinstance(item, RecoveryPoint)]
    assert points[-1].complete
    assert any(isinstance(item, Following) and item.region == "east" for item in rig.evidence)
    assert rig.perform(drain, Intent.SWITCHOVER).look is Look.DONE


def test_a_drain_is_refused_where_replication_gave_up(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    emulator.control("fail_replication", bucket=pair.bucket("east"), keys="*")
    seen = rig.perform(rig.step(bucket, Intent.SWITCHOVER, Verb.DRAIN), Intent.SWITCHOVER)
    emulator.control("fail_replication", bucket=pair.bucket("east"), keys="")
    assert seen.look is Look.BLOCKED and "gave up" in seen.reason


def test_what_no_rule_ever_sent_is_brought_over_before_the_freeze(
    pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "ON_ITS_WAY", timedelta(0))
    pair.client("east").delete_bucket_replication(Bucket=pair.bucket("east"))
    pair.put("east", "older than the rule")
    pair.replicate("east")
    rig.clock.sleep(1.1)  # moments of listings are whole seconds
    emulator.clear_calls()
    seen = rig.perform(rig.step(bucket, Intent.SWITCHOVER, "bring"), Intent.SWITCHOVER)
    assert seen.look is Look.DONE and "older than the rule" in pair.keys("west")
    job = emulator.calls("s3control", "CreateJob")
    assert [call.proxy for call in job] == [CODES["east"]]
    assert not rig.undeclared(bucket.steps(Intent.SWITCHOVER, "east", "west"), emulator.calls())


def test_reprotect_preserves_brings_over_and_overwrites_nothing_newer(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    """East was lost with one object on its disk and one version that west then wrote anew; west wrote while nothing was sent back."""
    pair.put("east", "both", b"1")
    until(lambda: "both" in pair.keys("west"), rig)
    for region in CODES:
        pair.client(region).delete_bucket_replication(Bucket=pair.bucket(region))
    pair.put("east", "only-east")
    pair.put("east", "both", b"east's last")
    rig.clock.sleep(1.1)
    pair.put("west", "both", b"west's newer")
    pair.put("west", "only-west")
    for region in CODES:
        pair.replicate(region)
    emulator.clear_calls()
    seen = rig.run(bucket, Intent.REPROTECT)
    assert [item.look for item in seen] == [Look.DONE] * 2, seen
    assert pair.keys("east") == pair.keys("west") == {"both", "only-east", "only-west"}
    for region in CODES:
        assert pair.client(region).get_object(Bucket=pair.bucket(region), Key="both")["Body"].read() == b"west's newer"
    versions = pair.client("east").list_object_versions(Bucket=pair.bucket("east"), Prefix="both")["Versions"]
    assert len(versions) == 3, "what east wrote last is still there, beneath"
    kept = next(item for item in rig.evidence if isinstance(item, Preserved))
    listed = [json.loads(line) for line in Path(kept.manifest).read_text().splitlines()]
    assert sorted(line["key"] for line in listed) == ["both", "only-east"] and kept.items == 2
    accounts = {item.region: item for item in rig.evidence if isinstance(item, Accounted)}
    assert (accounts["east"].missing, accounts["west"].missing) == (("both", "only-west"), ("only-east",))
    assert accounts["east"].repaired == 2
    assert any(isinstance(item, Following) for item in rig.evidence)
    assert not rig.undeclared(bucket.steps(Intent.REPROTECT, "east", "west"), emulator.calls())


def test_a_killed_run_takes_up_its_job(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    """Killed between the job and its end: another process finds it by its description and makes no second one."""
    pair.client("west").delete_bucket_replication(Bucket=pair.bucket("west"))
    pair.put("west", "new")
    pair.replicate("west")
    emulator.set_seconds("s3.batch", seconds=0.5)
    step = rig.step(bucket, Intent.REPROTECT, Verb.FOLLOW)
    context = rig.context(step, Intent.REPROTECT)
    assert step.operation.observe(context).look is Look.NEEDED
    step.operation.act(context)
    again = rig.step(bucket, Intent.REPROTECT, Verb.FOLLOW)
    assert rig.perform(again, Intent.REPROTECT, number=2).look is Look.DONE
    emulator.set_seconds("s3.batch", seconds=0.05)
    assert len(emulator.calls("s3control", "CreateJob")) == 1


def test_a_job_whose_answer_is_lost_is_found_again(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    pair.client("west").delete_bucket_replication(Bucket=pair.bucket("west"))
    pair.put("west", "new")
    pair.replicate("west")
    emulator.set_seconds("s3.batch", seconds=0.5)
    step = rig.step(bucket, Intent.REPROTECT, Verb.FOLLOW)
    emulator.fault(CODES["west"], "lost-answer", "s3control:CreateJob", times=1)
    with pytest.raises(EffectUnknown):
        rig.perform(step, Intent.REPROTECT)
    assert rig.perform(step, Intent.REPROTECT, number=2).look is Look.DONE
    emulator.set_seconds("s3.batch", seconds=0.05)
    assert len(emulator.calls("s3control", "CreateJob")) == 1


def test_failed_items_are_counted_and_named(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    pair.client("west").delete_bucket_replication(Bucket=pair.bucket("west"))
    for number in range(3):
        pair.put("west", f"bad {number}")
    pair.replicate("west")
    emulator.control("fail_replication", bucket=pair.bucket("west"), keys="bad*")
    seen = rig.perform(rig.step(bucket, Intent.REPROTECT, Verb.FOLLOW), Intent.REPROTECT)
    emulator.control("fail_replication", bucket=pair.bucket("west"), keys="")
    assert seen.look is Look.BLOCKED
    assert re.search(r"3 of 3 objects of west could not be replicated: bad 0 \(ReplicationFailed\)", seen.reason), seen.reason


def test_too_many_objects_are_left_to_s3(pair: Pair, rig: Rig, emulator: Emulator) -> None:
    kind = rig.make(S3Bucket, "logs", pair.settings(inventory_objects=0))
    pair.client("west").delete_bucket_replication(Bucket=pair.bucket("west"))
    pair.put("west", "new")
    pair.replicate("west")
    assert [item.look for item in rig.run(kind, Intent.REPROTECT)] == [Look.DONE] * 2
    until(lambda: "new" in pair.keys("east"), rig)
    assert not emulator.calls("s3", "ListObjectVersions")


def test_without_a_role_or_versions_reprotect_refuses(pair: Pair, rig: Rig) -> None:
    kind = rig.make(S3Bucket, "logs", {**pair.settings(), "batch_role": None})
    pair.client("west").delete_bucket_replication(Bucket=pair.bucket("west"))
    pair.put("west", "new")
    follow = rig.step(kind, Intent.REPROTECT, Verb.FOLLOW)
    seen = rig.perform(follow, Intent.REPROTECT)
    assert seen.look is Look.BLOCKED and "put-bucket-replication" in seen.reason
    pair.replicate("west")
    seen = rig.perform(follow, Intent.REPROTECT)
    assert seen.look is Look.BLOCKED and "no batch_role" in seen.reason
    pair.client("east").put_bucket_versioning(Bucket=pair.bucket("east"), VersioningConfiguration={"Status": "Suspended"})
    seen = rig.perform(rig.step(kind, Intent.REPROTECT, Verb.PRESERVE), Intent.REPROTECT)
    assert seen.look is Look.BLOCKED and "keeps no versions" in seen.reason


def test_somebody_elses_object_in_the_place_of_the_marker_is_left_alone(pair: Pair, rig: Rig, bucket: S3Bucket) -> None:
    pair.put("west", ".dr/written-in-west", b"mine")
    with pytest.raises(Permanent, match="is not ours"):
        rig.perform(rig.step(bucket, Intent.FAILOVER, Verb.VERIFY_INSIDE), Intent.FAILOVER)


# --- the access point


def test_routes_lead_to_the_target_and_back(pair: Pair, rig: Rig, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redirect, "HOLDS_AFTER", timedelta(seconds=0.3))
    kind = rig.make(S3Bucket, "logs", pair.settings(access_point=pair.access_point()))
    step = rig.step(kind, Intent.SWITCHOVER, Verb.REDIRECT)
    emulator.clear_calls()
    assert rig.perform(step, Intent.SWITCHOVER).look is Look.DONE
    assert rig.perform(rig.step(kind, Intent.SWITCHOVER, Verb.PROPAGATE), Intent.SWITCHOVER).look is Look.DONE
    moved = next(item for item in rig.evidence if isinstance(item, Redirected))
    assert set(*moved.before.values()) == {pair.bucket("east"), pair.bucket("west")}
    assert len(emulator.calls("s3control", "SubmitMultiRegionAccessPointRoutes")) == 1
    assert not rig.undeclared(kind.steps(Intent.SWITCHOVER, "east", "west"), emulator.calls())
    assert rig.perform(step, Intent.SWITCHOVER).look is Look.DONE
    assert len(emulator.calls("s3control", "SubmitMultiRegionAccessPointRoutes")) == 1
    step.operation.undo(rig.context(step, Intent.SWITCHOVER))
    assert kind.routes is not None
    until(lambda: kind.routes is not None and kind.routes.now(kind.places["west"])[pair.bucket("east")] == 100, rig)


def test_a_redirect_whose_answer_is_lost_is_seen_and_not_repeated(pair: Pair, rig: Rig, emulator: Emulator) -> None:
    kind = rig.make(S3Bucket, "logs", pair.settings(access_point=pair.access_point()))
    step = rig.step(kind, Intent.FAILOVER, Verb.REDIRECT)
    emulator.fault(CODES["west"], "lost-answer", "s3control:SubmitMultiRegionAccessPointRoutes", times=1)
    with pytest.raises(EffectUnknown):
        rig.perform(step, Intent.FAILOVER)
    again = replace(rig.context(step, Intent.FAILOVER), number=2)
    until(lambda: step.operation.observe(again).look is Look.DONE, rig)
    assert any(isinstance(item, Redirected) for item in step.operation.observe(again).evidence), "the routes are waited for"
    assert len(emulator.calls("s3control", "SubmitMultiRegionAccessPointRoutes")) == 1


def test_endpoints_of_routes_are_tried_in_turn(pair: Pair, rig: Rig, emulator: Emulator) -> None:
    """The lost region's is never among them; the next one is asked where one does not answer."""
    kind = rig.make(S3Bucket, "logs", pair.settings(access_point=f"arn:aws:s3::{ACCOUNT}:accesspoint/abc.mrap"))
    assert kind.routes is not None
    assert list(kind.routes.codes("west")) == ["us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2"]
    assert next(iter(kind.routes.codes("east"))) == "us-east-1" and "us-west-2" not in kind.routes.codes("east")
    emulator.lose(CODES["west"])
    with pytest.raises(StepError):
        kind.routes.now(kind.places["west"])


def test_an_access_point_without_the_bucket_is_refused(pair: Pair, rig: Rig, emulator: Emulator) -> None:
    other = Pair(emulator)
    kind = rig.make(S3Bucket, "logs", pair.settings(access_point=other.access_point()))
    assert any("is no part of" in item.fact and item.severity is Severity.ERROR for item in kind.view().findings)
    seen = rig.perform(rig.step(kind, Intent.FAILOVER, Verb.REDIRECT), Intent.FAILOVER)
    assert seen.look is Look.BLOCKED


# --- refusals


@pytest.mark.parametrize(("kind", "error"), [("throttle", Transient), ("deny", Permanent), ("error", Transient)])
def test_what_the_api_refuses(rig: Rig, bucket: S3Bucket, emulator: Emulator, kind: str, error: type[StepError]) -> None:
    emulator.fault(CODES["west"], kind, "s3:GetReplicationConfiguration" if kind == "deny" else "s3:GetBucketReplication")
    with pytest.raises(error) as raised:
        rig.perform(rig.step(bucket, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER)
    if kind == "deny":
        assert "s3:GetReplicationConfiguration" in raised.value.hint


def test_a_bucket_that_is_not_there_is_permanent(pair: Pair, rig: Rig) -> None:
    settings = {"regions": {"east": {"bucket": pair.bucket("east")}, "west": {"bucket": f"{pair.name}-none"}}}
    kind = rig.make(S3Bucket, "logs", settings)
    with pytest.raises(Permanent, match="NoSuchBucket") as raised:
        rig.perform(rig.step(kind, Intent.FAILOVER, Verb.PREPARE), Intent.FAILOVER)
    assert "correct regions" in raised.value.hint


def test_a_beside_step_lists_nothing(rig: Rig, bucket: S3Bucket) -> None:
    assert isinstance(rig.step(bucket, Intent.SWITCHOVER, Verb.FOLLOW).operation, protect.Beside)


def test_a_way_back_ends_although_people_write_on(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    """What is written while the missing is brought over is on its way by the rule: a busy bucket never holds just the same as the other."""
    pair.client("west").delete_bucket_replication(Bucket=pair.bucket("west"))
    pair.put("west", "missing")
    pair.replicate("west")
    step = rig.step(bucket, Intent.REPROTECT, Verb.FOLLOW)
    context = rig.context(step, Intent.REPROTECT)
    assert step.operation.observe(context).look is Look.NEEDED
    step.operation.act(context)
    emulator.control("fail_replication", bucket=pair.bucket("west"), keys="busy*")
    pair.put("west", "busy 1")
    until(lambda: step.operation.verify(context).look is Look.DONE, rig)
    emulator.control("fail_replication", bucket=pair.bucket("west"), keys="")
    assert pair.keys("east") == {"missing"}


def test_a_drain_ends_although_somebody_writes_on(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    """Whoever nothing freezes: what they write after the first comparison is on its way by the rule, and no part of this proof."""
    drain = rig.step(bucket, Intent.SWITCHOVER, Verb.DRAIN)
    context = rig.context(drain, Intent.SWITCHOVER)
    pair.client("east").delete_bucket_replication(Bucket=pair.bucket("east"))
    pair.put("east", "stuck")  # no rule sends it: nobody gave it up
    pair.replicate("east")
    drain.operation.act(context)
    until(lambda: "stuck" in drain.operation.verify(context).reason, rig)
    emulator.control("fail_replication", bucket=pair.bucket("east"), keys="busy*")
    pair.put("east", "busy 1")
    pair.put("west", "stuck")
    until(lambda: drain.operation.verify(context).look is Look.DONE, rig)
    emulator.control("fail_replication", bucket=pair.bucket("east"), keys="")
    assert "busy 1" not in pair.keys("west")


# --- what S3 gave up a moment ago


def gave_up(pair: Pair, rig: Rig, emulator: Emulator, *keys: str) -> None:
    """Objects of east that failed to replicate just now; what comes later is sent again."""
    emulator.control("fail_replication", bucket=pair.bucket("east"), keys="lost*")
    for key in keys:
        pair.put("east", key)
        until(partial(lambda key: pair.status("east", key) == "FAILED", key), rig)
    emulator.control("fail_replication", bucket=pair.bucket("east"), keys="")


def test_what_failed_a_moment_ago_is_brought_over_before_the_freeze(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    """It is younger than what is on its way by itself, and never arrives by itself. What is on its way is left to the rule."""
    gave_up(pair, rig, emulator, "lost 1", "lost 2")
    emulator.control("hold_replication", bucket=pair.bucket("east"), held=True)
    pair.put("east", "on its way")
    bring = rig.step(bucket, Intent.SWITCHOVER, "bring")
    seen = bring.operation.observe(rig.context(bring, Intent.SWITCHOVER))
    emulator.control("hold_replication", bucket=pair.bucket("east"), held=False)
    assert seen.look is Look.NEEDED and "2 objects of east, lost 1 among them" in seen.reason
    emulator.clear_calls()
    assert rig.perform(bring, Intent.SWITCHOVER).look is Look.DONE
    assert {"lost 1", "lost 2"} <= pair.keys("west")
    assert len(emulator.calls("s3control", "CreateJob")) == 1 and not rig.undeclared([bring], emulator.calls())


@pytest.mark.parametrize("quiet", [False, True], ids=["listed", "nothing-pending"])
def test_a_drain_sends_what_failed_and_never_calls_it_drained(
    pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    """What failed is not pending: S3's word that nothing is says nothing of it. The next attempt sends it, and waits for the job."""
    gave_up(pair, rig, emulator, "lost 1")
    later_on = datetime.now(UTC) + timedelta(hours=1)
    monkeypatch.setattr(bucket.looker, "pending_at", lambda place: (0, later_on) if quiet else None)
    drain = rig.step(bucket, Intent.SWITCHOVER, Verb.DRAIN)
    emulator.clear_calls()
    with pytest.raises(Transient, match="gave up replicating lost 1 of east"):
        rig.perform(drain, Intent.SWITCHOVER)
    assert not emulator.calls("s3control", "CreateJob") and not any(isinstance(item, RecoveryPoint) for item in rig.evidence)
    assert rig.perform(drain, Intent.SWITCHOVER, number=2).look is Look.DONE
    assert "lost 1" in pair.keys("west") and len(emulator.calls("s3control", "CreateJob")) == 1
    assert not rig.undeclared([drain], emulator.calls())


def test_a_job_that_sends_it_in_vain_says_so(pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator) -> None:
    """The role may not, or the key is gone: a person is told, with the keys."""
    gave_up(pair, rig, emulator, "lost 1")
    drain = rig.step(bucket, Intent.SWITCHOVER, Verb.DRAIN)
    with pytest.raises(Transient):
        rig.perform(drain, Intent.SWITCHOVER)
    emulator.control("fail_replication", bucket=pair.bucket("east"), keys="lost*")
    seen = rig.perform(drain, Intent.SWITCHOVER, number=2)
    emulator.control("fail_replication", bucket=pair.bucket("east"), keys="")
    assert seen.look is Look.BLOCKED and "1 of 1 objects of east could not be replicated: lost 1" in seen.reason


def test_without_a_role_what_failed_is_told_at_once(pair: Pair, rig: Rig, emulator: Emulator) -> None:
    """By the step before the freeze, and by the drain: with the command that copies it."""
    kind = rig.make(S3Bucket, "logs", {**pair.settings(), "batch_role": None})
    gave_up(pair, rig, emulator, "lost 1")
    for name in ("bring", Verb.DRAIN):
        seen = rig.perform(rig.step(kind, Intent.SWITCHOVER, name), Intent.SWITCHOVER)
        assert seen.look is Look.BLOCKED and "lost 1" in seen.reason and "no batch_role" in seen.reason
        assert "never arrive" in seen.reason and "aws s3 cp" in seen.reason


def test_where_it_must_not_be_asked_what_failed_is_waited_for_and_never_called_drained(
    pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy from before: the permission that is missing is named."""
    gave_up(pair, rig, emulator, "lost 1")
    monkeypatch.setattr(bucket.looker, "pending_at", lambda place: (0, datetime.now(UTC) + timedelta(hours=1)))
    emulator.deny("s3:GetObjectVersion")
    drain = rig.step(bucket, Intent.SWITCHOVER, Verb.DRAIN)
    context = rig.context(drain, Intent.SWITCHOVER)
    drain.operation.act(context)
    until(lambda: "allow s3:GetObjectVersion" in drain.operation.verify(context).reason, rig)
    assert drain.operation.verify(context).look is Look.NEEDED


@pytest.mark.parametrize(
    ("status", "code", "look", "told"),
    [
        ("PENDING", 0, Look.NEEDED, "1 objects, missing among them"),
        ("COMPLETED", 0, Look.DONE, "nothing was pending"),
        ("", 0, Look.DONE, "nothing was pending"),
        ("", 404, Look.DONE, "nothing was pending"),
        ("", 400, Look.NEEDED, "not known: s3 HeadObject"),
        ("", 403, Look.NEEDED, "allow s3:GetObjectVersion"),
    ],
)
def test_nothing_pending_counts_only_where_s3_says_the_same_of_each_object(
    pair: Pair, rig: Rig, bucket: S3Bucket, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, status: str, code: int, look: Look,
    told: str,
) -> None:  # fmt: skip
    """CloudWatch says that nothing was: an object that is on its way still, or of which S3 says nothing (SSE-C: 400), is not drained."""
    pair.client("east").delete_bucket_replication(Bucket=pair.bucket("east"))
    pair.put("east", "missing")
    pair.replicate("east")
    monkeypatch.setattr(bucket.looker, "pending_at", lambda place: (0, datetime.now(UTC) + timedelta(hours=1)))
    if status:
        monkeypatch.setattr(objects, "replication", lambda owner, region, item: status)
    if code:
        emulator.fault(CODES["east"], "refusal", "s3:HeadObject", status=code, code=str(code))
    drain = rig.step(bucket, Intent.SWITCHOVER, Verb.DRAIN)
    context = rig.context(drain, Intent.SWITCHOVER)
    drain.operation.act(context)
    until(lambda: "on its way" not in drain.operation.verify(context).reason, rig)
    seen = drain.operation.verify(context)
    assert seen.look is look and told in seen.reason, seen
    assert [item.complete for item in seen.evidence if isinstance(item, RecoveryPoint)] == [True] * (look is Look.DONE)


def test_what_cannot_be_compared_is_drained_by_s3s_word_and_says_what_that_leaves_out(
    pair: Pair, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many objects: nobody looks which of them S3 gave up."""
    kind = rig.make(S3Bucket, "logs", pair.settings(inventory_objects=0))
    monkeypatch.setattr(kind.looker, "pending_at", lambda place: (0, datetime.now(UTC) + timedelta(hours=1)))
    seen = rig.perform(rig.step(kind, Intent.SWITCHOVER, Verb.DRAIN), Intent.SWITCHOVER)
    assert seen.look is Look.DONE and "what S3 gave up since they were brought is not seen" in seen.reason
