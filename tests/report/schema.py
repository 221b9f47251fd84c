"""A small JSON Schema check: what pydantic's schemas use, and nothing else. An unknown keyword is an error, not a pass."""

from __future__ import annotations

import re
from collections.abc import Callable

from dr.model.base import Json

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "number": (int, float), "integer": (int,), "boolean": (bool,),
    "null": (type(None),),
}  # fmt: skip
_IGNORED = {"$schema", "title", "description", "default", "format", "$defs", "minimum", "maximum", "exclusiveMinimum", "readOnly"}


def problems(value: Json, schema: Json, where: str = "$", root: Json = None) -> list[str]:
    """Everything that does not match, as ``path: why``."""
    root = schema if root is None else root
    found: list[str] = []
    for keyword, wanted in schema.items():
        if keyword not in _IGNORED:
            found += _CHECKS[keyword](value, wanted, where, root, schema)
    return found


def _ref(value: Json, wanted: str, where: str, root: Json, _schema: Json) -> list[str]:
    return problems(value, root["$defs"][wanted.removeprefix("#/$defs/")], where, root)


def _type(value: Json, wanted: str, where: str, _root: Json, _schema: Json) -> list[str]:
    right = isinstance(value, _TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))
    return [] if right else [f"{where}: expected {wanted}, not {value!r}"]


def _any(value: Json, wanted: Json, where: str, root: Json, _schema: Json) -> list[str]:
    tried = [problems(value, option, where, root) for option in wanted]
    return [] if any(not item for item in tried) else [text for item in tried for text in item]


def _properties(value: Json, wanted: Json, where: str, root: Json, _schema: Json) -> list[str]:
    if not isinstance(value, dict):
        return []
    return [text for name, part in wanted.items() if name in value for text in problems(value[name], part, f"{where}.{name}", root)]


def _required(value: Json, wanted: list[str], where: str, _root: Json, _schema: Json) -> list[str]:
    return [f"{where}.{name}: missing" for name in wanted if isinstance(value, dict) and name not in value]


def _additional(value: Json, wanted: Json, where: str, root: Json, schema: Json) -> list[str]:
    more = [name for name in value if name not in schema.get("properties", {})] if isinstance(value, dict) else []
    if wanted is False:
        return [f"{where}.{name}: not known" for name in more]
    return [text for name in more for text in problems(value[name], wanted, f"{where}.{name}", root)] if isinstance(wanted, dict) else []


def _items(value: Json, wanted: Json, where: str, root: Json, _schema: Json) -> list[str]:
    if not isinstance(value, list):
        return []
    return [text for number, item in enumerate(value) for text in problems(item, wanted, f"{where}[{number}]", root)]


_CHECKS: dict[str, Callable[[Json, Json, str, Json, Json], list[str]]] = {
    "$ref": _ref, "type": _type, "anyOf": _any, "properties": _properties, "required": _required, "additionalProperties": _additional,
    "items": _items,
    "enum": lambda value, wanted, where, _root, _schema: [] if value in wanted else [f"{where}: {value!r} is not one of {wanted}"],
    "pattern": lambda value, wanted, where, _root, _schema: (
        [] if not isinstance(value, str) or re.search(wanted, value) else [f"{where}: {value!r} does not match {wanted}"]
    ),
    "minItems": lambda value, wanted, where, _root, _schema: (
        [] if not isinstance(value, list) or len(value) >= wanted else [f"{where}: {len(value)} items, at least {wanted} expected"]
    ),
    "const": lambda value, wanted, where, _root, _schema: [] if value == wanted else [f"{where}: {value!r} is not {wanted!r}"],
}  # fmt: skip
