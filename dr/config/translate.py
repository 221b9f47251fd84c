"""pydantic's errors → places in the file and sentences for people. A value that was written is never repeated: it may be a secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from dr.config.problems import Problems, suggest
from dr.model.runbook import NAME, SecretRef

if TYPE_CHECKING:
    from dr.config.source import Place, Value

WRITTEN = {"written": True}
"""Validation context of everything that people write: a duration needs its unit."""

_WORDS = {
    "missing": "required, but not there",
    "dict_type": "expected a map",
    "model_type": "expected a map",
    "model_attributes_type": "expected a map",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "string_type": "expected text",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
}


NAME_EXPECTED = "expected lower-case letters, digits and -, a letter first"


def note(
    problems: Problems,
    errors: Iterable[ErrorDetails],
    model: type[BaseModel],
    data: Value,
    prefix: Place = (),
    keys: Mapping[str, str] | None = None,
) -> None:
    """Adds pydantic's errors about ``data`` (which stands at ``prefix`` in the file) to ``problems``.

    Args:
        model: what was validated, for "did you mean".
        keys: file keys that differ from the model's field names, as field → key.
    """
    keys = keys or {}
    for error in errors:
        place = tuple(keys.get(str(part), part) if not index else part for index, part in enumerate(_real(error, data)))
        problems.add((*prefix, *place), _sentence(error, model, place, keys))


def _real(error: ErrorDetails, data: Value) -> tuple[str | int, ...]:
    """The location without pydantic's own words for union members and map keys."""
    place: list[str | int] = []
    here: Value = data
    for part in error["loc"]:
        if isinstance(here, Mapping) and part in here:
            here = here[str(part)]
        elif isinstance(here, Sequence) and not isinstance(here, str) and isinstance(part, int) and part < len(here):
            here = here[part]
        elif error["type"] != "missing" or part != error["loc"][-1]:
            continue
        place.append(part)
    return tuple(place)


def _sentence(error: ErrorDetails, model: type[BaseModel], place: tuple[str | int, ...], keys: Mapping[str, str]) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            sentence = "unknown key" + suggest(str(place[-1]), {keys.get(name, name) for name in _fields(model, place[:-1])})
        case "model_type" | "model_attributes_type" | "dict_type" if context.get("class_name") == SecretRef.__name__:
            sentence = "expected {file: PATH} or {env: NAME}; a credential never stands in a file"
        case "string_pattern_mismatch":
            sentence = NAME_EXPECTED if context["pattern"] == NAME else f"expected text that matches {context['pattern']}"
        case "too_short":
            sentence = f"expected at least {context['min_length']}"
        case "value_error":
            sentence = str(context["error"])
        case "literal_error" | "enum":
            sentence = f"expected {context['expected']}"
        case kind:
            sentence = _WORDS.get(kind) or error["msg"].replace("Input should be", "expected")
    return sentence


def _fields(model: type[BaseModel], place: Sequence[str | int]) -> set[str]:
    """Names of the fields that may stand at a place, following lists, maps and unions."""
    models: set[type[BaseModel]] = {model}
    for part in place:
        following: set[type[BaseModel]] = set()
        for candidate in models:
            info = candidate.model_fields.get(str(part))
            if info is not None:
                following |= set(_models(info.annotation))
        models = following or models  # the part was an index, or a key of a map
    return {name for candidate in models for name in candidate.model_fields}


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if get_origin(annotation) is None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        return
    for argument in get_args(annotation):
        yield from _models(argument)
