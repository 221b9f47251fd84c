"""KMS multi-Region keys.

Why not moto's: nothing that a multi-Region key encrypted can be decrypted; a replica shows itself as primary of a list that it
shares by accident; UpdatePrimaryRegion is missing. Times: ``kms.replica``, ``kms.primary``.
https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
"""

from __future__ import annotations

import copy
from typing import Any

from moto.kms import utils
from moto.kms.models import Key, KmsBackend, kms_backends

from tests.aws.emulator.registry import after, later, operation
from tests.aws.emulator.wire import ACCOUNT, Answer, Call, Refusal

# Moto writes 36 characters of a key's id into what it encrypts; those of multi-Region keys have 40, and could never be read again.
_ID = 40
_read = utils._deserialize_ciphertext_blob
utils.HEADER_LEN = _ID + utils.IV_LEN + utils.TAG_LEN
utils.CIPHERTEXT_HEADER_FORMAT = f">{_ID}s{utils.IV_LEN}s{utils.TAG_LEN}s"


def _without_padding(ciphertext_blob: bytes) -> utils.Ciphertext:
    blob = _read(ciphertext_blob)
    return blob._replace(key_id=blob.key_id.rstrip("\0"))


utils._deserialize_ciphertext_blob = _without_padding


def backend(region: str) -> KmsBackend:
    """Moto's part of a region."""
    return kms_backends[ACCOUNT][region]


def found(region: str, identifier: str) -> Key:
    """The key of this id or ARN."""
    identifier = identifier.rpartition("/")[2]
    if identifier not in backend(region).keys:
        raise Refusal("NotFoundException", f"Key 'arn:aws:kms:{region}:{ACCOUNT}:key/{identifier}' does not exist", 400)
    return backend(region).keys[identifier]


def _family(identifier: str) -> dict[str, Key]:
    return {region: backend(region).keys[identifier] for region in kms_backends[ACCOUNT] if identifier in backend(region).keys}


def _settle(identifier: str, primary: str) -> None:
    """Every member of the family says the same about it."""
    family = _family(identifier)
    replicas = [{"Arn": key.arn, "Region": region} for region, key in family.items() if region != primary]
    for region, key in family.items():
        key.multi_region_configuration = {
            "MultiRegionKeyType": "PRIMARY" if region == primary else "REPLICA",
            "PrimaryKey": {"Arn": family[primary].arn, "Region": primary}, "ReplicaKeys": copy.deepcopy(replicas),
        }  # fmt: skip


@operation("kms:ReplicateKey")
def replicate_key(call: Call) -> None:
    """https://docs.aws.amazon.com/kms/latest/APIReference/API_ReplicateKey.html"""
    key = found(call.region, call.params["KeyId"])
    if not key.multi_region or key.multi_region_configuration["PrimaryKey"]["Region"] != call.region:
        raise Refusal("UnsupportedOperationException", f"{key.arn} is not a multi-Region primary key", 400)
    if call.params["ReplicaRegion"] in _family(key.id):
        raise Refusal("AlreadyExistsException", f"{key.arn} is already replicated to {call.params['ReplicaRegion']}", 400)


@after("kms:ReplicateKey")
def replicated(call: Call, answer: Answer) -> None:
    """The new replica shares the key's material."""
    key = found(call.region, call.params["KeyId"])
    replica = found(call.params["ReplicaRegion"], key.id)
    replica.key_material, replica.aliases, replica.grants = key.key_material, {}, {}
    replica.key_state, replica.enabled = "Creating", False

    def usable() -> None:
        replica.key_state, replica.enabled = "Enabled", True

    later("kms.replica", usable)
    _settle(key.id, call.region)


@operation("kms:UpdatePrimaryRegion")
def update_primary_region(call: Call) -> dict[str, Any]:
    """https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdatePrimaryRegion.html: called in the primary's region."""
    key, target = found(call.region, call.params["KeyId"]), call.params["PrimaryRegion"]
    if not key.multi_region or key.multi_region_configuration["PrimaryKey"]["Region"] != call.region:
        raise Refusal("UnsupportedOperationException", f"{key.arn} is not a multi-Region primary key", 400)
    if target not in _family(key.id):
        raise Refusal("NotFoundException", f"{key.arn} has no replica in {target}", 400)
    later("kms.primary", lambda: _settle(key.id, target))
    return {}
