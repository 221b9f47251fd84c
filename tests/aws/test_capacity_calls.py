"""What capacity and readiness kinds call, against botocore's own models: operations, parameters, refusals."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from dr.errors import EffectUnknown, Permanent, Transient
from dr.providers.aws.calls import Call
from dr.providers.aws.place import Place
from dr.providers.aws.problems import THROTTLED, refused

ROOT = Path(__file__).parents[2]
MODULES = [
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for folder in ("capacity", "readiness") for path in sorted((ROOT / "dr/providers/aws" / folder).glob("*.py"))
]  # fmt: skip
NOT_MODELLED = {"ValidationError"}
"""Codes that every call of a query protocol may give; EC2 models none of its own."""
SESSION = botocore.session.get_session()
WEST = Place("west", "us-west-2")


FOUND = {id(value): value for module in map(import_module, MODULES) for value in vars(module).values() if isinstance(value, Call)}
CALLS = [pytest.param(call, id=f"{call.service}-{call.operation}-{'act' if call.act else 'read'}") for call in FOUND.values()]


def answered(call: Call, code: str, status: int = 400) -> Exception:
    """What an answer with this code becomes."""
    response: Any = {"Error": {"Code": code, "Message": "so"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return refused(call, WEST, ClientError(response, call.operation))


@pytest.mark.parametrize("call", CALLS)
def test_each_call_is_one_of_the_api(call: Call) -> None:
    """The operation is there; each refusal is one that its page names, and becomes Permanent with what a person does about it."""
    model = SESSION.get_service_model(call.service).operation_model(call.operation)
    modelled = {shape.metadata.get("error", {}).get("code") or shape.name for shape in model.error_shapes}
    unknown = call.refusals.keys() - modelled - NOT_MODELLED
    assert not unknown or call.service == "ec2", unknown
    for code, what in call.refusals.items():
        error = answered(call, code)
        assert isinstance(error, Permanent) and error.hint == what and str(call) in error.message


@pytest.mark.parametrize("call", CALLS)
def test_what_passes_and_what_nobody_knows(call: Call) -> None:
    """Throttled: nothing happened. HTTP 500: of an act, nobody knows. Denied: the action is named."""
    assert all(isinstance(answered(call, code), Transient) for code in THROTTLED - call.refusals.keys())
    assert isinstance(answered(call, "InternalFailure", 500), EffectUnknown if call.act else Transient)
    denied = answered(call, "AccessDeniedException", 403)
    assert isinstance(denied, Permanent) and call.iam[0] in denied.hint
    assert call.act == (call.operation in ("SetDesiredCapacity", "UpdateNodegroupConfig", "UpdateService", "UpdateEventSourceMapping")) or (
        call.operation == "Invoke"
    )


def test_only_iam_lives_elsewhere_and_only_invocations_are_data() -> None:
    """Which calls a dead us-east-1, or a control plane that is away, takes with it."""
    every = list(FOUND.values())
    assert {call.service for call in every if call.home} == {"iam"}
    assert {call.operation for call in every if call.plane == "data"} == {"Invoke", "GetMetricData"}
