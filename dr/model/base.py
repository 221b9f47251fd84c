"""The base of every model, and the scalar types that people write."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_LONGEST = timedelta(days=3650)
_ZERO = timedelta(0)
_LONG = _LONGEST.total_seconds()


class Frozen(BaseModel):
    """A frozen pydantic model that refuses unknown keys.

    A model is compiled when it is first used: a command uses a tenth of them, and all of them cost more than a whole status.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_timedelta="float", defer_build=True)


def compile_models() -> None:
    """Compiles every model that is loaded by now and was not used yet: a run does not pay for it after it was decided."""
    ahead = Frozen.__subclasses__()
    while ahead:
        model = ahead.pop()
        ahead += model.__subclasses__()
        if not model.__pydantic_complete__:
            model.model_rebuild(raise_errors=False)


def _duration(value: object, info: ValidationInfo) -> object:
    # one call for all but the bounds: a plan has hundreds of durations, and a call from Rust to Python costs as much as a small model
    if type(value) is float and info.context is None and value < _LONG:
        value = timedelta(seconds=value)
    elif type(value) is not timedelta:
        # in files that people write (``written`` in the context) a bare number says no unit; in our own JSON it is seconds
        if info.context is not None and info.context.get("written") and not isinstance(value, (str, timedelta)):
            raise ValueError("expected a duration such as 15m, 1h30m, 90s or 200ms")
        value = parse_duration(value)
    if isinstance(value, timedelta) and value < _ZERO:
        raise ValueError("expected a duration that is not negative")
    return value


def parse_duration(value: object) -> object:
    """Reads ``15m``, ``1h30m``, ``90s``, ``2.5s``, ``200ms``; a timedelta or a number of seconds from our own JSON passes through.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        if not match or not any(match.groups()):
            raise ValueError("expected a duration such as 15m, 1h30m, 90s or 200ms")
        hours, minutes, seconds, millis = (float(part or 0) for part in match.groups())
        # not more than can be added to a moment, waited for and shown
        if hours * 3600 + minutes * 60 + seconds + millis / 1000 > _LONGEST.total_seconds():
            raise ValueError(f"expected a duration of at most {_LONGEST.days * 24}h (ten years)")
        return timedelta(hours=hours, minutes=minutes, seconds=seconds, milliseconds=millis)
    if isinstance(value, bool) or not isinstance(value, (timedelta, int, float)):
        raise ValueError("expected a duration such as 15m, 1h30m, 90s or 200ms")
    try:
        return value if isinstance(value, timedelta) else timedelta(seconds=value)
    except OverflowError:
        raise ValueError("expected fewer seconds") from None


def clock_behind(shown: datetime | None, asked: datetime) -> timedelta | None:
    """How far this machine's clock is behind another one, zero where it is not; None: nobody read the other one.

    Counted from before the question was sent, so it is too much by the way there and never too little: what is reckoned with it is a bound.

    Args:
        shown: what the other clock showed when it answered. asked: what this machine's showed right before.
    """
    return None if shown is None else max(shown - asked, _ZERO)


def show_duration(value: timedelta | None) -> str:
    """The shortest form a person reads at a glance: ``0.43s``, ``12.1s``, ``4m10s``, ``1h05m``; ``unknown`` for None."""
    if value is None:
        return "unknown"
    seconds = value.total_seconds()
    if abs(seconds) < 1:
        return f"{seconds:.2f}s"
    if abs(seconds) < 60:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if abs(whole) < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def seconds(value: timedelta | None) -> float | None:
    """A duration for the wire: seconds rounded to the microsecond, None stays None."""
    return None if value is None else round(value.total_seconds(), 6)


def between(start: datetime | None, end: datetime | None) -> timedelta | None:
    """``end - start``; None where either is unknown."""
    return None if start is None or end is None else end - start


class _Durations:
    """How durations are read. Written as ``Frozen`` says: as a float, in seconds."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Seconds in our own JSON never leave Rust: a plan has hundreds of durations, and to call Python for each took half of the time
        that it takes to read one back. Everything else, and whatever is refused, is ``_duration``'s."""
        seconds = core_schema.float_schema(strict=True, ge=0.0, lt=_LONG, allow_inf_nan=False)
        asked = core_schema.with_info_before_validator_function(_duration, handler(source))
        own = core_schema.chain_schema([seconds, core_schema.timedelta_schema()])
        return core_schema.json_or_python_schema(core_schema.union_schema([own, asked], mode="left_to_right"), asked)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """For editors, a string."""
        return handler(core_schema.timedelta_schema())


Duration = Annotated[timedelta, _Durations]
"""A span of time: ``15m`` in YAML, seconds as a float in our JSON."""

Moment = AwareDatetime
"""An instant with its zone; always UTC in our JSON."""

Json = Any
"""A JSON value that came from outside and is only carried, never read."""
