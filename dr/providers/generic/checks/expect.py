"""What a check expects of a value: comparisons as people write them, and places in a JSON document. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import AfterValidator

from dr.model.base import Json

WRITTEN = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*(.*\S)\s*")
"""A comparison as people write it: its sign, and what is compared with."""

_OPERATORS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip


def _numeric(value: str) -> str:
    match = WRITTEN.fullmatch(value)
    if match is None or number(match[2]) is None:
        raise ValueError('expected a comparison with a number, such as "< 0.01" or ">= 3"')
    return value.strip()


NumberComparison = Annotated[str, AfterValidator(_numeric)]
"""A comparison with a number: ``< 0.01``."""


def number(value: object) -> Decimal | None:
    """A finite number, as it is or as text; None for everything else (NaN and infinity too: nothing follows from them)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def holds(expected: str | int | float | bool, seen: object) -> bool:
    """Whether a value is as expected.

    A text that begins with ``<``, ``<=``, ``==``, ``!=``, ``>=`` or ``>`` compares, as numbers where both sides are; the order of texts
    says nothing, so those are only equal or not. Anything else must be equal. A value that is missing (None) is equal to nothing and
    compares with nothing.
    """
    if seen is None:
        return False
    match = WRITTEN.fullmatch(expected) if isinstance(expected, str) else None
    sign, wanted = (match[1], match[2]) if match else ("==", expected)
    left, right = number(seen), number(wanted)
    if left is not None and right is not None:
        return _OPERATORS[sign](left, right)
    if sign not in ("==", "!="):
        return False
    return (_text(seen) == _text(wanted)) is (sign == "==")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def pointed(document: Json, pointer: str) -> Json:
    """The value at a JSON pointer (RFC 6901): ``/items/0/name``; the whole document for an empty one.

    Raises:
        LookupError: there is nothing.
    """
    found = document
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            if not key.isdecimal():
                raise LookupError(pointer)
            found = found[int(key)]
        elif isinstance(found, dict):
            found = found[key]
        else:
            raise LookupError(pointer)
    return found


def _pointer(value: str) -> str:
    if value and not value.startswith("/"):
        raise ValueError("expected a JSON pointer such as /items/0/name")
    return value


Pointer = Annotated[str, AfterValidator(_pointer)]
"""A place in a JSON document."""
