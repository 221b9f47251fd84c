"""The target is there, and a part of its control plane is ill, or may not be asked: what a failover does not need must not hold it up."""

from __future__ import annotations

import pytest

from dr.errors import Permanent, Transient
from dr.model.evidence import Note
from dr.model.words import Intent, Verb
from dr.ports import Look
from dr.providers.aws.kms_key import KmsKey
from dr.providers.aws.s3 import S3Bucket
from tests.aws.emulator import ACCOUNT, Emulator
from tests.aws.rig import CODES, Rig
from tests.aws.test_s3 import Pair

WEST = CODES["west"]


def test_a_bucket_whose_settings_cannot_be_asked_is_moved_to(rig: Rig, emulator: Emulator) -> None:
    """Objects are data plane: a write proves more than settings. A planned move, which can wait, does; what is refused for good is."""
    bucket = rig.make(S3Bucket, "logs", Pair(emulator).settings())
    emulator.fault(WEST, "error", "s3:GetBucketReplication", status=503)
    prepare = rig.step(bucket, Intent.FAILOVER, Verb.PREPARE)
    with pytest.raises(Transient):
        rig.perform(prepare, Intent.FAILOVER)
    assert rig.perform(prepare, Intent.FAILOVER, number=3).look is Look.DONE
    assert any("settings not looked at" in item.text for item in rig.evidence if isinstance(item, Note))
    assert rig.perform(rig.step(bucket, Intent.FAILOVER, Verb.VERIFY_INSIDE), Intent.FAILOVER).look is Look.DONE
    with pytest.raises(Transient):
        rig.perform(rig.step(bucket, Intent.SWITCHOVER, Verb.PREPARE), Intent.SWITCHOVER, number=3)
    emulator.clear_faults()
    emulator.deny("s3:GetReplicationConfiguration", WEST)
    with pytest.raises(Permanent):
        rig.perform(prepare, Intent.FAILOVER, number=3)


def test_a_key_whose_policy_may_not_be_read_is_used(rig: Rig, emulator: Emulator) -> None:
    """The policy is for findings only: whether the key can be used is tried."""
    client = emulator.client("kms", CODES["east"])
    made = str(client.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"])
    client.replicate_key(KeyId=made, ReplicaRegion=WEST)
    arns = {region: {"key": f"arn:aws:kms:{code}:{ACCOUNT}:key/{made}"} for region, code in CODES.items()}
    key = rig.make(KmsKey, "key", {"regions": arns})
    emulator.deny("kms:GetKeyPolicy")
    prepare = rig.step(key, Intent.FAILOVER, Verb.PREPARE)
    assert rig.perform(prepare, Intent.FAILOVER).look is Look.DONE
    assert not any("GetKeyPolicy" in right for right in prepare.spec.permissions)
