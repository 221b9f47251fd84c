"""``dr init``: a runbook of what is there. Reads only."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dr.app.init import text
from dr.app.state import State
from dr.errors import ExitCode, Refused, StepError, UsageError
from dr.model.init import InitComponent, InitGap, InitRefusal, InitReport
from dr.model.runbook import AwsRegion, Region
from dr.ports import Site
from dr.providers.aws.discover import Discovered, discover
from dr.providers.aws.discover.ask import Ask
from dr.providers.aws.hub import Aws
from dr.providers.system import EnvFileSecrets

ALWAYS = (
    "names that are not in Route 53, and whatever else leads people to the primary: a dns-records or command component",
    "what runs on the platform and must be started after a move: an airflow-deployments or restart component",
    "how long service may be away and how much data may be lost (objectives), and who must say yes (approvals)",
)  # fmt: skip
"""What no API of AWS tells of any platform."""


@dataclass(frozen=True)
class Wanted:
    """What was typed. tags: key → values, any of which will do. profiles: of the primary and of the secondary; None: the default chain."""

    primary: str
    secondary: str
    name: str
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    profiles: tuple[str | None, str | None] = (None, None)

    def command(self) -> str:
        """The same as a command line."""
        tags = [f"--tag {shlex.quote(f'{key}={value}')}" for key, values in self.tags.items() for value in values]
        named = [f"--profile-{side} {shlex.quote(profile)}" for side, profile in zip(("primary", "secondary"), self.profiles, strict=True)
                 if profile]  # fmt: skip
        return " ".join(["dr init aws", f"--primary {self.primary}", f"--secondary {self.secondary}", *tags, *named, f"--name {self.name}"])


def aws(state: State, wanted: Wanted, path: Path | None = None, *, force: bool = False) -> InitReport:
    """Asks both regions, and writes the file where one is named.

    Raises:
        UsageError: both regions are one, or one is none of AWS's; the file cannot be written.
        Refused: the file is there already; whose credentials these are is not told, or they belong to two accounts.
    """
    if wanted.primary == wanted.secondary:
        raise UsageError(f"--primary and --secondary are both {wanted.primary}", hint="two regions that are not lost together")
    _free(path, force)
    codes = (wanted.primary, wanted.secondary)
    regions = {code: Region(aws=AwsRegion(profile=profile)) for code, profile in zip(codes, wanted.profiles, strict=True)}
    base = Path.cwd()
    site = Site(
        runbook=wanted.name, regions=regions, hosts={}, clock=state.clock, secrets=EnvFileSecrets(base, state.directory),
        samples=state.samples, artefacts=state.directory / "artefacts" / wanted.name, base=base, peers={}, world=state.world,
    )  # fmt: skip
    hub = Aws.of(site)
    try:
        ask = Ask(hub, hub.place(wanted.primary), hub.place(wanted.secondary), wanted.tags)
        account = _account(ask)
        report = _report(wanted, account, discover(ask, account), path)
    finally:
        hub.close()
    if path is not None:
        _write(path, report.text, force)
    return report


def _free(path: Path | None, force: bool) -> None:
    if path is not None and path.exists() and not force:
        raise Refused(f"{path} is there already: it is not overwritten", hint="another -o FILE, or --force")


def _write(path: Path, content: str, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        raise Refused(f"{path} is there already: it is not overwritten", hint="another -o FILE, or --force") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}", hint="-o FILE, in a folder that is there") from error


def _account(ask: Ask) -> str:
    """The one account of both regions."""
    try:
        mine, theirs = (ask.account(place) for place in (ask.primary, ask.secondary))
    except StepError as error:
        raise Refused(error.message, hint=error.hint) from error
    if mine != theirs:
        fact = f"the credentials belong to account {mine} in {ask.primary} and to {theirs} in {ask.secondary}"
        raise Refused(fact, hint="profiles of one account; components in another one take on a role (roles) in the runbook")
    return mine


def _unknown(found: Discovered) -> Iterator[str]:
    """Each sentence once, with the components that it is about."""
    about: dict[str, list[str]] = defaultdict(list)
    for item in found.components:
        if item.unknown:
            about[item.unknown].append(item.name)
    yield from (f"{', '.join(names)}: {sentence}" for sentence, names in about.items())


def _report(wanted: Wanted, account: str, found: Discovered, path: Path | None) -> InitReport:
    regions = {
        code: {"aws": ({"profile": profile} if profile else {}) | {"account": account}}
        for code, profile in zip((wanted.primary, wanted.secondary), wanted.profiles, strict=True)
    }
    unknown = (*_unknown(found), *ALWAYS)
    active = any(item.found.active for item in found.components)
    top = [*text.head(wanted.command(), wanted.name, wanted.primary, regions)]
    content = text.runbook(top, found.components, text.tail(unknown, found.refused))
    return InitReport(
        runbook=wanted.name, primary=wanted.primary, secondary=wanted.secondary, account=account,
        path=None if path is None else str(path), calls=found.calls, text=content, unknown=unknown,
        components=tuple(InitComponent(name=item.name, kind=item.found.kind, active=item.found.active, needs=item.needs)
                         for item in found.components),
        not_replicated=tuple(InitGap(component=item.name, what=gap.what, why=gap.why, fix=gap.fix)
                             for item in found.components for gap in item.found.gaps),
        not_asked=tuple(InitRefusal(about=item.about, fact=item.fact, fix=item.fix) for item in found.refused),
        exit_code=ExitCode.DONE if active else ExitCode.REFUSED,
    )  # fmt: skip
