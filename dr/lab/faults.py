"""What a drill does to the lab: kill, hold, cut off, spoil the link, bring back. Each returns when it holds."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from dr.errors import LabError, UsageError
from dr.lab import certificates, ending, processes, reach, runtime_control
from dr.lab.extras import all as extras
from dr.lab.extras.extra import Extra
from dr.lab.layout import REGIONS, RegionLayout
from dr.lab.link_control import close_door, open_door, reset_link, set_link
from dr.lab.processes import Process
from dr.lab.records import ProcessRecord
from dr.lab.servers import Servers
from dr.model.scenario import Fault, Spoil, Target

_REGION_SERVERS = ("postgres", "dns", "runtime")
_OUTSIDE_SERVERS = ("agent",)


def inject(servers: Servers, fault: Fault) -> datetime:
    """Makes one fault happen.

    ``kill`` SIGKILLs a region with everything in it, or one server; ``freeze`` holds it (SIGSTOP) and ``thaw`` lets it go on; ``cut`` lets
    commands to a region that lives vanish, and closes its door (see ``dr.lab.door``): a runbook that leads through it says nothing to that
    region any more, while users and the region's servers go on; ``spoil`` makes contents wrong; ``slow`` lets capacity come late;
    ``link`` replaces the link's condition; ``bring_back`` starts what was killed, lets commands in again and opens the door: an old
    primary comes back writable, with its old zone and its schedulers running.

    Returns:
        The moment from which it holds, UTC.

    Raises:
        UsageError: the lab has no such region or server.
        LabError: it could not be made to happen.
    """
    if fault.kill is not None:
        return _kill(servers, fault.kill)
    if fault.freeze is not None:
        return _hold(servers, fault.freeze)
    if fault.thaw is not None:
        return _release(servers, fault.thaw)
    if fault.cut is not None:
        region = _region(servers, fault.cut)
        reach.silence(region)
        close_door(servers.layout, region.name)
    elif fault.bring_back is not None:
        _bring_back(servers, fault.bring_back)
    elif fault.link is not None:
        set_link(servers.layout, fault.link)
    elif fault.spoil is not None:
        _spoil(servers, fault.spoil)
    elif fault.slow is not None:
        runtime_control.slow(servers.layout, _region(servers, Target(region=fault.slow.region)), fault.slow.by)
    return servers.clock.now()


def _kill(servers: Servers, target: Target) -> datetime:
    if target.server is None:
        reach.disconnect(_region(servers, target))
    victims = ending.hold(_victims(servers, target))
    at = servers.clock.now()  # from here on nothing of it answers
    left = ending.kill(victims, servers.clock)
    if target.server is None:
        reset_link(servers.layout)  # what a lost region had on the way is lost with it; a slow link would deliver it afterwards
    if left:
        raise LabError(f"{_named(target)}: {len(left)} processes survived SIGKILL", hint="dr lab status")
    return at


def _hold(servers: Servers, target: Target) -> datetime:
    if target.server is None:
        reach.disconnect(_region(servers, target))
    ending.hold(_victims(servers, target))
    return servers.clock.now()


def _release(servers: Servers, target: Target) -> datetime:
    for process in _victims(servers, target):
        process.send(signal.SIGCONT)
    if target.server is None:
        reach.connect(_region(servers, target))
    return servers.clock.now()


def _bring_back(servers: Servers, target: Target) -> None:
    record = servers.records.lab()
    assert record is not None, "servers exist only for a lab with a record"
    count = record.workload.deployments
    if target.server == "agent":
        servers.start_agent()
        return
    if target.region is None and target.server is not None:
        outside = next((extra for extra in extras.of(record.workload) if target.server in extra.outside), None)
        _known(target.server, _outside_servers(servers))
        assert outside is not None, "what is known outside belongs to an extra part"
        outside.start_server(servers, None, target.server)
        return
    region = _region(servers, target)
    _known(target.server, _region_servers(servers))
    wanted = (target.server,) if target.server else _region_servers(servers)
    with ThreadPoolExecutor(2) as pool:
        starters = {"postgres": servers.start_postgres, "dns": servers.start_dns}
        started = [pool.submit(start, region) for name, start in starters.items() if name in wanted]
        for extra in extras.of(record.workload):
            started.append(pool.submit(_start_extra, servers, extra, region, wanted))
        for future in started:
            future.result()
    if "runtime" in wanted:
        # as at a site whose power returns: the schedulers start wherever the database lets them
        servers.start_runtime(region, count, schedulers=not (region.pgdata / "standby.signal").exists())
    if target.server is None:
        open_door(servers.layout, region.name)
        reach.connect(region)


def _start_extra(servers: Servers, extra: Extra, region: RegionLayout, wanted: tuple[str, ...]) -> None:
    for name in extra.servers:
        if name in wanted:
            extra.start_server(servers, region, name)


def _region_servers(servers: Servers) -> tuple[str, ...]:
    """Every server that a region of this lab has."""
    record = servers.records.lab()
    assert record is not None, "servers exist only for a lab with a record"
    return (*_REGION_SERVERS, *(name for extra in extras.of(record.workload) for name in extra.servers))


def _outside_servers(servers: Servers) -> tuple[str, ...]:
    """Every server outside both regions that may be hit: the client is the judge, and never is."""
    record = servers.records.lab()
    assert record is not None, "servers exist only for a lab with a record"
    return (*_OUTSIDE_SERVERS, *(name for extra in extras.of(record.workload) for name in extra.outside))


def _spoil(servers: Servers, spoil: Spoil) -> None:
    record = servers.records.lab()
    assert record is not None, "servers exist only for a lab with a record"
    region = _region(servers, Target(region=spoil.region))
    able = {what: extra for extra in extras.of(record.workload) for what in extra.spoils}
    if spoil.what in certificates.SPOILS:
        certificates.spoil(servers.layout, region, spoil.what, servers.clock.now())
    elif spoil.what in able:
        able[spoil.what].spoil(servers, region, spoil.what)
    else:
        known = ", ".join(sorted((*able, *certificates.SPOILS)))
        raise UsageError(f"this lab cannot spoil {spoil.what!r}", hint=f"expected one of {known}")


def _victims(servers: Servers, target: Target) -> list[Process]:
    """All processes of a region, commands under way included, or of one server."""
    if target.process is not None:
        raise UsageError("the lab has no orchestrator", hint="the drill that started it kills it")
    if target.region is None:
        _known(target.server, _outside_servers(servers))
        return ending.trees(servers.records.all(None, target.server))
    region = _region(servers, target)
    _known(target.server, _region_servers(servers))
    records: list[ProcessRecord] = servers.records.all(region.name, target.server)
    found = ending.trees(records)
    if target.server is None:
        strays = processes.with_descendants(processes.marked(servers.mark, region.name))
        found += [process for process in strays if process not in found]
    return found


def _region(servers: Servers, target: Target) -> RegionLayout:
    if target.region not in REGIONS:
        raise UsageError(f"the lab has no region {target.region!r}", hint=f"expected one of {', '.join(REGIONS)}")
    return servers.layout.region(target.region)


def _known(server: str | None, expected: tuple[str, ...]) -> None:
    if server is not None and server not in expected:
        raise UsageError(f"the lab has no server {server!r} there", hint=f"expected one of {', '.join(expected)}")


def _named(target: Target) -> str:
    return " ".join(part for part in (target.region, target.server) if part)
