"""What a request says and how an answer is written: by botocore's own models, through moto's parsers and serializers.

Nothing here knows what an operation does. Protocols: query, ec2, json, rest-json, rest-xml, S3's own.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast
from urllib.parse import parse_qs, unquote

from botocore.model import OperationNotFoundError
from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel, ServiceModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.routing import get_service_router
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from moto.iam.models import get_account_id_from
from werkzeug.exceptions import NotFound

ACCOUNT = "123456789012"
UNKNOWN = "?"
THROUGH = "emulator.proxy"  # in the WSGI environment: the proxy through which a call came
SERVICES = {  # signing name → botocore's service name, where they differ
    "monitoring": "cloudwatch",
    "elasticloadbalancing": "elbv2",
    "servicequotas": "service-quotas",
    "tagging": "resourcegroupstaggingapi",
    "states": "stepfunctions",
    "airflow": "mwaa",
}


class Refusal(ServiceException):
    """An error answer: the service's code, its message, and the HTTP status where the model does not name one."""

    def __init__(
        self, code: str, message: str, status: int | None = None, headers: tuple[tuple[str, str], ...] = (), **members: object
    ) -> None:
        super().__init__(code, message)
        self.status, self.headers = status, headers
        for name, value in members.items():
            setattr(self, name, value)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def complete_headers(self) -> list[tuple[str, str]]:
        """With the length of the body, unless an answer to HEAD names that of another."""
        if any(name.lower() == "content-length" for name, _ in self.headers):
            return self.headers
        return [*self.headers, ("Content-Length", str(len(self.body)))]


@dataclass
class Call:
    """One request, read once. ``operation`` is ``?`` where the service has no such operation."""

    environ: dict[str, Any]
    body: bytes
    service: str
    region: str
    operation: str = UNKNOWN
    path: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, environ: dict[str, Any]) -> Call:
        """The call that a WSGI environment holds; its input is consumed and put back."""
        body = _body(environ)
        signing, region = _scope(environ)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        service = SERVICES.get(signing, signing)
        if service == "s3" and environ.get("PATH_INFO", "").startswith("/v20180820/"):
            service = "s3control"
        if service == "dynamodb" and target.startswith("DynamoDBStreams"):
            service = "dynamodbstreams"
        call = cls(environ, body, service, region)
        if target:
            call.operation = target.rpartition(".")[2]
        elif action := _action(environ, body):
            call.operation = action
        else:
            try:
                operation, call.path = get_service_router(service).match(call.request)
                call.operation = operation.name
            except Exception as error:  # an unknown service (botocore), or no such path (moto)
                if not isinstance(error, (NotFound, NotImplementedError)) and "Unknown" not in type(error).__name__:
                    raise
        return call

    @property
    def account(self) -> str:
        """The account whose credentials signed it."""
        return get_account_id_from(_credential(self.environ)[0])

    @property
    def proxied(self) -> bool:
        """Whether it came through a region's proxy: limits of the account hold for those, not for a test that seeds."""
        return bool(self.environ.get(THROUGH))

    @property
    def name(self) -> str:
        """``service:Operation``."""
        return f"{self.service}:{self.operation}"

    @property
    def request(self) -> Request:
        """The request as moto's own type, its body readable again."""
        return Request({**self.environ, "wsgi.input": io.BytesIO(self.body), "CONTENT_LENGTH": str(len(self.body))})

    @property
    def model(self) -> ServiceModel:
        """The service's model."""
        return get_service_model(self.service)

    @property
    def protocol(self) -> str:
        """How answers to this call are written."""
        return determine_request_protocol(self.model, self.environ.get("CONTENT_TYPE", ""))

    @cached_property
    def params(self) -> dict[str, Any]:
        """The call's parameters by the names of the API."""
        request = self.request
        parser = PROTOCOL_PARSERS[self.protocol](self.model.operation_model(self.operation))
        read: dict[str, Any] = {"method": request.method, "values": request.values, "headers": request.headers, "body": self.body}
        read |= {"url_path": request.path, "url_params": self.path}
        parsed: dict[str, Any] = parser.parse(cast("Any", read))
        return parsed

    def answer(self, result: dict[str, Any] | Refusal) -> Answer:
        """The result, or the refusal, as the service would write it."""
        try:
            operation = self.model.operation_model(self.operation)
        except OperationNotFoundError:
            operation = OperationModel({}, self.model)
        serializer = get_serializer_class(self.model.service_name, self.protocol)(operation_model=operation)
        written = serializer.serialize(result)
        body = written["body"]
        headers = [(name, str(value)) for name, value in written["headers"].items()]
        status = int(written["status_code"])
        if isinstance(result, Refusal):
            status, headers = result.status or status, [*headers, *result.headers]
        return Answer(status, headers, body.encode() if isinstance(body, str) else body)


def _body(environ: dict[str, Any]) -> bytes:
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    body: bytes = stream.read() if environ.get("wsgi.input_terminated") and not length else stream.read(int(length or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return body


def _credential(environ: dict[str, Any]) -> list[str]:
    """Access key, day, region, service, ``aws4_request`` of the signature; without one: no key."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    credential = header.partition("Credential=")[2].partition(",")[0] if "Credential=" in header else ""
    if not credential:
        credential = unquote(parse_qs(environ.get("QUERY_STRING", "")).get("X-Amz-Credential", [""])[0])
    return credential.split("/")


def _scope(environ: dict[str, Any]) -> tuple[str, str]:
    """Service and region that the request is signed for; an unsigned one asks S3."""
    parts = _credential(environ)
    return (parts[3].lower(), parts[2]) if len(parts) == 5 else ("s3", "us-east-1")


def _action(environ: dict[str, Any], body: bytes) -> str:
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return ""
    return parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]
