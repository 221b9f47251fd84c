"""Sends one message on one channel, once. Whoever calls decides whether that is allowed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from dr.errors import CredentialMissing, EffectUnknown, Permanent, StepError
from dr.model.runbook import HostAccess, SecretRef
from dr.ports import Site
from dr.providers.generic.checks.base import HeaderSecret
from dr.providers.generic.checks.web import NotSent, Request, Web
from dr.providers.generic.host import NOT_REACHABLE, CommandHost
from dr.providers.generic.notify.config import Channel, Webhook

CONNECTS = 3
"""A connection that was not made has sent nothing: it is tried again so often, within the time-out."""


class Sender:
    """Sends messages to the channels of one component.

    Args:
        timeout: for one message on one channel.
    """

    def __init__(self, site: Site, timeout: timedelta) -> None:
        self._site, self._timeout = site, timeout

    def send(self, channel: Channel, message: str, fields: Mapping[str, str]) -> None:
        """One message.

        Raises:
            Transient, Permanent: it was not sent. EffectUnknown: it may have been.
        """
        if channel.command is not None:
            self._run(channel.command, message)
        elif channel.webhook is not None:
            self._post(channel.webhook, message, fields)
        elif channel.file is not None:
            self._append(self._site.base / channel.file, f"{fields['at']} {fields['stage']}: {message}\n")

    def _run(self, argv: tuple[str, ...], message: str) -> None:
        host = CommandHost(HostAccess(exec=("env",)), self._site.base, self._site.clock, output_limit=0)
        status = host.run(argv, timeout=self._timeout, stdin=message + "\n").status
        if status == NOT_REACHABLE:
            raise EffectUnknown("it was killed, or cannot be started (exit status 255)")
        if status != 0:
            raise EffectUnknown(f"it ended with exit status {status}; its output is not kept")

    def _post(self, hook: Webhook, message: str, fields: Mapping[str, str]) -> None:
        authority = None if hook.certificate_authority is None else self._site.base / hook.certificate_authority
        body = json.dumps({"text": message, **fields}).encode()
        headers = {"Content-Type": "application/json", **{name: self._value(value) for name, value in hook.headers.items()}}
        web, until = Web(authority, self._site.clock), self._site.clock.monotonic() + self._timeout.total_seconds()
        for number in range(1, CONNECTS + 1):
            left = timedelta(seconds=max(0.1, until - self._site.clock.monotonic()))
            try:
                answer = web.send(Request(self._value(hook.url), left, method="POST", headers=headers, content=body, shown="its URL"))
                break
            except NotSent:
                if number == CONNECTS or self._site.clock.monotonic() >= until:
                    raise
        if not 200 <= answer.status < 300:
            raise Permanent(f"refused with status {answer.status}")

    def _value(self, value: str | SecretRef) -> str:
        if isinstance(value, str):
            return value
        try:
            return (value.prefix if isinstance(value, HeaderSecret) else "") + self._site.secrets.get(value)
        except CredentialMissing as error:
            raise Permanent(error.message, hint=error.hint) from error

    def _append(self, path: Path, line: str) -> None:
        """One write of one line, which no other process's line gets into."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Permanent(f"cannot be written: {error.strerror}", hint=f"ls -ld {path.parent}") from error


def outcome(error: StepError) -> str:
    """What became of a message, in words."""
    return f"{'may or may not have been sent' if isinstance(error, EffectUnknown) else 'was not sent'}: {error.message}"
