"""S3 Control names the account in front of the host, which an endpoint that is a bare address cannot have: there it is left out."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from dr.providers.aws.calls import Call
from dr.providers.aws.hub import Aws
from dr.providers.aws.place import Place

_ACCOUNT = re.compile(r"^(?P<scheme>https?://)\d{12}\.")


def plain(aws: Aws, place: Place, *calls: Call) -> Aws:
    """The hub, ready for these calls of S3 Control. Raises StepError: no way to call it."""
    for call in calls:
        client = aws.clients.of(place, call.service, act=call.act, home=call.home)
        client.meta.events.register("before-sign.s3-control", _without_account, unique_id="dr-without-account")
    return aws


def _without_account(request: Any, **_: object) -> None:
    shorter = _ACCOUNT.sub(r"\g<scheme>", request.url)
    try:
        ipaddress.ip_address(urlsplit(shorter).hostname or "")
    except ValueError:
        return
    request.url = shorter
