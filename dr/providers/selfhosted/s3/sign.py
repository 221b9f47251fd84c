"""AWS Signature Version 4 of one S3 request. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote

_UNRESERVED = "-_.~"


@dataclass(frozen=True)
class Keys:
    """A key pair; the secret shows in no ``repr``."""

    access: str
    secret: str = field(repr=False)


def target(bucket: str, key: str, query: Mapping[str, str]) -> tuple[str, str]:
    """Path and query of a request as they are sent and signed: percent-encoded, the query sorted."""
    path = quote(f"/{bucket}/{key}" if key else f"/{bucket}", safe=f"/{_UNRESERVED}")
    pairs = (f"{quote(name, safe=_UNRESERVED)}={quote(value, safe=_UNRESERVED)}" for name, value in sorted(query.items()))
    return path, "&".join(pairs)


def headers(
    keys: Keys, region: str, at: datetime, method: str, host: str, path: str, query: str, body: bytes, more: Mapping[str, str]
) -> dict[str, str]:
    """All headers of a signed request.

    Args:
        at: UTC; stores refuse clocks that are off by more than 15 minutes.
        more: further headers, lower case; signed, too.
    """
    stamp, digest = at.strftime("%Y%m%dT%H%M%SZ"), hashlib.sha256(body).hexdigest()
    sent = {**more, "host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = sorted(sent)
    lines = "".join(f"{name}:{' '.join(sent[name].split())}\n" for name in names)
    canonical = "\n".join((method, path, query, lines, ";".join(names), digest))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = hmac.new(_signing_key(keys.secret, stamp[:8], region), text.encode(), hashlib.sha256).hexdigest()
    sent["authorization"] = f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope},SignedHeaders={';'.join(names)},Signature={signature}"
    return sent


@lru_cache(maxsize=16)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
