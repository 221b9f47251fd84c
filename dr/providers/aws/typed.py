"""A call as a command line of aws-cli. Made from the very parameters that are sent, so that what a person types is what ``dr`` does."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dr.providers.aws.calls import Call

if TYPE_CHECKING:
    from dr.providers.aws.place import Place

_CLI = {"s3": "s3api", "stepfunctions": "stepfunctions"}
"""Services that aws-cli calls otherwise than botocore does."""


def cli(call: Call, place: Place, parameters: Mapping[str, Any] | None = None, *, query: str = "", text: bool = False) -> str:
    """The command, quoted for a shell.

    Args:
        query: a JMESPath expression: what is shown. text: as plain words, not as JSON.
    """
    from botocore import xform_name

    words = ["aws", _CLI.get(call.service, call.service), xform_name(call.operation, "-")]
    for name, value in (parameters or {}).items():
        flag = "--" + xform_name(name, "-")
        if name in call.hidden:
            words += [flag, '"$SECRET"']
        elif isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, (list, tuple)) and all(isinstance(item, (str, int)) for item in value):
            words += [flag, *(shlex.quote(str(item)) for item in value)]
        elif isinstance(value, (Mapping, list, tuple)):
            words += [flag, shlex.quote(json.dumps(value, default=str, separators=(",", ":")))]
        else:
            words += [flag, shlex.quote(str(value))]
    words += ["--region", call.home or place.code]
    if place.endpoint:
        words += ["--endpoint-url", shlex.quote(place.endpoint)]
    if place.profile:
        words += ["--profile", shlex.quote(place.profile)]
    if query:
        words += ["--query", shlex.quote(query)]
    if text:
        words += ["--output", "text"]
    return " ".join(words)
