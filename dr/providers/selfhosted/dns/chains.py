"""The steps of a zone for each intent: what they need of each other, touch and may take, and how to do them by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from dr.model.plan import Backoff, StepSpec, Touch
from dr.model.words import Intent, Verb
from dr.ports import Operation, Step
from dr.providers.selfhosted.dns.follow import Follow
from dr.providers.selfhosted.dns.prepare import Prepare
from dr.providers.selfhosted.dns.propagate import Propagate
from dr.providers.selfhosted.dns.redirect import Redirect
from dr.providers.selfhosted.dns.view import KIND
from dr.providers.selfhosted.dns.zone import Zone

_RIGHTS = ("transfer and update of the zone, by TSIG",)


class Chains:
    """Builds the chains of one component. Pure: the same arguments give the same steps."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """The chain. Failover, switchover and failback are alike; ``reprotect`` makes the returned server of ``source`` equal."""
        zone, config = self._zone, self._zone.config
        if intent is Intent.REPROTECT:
            spec = self._spec(
                Verb.FOLLOW, source, f"the server of {source} answers as {target}'s does", estimate=timedelta(milliseconds=200),
                budget=timedelta(minutes=15), max_attempts=200, backoff=Backoff(base=timedelta(milliseconds=500)), touched=(source, target),
                by_hand=self._nsupdate(source, source, target), check_by_hand=self._transfer(source),
            )  # fmt: skip
            return (Step(spec, Follow(zone, source, target)),)
        prepare = self._spec(
            Verb.PREPARE, target, f"the server of {target} takes our signed updates", estimate=timedelta(milliseconds=60),
            budget=timedelta(minutes=1), touched=(target,), by_hand=self._transfer(target), check_by_hand=self._transfer(target),
        )  # fmt: skip
        redirect = self._spec(
            Verb.REDIRECT, target, f"names of {config.zone} lead to {target}", needs=("prepare",), estimate=timedelta(milliseconds=120),
            budget=timedelta(minutes=2), touched=(target, source), undoable=True, by_hand=self._nsupdate(target, source, target),
            check_by_hand=self._transfer(target),
        )  # fmt: skip
        propagate = self._spec(
            Verb.PROPAGATE, target, "old answers have left the caches", needs=("redirect",), estimate=timedelta(seconds=1),
            budget=timedelta(hours=25), touched=(target, source), by_hand="wait for the old TTL",
            check_by_hand=f"{self._transfer(source)}; {self._transfer(target)}",
        )  # fmt: skip
        steps: tuple[tuple[StepSpec, Operation], ...] = (
            (prepare, Prepare(zone, source, target)), (redirect, Redirect(zone, source, target)),
            (propagate, Propagate(zone, source, target)),
        )  # fmt: skip
        return tuple(Step(spec, operation) for spec, operation in steps)

    def _spec(
        self, verb: Verb, region: str, title: str, *, estimate: timedelta, budget: timedelta, touched: tuple[str, ...], by_hand: str,
        check_by_hand: str, needs: tuple[str, ...] = (), undoable: bool = False, max_attempts: int = 10, backoff: Backoff | None = None,
    ) -> StepSpec:  # fmt: skip
        name = self._zone.component
        return StepSpec(
            id=f"{name}/{verb}", component=name, kind=KIND, verb=verb, region=region, title=title,
            needs=tuple(f"{name}/{need}" for need in needs), estimate=estimate, budget=budget, max_attempts=max_attempts,
            backoff=backoff or Backoff(), undoable=undoable, permissions=_RIGHTS, by_hand=by_hand, check_by_hand=check_by_hand,
            touches=tuple(Touch(service="dns", plane="data", region=touch) for touch in touched),
        )  # fmt: skip

    def _transfer(self, region: str) -> str:
        """Lists the zone. The key is read from a file in ``nsupdate``'s own form, so that it is on no command line."""
        server, config = self._zone.config.regions[region], self._zone.config
        return f"dig @{server.server} -p {server.port} -k {config.tsig.name}.key {config.zone} AXFR"

    def _nsupdate(self, region: str, old: str, new: str) -> str:
        """At the server of ``region``: every record with the address of ``old`` gets the one of ``new``."""
        server, config = self._zone.config.regions[region], self._zone.config
        before, after = config.regions[old].address, config.regions[new].address
        change = f'$5=="{before}"{{print "update delete "$1" "$4" "$5; print "update add "$1" "$2" "$4" {after}"}}END{{print "send"}}'
        begin = f'BEGIN{{print "server {server.server} {server.port}"; print "zone {config.zone}"}}'
        return f"{self._transfer(region)} | awk '{begin}{change}' | nsupdate -k {config.tsig.name}.key"
