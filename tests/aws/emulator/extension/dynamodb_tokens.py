"""TransactWriteItems keeps its client request tokens for ten minutes: the same write sent again is not done again.

Why not moto's: it ignores the token.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html#DDB-TransactWriteItems-request-ClientRequestToken
"""

from __future__ import annotations

import json
from typing import Any

from tests.aws.emulator.registry import after, now, operation
from tests.aws.emulator.wire import Answer, Call, Refusal

_KEPT_SECONDS = 600.0
_done: dict[tuple[str, str], tuple[float, str]] = {}


def _text(call: Call) -> str:
    return json.dumps(call.params.get("TransactItems"), sort_keys=True, default=repr)


@operation("dynamodb:TransactWriteItems")
def transact_write_items(call: Call) -> dict[str, Any] | None:
    """Nothing again for a token that is known; IdempotentParameterMismatchException where it comes with another write."""
    known = _done.get((call.region, str(call.params.get("ClientRequestToken", ""))))
    if known is None or known[0] < now():
        return None
    if known[1] != _text(call):
        raise Refusal("IdempotentParameterMismatchException", "The request uses the same client token with other parameters", 400)
    return {}


@after("dynamodb:TransactWriteItems")
def remember(call: Call, answer: Answer) -> Answer | None:
    """The write was done."""
    token = str(call.params.get("ClientRequestToken", ""))
    if token:
        _done[call.region, token] = now() + _KEPT_SECONDS, _text(call)
    return None
