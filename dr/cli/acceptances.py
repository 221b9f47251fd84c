"""Flags → acceptances: explicit, bounded, with actor and reason. ``--yes`` is none of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from dr.config.problems import suggest
from dr.errors import UsageError
from dr.model.base import parse_duration
from dr.model.plan import Acceptance
from dr.model.words import Guard

_LONGEST_OUTAGE = timedelta(days=3650)
_OWN_FLAG = {Guard.EXPOSURE: "--accept-data-loss 15m|unknown", Guard.FENCE: "--accept-split"}


def acceptances(
    *, data_loss: str | None, split: bool, guards: Sequence[str], reason: str, actor: str, at: datetime
) -> tuple[Acceptance, ...]:
    """What a person accepted on the command line.

    Raises:
        UsageError: a guard that does not exist, cannot be accepted or has its own flag; no reason where one is needed.
    """
    given: list[Acceptance] = []
    if data_loss is not None:
        unbounded = data_loss == "unknown"
        if unbounded and not reason:
            raise UsageError("--accept-data-loss unknown needs --reason", hint='--reason "why an unknown loss is acceptable now"')
        bound = None if unbounded else _bound(data_loss)
        given.append(Acceptance(guard=Guard.EXPOSURE, actor=actor, reason=reason, at=at, bound=bound, unbounded=unbounded))
    if split and not reason:
        raise UsageError("--accept-split needs --reason", hint='--reason "why two writable primaries are acceptable now"')
    if split:
        given.append(Acceptance(guard=Guard.FENCE, actor=actor, reason=reason, at=at))
    for name in guards:
        guard = _acceptable(name)
        if not reason:
            raise UsageError(f"--accept {guard} needs --reason", hint='--reason "why"')
        given.append(Acceptance(guard=guard, actor=actor, reason=reason, at=at))
    return tuple(given)


def moment(text: str, now: datetime) -> datetime:
    """``--outage-began``: ``02:40`` or ``02:40:15`` (UTC, the latest one before now), ISO 8601 with a zone, or ``5m`` ago.

    Raises:
        UsageError: not a moment, without a zone, in the future, or ten years ago.
    """
    began = _moment(text.strip(), now)
    if began is None:
        raise UsageError(
            f"--outage-began {text}: not a moment", hint="02:40 (UTC), 2026-03-01T02:40:00Z, or how long ago it was: 5m"
        )  # fmt: skip
    if began > now:
        raise UsageError(f"--outage-began {text}: lies in the future (it is {now:%Y-%m-%dT%H:%M:%S}Z)", hint="times are UTC")
    if now - began > _LONGEST_OUTAGE:
        raise UsageError(f"--outage-began {text}: lies more than ten years back", hint="times are UTC")
    return began


def _moment(text: str, now: datetime) -> datetime | None:
    for form in ("%H:%M", "%H:%M:%S"):
        try:
            clock = datetime.strptime(text, form)  # noqa: DTZ007 — only hour, minute and second are taken, in UTC
        except ValueError:
            continue
        began = now.replace(hour=clock.hour, minute=clock.minute, second=clock.second, microsecond=0)
        return began if began <= now else began - timedelta(days=1)
    try:
        ago = parse_duration(text)
        assert isinstance(ago, timedelta)
        return now - ago
    except ValueError:
        pass
    try:
        began = datetime.fromisoformat(text)
        return began.astimezone(now.tzinfo) if began.tzinfo is not None else None
    except (ValueError, OverflowError):  # the year 1 begins in the year 0 where its zone is east of Greenwich
        return None


def _bound(text: str) -> timedelta:
    try:
        value = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--accept-data-loss {text}: {error}, or unknown", hint="--accept-data-loss 15m") from None
    assert isinstance(value, timedelta)
    return value


def _acceptable(name: str) -> Guard:
    names = [guard.value for guard in Guard if guard.acceptable and guard not in _OWN_FLAG]
    try:
        guard = Guard(name)
    except ValueError:
        raise UsageError(f"--accept {name}: no such guard{suggest(name, names)}", hint="guards: " + ", ".join(names)) from None
    if guard in _OWN_FLAG:
        raise UsageError(f"--accept {name}: has a flag of its own", hint=_OWN_FLAG[guard])
    if not guard.acceptable:
        raise UsageError(f"--accept {name}: nobody can override this guard", hint="can be accepted: " + ", ".join(names))
    return guard
