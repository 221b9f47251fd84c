"""Our signature is the one that AWS's own library makes: for any key, query, header and body."""

from __future__ import annotations

from datetime import UTC, datetime

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from dr.providers.selfhosted.s3.sign import Keys, headers, target

AT = datetime(2026, 11, 22, 3, 4, 5, tzinfo=UTC)
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30)
KEY = TEXT.filter(lambda key: "//" not in key and not any(part in (".", "..") for part in key.split("/")))
VALUE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)


@freeze_time(AT)
@given(
    key=KEY, query=st.dictionaries(st.sampled_from(["list-type", "prefix", "start-after", "continuation-token", "max-keys"]), TEXT),
    more=st.dictionaries(st.sampled_from(["if-match", "if-none-match", "x-amz-copy-source", "x-amz-meta-run", "content-type"]), VALUE),
    body=st.binary(max_size=40), method=st.sampled_from(["GET", "PUT", "HEAD", "DELETE"]),
)  # fmt: skip
def test_the_signature_is_that_of_botocore(key: str, query: dict[str, str], more: dict[str, str], body: bytes, method: str) -> None:
    """Same path and query on the wire, same secret, same moment: the same ``Authorization``."""
    path, text = target("task-logs", key, query)
    ours = headers(Keys("AKIDEXAMPLE", "wJalrXUtnFEMI"), "eu-central-1", AT, method, "s3.example:8333", path, text, body, more)
    url = f"https://s3.example:8333{path}" + (f"?{text}" if text else "")
    theirs = AWSRequest(method, url, headers=dict(more), data=body)
    theirs.context["payload_signing_enabled"] = True
    S3SigV4Auth(Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI"), "s3", "eu-central-1").add_auth(theirs)
    assert ours["authorization"].replace(",", ", ") == theirs.headers["Authorization"]
    assert ours["x-amz-content-sha256"] == theirs.headers["X-Amz-Content-SHA256"]
