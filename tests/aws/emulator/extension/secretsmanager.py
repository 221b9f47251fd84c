"""Secrets Manager replicas: they take time to follow, cannot be written, and can be made to stand alone.

Why not moto's: a replica is in sync at once, some writes to it pass, and StopReplicationToReplica is missing.
Times: ``secretsmanager.replication``, ``secretsmanager.promotion``.
"""

from __future__ import annotations

import copy
from typing import Any

from moto.secretsmanager.models import FakeSecret, ReplicaSecret, SecretsManagerBackend, secretsmanager_backends

from tests.aws.emulator.lines import lost
from tests.aws.emulator.registry import after, later, operation
from tests.aws.emulator.wire import ACCOUNT, Answer, Call, Refusal

WRITES = ("PutSecretValue", "UpdateSecret", "RotateSecret", "CancelRotateSecret", "DeleteSecret", "UpdateSecretVersionStage", "TagResource",
          "UntagResource", "ReplicateSecretToRegions", "RemoveRegionsFromReplication", "PutResourcePolicy")  # fmt: skip


def backend(region: str) -> SecretsManagerBackend:
    """Moto's part of a region."""
    return secretsmanager_backends[ACCOUNT][region]


def found(call: Call) -> FakeSecret | ReplicaSecret:
    """The secret that a call names."""
    if call.params["SecretId"] not in backend(call.region).secrets:
        raise Refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret.", 400)
    return backend(call.region).secrets[call.params["SecretId"]]


def not_on_a_replica(call: Call) -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets.html: a replica is changed at its primary."""
    if isinstance(found(call), ReplicaSecret):
        text = "Operation not permitted on a replica secret. Call must be made in primary secret's region."
        raise Refusal("InvalidRequestException", text, 400)


for _name in WRITES:
    operation(f"secretsmanager:{_name}")(not_on_a_replica)


@after("secretsmanager:ReplicateSecretToRegions")
def replicate_secret_to_regions(call: Call, answer: Answer) -> Answer:
    """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ReplicateSecretToRegions.html"""
    secret = found(call)
    assert isinstance(secret, FakeSecret)
    asked = {one["Region"] for one in call.params["AddReplicaRegions"]}
    for replica in secret.replicas:
        if replica.region in asked and replica.status == "InSync":
            follow(replica)
    return call.answer({"ARN": secret.arn, "ReplicationStatus": [dict(replica.config) for replica in secret.replicas]})


@after("secretsmanager:CreateSecret")
def create_secret(call: Call, answer: Answer) -> None:
    """With AddReplicaRegions."""
    secret = backend(call.region).secrets[call.params["Name"]]
    for replica in secret.replicas if isinstance(secret, FakeSecret) else ():
        if replica.status == "InSync":
            follow(replica)


@after("secretsmanager:PutSecretValue")
def put_secret_value(call: Call, answer: Answer) -> None:
    """The replicas follow after a while."""
    secret = found(call)
    for replica in secret.replicas if isinstance(secret, FakeSecret) else ():
        if replica.config["Status"] == "InSync":
            follow(replica)


def follow(replica: ReplicaSecret) -> None:
    """In progress, then in sync; for a lost region in progress until it is back."""
    replica.config.update(Status="InProgress", StatusMessage="Replication in progress")

    def arrive() -> None:
        if lost(replica.region) or lost(replica.source.region):
            later("secretsmanager.replication", arrive)
        elif replica.config["Status"] == "InProgress":
            replica.config.update(Status="InSync", StatusMessage="Replication succeeded")

    later("secretsmanager.replication", arrive)


@operation("secretsmanager:StopReplicationToReplica")
def stop_replication_to_replica(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_StopReplicationToReplica.html: called in the replica's region."""
    replica = found(call)
    if not isinstance(replica, ReplicaSecret):
        raise Refusal("InvalidRequestException", f"Operation not permitted: {replica.name} is not a replica in {call.region}.", 400)
    alone = copy.copy(replica.source)
    alone.arn, alone.region, alone.replicas = replica.arn, call.region, []
    alone.versions = copy.deepcopy(replica.source.versions)
    alone.rotation_requested = alone.rotation_enabled = False
    secrets = backend(call.region).secrets
    dict.pop(secrets, replica.arn)
    secrets[alone.name] = alone

    def forget() -> None:
        if lost(replica.source.region):
            later("secretsmanager.promotion", forget)
        elif replica in replica.source.replicas:
            replica.source.replicas.remove(replica)

    forget()
    return {"ARN": alone.arn}
