"""Alertmanager's API, version 2: list, create and expire silences. Every request is bounded; a connection for each.

Source: https://github.com/prometheus/alertmanager/blob/v0.25.0/api/v2/openapi.yaml. ``http.client``, because it imports in 30 ms.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import AliasPath, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from dr.errors import CredentialMissing, EffectUnknown, Permanent, StepError, Transient
from dr.model.base import Json
from dr.ports import Secrets
from dr.providers.selfhosted.alerts.config import AlertsConfig

AUTHOR = "dr"
_BACKDATED = timedelta(minutes=1)
"""A silence begins at once although the other clock is a little behind ours; Alertmanager moves a start in the past to now."""


class Silence(BaseModel):
    """One silence as an Alertmanager has it. Unknown keys may come with a later version of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    state: Literal["active", "pending", "expired"] = Field(validation_alias=AliasPath("status", "state"))
    author: str = Field(validation_alias="createdBy")
    comment: str
    until: AwareDatetime = Field(validation_alias="endsAt")


class _Created(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(validation_alias="silenceID")


_LIST = TypeAdapter(list[Silence])


class Alertmanagers:
    """The regions' Alertmanagers. Opens nothing before it is asked; safe to use from several threads.

    Args:
        component: for messages. base: where a relative path of ``certificate_authority`` starts.
    """

    def __init__(self, component: str, config: AlertsConfig, secrets: Secrets, base: Path) -> None:
        self._component, self._config, self._secrets, self._base = component, config, secrets, base

    def silences(self, region: str, start: str) -> tuple[Silence, ...]:
        """Those of ours that are not over and whose comment begins with ``start``, the longest first.

        Raises:
            Transient: no answer. Permanent: it does not let us, or is no Alertmanager.
        """
        try:
            found = _LIST.validate_python(self._call(region, "GET", "/api/v2/silences"))
        except ValidationError as error:
            text = f"{self._where(region)}: its silences are not understood: {error.error_count()} fields differ"
            raise Permanent(text, hint="check the address in the runbook") from error
        ours = [item for item in found if item.author == AUTHOR and item.state != "expired" and item.comment.startswith(start)]
        return tuple(sorted(ours, key=lambda item: item.until, reverse=True))

    def create(self, region: str, comment: str, now: datetime, until: datetime) -> str:
        """Makes a silence with the runbook's matchers; its id.

        Raises:
            Transient: nothing was made. EffectUnknown: it may have been. Permanent: it was refused.
        """
        body: Json = {
            "matchers": [item.wire for item in self._config.conditions], "createdBy": AUTHOR, "comment": comment,
            "startsAt": (now - _BACKDATED).isoformat(), "endsAt": until.isoformat(),
        }  # fmt: skip
        try:
            return _Created.model_validate(self._call(region, "POST", "/api/v2/silences", body)).id
        except ValidationError as error:
            raise EffectUnknown(f"{self._where(region)}: its answer to a new silence is not understood") from error

    def expire(self, region: str, silences: Sequence[Silence]) -> None:
        """Ends silences now. Repeatable. Raises as ``create``."""
        for item in silences:
            self._call(region, "DELETE", f"/api/v2/silence/{item.id}")

    def _call(self, region: str, method: str, path: str, body: Json = None) -> Json:
        server, where = self._config.regions[region], self._where(region)
        parts = urlsplit(server.url)
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if server.token is not None:
            headers["Authorization"] = f"Bearer {self._secret(region)}"
        problem: StepError
        line = self._line(parts.scheme, parts.hostname or "", parts.port)
        try:
            line.connect()
        except OSError as error:
            raise Transient(f"{where}: not reachable: {error.strerror or type(error).__name__}") from None
        try:
            line.request(method, parts.path + path, None if body is None else json.dumps(body).encode(), headers)
            answer = line.getresponse()
            status, text = answer.status, answer.read()
            if 200 <= status < 300:
                return json.loads(text) if text.strip() else None
            problem = self._refusal(where, status, text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            lost = f"{where}: no whole answer: {type(error).__name__}"
            problem = Transient(lost) if method == "GET" else EffectUnknown(lost)
        finally:
            line.close()
        raise problem

    def _line(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        limit = self._config.answer_timeout.total_seconds()
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=limit)
        authority = self._config.certificate_authority
        try:
            context = ssl.create_default_context(cafile=None if authority is None else str(self._base / authority))
        except (OSError, ssl.SSLError) as error:
            text = f"{self._component}: certificate_authority {authority} cannot be read: {type(error).__name__}"
            raise Permanent(text, hint="set certificate_authority in the runbook") from None
        return http.client.HTTPSConnection(host, port, timeout=limit, context=context)

    def _refusal(self, where: str, status: int, text: bytes) -> StepError:
        said = " ".join(text.decode(errors="replace").split())[:200]
        if status >= 500 or status in (408, 429):
            return Transient(f"{where}: HTTP {status} {said}")
        hint = "check its token in the runbook" if status in (401, 403) else "check matchers and address in the runbook"
        return Permanent(f"{where}: HTTP {status} {said}", hint=hint)

    def _secret(self, region: str) -> str:
        ref = self._config.regions[region].token
        assert ref is not None, "asked only where there is one"
        try:
            return self._secrets.get(ref)
        except CredentialMissing as error:
            problem = Permanent(error.message, hint=error.hint)
        raise problem

    def _where(self, region: str) -> str:
        return f"{self._component} in {region} ({self._config.regions[region].url})"
