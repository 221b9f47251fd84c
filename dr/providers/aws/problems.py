"""An error of boto3 → one of ours: what, where, the next thing to do; worth retrying, not, or nobody knows.

No secret gets in: parameters are named, never shown; answers are not repeated but for the API's own message, of which an encoded
authorization message is cut off.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dr.errors import EffectUnknown, Permanent, StepError, Transient
from dr.providers.aws.calls import Call
from dr.providers.aws.place import Place

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

NO_CREDENTIALS = "aws configure list; or name a profile: regions.*.aws.profile in a runbook, --profile NAME, …&profile=NAME in --state"
THROTTLED = frozenset({
    "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "RequestThrottled", "TooManyRequestsException",
    "RequestLimitExceeded", "SlowDown", "LimitExceededException.Throttling", "ProvisionedThroughputExceededException",
    "BandwidthLimitExceeded", "PriorRequestNotComplete", "TransactionInProgressException", "EC2ThrottledException",
})  # fmt: skip
"""Nothing was done; it may be asked for again in a moment."""
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "NotAuthorized"})
_BAD_CREDENTIALS = frozenset({
    "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
    "InvalidAccessKeyId", "InvalidSignatureException", "AuthFailure",
})  # fmt: skip
_NOT_ENABLED = frozenset({"OptInRequired", "RegionDisabledException", "InvalidRegion", "SubscriptionRequiredException"})
_ENCODED = re.compile(r"\s*Encoded authorization failure message: \S+", re.I)


def refused(call: Call, place: Place, error: ClientError) -> StepError:
    """The API answered, and it was no."""
    told = error.response.get("Error", {})
    code, text = str(told.get("Code", "")), _ENCODED.sub("", str(told.get("Message", ""))).strip()
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    what = f"{call} in {call.home or place}: {code}" + (f": {text}" if text and text != code else "")
    credentials = f"aws sts get-caller-identity --region {place.code}" + (f" --profile {place.profile}" if place.profile else "")
    denied = code in _DENIED or (status == 403 and not code)
    for is_it, hint in (
        (code in call.refusals, call.refusals.get(code, "")),
        (denied, f"allow {', '.join(call.iam)}: dr runbook permissions RUNBOOK prints the policies"),
        (code in _BAD_CREDENTIALS, f"{credentials} (credentials that ended or are wrong, or a region that is not enabled)"),
        (code in _NOT_ENABLED, f"aws account enable-region --region-name {place.code}"),
    ):
        if is_it:
            return Permanent(what, hint=hint)
    if code in THROTTLED or status == 429:
        return Transient(what, hint="the account's limit of calls: who else is calling?")
    if status >= 500:
        return EffectUnknown(what) if call.act else Transient(what)
    return Permanent(what)


def code_of(error: StepError) -> str:
    """The error code with which an API refused; empty where none did."""
    response = getattr(error.__cause__, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


def is_denied(error: StepError) -> bool:
    """An API refused because of a missing permission."""
    return code_of(error) in _DENIED


def operation_of(error: StepError) -> str:
    """The operation that an API refused; empty where none did."""
    return str(getattr(error.__cause__, "operation_name", ""))


def is_silence(error: BotoCoreError | ClientError) -> bool:
    """Nobody answered, or was not able to: what another endpoint of the same API may be asked instead. A refusal is an answer."""
    from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, HTTPClientError, ProxyConnectionError

    if not isinstance(error, ClientError):
        return isinstance(error, (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError, HTTPClientError))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return status >= 500 or status == 429 or str(error.response.get("Error", {}).get("Code", "")) in THROTTLED


def failed(call: Call, place: Place, error: BotoCoreError) -> StepError:
    """No answer, or the request was never made."""
    from botocore.exceptions import (
        ConnectTimeoutError,
        EndpointConnectionError,
        HTTPClientError,
        NoCredentialsError,
        ParamValidationError,
        ProxyConnectionError,
        SSLError,
    )  # fmt: skip

    where = f"{call} in {call.home or place}"
    if isinstance(error, (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)):
        return Transient(f"{where}: not reachable", hint="is the region there? dr status RUNBOOK", late=True)
    if isinstance(error, SSLError):
        return Permanent(
            f"{where}: the certificate of the endpoint is not accepted: {error}", hint="AWS_CA_BUNDLE, or ca_bundle in the profile"
        )
    if isinstance(error, HTTPClientError):  # sent, at least in part
        return EffectUnknown(f"{where}: no answer") if call.act else Transient(f"{where}: no answer", late=True)
    if isinstance(error, ParamValidationError):
        return Permanent(f"{where}: {_first_line(error)}", hint="a setting of the runbook does not fit the API")
    if isinstance(error, NoCredentialsError):
        return Permanent(f"{where}: no credentials", hint=NO_CREDENTIALS)
    return Permanent(f"{where}: {type(error).__name__}")


def _first_line(error: ParamValidationError) -> str:
    """Which parameter does not fit; never its value."""
    lines = [line.split(", value:")[0].strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines[:2] if line)
