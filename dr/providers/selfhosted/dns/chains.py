"""The steps of a zone for each intent: what they need of each other, touch and may take, and how to do them by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from dr.model.by_hand import Typed
from dr.model.plan import Backoff, StepSpec, Touch
from dr.model.words import Intent, Verb
from dr.ports import Operation, Step
from dr.providers.selfhosted.dns.by_hand import ByHand
from dr.providers.selfhosted.dns.follow import Follow
from dr.providers.selfhosted.dns.prepare import Prepare
from dr.providers.selfhosted.dns.propagate import Propagate
from dr.providers.selfhosted.dns.redirect import Redirect
from dr.providers.selfhosted.dns.retime import OLD_TTL, SLEEP, retime
from dr.providers.selfhosted.dns.ttl import LowerTtl, RaiseTtl, WaitTtl
from dr.providers.selfhosted.dns.view import KIND
from dr.providers.selfhosted.dns.zone import Zone

_RIGHTS = ("transfer and update of the zone, by TSIG",)


_TRIES = (Verb.REDIRECT, Verb.PROPAGATE)
"""They ask the other region's server, too, and do without where it does not answer."""


class Chains:
    """Builds the chains of one component. Pure: the same arguments give the same steps."""

    def __init__(self, zone: Zone, by_hand: ByHand, base: Path) -> None:
        self._zone, self._by_hand, self._base = zone, by_hand, base

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain. A failover has three steps; planned moves lower the TTL before and raise it after, where the runbook says so.
        ``reprotect`` makes the returned server of ``source`` equal."""
        zone, config = self._zone, self._zone.config
        if intent is Intent.REPROTECT:
            spec = self._spec(
                Verb.FOLLOW, source, f"the server of {source} answers as {target}'s does", estimate=timedelta(milliseconds=200),
                budget=timedelta(minutes=15), max_attempts=200, backoff=Backoff(base=timedelta(milliseconds=500)), touched=(source, target),
                typed=self._by_hand.follow(source, target),
            )  # fmt: skip
            return (Step(spec, Follow(zone, source, target)),)
        prepare = self._spec(
            Verb.PREPARE, target, f"the server of {target} takes our signed updates", estimate=timedelta(milliseconds=60),
            budget=timedelta(minutes=1), touched=(target,), typed=self._by_hand.prepare(target),
        )  # fmt: skip
        redirect = self._spec(
            Verb.REDIRECT, target, f"names of {config.zone} lead to {target}", needs=("prepare",), estimate=timedelta(milliseconds=120),
            budget=timedelta(minutes=2), touched=(target, source), undoable=True, typed=self._by_hand.redirect(source, target),
        )  # fmt: skip
        propagate = self._spec(
            Verb.PROPAGATE, target, "old answers have left the caches", needs=("redirect",), estimate=timedelta(seconds=1),
            budget=timedelta(hours=25), touched=(target, source), typed=self._by_hand.propagate(source, target),
        )  # fmt: skip
        steps: tuple[tuple[StepSpec, Operation], ...] = (
            (prepare, Prepare(zone, source, target)), (redirect, Redirect(zone, source, target)),
            (propagate, Propagate(zone, source, target)),
        )  # fmt: skip
        if intent.planned and config.lower_ttl_to is not None:
            lower, wait, back = self._short_ttl(source, target, str(round(config.lower_ttl_to.total_seconds())))
            steps = (steps[0], lower, wait, *steps[1:], back)
        return tuple(Step(spec, operation) for spec, operation in steps)

    def _short_ttl(self, source: str, target: str, seconds: str) -> tuple[tuple[StepSpec, Operation], ...]:
        zone, config = self._zone, self._zone.config
        low, old = retime(config, self._base, seconds), retime(config, self._base, OLD_TTL)
        lower = self._spec(
            Verb.LOWER_TTL, source, f"TTL of {config.zone} is {seconds} s at both servers", needs=("prepare",),
            estimate=timedelta(milliseconds=120), budget=timedelta(minutes=1), touched=(source, target), undoable=True, typed=low,
        )  # fmt: skip
        wait = self._spec(
            Verb.LOWER_TTL, source, "the old TTL has passed, before anything is frozen", name="wait-ttl", needs=("lower-ttl",),
            estimate=timedelta(seconds=1), budget=timedelta(hours=25), touched=(source, target), typed=Typed(SLEEP, low.check),
        )  # fmt: skip
        back = self._spec(
            Verb.RAISE_TTL, target, f"TTL of {config.zone} is what it was", needs=("propagate",),
            estimate=timedelta(milliseconds=120), budget=timedelta(minutes=2), touched=(target, source), typed=old,
        ).model_copy(update={"optional": True})  # fmt: skip
        return (
            (lower, LowerTtl(zone, source, target, lambda ttl: retime(config, self._base, str(ttl)).do)),
            (wait, WaitTtl(zone, source, target)), (back, RaiseTtl(zone, source, target)),
        )  # fmt: skip

    def _spec(
        self, verb: Verb, region: str, title: str, *, estimate: timedelta, budget: timedelta, touched: tuple[str, ...], typed: Typed,
        name: str = "", needs: tuple[str, ...] = (), undoable: bool = False, max_attempts: int = 10,
        backoff: Backoff | None = None,
    ) -> StepSpec:  # fmt: skip
        component = self._zone.component
        return StepSpec(
            id=f"{component}/{name or verb}", component=component, kind=KIND, verb=verb, region=region, title=title,
            needs=tuple(f"{component}/{need}" for need in needs), estimate=estimate, budget=budget, max_attempts=max_attempts,
            backoff=backoff or Backoff(), undoable=undoable, permissions=_RIGHTS, by_hand=typed.do, check_by_hand=typed.check,
            touches=tuple(Touch(service="dns", plane="data", region=touch, tried=verb in _TRIES and touch != region) for touch in touched),
        )  # fmt: skip
