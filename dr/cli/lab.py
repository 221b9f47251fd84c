"""``dr lab``: the two regions on this machine, to play with."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.options import DrCommand, json_option

if TYPE_CHECKING:
    from dr.lab.lab import Lab
    from dr.model.scenario import Fault

SERVERS = ("postgres", "dns", "runtime", "agent", "log-sync", "log-writer")


@click.group()
def command() -> None:
    """The two regions on this machine: real servers, started, stopped, looked at and broken.

    State lies in lab-state beside the runbooks folder, or in $DR_LAB_STATE.
    """


PARTS = ("logs", "images", "secrets", "alerts")


def laboratory() -> Lab:
    """The lab of the current directory; starts nothing."""
    from dr.lab.lab import Lab
    from dr.lab.layout import Layout
    from dr.providers.system import SystemClock

    return Lab(Layout.find(Path.cwd()), SystemClock())


@command.command(cls=DrCommand)
@click.option("--deployments", type=click.IntRange(1, 500), default=5, show_default=True, help="Airflow Deployments.")
@click.option("--tasks", type=click.IntRange(0, 100_000), default=60, show_default=True, help="Tasks running in all of them together.")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="A part beside database, names and Deployments.")
@click.option("--everything", is_flag=True, help="Every part: the platform of runbooks/platform.yaml.")
@json_option
def up(deployments: int, tasks: int, parts: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Start both regions and seed them; returns when everything serves."""
    from dr.cli.console import emit, say
    from dr.model.scenario import Workload

    lab = laboratory()
    wanted = PARTS if everything else parts
    lab.up(Workload.model_validate({"deployments": deployments, "running_tasks": tasks, "parts": wanted}), say)
    status = lab.status()
    if as_json:
        emit(status)
    else:
        runbook = "platform" if everything else "lab"
        click.echo(f"the lab is up in {status.directory}: dr status runbooks/{runbook}.yaml · dr lab down")
    return 0


@command.command(cls=DrCommand)
@json_option
def down(as_json: bool) -> int:
    """End everything that belongs to the lab, whoever started it."""
    from dr.cli.console import emit, say
    from dr.errors import ExitCode
    from dr.lab.outputs import LabDown

    left = laboratory().down()
    if as_json:
        emit(LabDown(ok=left.ok, leftovers=tuple(left.leftovers)))
    elif left.ok:
        click.echo("the lab is down; nothing is left over")
    for item in left.leftovers:
        say(f"left over: {item}")
    return ExitCode.DONE if left.ok else ExitCode.FAILED


@command.command(cls=DrCommand)
@json_option
def status(as_json: bool) -> int:
    """What runs."""
    from dr.cli.console import emit

    report = laboratory().status()
    if as_json:
        emit(report)
        return 0
    click.echo(f"the lab in {report.directory} is {report.state}")
    for region, reachable in report.reachable.items():
        click.echo(f"  {region}: commands {'reach' if reachable else 'do not reach'} its hosts")
    for server in report.servers:
        click.echo(f"  {server.name:<16} {server.state:<8} {server.pid or '-'}")
    if report.link is not None:
        click.echo(f"  link: {report.link.model_dump_json(exclude_defaults=True)}")
    return 0


@command.command(cls=DrCommand)
@click.option("--fix", is_flag=True, help="Get what can be got without root and without installing anything on the system.")
@json_option
def doctor(fix: bool, as_json: bool) -> int:
    """Every part that the lab needs: found, or missing with the command that gets it."""
    from dr.cli.console import emit, say
    from dr.errors import ExitCode
    from dr.lab import doctor as machine
    from dr.lab.outputs import LabDoctor, LabPart

    found = machine.fix(say) if fix else machine.doctor()
    if as_json:
        emit(LabDoctor(parts=tuple(LabPart.model_validate(asdict(part)) for part in found)))
    else:
        for part in found:
            click.secho("found   " if part.found else "missing ", fg="green" if part.found else "red", nl=False)
            click.echo(f"{part.name} {part.version}  {part.where}".rstrip() if part.found else part.name)
            if not part.found:
                click.echo(f"          Try: {part.fix}")
    return ExitCode.DONE if all(part.found for part in found) else ExitCode.REFUSED


@command.group()
def fault() -> None:
    """Break something, or mend it. TARGET is a region (east), one server of it (east/postgres), or agent."""


def parse_target(text: str) -> tuple[str | None, str | None]:
    """``east`` → region; ``east/postgres`` → region and server; ``agent`` → server."""
    region, _, server = text.partition("/")
    if not server and region in SERVERS:
        return None, region
    return region, server or None


def _inject(fault: Fault, said: str, *, as_json: bool) -> int:
    lab = laboratory()
    lab.running()
    moment = lab.inject(fault)
    if as_json:
        from dr.cli.console import emit
        from dr.lab.outputs import LabFault

        emit(LabFault(kind=fault.kind, fault=fault, observed_at=moment))
    else:
        click.echo(f"{said} since {moment:%H:%M:%S.%f}Z")
    return 0


def _on_target(name: str, field: str, said: str, text: str) -> None:
    """Adds one command of ``dr lab fault`` that hits a target."""

    @fault.command(name, cls=DrCommand, help=text)
    @click.argument("target")
    @json_option
    def hit(target: str, as_json: bool) -> int:
        from dr.model.scenario import Fault, Target

        region, server = parse_target(target)
        made = Fault.model_validate({"at": timedelta(0), field: Target(region=region, server=server)})
        return _inject(made, f"{target} {said}", as_json=as_json)


_on_target("kill", "kill", "is killed", "SIGKILL a region or a server.")
_on_target("freeze", "freeze", "is frozen", "SIGSTOP a region or a server: it is there and does not answer.")
_on_target("thaw", "thaw", "runs again", "SIGCONT what was frozen.")
_on_target("cut", "cut", "cannot be reached for commands", "The region lives, but commands (a fence, too) do not reach its hosts.")
_on_target("bring-back", "bring_back", "is back", "Start what was killed; an old primary comes back writable.")


@fault.command(cls=DrCommand)
@click.argument("region")
@click.argument("what")
@json_option
def spoil(region: str, what: str, as_json: bool) -> int:
    """Make contents of a region wrong, such as image-missing or certificate-expired."""
    from dr.model.scenario import Fault, Spoil

    made = Fault(at=timedelta(0), spoil=Spoil(region=region, what=what))
    return _inject(made, f"{region} ({what}) is spoiled", as_json=as_json)


@fault.command(cls=DrCommand)
@click.argument("region")
@click.argument("by")
@json_option
def slow(region: str, by: str, as_json: bool) -> int:
    """REGION takes its first write BY (such as 15s) after its database could: capacity that comes late. 0s takes it back."""
    from dr.errors import UsageError
    from dr.model.base import parse_duration
    from dr.model.scenario import Fault, Slow

    try:
        made = Fault(at=timedelta(0), slow=Slow(region=region, server="runtime", by=parse_duration(by)))
    except ValueError as error:
        raise UsageError(f"{by}: {error}", hint=f"dr lab fault slow {region} 15s") from None
    return _inject(made, f"{region}/runtime is slow by {by}", as_json=as_json)


@fault.command(cls=DrCommand)
@click.option("--delay", metavar="DURATION", help="Delay in each direction, such as 20ms.")
@click.option("--rate", type=click.IntRange(1), metavar="BYTES", help="Bytes a second at most.")
@click.option("--blackhole", is_flag=True, help="Connections stay open and nothing arrives.")
@click.option("--reset", is_flag=True, help="Cut all open connections now.")
@click.option("--heal", is_flag=True, help="A healthy link again.")
@json_option
def link(delay: str | None, rate: int | None, blackhole: bool, reset: bool, heal: bool, as_json: bool) -> int:
    """What the link between the regions does from now on; what is not given is healthy."""
    from dr.errors import UsageError
    from dr.model.base import parse_duration
    from dr.model.scenario import Fault, LinkFault

    chosen = any((delay, rate, blackhole, reset))
    if chosen == heal:
        raise UsageError("expected --heal, or at least one of --delay, --rate, --blackhole, --reset", hint="dr lab fault link --delay 20ms")
    try:
        parsed = None if delay is None else parse_duration(delay)
    except ValueError as error:
        raise UsageError(f"--delay {delay}: {error}", hint="--delay 20ms") from None
    condition = LinkFault.model_validate({"delay": parsed, "bytes_per_second": rate, "blackhole": blackhole, "reset": reset})
    return _inject(Fault(at=timedelta(0), link=condition), "the link is healthy" if heal else "the link is as asked", as_json=as_json)
