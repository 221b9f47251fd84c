"""What a runbook says about messages: to whom, when, and in which words."""

from __future__ import annotations

import string
from datetime import timedelta
from typing import Self

from pydantic import Field, field_validator, model_validator

from dr.model.base import Duration, Frozen
from dr.model.runbook import InWorlds, SecretRef
from dr.model.words import Intent, Stage
from dr.providers.generic.checks.base import Headers
from dr.providers.generic.notify.texts import WORDS
from dr.providers.generic.person import MOVES


class Webhook(Frozen):
    """A POST of JSON: ``text`` (what chat systems show), and the same facts as fields."""

    url: str | SecretRef = Field(description="the URL, or {file: PATH} or {env: NAME} where it is a secret, as with chat systems")
    headers: Headers = Field({}, description='name: text, or {prefix: "Bearer ", file: PATH} or {env: NAME} for a secret')
    certificate_authority: str | None = Field(None, description="PEM file to trust, and nothing else; default: what this machine trusts")


class Channel(Frozen):
    """One way to people; exactly one of the three."""

    command: tuple[str, ...] | None = Field(None, min_length=1, description="program and arguments, run beside the runbook; text on stdin")
    webhook: Webhook | None = None
    file: str | None = Field(None, description="one line for each message is added to it; relative to the runbook")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(item is not None for item in (self.command, self.webhook, self.file)) != 1:
            raise ValueError("expected exactly one of command, webhook or file")
        return self

    @property
    def name(self) -> str:
        """What it is called in messages; no URL, it may be a secret."""
        if self.command is not None:
            return f"command {self.command[0].rpartition('/')[2]}"
        return "webhook" if self.webhook is not None else f"file {self.file}"


class NotifyConfig(InWorlds):
    """Settings of ``notify``. Stages: investigating (at once), failing-over (as the promotion begins), restored (every public name has
    accepted a write again), resolved (everything is done). Outside its ``worlds`` it is silent: a drill alarms nobody."""

    to: tuple[Channel, ...] = Field(min_length=1, description="every message goes to each of these, at the same time")
    stages: tuple[Stage, ...] = Field(tuple(Stage), min_length=1, description="at which moments a message goes out")
    texts: dict[Stage, str] = Field({}, description="own words; may name " + ", ".join(f"{{{word}}}" for word in WORDS))
    intents: tuple[Intent, ...] = Field(MOVES, min_length=1, description="the intents that people are told of")
    timeout: Duration = Field(timedelta(seconds=10), description="for one message on one channel; then it was not sent, or nobody knows")

    @field_validator("texts")
    @classmethod
    def _words(cls, value: dict[Stage, str]) -> dict[Stage, str]:
        for text in value.values():
            try:
                # nothing but the bare words: a format or an attribute behind one could fail when it is to be sent
                named = {f"{name}{spec}{change or ''}" for _, name, spec, change in string.Formatter().parse(text) if name is not None}
            except ValueError:
                raise ValueError("expected a text with pairs of braces around words") from None
            if named - set(WORDS):
                raise ValueError(f"expected only these words in braces: {', '.join(WORDS)}")
        return value
