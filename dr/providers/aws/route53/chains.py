"""The steps of a hosted zone for each intent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from dr.model.by_hand import Typed
from dr.model.plan import Backoff
from dr.model.words import Intent, Verb
from dr.ports import Step
from dr.providers.aws.calls import Use
from dr.providers.aws.everywhere import asking
from dr.providers.aws.route53.by_hand import OLD_TTL, ByHand
from dr.providers.aws.route53.calls import CHANGE, CHANGES, CHECK, RECORDS, SYNCED, check_arn
from dr.providers.aws.route53.outside import VerifyOutside
from dr.providers.aws.route53.redirect import USUALLY_SYNCED, PrepareEdit, PreparePrepared, Propagate, Redirect
from dr.providers.aws.route53.ttl import LowerTtl, RaiseTtl, WaitTtl

if TYPE_CHECKING:
    from dr.providers.aws.route53.kind import Route53Records

_SHORT, _LONG = timedelta(minutes=5), timedelta(hours=25)
_SOON = Backoff(base=timedelta(milliseconds=500), cap=timedelta(seconds=5))
_TRIES = 1_000
"""The budget ends them: a control plane that is away for a while comes back."""


def steps(owner: Route53Records, intent: Intent, source: str, target: str) -> Sequence[Step]:
    """The chain: a failover does not prepare, for that would hold it up; nothing for a re-protect."""
    if intent is Intent.REPROTECT:
        return ()
    outside = _outside(owner, source, target)
    if owner.config.mode == "prepared":
        return (*([_look(owner, source, target)] if intent.planned else []), *outside)
    return (*_edit(owner, intent, source, target), *outside)


def _look(owner: Route53Records, source: str, target: str) -> Step:
    uses = [_uses(owner, target)[0], Use(CHECK, target, (check_arn("*"),))]
    return owner.step(
        Verb.PREPARE, target, f"record sets of {owner.config.zone} can be led to {target} by health",
        PreparePrepared(owner, source, target), uses=uses, typed=_prepared_by_hand(owner, target),
        estimate=timedelta(seconds=1), budget=_SHORT,
    )  # fmt: skip


def _edit(owner: Route53Records, intent: Intent, source: str, target: str) -> list[Step]:
    hand, zone = ByHand(owner, target), owner.config.zone
    read, write, synced = _uses(owner, target)
    lowers = intent.planned and owner.config.lower_ttl_to is not None
    redirect = owner.step(
        Verb.REDIRECT, target, f"names of {zone} lead to {target}, by an edit in us-east-1", Redirect(owner, source, target),
        uses=(read, write, synced), typed=hand.redirect(source, target), estimate=timedelta(seconds=2) + owner.editing(),
        budget=timedelta(minutes=30), needs=("prepare",) if intent.planned else (), max_attempts=_TRIES, backoff=_SOON, undoable=True,
    )  # fmt: skip
    propagate = owner.step(
        Verb.PROPAGATE, target, "all name servers and caches have the new answers", Propagate(owner, source, target),
        uses=[replace(use, tried=True) for use in (synced, read)], typed=hand.propagate(source),
        estimate=USUALLY_SYNCED / 2 + owner.config.ttl, budget=_LONG, needs=("redirect",), max_attempts=_TRIES,
    )  # fmt: skip
    propagate = asking(propagate, target)
    if not intent.planned:
        return [redirect, propagate]
    prepare = owner.step(
        Verb.PREPARE, target, f"record sets of {zone} that lead to {source} can be led to {target}", PrepareEdit(owner, source, target),
        uses=(read,), typed=hand.look(source), estimate=timedelta(seconds=1), budget=_SHORT,
    )  # fmt: skip
    if not lowers:
        return [prepare, redirect, propagate]
    lower, wait, back = _short_ttl(owner, source, target)
    return [prepare, lower, wait, redirect, propagate, back]


def _short_ttl(owner: Route53Records, source: str, target: str) -> tuple[Step, Step, Step]:
    hand = ByHand(owner, target)
    read, write, synced = _uses(owner, target)
    assert owner.config.lower_ttl_to is not None
    low = hand.retime(source, str(round(owner.config.lower_ttl_to.total_seconds())))
    lower = owner.step(
        Verb.LOWER_TTL, source, f"TTLs of {owner.config.zone} are {owner.config.lower_ttl_to.total_seconds():g} s",
        LowerTtl(owner, source, target), uses=(read, write, synced), typed=low, estimate=USUALLY_SYNCED / 2, budget=timedelta(minutes=30),
        needs=("prepare",), undoable=True,
    )  # fmt: skip
    wait = owner.step(
        Verb.LOWER_TTL, source, "the old TTL has passed, before anything is frozen", WaitTtl(owner, source, target), uses=(read,),
        typed=Typed(f'sleep "{OLD_TTL}"', low.check), estimate=timedelta(minutes=1), budget=_LONG, name="wait-ttl", needs=("lower-ttl",),
    )  # fmt: skip
    back = owner.step(
        Verb.RAISE_TTL, target, f"TTLs of {owner.config.zone} are what they were", RaiseTtl(owner, source, target),
        uses=(read, write), typed=hand.retime(target, OLD_TTL), estimate=timedelta(seconds=2), budget=timedelta(minutes=30),
        needs=("propagate",), optional=True,
    )  # fmt: skip
    return lower, wait, back


def _outside(owner: Route53Records, source: str, target: str) -> list[Step]:
    probe = owner.config.probe
    if probe is None:
        return []
    patterns = owner.config.deployments is None and any("*" in name for name in owner.config.names)
    made = owner.step(
        Verb.VERIFY_OUTSIDE, target, f"every name answers in {target}, through the public name",
        VerifyOutside(owner, source, target, probe), uses=_uses(owner, target)[:1] if patterns else (),
        typed=ByHand(owner, target).outside(target), estimate=timedelta(seconds=2), budget=probe.within,
        needs=("propagate",) if owner.config.mode == "edit" else (), max_attempts=1_000_000, backoff=_SOON,
    )  # fmt: skip
    return [asking(made, target, ("https", f"to GET {probe.url} from where dr runs"))]


def _uses(owner: Route53Records, region: str) -> tuple[Use, Use, Use]:
    """To list, to change, and to ask how far a change has come."""
    return Use(RECORDS, region, (owner.arn(),)), Use(CHANGE, region, (owner.arn(),)), Use(SYNCED, region, (CHANGES,))


def _prepared_by_hand(owner: Route53Records, target: str) -> Typed:
    listing = owner.typed(owner.places[target], RECORDS, {"HostedZoneId": owner.config.zone}, query=_SHOWN)
    bad = (
        '[.ResourceRecordSets[]|select(.Failover=="PRIMARY" and (.HealthCheckId|not) and (.AliasTarget.EvaluateTargetHealth//false|not))]'
        "|length==0"
    )
    check = f"{owner.typed(owner.places[target], RECORDS, {'HostedZoneId': owner.config.zone})} --output json | jq -e '{bad}'"
    return Typed(f"{listing} --output table", check)


_SHOWN = "ResourceRecordSets[?SetIdentifier].[Name,Type,SetIdentifier,Failover,Weight,HealthCheckId,TTL]"
