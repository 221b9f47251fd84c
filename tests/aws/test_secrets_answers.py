"""``aws.secretsmanager`` with answers that the emulator does not give: replicas that lag behind, keys and replications that fail.

The stubs check every parameter and every answer against the service's own model.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dr.model.words import Intent, Severity, Verb
from dr.ports import Look
from dr.providers.aws.acm_certificates import AcmCertificates
from dr.providers.aws.kms_key import KmsKey
from dr.providers.aws.parameters import SsmParameters
from dr.providers.aws.secrets import SecretsManager
from dr.providers.aws.values import leads_into, words
from tests.aws.emulator import ACCOUNT
from tests.aws.rig import CODES, Rig

EAST, WEST = CODES["east"], CODES["west"]
VERSION = "00000000-0000-0000-0000-00000000000"


def arn(region: str) -> str:
    return f"arn:aws:secretsmanager:{CODES[region]}:{ACCOUNT}:secret:app/x-AbCdEf"


def says(rig: Rig, region: str, version: str, value: str | None, created: datetime, **more: Any) -> None:
    """One region's answers to one look: a secret ``app/x``; None: it cannot be read."""
    stub = rig.stub(region, "secretsmanager")
    entry = {"ARN": arn(region), "Name": "app/x", "SecretVersionsToStages": {VERSION + version: ["AWSCURRENT"]}, **more}
    asked = {"Filters": [{"Key": "name", "Values": ["app/"]}], "MaxResults": 100}
    stub.add_response("list_secrets", {"SecretList": [entry]}, asked)
    held: Mapping[str, Any] = {
        "ARN": arn(region),
        "Name": "app/x",
        "VersionId": VERSION + version,
        "SecretString": value,
        "CreatedDate": created,
    }
    error = {"SecretId": arn(region), "ErrorCode": "DecryptionFailure", "Message": "the key is disabled"}
    answer = {"SecretValues": [held], "Errors": []} if value is not None else {"SecretValues": [], "Errors": [error]}
    stub.add_response("batch_get_secret_value", answer, {"SecretIdList": [arn(region)]})


@pytest.fixture
def stubbed(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.mark.parametrize(
    ("age", "severity", "what"), [(3600, Severity.ERROR, "with an older value"), (5, Severity.WARNING, "not in sync yet")]
)
def test_a_replica_that_lags_behind(stubbed: Rig, age: int, severity: Severity, what: str) -> None:
    """For longer than a minute it is an error for moves there; the primary itself is not found guilty of it."""
    changed = stubbed.clock.now() - timedelta(seconds=age)
    says(stubbed, "east", "2", "new", changed)
    says(stubbed, "west", "1", "old", changed - timedelta(days=1), PrimaryRegion=EAST)
    kind = stubbed.make(SecretsManager, "secrets", {"prefixes": ["app/"], "regions": {"east": {}, "west": {}}})
    [found] = kind.view().findings
    assert (found.severity, found.region) == (severity, "west")
    assert what in found.fact and "describe-secret" in found.fix


def test_a_key_that_cannot_be_used(stubbed: Rig) -> None:
    """The replica is there, and nobody can read it."""
    now = stubbed.clock.now()
    says(stubbed, "east", "1", "v", now)
    says(stubbed, "west", "1", None, now, PrimaryRegion=EAST)
    kind = stubbed.make(SecretsManager, "secrets", {"prefixes": ["app/"], "regions": {"east": {}, "west": {}}})
    [found] = kind.view().findings
    assert (found.severity, found.region) == (Severity.ERROR, "west")
    assert found.fact == "1 secret that cannot be read in west: app/x (DecryptionFailure)" and "kms:Decrypt" in found.fix


def test_replication_that_failed(stubbed: Rig) -> None:
    """Asked for, and failed: the step says why, with the service's own words."""
    key = f"arn:aws:kms:{WEST}:{ACCOUNT}:key/1"
    kind = stubbed.make(SecretsManager, "secrets", {"prefixes": ["app/"], "regions": {"east": {}, "west": {"kms_key": key}}})
    step = stubbed.step(kind, Intent.SWITCHOVER, Verb.PREPARE)
    context = stubbed.context(step, Intent.SWITCHOVER)
    for _ in range(3):  # observe, act, verify
        says(stubbed, "east", "1", "v", stubbed.clock.now())
        stubbed.stub("west", "secretsmanager").add_response("list_secrets", {"SecretList": []})
    assert step.operation.observe(context).look is Look.NEEDED
    sent = {"SecretId": arn("east"), "AddReplicaRegions": [{"Region": WEST, "KmsKeyId": key}]}
    stubbed.stub("east", "secretsmanager", act=True).add_response("replicate_secret_to_regions", {"ARN": arn("east")}, sent)
    step.operation.act(context)
    failed = {"Region": WEST, "Status": "Failed", "StatusMessage": "no permission on the KMS key"}
    told = {"ARN": arn("east"), "Name": "app/x", "ReplicationStatus": [failed]}
    stubbed.stub("east", "secretsmanager").add_response("describe_secret", told, {"SecretId": arn("east")})
    seen = step.operation.verify(context)
    assert (seen.look, seen.reason) == (Look.BLOCKED, "replication to west failed: app/x: no permission on the KMS key")


def test_keys_of_ones_own_are_in_the_policy(stubbed: Rig) -> None:
    """Secrets Manager uses them in the caller's name: reading decrypts, replicating decrypts here and encrypts there."""
    keys = {region: f"arn:aws:kms:{code}:{ACCOUNT}:key/1" for region, code in CODES.items()}
    regions = {region: {"kms_key": key} for region, key in keys.items()}
    kind = stubbed.make(SecretsManager, "secrets", {"names": ["app/x"], "promote": True, "regions": regions})
    follow = stubbed.step(kind, Intent.REPROTECT, Verb.FOLLOW).spec.permissions
    assert {f"kms:Decrypt on {keys['west']}", f"kms:GenerateDataKey on {keys['east']}", f"kms:Encrypt on {keys['east']}"} <= set(follow)
    assert f"secretsmanager:ReplicateSecretToRegions on arn:aws:secretsmanager:{WEST}:*:secret:app/x-??????" in follow
    assert not [text for text in follow if "Delete" in text or "PutSecretValue" in text]


@pytest.mark.parametrize(
    ("text", "leads"),
    [
        ("db.cluster-x.us-east-1.rds.amazonaws.com", True), ("arn:aws:sns:us-east-1:1:x", True), ("zone=us-east-1b", True),
        ("my-us-east-1-copy", False), ("us-east-11", False), ("us-west-2", False),
    ],
)  # fmt: skip
def test_values_that_lead_into_a_region(stubbed: Rig, text: str, leads: bool) -> None:
    """AWS's name of the region counts where it stands alone."""
    places = {region: stubbed.aws.place(region) for region in CODES}
    assert ("east" in leads_into(text, words(places, {}))) is leads


def test_every_command_can_be_read_by_a_shell(stubbed: Rig) -> None:
    """Of all four kinds of this topic, in every intent, with names that a shell would take apart."""
    regions: dict[str, object] = {"regions": {"east": {}, "west": {}}}
    keys = {region: {"key": f"arn:aws:kms:{code}:{ACCOUNT}:key/mrk-1"} for region, code in CODES.items()}
    own = {"per_region": ["*/own (1)"], "names": ["it's (odd)", "plain"]}
    kinds = (
        stubbed.make(SecretsManager, "a", {**regions, **own, "prefixes": ["app/$x"], "promote": True}),
        stubbed.make(SsmParameters, "b", {**regions, **own, "paths": ["/app/$x"]}),
        stubbed.make(KmsKey, "c", {"regions": keys, "primary": "follow"}),
        stubbed.make(AcmCertificates, "d", {**regions, "hostnames": ["a.example.com"]}),
    )
    for step in [step for kind in kinds for intent in Intent for step in kind.steps(intent, "east", "west")]:
        for command in (step.spec.by_hand, step.spec.check_by_hand):
            assert subprocess.run(["bash", "-n", "-c", command], capture_output=True).returncode == 0, command
