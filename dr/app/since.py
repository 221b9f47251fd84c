"""Since when service is away, as far as anybody knows when it is decided, and who says so. Pure."""

from __future__ import annotations

from datetime import datetime

from dr.app.outlook import Outlook
from dr.app.runs import Request
from dr.model.events import OutageKnownFrom
from dr.model.plan import Plan
from dr.model.words import Intent, Role, Verb
from dr.report import timing
from dr.report.history import History

Since = tuple[datetime | None, OutageKnownFrom]


def told(request: Request, seen: Outlook) -> Since:
    """What a person said, else what the heartbeats say that fail now."""
    if request.outage_began is not None:
        return request.outage_began, "operator"
    return (None, "") if seen.outage_began is None else (seen.outage_began, _monitor(seen))


def outage_began(request: Request, seen: Outlook, plan: Plan, before: History | None) -> Since:
    """When the outage began; None where service is still there, or nobody can say.

    Where nobody watched and nobody told, the primary was there at the recovery point at least: the RTA counts from then, as a bound.

    Args:
        before: a move that took service away and did not put it back, which this run is to bring to its end.
    """
    if request.intent is not Intent.FAILOVER:
        return None, ""
    began, known_from = _at_the_source(request, seen, plan)
    left = timing.outage_began(before) if before is not None and before.state.current_plan.target == plan.target else None
    # frozen Deployments serve nobody, whatever else is well at the source
    away = before is not None and (seen.primary != plan.source or before.left(Verb.FREEZE) is not None)
    if left is not None and request.outage_began is None and away and (began is None or left < began):
        return left, "cut-short"  # nobody saw it end since; somebody may have put service back by hand
    return began, known_from


def _at_the_source(request: Request, seen: Outlook, plan: Plan) -> Since:
    began, known_from = told(request, seen)
    if began is not None:
        return began, known_from
    if _serves(seen, plan.source):
        return None, ""  # the fence will take service away
    if seen.last_beat is not None:
        return seen.last_beat, _monitor(seen)  # decided before the next heartbeat could fail
    points = [item.recovery_point for item in seen.exposures.values() if item.recovery_point is not None]
    return (min(points), "recovery-point") if points else (None, "")


def _serves(seen: Outlook, region: str) -> bool:
    """It is the primary, and what holds data says so itself: traffic that still leads into a dead region is no service."""
    data = (view.regions[region].role for view in seen.views if view.lag is not None and region in view.regions)
    return seen.primary == region and all(role is Role.PRIMARY for role in data)


def _monitor(seen: Outlook) -> OutageKnownFrom:
    return "late-heartbeat" if seen.late_beat else "monitor"
