"""What is called of Parameter Store. Pages: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_OPERATION.html

Each region has parameters and version numbers of its own; the same number means nothing. All of it lives in the region that is asked.
"""

from __future__ import annotations

from dr.providers.aws.calls import Call

_KEY = "the parameter's KMS key cannot be used there: enable it, allow kms:Decrypt; regions.*.kms_key"

BY_PATH = Call("ssm", "GetParametersByPath", refusals={"InvalidKeyId": _KEY})
"""Parameters below a path, decrypted, ten a page. API_GetParametersByPath; InvalidKeyId, InvalidNextToken."""

BY_NAME = Call("ssm", "GetParameters", refusals={"InvalidKeyId": _KEY})
"""Up to ten parameters by name; those that are not there stand in ``InvalidParameters``. API_GetParameters; InvalidKeyId."""

HISTORY = Call("ssm", "GetParameterHistory", refusals={"InvalidKeyId": _KEY, "ParameterNotFound": "it was deleted a moment ago: again"})
"""Every version of a parameter, the last hundred. Asked only for those that differ. API_GetParameterHistory; ParameterNotFound."""

DECRYPT = Call("kms", "Decrypt", plane="data")
"""Never called by ``dr``: Parameter Store does it in the caller's name. https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html"""

ENCRYPT = Call("kms", "Encrypt", plane="data", also=("kms:GenerateDataKey",))
"""Likewise, where something is written: Encrypt, for advanced parameters GenerateDataKey.
https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html"""

PUT = Call("ssm", "PutParameter", act=True, hidden=("Value",), refusals={
    "InvalidKeyId": _KEY,
    "ParameterLimitExceeded": "the region's number of parameters is used up: ask for more in Service Quotas",
    "ParameterMaxVersionLimitExceeded": "its oldest version has a label: aws ssm unlabel-parameter-version, then again",
    "HierarchyTypeMismatchException": "a parameter's type cannot be changed: delete it there by hand, and run the step again",
    "ParameterPatternMismatchException": "the value there must match the pattern of that region's parameter: correct one of them",
    "TooManyUpdates": "somebody else writes it, too: again",
})  # fmt: skip
"""Writes a parameter; without ``Overwrite`` only where there is none. API_PutParameter: an overwritten value stays in the history, a
hundred versions; ParameterAlreadyExists, HierarchyTypeMismatchException, InvalidKeyId, ParameterLimitExceeded,
ParameterMaxVersionLimitExceeded, ParameterPatternMismatchException, TooManyUpdates, UnsupportedParameterType."""
