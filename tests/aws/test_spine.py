"""What all AWS kinds stand on: batches of metrics, budgets of calls, dead endpoints, roles, commands for people."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from dr.errors import EffectUnknown, Permanent, StepError, Transient, UsageError
from dr.model.runbook import AwsRole, SecretRef
from dr.providers.aws.calls import Call, Use, permissions, touches
from dr.providers.aws.metrics import FRESH, MOST, Metrics, Question
from dr.providers.aws.pace import Pace
from dr.providers.aws.place import Place
from dr.providers.aws.typed import cli
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig
from tests.store.build import HandClock

CLUSTERS = Call("rds", "DescribeDBClusters")
MAKE = Call("rds", "CreateDBClusterParameterGroup", act=True)
WEST = CODES["west"]


def question(number: int) -> Question:
    return Question("AWS/RDS", "ReplicaLag", (("DBInstanceIdentifier", f"spine-{number}"),))


def test_a_hundred_components_cost_one_call_a_region(rig: Rig, emulator: Emulator) -> None:
    """Registered, then asked for one by one: one GetMetricData; what is asked for later costs one more, for itself only."""
    metrics, place = Metrics(rig.aws), rig.aws.place("west")
    for number in range(100):
        emulator.set_metric(WEST, "AWS/RDS", "ReplicaLag", {"DBInstanceIdentifier": f"spine-{number}"}, float(number))
        metrics.register(place, question(number))
    emulator.clear_calls()
    values = [metrics.newest(place, question(number)) for number in range(100)]
    assert [value.value for value in values if value is not None] == [float(number) for number in range(100)]
    assert len(emulator.calls("cloudwatch", "GetMetricData")) == 1
    assert metrics.newest(place, question(1000)) is None
    assert len(emulator.calls("cloudwatch", "GetMetricData")) == 2
    assert metrics.newest(place, question(3)) is not None
    assert len(emulator.calls("cloudwatch", "GetMetricData")) == 2


def test_no_call_has_more_questions_than_cloudwatch_takes(rig: Rig, emulator: Emulator) -> None:
    """1,200 questions are three calls."""
    metrics, place = Metrics(rig.aws), rig.aws.place("west")
    metrics.register(place, *(question(number) for number in range(2 * MOST + 200)))
    emulator.clear_calls()
    metrics.newest(place, question(0))
    assert len(emulator.calls("cloudwatch", "GetMetricData")) == 3
    assert timedelta(minutes=1) > FRESH


def test_a_budget_is_shared_by_threads_and_waits_evenly() -> None:
    """Two at once, then four a second, however many threads there are; who may not wait so long is told before anything is called."""
    clock = HandClock()
    pace = Pace(clock, 4.0, 2)
    began = clock.monotonic()
    for _ in range(6):
        pace.take()
    assert clock.monotonic() - began == pytest.approx(1.0)
    with pytest.raises(Transient, match="budget"):
        pace.take(until=clock.monotonic() + 0.1)
    began = clock.monotonic()
    pace.take(count=3)
    assert clock.monotonic() - began == pytest.approx(0.75)
    pace.give_back(5)
    pace.take(until=clock.monotonic() - 1, count=2)  # it need not wait: a deadline that is over does not matter
    threads = [threading.Thread(target=pace.take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("how", ["refuse", "blackhole", "hang"])
def test_a_dead_endpoint_costs_its_time_out_once(rig: Rig, emulator: Emulator, how: str) -> None:
    """After the first failure nothing is sent there for five seconds; another endpoint is asked as before."""
    place = rig.aws.place("east")
    rig.aws.account(place)
    emulator.lose(CODES["east"], how)
    sent: list[str] = []
    client = rig.aws.clients.of(place, "rds", act=False)
    client.meta.events.register_last("before-send", lambda request, **_: sent.append(request.url))
    for _ in range(5):
        with pytest.raises(Transient) as caught:
            rig.aws.read(place, CLUSTERS)
        assert caught.value.late
    assert len(sent) == (1 if how != "hang" else len(sent)) and len(sent) <= 3
    assert rig.aws.read(rig.aws.place("west"), CLUSTERS)["DBClusters"] is not None


def test_reads_are_repeated_and_acts_are_not(rig: Rig, emulator: Emulator) -> None:
    """Two failures of a read are its third attempt's business; one failure of an act is unknown."""
    place = rig.aws.place("west")
    emulator.fault(WEST, "error", "rds:*", times=2)
    emulator.clear_calls()
    rig.aws.read(place, CLUSTERS)
    assert len(emulator.calls("rds")) == 3
    emulator.fault(WEST, "error", "rds:*", times=1)
    emulator.clear_calls()
    with pytest.raises(EffectUnknown):
        rig.aws.act(None, place, MAKE, DBClusterParameterGroupName="spine", DBParameterGroupFamily="aurora-postgresql16", Description="x")
    assert len(emulator.calls("rds")) == 1


def test_a_parameter_that_does_not_fit_is_never_sent_nor_shown(rig: Rig, emulator: Emulator) -> None:
    """botocore's own model refuses it; the message names it without its value."""
    emulator.clear_calls()
    with pytest.raises(Permanent) as caught:
        rig.aws.read(rig.aws.place("west"), CLUSTERS, DBClusterIdentifier=["hunter2"])
    assert "DBClusterIdentifier" in caught.value.message and "hunter2" not in caught.value.message
    assert not emulator.calls("rds")


def test_a_role_is_taken_on_through_the_regions_own_sts(rig: Rig, emulator: Emulator) -> None:
    """With its external id; without it, refused, and said."""
    trust = {
        "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "only-for-dr"}},
    }  # fmt: skip
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    emulator.client("iam", "us-east-1").create_role(RoleName="dr-spine", AssumeRolePolicyDocument=document)
    secrets = rig.site.secrets
    assert hasattr(secrets, "values")
    secrets.values["EXTERNAL"], secrets.values["WRONG"] = "only-for-dr", "guessed"
    arn = f"arn:aws:iam::{ACCOUNT}:role/dr-spine"
    emulator.clear_calls()
    rig.aws.read(rig.aws.place("west", AwsRole(arn=arn, external_id=SecretRef(env="EXTERNAL"))), CLUSTERS)
    assert [call.region for call in emulator.calls("sts", "AssumeRole")] == [WEST]
    with pytest.raises(StepError) as caught:
        rig.aws.read(rig.aws.place("west", AwsRole(arn=arn, external_id=SecretRef(env="WRONG"))), CLUSTERS)
    assert "guessed" not in caught.value.message + caught.value.hint


def test_a_word_that_is_no_region_is_refused(rig: Rig) -> None:
    """With what to write."""
    assert isinstance(rig.site.regions, dict)
    rig.site.regions["moon"] = rig.site.regions["west"].model_copy(update={"aws": None})
    with pytest.raises(UsageError, match="not a region of AWS"):
        rig.aws.place("moon")


def test_commands_are_made_of_what_is_sent() -> None:
    """Flags, lists, structures, quotes, and a secret that is never shown."""
    call = Call("rds", "ModifyDBInstance", hidden=("MasterUserPassword",))
    place = Place("east", "us-east-1", "prod")
    parameters = {
        "DBInstanceIdentifier": "it's", "VpcSecurityGroupIds": ["sg-1", "sg-2"], "ApplyImmediately": True, "MultiAZ": False,
        "Tags": [{"Key": "a", "Value": "b c"}], "MasterUserPassword": "hunter2",
    }  # fmt: skip
    assert cli(call, place, parameters) == (
        "aws rds modify-db-instance --db-instance-identifier 'it'\"'\"'s' --vpc-security-group-ids sg-1 sg-2 --apply-immediately "
        '--no-multi-az --tags \'[{"Key":"a","Value":"b c"}]\' --master-user-password "$SECRET" --region us-east-1 --profile prod'
    )


def test_touches_and_permissions_come_from_the_calls() -> None:
    """Each once; an API with one home is touched there, whichever region it is called for."""
    edit = Call("route53", "ChangeResourceRecordSets", act=True, home="us-east-1", instead="prepare them")
    uses = [Use(edit, "west", ("arn:aws:route53:::hostedzone/Z1",)), Use(edit, "east", ("arn:aws:route53:::hostedzone/Z1",))]
    assert [(item.region, item.plane, item.instead) for item in touches(uses)] == [("us-east-1", "control", "prepare them")]
    assert permissions(uses) == ("route53:ChangeResourceRecordSets on arn:aws:route53:::hostedzone/Z1",)


@pytest.fixture(autouse=True)
def put_back(emulator: Emulator) -> Iterator[None]:
    yield
    emulator.clear_faults()


def test_a_profile_that_is_not_there_is_said(tmp_path: Path, rig: Rig) -> None:
    """Before anything is called, with what to type."""
    place = rig.aws.place("west")._replace(profile="nobody", account="")
    with pytest.raises(Permanent, match="nobody") as caught:
        rig.aws.read(place, CLUSTERS)
    assert "aws configure list --profile nobody" in caught.value.hint
