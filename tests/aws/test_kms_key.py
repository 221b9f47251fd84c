"""``aws.kms-key`` against the emulated AWS: usable in the other region, what is found beforehand, the primary key that follows."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from dr.errors import Permanent, UsageError
from dr.model.evidence import Note
from dr.model.words import Intent, Severity, Verb
from dr.ports import Look
from dr.providers import registry
from dr.providers.aws.kms_key import KmsKey
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig

EAST, WEST = CODES["east"], CODES["west"]


@pytest.fixture
def key(emulator: Emulator) -> str:
    """The id of a key with a member in each region."""
    emulator.set_seconds("kms.replica", seconds=0)
    emulator.set_seconds("kms.primary", seconds=0.05)
    client = emulator.client("kms", EAST)
    made = str(client.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"])
    client.replicate_key(KeyId=made, ReplicaRegion=WEST)
    return made


def settings(east: str, west: str = "", **changes: object) -> dict[str, object]:
    arns = {region: f"arn:aws:kms:{CODES[region]}:{ACCOUNT}:key/{key}" for region, key in (("east", east), ("west", west or east))}
    return {"regions": {region: {"key": arn} for region, arn in arns.items()}, **changes}


def facts(kind: KmsKey, *severities: Severity) -> list[tuple[str | None, str]]:
    wanted = severities or (Severity.ERROR, Severity.WARNING)
    return [(item.region, item.fact) for item in kind.view().findings if item.severity in wanted]


def test_what_the_lost_region_encrypted_is_decrypted(rig: Rig, emulator: Emulator, key: str) -> None:
    """Kept beside the journal while both were there; another process uses it once the other region is gone, and calls the target only."""
    rig.make(KmsKey, "key", settings(key)).view()
    rig.make(KmsKey, "key", settings(key)).view()
    kind = rig.make(KmsKey, "key", settings(key))
    assert facts(kind) == [] and kind.view().regions == {}
    emulator.lose(EAST)
    with emulator.counted() as calls:
        assert [seen.look for seen in rig.run(kind, Intent.FAILOVER)] == [Look.DONE]
    assert {call.proxy for call in calls} == {WEST}
    assert not rig.undeclared(kind.steps(Intent.FAILOVER, "east", "west"), calls)
    assert [item.text for item in rig.evidence if isinstance(item, Note)] == ["key in west: what east encrypted was decrypted"]


def test_a_look_is_few_calls(rig: Rig, emulator: Emulator, key: str) -> None:
    """Three reads a region; the round trip once in ten minutes, as soon as each has met what the other encrypted."""
    kind = rig.make(KmsKey, "key", settings(key))
    for _ in range(2):
        kind.view()
    with emulator.counted() as calls:
        kind.view()
    assert sorted(call.operation for call in calls if call.service == "kms") == sorted(["DescribeKey", "GetKeyPolicy", "ListAliases"] * 2)


def test_two_keys_that_are_no_replicas_of_each_other(rig: Rig, emulator: Emulator) -> None:
    """Each is fine by itself; what the one encrypted cannot be decrypted by the other."""
    one, other = (str(emulator.client("kms", code).create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]) for code in (EAST, WEST))
    kind = rig.make(KmsKey, "key", settings(one, other))
    kind.view()
    found = facts(rig.make(KmsKey, "key", settings(one, other)), Severity.ERROR)
    assert ("west", f"the key in east has no replica in {WEST}") in found
    assert any(region == "west" and text.startswith("the key in west cannot be used: kms Decrypt") for region, text in found)


def test_a_single_region_key(rig: Rig, emulator: Emulator, key: str) -> None:
    """An error wherever one moves to, with what to do."""
    single = str(emulator.client("kms", EAST).create_key()["KeyMetadata"]["KeyId"])
    kind = rig.make(KmsKey, "key", settings(single, key))
    [found] = [item for item in kind.view().findings if "single-Region" in item.fact]
    assert (found.severity, found.region) == (Severity.ERROR, None) and "create-key --multi-region" in found.fix


def test_disabled_aliases_and_policies(rig: Rig, emulator: Emulator, key: str) -> None:
    """A disabled replica and a missing alias refuse a move there; a policy that differs is a warning; region names in it do not count."""
    alias = f"alias/{key}"
    emulator.client("kms", EAST).create_alias(AliasName=alias, TargetKeyId=key)
    kind = rig.make(KmsKey, "key", settings(key, aliases=[alias]))
    assert facts(kind) == [("west", f"{alias} does not lead to the key in west")]
    assert [seen.look for seen in rig.run(kind, Intent.FAILOVER)] == [Look.BLOCKED]
    emulator.client("kms", WEST).create_alias(AliasName=alias, TargetKeyId=key)
    for code in (EAST, WEST):
        allowed = {
            "Sid": code,
            "Effect": "Allow",
            "Principal": "*",
            "Action": "kms:Decrypt",
            "Resource": f"arn:aws:kms:{code}:{ACCOUNT}:key/*",
        }
        emulator.client("kms", code).put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({"Statement": [allowed]}))
    assert facts(kind) == []
    emulator.client("kms", WEST).put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps({"Statement": []}))
    assert facts(kind) == [(None, "the key policies of the two regions differ (region names apart)")]
    emulator.client("kms", WEST).disable_key(KeyId=key)
    assert ("west", "the key in west is Disabled") in facts(kind, Severity.ERROR)


def test_the_primary_key_follows(rig: Rig, emulator: Emulator, key: str) -> None:
    """With a planned move and with re-protect, never with a failover; asked once, in the region that holds it; done once it has settled."""
    kind = rig.make(KmsKey, "key", settings(key, primary="follow"))
    assert [step.spec.verb for step in kind.steps(Intent.FAILOVER, "east", "west")] == [Verb.PREPARE]
    assert [step.spec.verb for step in kind.steps(Intent.REPROTECT, "east", "west")] == [Verb.RELEASE]
    emulator.fault(EAST, "lost-answer", "kms:UpdatePrimaryRegion", times=1)
    step = rig.step(kind, Intent.SWITCHOVER, Verb.RELEASE)
    with emulator.counted() as calls:
        with pytest.raises(Exception, match="UpdatePrimaryRegion"):
            rig.perform(step, Intent.SWITCHOVER)
        emulator.client("kms", WEST)
        while (seen := step.operation.observe(rig.context(step, Intent.SWITCHOVER))).look is not Look.DONE:
            assert seen.look is Look.NEEDED
    assert [(call.proxy, call.operation) for call in calls if call.operation == "UpdatePrimaryRegion"] == [(EAST, "UpdatePrimaryRegion")]
    assert not rig.undeclared([step], calls)
    assert [seen.look for seen in rig.run(kind, Intent.FAILBACK, "west", "east")] == [Look.DONE, Look.DONE]
    found = emulator.client("kms", WEST).describe_key(KeyId=key)["KeyMetadata"]["MultiRegionConfiguration"]
    assert found["PrimaryKey"]["Region"] == EAST


def test_where_the_primary_stays_is_said(rig: Rig, key: str) -> None:
    """As information: the key works without it."""
    kind = rig.make(KmsKey, "key", settings(key))
    assert any("the primary key is in east" in text for _, text in facts(kind, Severity.INFO))
    assert [step.spec.verb for step in kind.steps(Intent.SWITCHOVER, "east", "west")] == [Verb.PREPARE]


def test_refusals(rig: Rig, emulator: Emulator, key: str) -> None:
    """Not Enabled: nothing was done, and it says what to do."""
    kind = rig.make(KmsKey, "key", settings(key, primary="follow"))
    emulator.fault(EAST, "refusal", "kms:UpdatePrimaryRegion", code="KMSInvalidStateException", status=400)
    with pytest.raises(Permanent) as caught:
        rig.perform(rig.step(kind, Intent.SWITCHOVER, Verb.RELEASE), Intent.SWITCHOVER)
    assert "Enabled in both regions" in caught.value.hint
    emulator.deny("kms:Decrypt", WEST)
    found = [item for item in rig.make(KmsKey, "key", settings(key)).view().findings if item.region == "west"]
    assert any(item.severity is Severity.ERROR and "kms:Decrypt" in item.fact for item in found)


def test_bad_settings(rig: Rig, key: str) -> None:
    with pytest.raises(UsageError, match="the ARN is not of us-west-2"):
        arn = f"arn:aws:kms:{EAST}:{ACCOUNT}:key/{key}"
        rig.make(KmsKey, "key", {"regions": {"east": {"key": arn}, "west": {"key": arn}}})
    for changes in (
        {"aliases": ["alias/aws/s3"]},
        {"primary": "elsewhere"},
        {"regions": {"east": {"key": "mrk-1"}, "west": {"key": "mrk-1"}}},
    ):
        with pytest.raises(ValidationError):
            rig.make(KmsKey, "key", {**settings(key), **changes})


def test_by_hand(rig: Rig, key: str) -> None:
    """aws-cli for the same calls, with a check."""
    kind = rig.make(KmsKey, "key", settings(key, primary="follow"))
    spec = rig.step(kind, Intent.SWITCHOVER, Verb.RELEASE).spec
    arn = f"arn:aws:kms:{EAST}:{ACCOUNT}:key/{key}"
    assert spec.by_hand == f"aws kms update-primary-region --key-id {arn} --primary-region {WEST} --region {EAST} --profile {EAST}"
    assert spec.check_by_hand.endswith(f"| grep -qx {WEST}")
    assert {permission.partition(" ")[0] for permission in spec.permissions} == {"kms:DescribeKey", "kms:UpdatePrimaryRegion"}
    assert registry.find("aws.kms-key") is KmsKey
