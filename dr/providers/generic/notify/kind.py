"""The kind ``notify``: one step for each stage, beside everything else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from dr.errors import CredentialMissing, Permanent, StepError
from dr.model.by_hand import said_yes
from dr.model.evidence import Evidence, Note
from dr.model.lag import ComponentView, Finding
from dr.model.plan import StepSpec, Touch
from dr.model.runbook import KindConfig, SecretRef
from dr.model.words import Intent, Severity, Stage, Verb
from dr.ports import AttemptContext, Look, Seen, Site, Step
from dr.providers import shell
from dr.providers.generic.checks import by_hand
from dr.providers.generic.notify import texts
from dr.providers.generic.notify.channels import Sender, outcome
from dr.providers.generic.notify.config import Channel, NotifyConfig
from dr.providers.generic.person import Bystander
from dr.providers.one_way import OneWay

_MARGIN = timedelta(seconds=5)


class SendOnce(OneWay):
    """Sends the message of one stage to all channels, at most once in a run.

    The journal says before the effect that an attempt begins. So a second attempt means that the first one may have sent it, whoever made
    it and wherever: nobody is alarmed twice, and what was lost that way is said.
    """

    def __init__(self, stage: Stage, config: NotifyConfig, site: Site) -> None:
        self._stage, self._config, self._site = stage, config, site

    def observe(self, context: AttemptContext) -> Seen:
        """DONE outside its worlds, and where it may have been sent before."""
        if self._site.world not in self._config.worlds:
            return _said(f"not sent: declared for {', '.join(self._config.worlds)}, and this is {self._site.world}")
        if context.number > 1:
            return _said(f"not sent again: an earlier attempt may have sent the message {self._stage}")
        return Seen(Look.NEEDED)

    def act(self, context: AttemptContext) -> tuple[Evidence, ...]:
        """Sends. Raises Permanent naming each channel that failed: a deviation, the run goes on."""
        message = texts.text(self._stage, self._config.texts, self._site.runbook, context)
        fields = {
            "at": context.clock.now().isoformat(timespec="seconds"), "stage": str(self._stage), "runbook": self._site.runbook,
            "run": context.run_id, "intent": str(context.intent), "source": context.source, "target": context.target,
        }  # fmt: skip
        sender = Sender(self._site, self._config.timeout)

        def one(channel: Channel) -> str | None:
            try:
                sender.send(channel, message, fields)
            except StepError as error:
                return f"{channel.name}: the message {self._stage} {outcome(error)}"
            return None

        with ThreadPoolExecutor(len(self._config.to), thread_name_prefix="notify") as pool:
            problems = [problem for problem in pool.map(one, self._config.to) if problem]
        if problems:
            raise Permanent("; ".join(problems), hint=f"tell them: {message}")
        return (Note(text=f"told {', '.join(channel.name for channel in self._config.to)}: {message}"),)

    def verify(self, context: AttemptContext) -> Seen:
        """What was sent was sent."""
        return Seen(Look.DONE)


class Notify(Bystander):
    """People are told: investigating, failing over with the expected end, restored, resolved.

    The planner places the stages by themselves, so ``needs`` is not wanted; nothing waits for a message, and a message that cannot be
    sent neither fails nor delays the run. Silent in every world but those that it declares (default: live).
    """

    kind: ClassVar[str] = "notify"
    Config: ClassVar[type[KindConfig]] = NotifyConfig

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, NotifyConfig), "the registry gives each kind its own Config"
        super().__init__(name, config, needs, site)
        self._config = config

    def view(self) -> ComponentView:
        """In no region. Findings: credentials and authorities of webhooks that are not there."""
        found = []
        for hook in (channel.webhook for channel in self._config.to if channel.webhook is not None):
            for value in (hook.url, *hook.headers.values()):
                problem = self._missing(value) if isinstance(value, SecretRef) else None
                if problem is not None:
                    found.append(Finding(component=self.name, severity=Severity.WARNING, fact=problem.message, fix=problem.hint))
            if hook.certificate_authority is not None and not (self.site.base / hook.certificate_authority).is_file():
                fact, fix = f"{hook.certificate_authority} is not there", f"put it there, or change {self.name} in the runbook"
                found.append(Finding(component=self.name, severity=Severity.WARNING, fact=fact, fix=fix))
        return super().view().model_copy(update={"findings": tuple(found)})

    def _missing(self, ref: SecretRef) -> CredentialMissing | None:
        try:
            self.site.secrets.get(ref)
        except CredentialMissing as error:
            return error
        return None

    def steps(self, intent: Intent, source: str, target: str) -> Sequence[Step]:
        """One step for each stage, in order: no message overtakes an earlier one."""
        if intent not in self._config.intents:
            return ()
        steps: list[Step] = []
        for stage in (stage for stage in Stage if stage in self._config.stages):
            known = {"runbook": self.site.runbook, "intent": str(intent), "source": source, "target": target}
            said = texts.shown(stage, self._config.texts, known, planned=intent.planned)
            heard = said_yes(f"{self.name}/{stage}")  # nothing can be asked: one of those who should have been told says so
            spec = StepSpec(
                id=f"{self.name}/{stage}", component=self.name, kind=self.kind, verb=Verb.NOTIFY, region=target, stage=stage,
                title=f"tell people: {str(stage).replace('-', ' ')}", needs=tuple(step.spec.id for step in steps[-1:]),
                estimate=timedelta(milliseconds=100), budget=self._config.timeout + _MARGIN, max_attempts=1, optional=True,
                touches=tuple(Touch(service=channel.name, plane="data", region=target) for channel in self._config.to),
                permissions=tuple(f"to use {channel.name}" for channel in self._config.to),
                by_hand=_typed(said, self._config.to, self.site.base),
                check_by_hand=f"{heard.do} && {heard.check}",
            )  # fmt: skip
            steps.append(Step(spec, SendOnce(stage, self._config, self.site)))
        return steps

    def warm(self, target: str) -> None:
        """Imports what a webhook needs, where there is one."""
        if any(channel.webhook is not None for channel in self._config.to):
            import httpx  # noqa: F401  # 130 ms that a run need not wait for


def _said(text: str) -> Seen:
    return Seen(Look.DONE, text, (Note(text=text),))


def _typed(message: str, channels: Sequence[Channel], base: Path) -> str:
    """What a person would type. A secret is read by the shell when it is typed, and is no argument of any program."""
    commands = []
    for channel in channels:
        if channel.command is not None:
            commands.append(f"(cd {shlex.quote(str(base))} && echo {shlex.quote(message)} | {shlex.join(channel.command)})")
        elif channel.file is not None:
            commands.append(f"echo {shlex.quote(message)} >> {shell.absolute(base, channel.file)}")
        elif channel.webhook is not None:
            call = by_hand.curl(base, channel.webhook.headers, channel.webhook.certificate_authority, timedelta(seconds=10))
            body = shlex.quote(json.dumps({"text": message}))
            call += ["--fail-with-body", "-H", "'Content-Type: application/json'", "-d", body, *_to(channel.webhook.url, base)]
            commands.append(" ".join(call))
    return "; ".join(commands)


def _to(url: str | SecretRef, base: Path) -> list[str]:
    if isinstance(url, str):
        return [shlex.quote(url)]
    return ["-K", f"<(printf 'url = \"%s\"' {shell.secret(base, url)})"]
