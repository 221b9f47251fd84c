"""What a runbook says about alerts."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator

from dr.model.base import Duration, Frozen, Json
from dr.model.runbook import KindConfig, SecretRef

_MATCHER = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*"([^"\\]*)"\s*')


class Matcher(NamedTuple):
    """One condition on a label, in the words of Alertmanager's API."""

    name: str
    value: str
    regex: bool
    equal: bool

    @property
    def wire(self) -> dict[str, Json]:
        """As the API has it."""
        return {"name": self.name, "value": self.value, "isRegex": self.regex, "isEqual": self.equal}

    @property
    def narrow(self) -> bool:
        """It does not hold for alerts that lack the label."""
        return self.equal and (re.fullmatch(self.value, "") is None if self.regex else bool(self.value))


def matcher(text: str) -> Matcher:
    """Reads ``name="value"``, ``=~``, ``!=`` and ``!~``. Raises ValueError."""
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ValueError('expected a matcher such as platform="airflow" or alertname=~"Dr.*"')
    name, operator, value = found.groups()
    made = Matcher(name, value, operator.endswith("~"), not operator.startswith("!"))
    if made.regex:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value} is no regular expression: {error}") from None
    return made


def _matcher(text: str) -> str:
    matcher(text)
    return text.strip()


class Alertmanager(Frozen):
    """One region's Alertmanager. ``url``: where its API is. ``token``: for ``Authorization: Bearer``, where it wants one."""

    url: str
    token: SecretRef | None = None

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise ValueError("expected an address such as http://127.0.10.1:9093")
        return value.rstrip("/")


class AlertsConfig(KindConfig):
    """Settings of the kind ``alert-silence``.

    matchers: which alerts are silenced: those that meet all of them. At least one must not hold for alerts without its label, so that
        nobody silences everything.
    expires: when a silence ends by itself, whatever becomes of the run; a day at most.
    certificate_authority: PEM file that https is verified with; the system's own where none is named.
    answer_timeout: for each request to an Alertmanager.
    """

    regions: dict[str, Alertmanager] = Field(min_length=1)
    matchers: tuple[Annotated[str, AfterValidator(_matcher)], ...] = Field(min_length=1)
    expires: Duration = Field(timedelta(hours=1), gt=timedelta(0), le=timedelta(hours=24))
    certificate_authority: str | None = None
    answer_timeout: Duration = Field(timedelta(seconds=2), gt=timedelta(0), le=timedelta(seconds=10))

    @property
    def conditions(self) -> tuple[Matcher, ...]:
        """The matchers, read."""
        return tuple(matcher(text) for text in self.matchers)

    @field_validator("matchers")
    @classmethod
    def _narrow(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not any(matcher(text).narrow for text in value):
            raise ValueError('expected at least one matcher with a value, such as platform="airflow": these would silence everything')
        return value
