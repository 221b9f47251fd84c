"""``dr runbook check``: would a failover find what it needs? What the file says, then what lies around it, then the world.

Reads only, and never raises for what it finds: that is what findings are for. One file for each group of checks.
"""

from __future__ import annotations

from dr.app import outlook
from dr.app.by_hand import regions
from dr.app.platform import Platform
from dr.app.readiness import credentials, dependencies, fresh, world, written
from dr.app.readiness.group import Group
from dr.app.runs import Runs
from dr.errors import ExitCode, UsageError
from dr.model.status import CheckReport
from dr.model.words import Intent, Severity

_ORDER = list(Severity)
_OFFLINE = "not asked: --offline looks at the file only"


def check(runs: Runs, platform: Platform, *, offline: bool, lost: str | None = None) -> CheckReport:
    """All groups of checks.

    Args:
        offline: the file alone. lost: the region whose loss is judged, and what a failover would call there, or where an API lives alone.

    Raises:
        UsageError: ``lost`` is none of the runbook's regions, or there are more than two.
    """
    groups = [written.look(platform)]
    source, target = _away(platform, lost)
    if lost is not None:
        groups.append(dependencies.look(platform, lost))
    if offline:
        groups += [Group(name, about, _OFFLINE) for name, about in (credentials.NAMED, world.NAMED, fresh.NAMED)]
    else:
        groups.append(credentials.look(platform))
        seen = outlook.look(platform)
        source, target = _away(platform, lost or seen.primary)
        groups += [world.look(runs, platform, seen, target), fresh.look(runs, platform, seen)]
    found = sorted((finding for group in groups for finding in group.findings), key=lambda item: _ORDER.index(item.severity))
    refused = any(item.severity is Severity.ERROR for item in found)
    return CheckReport(
        runbook=platform.runbook.name, sha256=platform.runbook.sha256, findings=tuple(found), from_region=source, to_region=target,
        groups=tuple(group.report() for group in groups), exit_code=ExitCode.REFUSED if refused else ExitCode.DONE,
    )  # fmt: skip


def _away(platform: Platform, primary: str | None) -> tuple[str | None, str | None]:
    """The move that is judged; None where more than two regions leave it open."""
    try:
        return regions(platform, Intent.FAILOVER, None if primary is None else platform.other(primary))
    except UsageError:
        return None, None
