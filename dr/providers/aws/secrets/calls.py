"""What is called of AWS Secrets Manager. Pages: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_OPERATION.html

Each region answers for itself. Reading values is the data plane; everything else is not needed on the way out of a lost region.
"""

from __future__ import annotations

from dr.providers.aws.calls import Call

_GONE = "no such secret there, or it waits for its deletion: aws secretsmanager describe-secret"
_STATE = (
    "the secret's state does not allow it (waits for its deletion, is managed by another service, is or is no replica): "
    "aws secretsmanager describe-secret in both regions"
)
_WRONG = "aws secretsmanager describe-secret; a replica is changed at its primary only; no replica goes into its own region"

LIST = Call("secretsmanager", "ListSecrets", refusals={"InvalidParameterException": _WRONG})
"""Names, version ids by label, primary region, rotation; no values. 100 a page; a filter takes ten prefixes. API_ListSecrets."""

BATCH = Call("secretsmanager", "BatchGetSecretValue", plane="data")
"""Values of up to 20 secrets; those that cannot be read stand among its ``Errors``. API_BatchGetSecretValue: IAM wants ``GetSecretValue``
for each secret, too, and ``kms:Decrypt`` for keys of one's own; DecryptionFailure, ResourceNotFoundException, InvalidRequestException."""

GET = Call("secretsmanager", "GetSecretValue", plane="data", refusals={
    "ResourceNotFoundException": _GONE,
    "DecryptionFailure": "the secret's KMS key cannot be used there: enable it, allow kms:Decrypt",
})  # fmt: skip
"""One version's value. API_GetSecretValue; DecryptionFailure, InvalidRequestException (it has no value), ResourceNotFoundException."""

DECRYPT = Call("kms", "Decrypt", plane="data")
"""Never called by ``dr``: Secrets Manager does it in the caller's name. https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html"""

ENCRYPT = Call("kms", "GenerateDataKey", plane="data", also=("kms:Encrypt",))
"""Likewise, where something is written.
https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html#security-encryption-authz"""

DESCRIBE = Call("secretsmanager", "DescribeSecret", refusals={"ResourceNotFoundException": _GONE})
"""How replication stands, and why it failed. Asked only where something did not arrive. API_DescribeSecret; ResourceNotFoundException."""

VERSIONS = Call("secretsmanager", "ListSecretVersionIds", refusals={"ResourceNotFoundException": _GONE})
"""All versions of a secret, those without a label too. API_ListSecretVersionIds; ResourceNotFoundException, InvalidParameterException."""

_REFUSED = {"ResourceNotFoundException": _GONE, "InvalidRequestException": _STATE, "InvalidParameterException": _WRONG}

REPLICATE = Call("secretsmanager", "ReplicateSecretToRegions", act=True, refusals=_REFUSED)
"""Adds a replica, asked in the primary's region; with ``ForceOverwriteReplicaSecret`` in place of a secret of that name that is there.

API_ReplicateSecretToRegions: it answers at once; whether it went well is told by DescribeSecret (InProgress, InSync, Failed).
ResourceNotFoundException, InvalidRequestException, InvalidParameterException (asked at a replica; its own region)."""

STOP = Call("secretsmanager", "StopReplicationToReplica", act=True, refusals=_REFUSED)
"""The replica stands alone from now on and can be changed; asked in the replica's region, for good. API_StopReplicationToReplica;
ResourceNotFoundException, InvalidRequestException, InvalidParameterException (no replica)."""

CREATE = Call("secretsmanager", "CreateSecret", act=True, hidden=("SecretString", "SecretBinary"), refusals={
    "LimitExceededException": "the account's number of secrets is used up: ask for more, or preserve: list",
    "EncryptionFailure": "regions.*.kms_key cannot be used there: enable it, allow kms:GenerateDataKey",
    "InvalidRequestException": _STATE,
    "InvalidParameterException": _WRONG,
})  # fmt: skip
"""A new secret. API_CreateSecret; ResourceExistsException (it is there already), EncryptionFailure, LimitExceededException,
InvalidRequestException (one of that name waits for its deletion)."""
