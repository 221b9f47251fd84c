"""Whose account it is: silence is never the right one, and the STS of the target being ill keeps no failover from going on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dr.errors import Permanent, Transient
from dr.model.runbook import AwsRole
from dr.model.words import Intent, Role, Severity
from dr.ports import Look
from dr.providers.aws.aurora import AuroraGlobalDatabase
from dr.providers.aws.calls import Call
from dr.providers.aws.clients import CONNECT_SECONDS, STS_SECONDS
from dr.providers.aws.hub import Aws
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig
from tests.aws.test_aurora import Pair

CLUSTERS = Call("rds", "DescribeDBClusters")
EAST, WEST = CODES["east"], CODES["west"]
WRONG = "999999999999"


@pytest.fixture(autouse=True)
def put_back(emulator: Emulator) -> Iterator[None]:
    yield
    emulator.clear_faults()


def ill(emulator: Emulator, *codes: str, kind: str = "error") -> None:
    """The STS of these regions."""
    for code in codes:
        emulator.fault(code, kind, "sts:*", status=503)


def asked(emulator: Emulator) -> list[str]:
    """Where it was asked whose account it is, in order, each once."""
    return list(dict.fromkeys(call.proxy for call in emulator.calls("sts", "GetCallerIdentity")))


def says(rig: Rig, region: str, account: str) -> None:
    """The runbook says that a region's account is this."""
    assert isinstance(rig.site.regions, dict)
    settings = rig.site.regions[region].aws
    assert settings is not None
    rig.site.regions[region] = rig.site.regions[region].model_copy(update={"aws": settings.model_copy(update={"account": account})})


@pytest.mark.parametrize("kind", ["error", "throttle"])
def test_another_regions_sts_is_asked_where_the_own_one_is_silent(rig: Rig, emulator: Emulator, kind: str) -> None:
    """With the same credentials; once: what is known is not asked again."""
    ill(emulator, WEST, kind=kind)
    emulator.clear_calls()
    place = rig.aws.place("west")
    for _ in range(3):
        assert rig.aws.read(place, CLUSTERS)["DBClusters"] is not None
    assert asked(emulator) == [WEST, EAST]
    assert len([call for call in emulator.calls("sts") if call.proxy == EAST]) == 1


def test_a_failover_goes_on_though_the_sts_of_its_target_is_ill(rig: Rig, emulator: Emulator) -> None:
    """East has lost its databases, not its STS; both are looked at, and west is promoted."""
    pair = Pair(emulator)
    ill(emulator, WEST)
    emulator.fault(EAST, "error", "rds:*", status=503)
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", pair.settings())
    assert aurora.view().regions["west"].role is Role.SECONDARY
    assert {seen.look for seen in rig.run(aurora, Intent.FAILOVER)} == {Look.DONE}
    assert pair.writer() == "west"


def test_what_the_same_key_was_told_before_counts_where_nobody_answers_now(rig: Rig, emulator: Emulator) -> None:
    """East said it, and is lost then: the same access key has the same account in west. Another process knows nothing, and waits."""
    assert rig.aws.account(rig.aws.place("east")) == ACCOUNT
    emulator.lose(EAST)
    ill(emulator, WEST)
    assert rig.aws.read(rig.aws.place("west"), CLUSTERS)["DBClusters"] is not None
    fresh = Aws(replace(rig.site, shared={}))
    emulator.clear_calls()
    with pytest.raises(Transient, match="GetCallerIdentity in west"):
        fresh.read(fresh.place("west"), CLUSTERS)
    assert not emulator.calls("rds"), "silence is never the right account"
    emulator.clear_faults()
    assert fresh.read(fresh.place("west"), CLUSTERS)["DBClusters"] is not None
    fresh.close()


@pytest.mark.parametrize("known", [False, True], ids=["elsewhere", "confirmed"])
def test_a_wrong_account_is_refused_whoever_says_it(rig: Rig, emulator: Emulator, known: bool) -> None:
    """Told by another region's STS, or by what the same key was told before; nothing else is called."""
    says(rig, "west", WRONG)
    if known:
        rig.aws.account(rig.aws.place("east"))
    ill(emulator, WEST)
    emulator.clear_calls()
    with pytest.raises(Permanent, match=f"belong to account {ACCOUNT}, and the runbook says {WRONG}"):
        rig.aws.read(rig.aws.place("west"), CLUSTERS)
    assert {call.operation for call in emulator.calls()} == {"GetCallerIdentity"}
    assert asked(emulator) == ([WEST] if known else [WEST, EAST])


def test_a_refusal_is_an_answer(rig: Rig, emulator: Emulator) -> None:
    """Credentials that have ended are not asked about elsewhere, nor is what was known of them counted."""
    rig.aws.account(rig.aws.place("east"))
    emulator.fault(WEST, "refusal", "sts:*", code="ExpiredToken", status=403)
    emulator.clear_calls()
    with pytest.raises(Permanent, match="ExpiredToken"):
        rig.aws.read(rig.aws.place("west"), CLUSTERS)
    assert asked(emulator) == [WEST]


def test_what_another_region_refuses_says_nothing_of_this_one(rig: Rig, emulator: Emulator) -> None:
    """Its own STS is silent still: worth retrying, and never the right account."""
    ill(emulator, WEST)
    emulator.fault(EAST, "refusal", "sts:*", code="InvalidClientTokenId", status=403)
    with pytest.raises(Transient, match="GetCallerIdentity in west"):
        rig.aws.read(rig.aws.place("west"), CLUSTERS)


def role(emulator: Emulator, name: str) -> AwsRole:
    """A role that trusts the account."""
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    emulator.client("iam", "us-east-1").create_role(RoleName=name, AssumeRolePolicyDocument=document)
    return AwsRole(arn=f"arn:aws:iam::{ACCOUNT}:role/{name}")


def test_a_region_whose_sts_hangs_is_looked_at_only_where_a_run_needs_it(
    rig: Rig, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each service of a region that is gone would cost a time-out, too, before a failover decides; its target is not given up for that.
    Where it answers again, it is looked at again."""
    monkeypatch.setattr("dr.providers.aws.clients.GONE_SECONDS", 0.0)  # all services of a region are one host here
    pair = Pair(emulator)
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", pair.settings())
    emulator.fault(WEST, "hang", "sts:*")
    emulator.clear_calls()
    assert aurora.view().regions["west"].late
    assert not [call for call in emulator.calls("rds") if call.proxy == WEST]
    aurora.warm("west")
    assert aurora.view().regions["west"].role is Role.SECONDARY
    other = Rig(tmp_path / "other", emulator)
    says(other, "west", ACCOUNT)
    watched = other.make(AuroraGlobalDatabase, "metadata-db", pair.settings())
    assert other.aws.account(other.aws.place("west")) == ACCOUNT and watched.view().regions["west"].late
    emulator.clear_faults()
    assert watched.view().regions["west"].role is Role.SECONDARY
    other.close()


@pytest.mark.parametrize("how", ["refuse", "blackhole", "hang"])
def test_a_dead_sts_is_waited_for_once(rig: Rig, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Two seconds at most: a connection that nobody takes, or a request that nobody answers; then only others are asked, whoever asks."""
    assert CONNECT_SECONDS <= 2 and STS_SECONDS <= 2
    monkeypatch.setattr("dr.providers.aws.clients.GONE_SECONDS", 600.0)
    taken = role(emulator, f"dr-dead-{how}")
    sent: list[str] = []
    client = rig.aws.clients.of(rig.aws.place("west"), "sts", act=False)
    client.meta.events.register_last("before-send", lambda request, **_: sent.append(request.url))
    emulator.lose(WEST, how)
    assert rig.aws.account(rig.aws.place("west")) == ACCOUNT
    emulator.clear_calls()
    assert rig.aws.account(rig.aws.place("west", taken)) == ACCOUNT
    assert len(sent) == 1 and {call.proxy for call in emulator.calls("sts")} == {EAST}


def test_a_role_is_taken_on_through_another_sts_where_the_own_one_is_silent(rig: Rig, emulator: Emulator) -> None:
    """Its credentials serve in every region. A refusal is an answer here, too."""
    taken = role(emulator, "dr-accounts")
    ill(emulator, WEST)
    emulator.clear_calls()
    place = rig.aws.place("west", taken)
    assert rig.aws.read(place, CLUSTERS)["DBClusters"] is not None
    assert list(dict.fromkeys(call.proxy for call in emulator.calls("sts", "AssumeRole"))) == [WEST, EAST]
    emulator.clear_faults()
    emulator.clear_calls()
    with pytest.raises(Permanent, match="AccessDenied"):
        rig.aws.read(rig.aws.place("west", AwsRole(arn=f"arn:aws:iam::{ACCOUNT}:role/nobodys")), CLUSTERS)
    assert {call.proxy for call in emulator.calls("sts", "AssumeRole")} == {WEST}


def test_every_step_says_that_it_asks_whose_account_it_is(rig: Rig, emulator: Emulator, tmp_path: Path) -> None:
    """Of its own regions, and that it does without; not where the runbook names no account."""
    pair = Pair(emulator)
    aurora = rig.make(AuroraGlobalDatabase, "metadata-db", pair.settings())
    promote = rig.step(aurora, Intent.FAILOVER, "promote").spec
    said = [(touch.region, touch.plane, touch.tried) for touch in promote.touches if touch.service == "sts"]
    assert said == [("west", "data", True)]
    assert not [finding for finding in aurora.view().findings if finding.severity is Severity.ERROR]
    alone = Rig(tmp_path)
    nobodys = alone.make(AuroraGlobalDatabase, "metadata-db", pair.settings())
    assert not [touch for step in nobodys.steps(Intent.FAILOVER, "east", "west") for touch in step.spec.touches if touch.service == "sts"]
    alone.close()
