"""The kind ``command``: a program of the user's own as a step of a run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from dr.errors import EffectUnknown, Permanent, Transient, UsageError
from dr.model.base import Duration
from dr.model.by_hand import MARK
from dr.model.evidence import CommandRan, Evidence, Note
from dr.model.plan import StepSpec, Touch
from dr.model.runbook import HostAccess, InWorlds, KindConfig
from dr.model.words import Intent, Verb
from dr.ports import AttemptContext, Host, Look, Seen, Site, Step
from dr.providers import shell
from dr.providers.generic.host import NOT_REACHABLE, CommandHost
from dr.providers.generic.person import MOVES, Bystander

Argv = tuple[str, ...]
ByIntent = Argv | dict[Intent, Argv]
"""One command for every intent, or one for each."""

class CommandConfig(InWorlds):
    """Settings of ``command``. ``{source}``, ``{target}``, ``{intent}`` and ``{run}`` in an argument are replaced; no shell is involved.

    run: what is run; exit status 0 is success. check: exit status 0 means "it is done"; asked before and after, may be asked any time.
    undo: takes it back when a planned move is rolled back.
    where: ``local`` (beside the runbook), ``source``, ``target``, or a region: through its host.
    worlds: where it may really run; anywhere else the step does nothing and says so. A drill touches nothing outside its world.
    repeatable: running it twice does no harm. Without this and without a check, a command of unknown outcome waits for a person.
    irreversible: after it, a planned move is not rolled back any more.
    """

    run: ByIntent
    check: ByIntent | None = None
    undo: ByIntent | None = None
    intents: tuple[Intent, ...] | None = None
    where: str = "local"
    timeout: Duration = timedelta(minutes=1)
    estimate: Duration = timedelta(seconds=5)
    repeatable: bool = False
    irreversible: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in ("run", "check", "undo"):
            value = getattr(self, name)
            commands = value.values() if isinstance(value, dict) else [] if value is None else [value]
            if value is not None and (not value or any(not command or not command[0] for command in commands)):
                raise ValueError(f"{name}: expected a program and its arguments as a list")
        if isinstance(self.run, dict) and self.intents is not None:
            raise ValueError("intents: run already says for which intents; leave one of them out")
        if self.undo is not None and self.irreversible:
            raise ValueError("irreversible: there is an undo")
        return self

    def argv(self, which: Literal["run", "check", "undo"], intent: Intent) -> Argv | None:
        """The command for an intent, placeholders as written; None where there is none."""
        value: ByIntent | None = getattr(self, which)
        return value.get(intent) if isinstance(value, dict) else value

    def active(self, intent: Intent) -> bool:
        """There is a step for this intent."""
        return intent in (self.run if isinstance(self.run, dict) else self.intents or MOVES)


@dataclass(frozen=True)
class _Words:
    """What fills the placeholders."""

    source: str
    target: str
    intent: str
    run: str

    def fill(self, argv: Argv) -> Argv:
        """Only these four names; any other brace stays as it is."""
        filled = list(argv)
        for name, value in vars(self).items():
            filled = [word.replace(f"{{{name}}}", value) for word in filled]
        return tuple(filled)


class RunCommand:
    """Runs it where it is declared to run. Its output is dropped: it may print secrets, and nobody here reads it."""

    def __init__(self, config: CommandConfig, intent: Intent, host: Host, site: Site) -> None:
        self._config, self._intent, self._host, self._site = config, intent, host, site

    def observe(self, context: AttemptContext) -> Seen:
        """DONE outside its worlds and where the check says so. BLOCKED where it may have run and nothing tells."""
        if self._site.world not in self._config.worlds:
            text = f"not run: declared for {', '.join(self._config.worlds)}, and this is {self._site.world}"
            return Seen(Look.DONE, text, (Note(text=text),))
        checked = self._checked(context)
        if checked is not None:
            return Seen(Look.DONE, "the check says it is done") if checked else Seen(Look.NEEDED)
        if context.number > 1 and not self._config.repeatable:
            return Seen(
                Look.BLOCKED,
                f"it may have run before and there is no check: look, then dr skip {context.run_id} {context.step.id} --reason TEXT"
                " (or set repeatable or check in the runbook)",
            )
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Runs it once.

        Raises:
            EffectUnknown: killed, out of time, or the host was not reachable.
            Transient: it failed and may be tried again (there is a check, or it is repeatable).
            Permanent: it failed.
        """
        return (self._run("run", context),)

    def verify(self, context: AttemptContext) -> Seen:
        """The check, where there is one; else the exit status was the proof."""
        return Seen(Look.NEEDED, "the check says it is not done") if self._checked(context) is False else Seen(Look.DONE)

    def undo(self, context: AttemptContext) -> None:
        """Runs ``undo``."""
        if self._site.world in self._config.worlds:
            self._run("undo", context)

    def preserve(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """What a command destroys is not known here."""
        return ()

    def _checked(self, context: AttemptContext) -> bool | None:
        argv = self._config.argv("check", self._intent)
        if argv is None:
            return None
        try:
            status = self._host.run(self._filled(argv, context), timeout=self._config.timeout).status
        except EffectUnknown as error:
            raise Transient(f"the check did not end in time: {error.message}") from error
        if status == NOT_REACHABLE:
            raise Transient(f"the check {program(argv)} could not be run {self._config.where}")
        return status == 0

    def _run(self, which: Literal["run", "undo"], context: AttemptContext) -> CommandRan:
        argv = self._config.argv(which, self._intent)
        if argv is None:
            raise Permanent(f"{context.step.id} has no {which} for {self._intent}")
        began = context.clock.monotonic()
        status = self._host.run(self._filled(argv, context), timeout=self._config.timeout).status
        took = timedelta(seconds=context.clock.monotonic() - began)
        if status == NOT_REACHABLE:
            raise EffectUnknown(f"{program(argv)}: not reachable, or it was killed (exit status 255)")
        if status != 0:
            text = f"{program(argv)} ended with exit status {status}; its output is not kept"
            again = self._config.repeatable or self._config.argv("check", self._intent) is not None
            raise Transient(text) if again else Permanent(text, hint=f"by hand: {context.step.by_hand}")
        return CommandRan(program=program(argv), exit_status=status, duration=took)

    def _filled(self, argv: Argv, context: AttemptContext) -> Argv:
        return _Words(context.source, context.target, context.intent, context.run_id).fill(argv)


class Command(Bystander):
    """A program of the user's own as one step: warm a cache, tell a load balancer, write to a chat.

    Protects nothing by itself; ``needs`` of this and of other components say before and after what it runs.
    """

    kind: ClassVar[str] = "command"
    Config: ClassVar[type[KindConfig]] = CommandConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, CommandConfig), "the registry gives each kind its own Config"
        super().__init__(name, config, needs, site)
        self._config = config
        if config.where not in ("local", "source", "target", *site.regions):
            known = ", ".join(("local", "source", "target", *site.regions))
            raise UsageError(f"{name}: where: {config.where} is not known", hint=f"one of: {known}")
        wanted = set(site.regions) if config.where in ("source", "target") else {config.where} & set(site.regions)
        missing = sorted(wanted - site.hosts.keys())
        if missing:
            text = f"{name}: where: {config.where}: no host for {', '.join(missing)}"
            raise UsageError(text, hint=f"write regions: {{{missing[0]}: {{host: {{exec: […]}}}}}}")

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """One step for the intents that it is for."""
        argv = self._config.argv("run", intent)
        if not self._config.active(intent) or argv is None:
            return ()
        region = {"source": source, "target": target, "local": target}.get(self._config.where, self._config.where)
        words = _Words(source, target, intent, MARK)
        check = self._config.argv("check", intent)
        attempts = 3 if self._config.repeatable or check is not None else 1
        spec = StepSpec(
            id=f"{self.name}/run", component=self.name, kind=self.kind, verb=Verb.COMMAND, region=region, title=f"run {program(argv)}",
            estimate=self._config.estimate, budget=self._config.timeout * (2 * attempts), max_attempts=attempts,
            irreversible=self._config.irreversible, undoable=self._config.argv("undo", intent) is not None,
            touches=(Touch(service=f"command {program(argv)}", plane="data", region=region),), permissions=(f"to run {program(argv)}",),
            by_hand=self._typed(region, words.fill(argv)), check_by_hand=self._typed(region, words.fill(check)) if check else "",
        )  # fmt: skip
        return (Step(spec, RunCommand(self._config, intent, self._host(region), self.site)),)

    def _typed(self, region: str, argv: Argv) -> str:
        """What a person types: beside the runbook, or through the region's host."""
        if self._config.where == "local":
            return f"(cd {shlex.quote(str(self.site.base))} && {shlex.join(argv)})"
        return shell.on_host(self.site.regions[region].host, self.site.base, [shlex.quote(word) for word in argv])

    def _host(self, region: str) -> Host:
        if self._config.where != "local":
            return self.site.hosts[region]
        return CommandHost(HostAccess(exec=("env",)), self.site.base, self.site.clock, output_limit=0)


def program(argv: Argv) -> str:
    """The program's own name: arguments may hold what is nobody's business."""
    return PurePath(argv[0]).name


