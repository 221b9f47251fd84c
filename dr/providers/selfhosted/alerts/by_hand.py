"""What a person types to silence alerts and to let them ring again, with ``curl``. Data only."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from dr.model.base import Json
from dr.model.by_hand import MARK, Typed
from dr.providers import shell
from dr.providers.selfhosted.alerts.config import AlertsConfig

_BEGIN, _END = "BEGIN", "END"
_SILENCES = "/api/v2/silences"


class ByHand:
    """The commands of one component.

    Args:
        runbook: its name, which every comment of ours begins with.
        base: the runbook's folder.
    """

    def __init__(self, runbook: str, config: AlertsConfig, base: Path) -> None:
        self._start, self._config, self._base = f"dr {runbook} run ", config, base

    def silence(self, region: str) -> Typed:
        """A silence with the runbook's matchers and expiry."""
        minutes = max(1, round(self._config.expires.total_seconds() / 60))
        conditions: list[Json] = [item.wire for item in self._config.conditions]
        comment = f"{self._start}{MARK}: moved by hand"
        body = json.dumps({"matchers": conditions, "createdBy": "dr", "comment": comment, "startsAt": _BEGIN, "endsAt": _END})
        data = shlex.quote(body).replace(_BEGIN, "'$(date -u +%FT%TZ)'").replace(_END, f"'$(date -u -d +{minutes}min +%FT%TZ)'")
        return Typed(self._curl(region, _SILENCES, f"-H 'Content-Type: application/json' -d {data}"), self._ours(region))

    def end(self, region: str) -> Typed:
        """Expires every silence of this runbook, those of earlier runs, too."""
        ids = f"{self._ours(region)} | sed 's/.*\"id\":\"\\([0-9a-f-]*\\)\".*/\\1/'"
        one = self._curl(region, "/api/v2/silence/$id", "-X DELETE")
        return Typed(f"(for id in $({ids}); do {one} || exit 1; done)", f"! {{ {self._ours(region)}; }}")

    def expire(self, region: str, silence: str) -> str:
        """Expires one silence."""
        return self._curl(region, f"/api/v2/silence/{silence}", "-X DELETE")

    def _ours(self, region: str) -> str:
        """Prints a line for each silence of this runbook that is not over; fails where there is none."""
        lines = "sed 's/},{\"id\"/},\\n{\"id\"/g'"
        mine = f"grep -F '\"comment\":\"{self._start}'"
        return f"{self._curl(region, _SILENCES)} | {lines} | {mine} | grep -v '\"state\":\"expired\"'"

    def _curl(self, region: str, path: str, words: str = "") -> str:
        server, authority = self._config.regions[region], self._config.certificate_authority
        parts = ["curl -sS --fail-with-body --max-time 10"]
        if authority is not None:
            parts.append(f"--cacert {shell.absolute(self._base, authority)}")
        if server.token is not None:
            parts.append(f"-H @<(printf 'Authorization: Bearer %s' {shell.secret(self._base, server.token)})")
        return " ".join([*parts, *([words] if words else []), f"{server.url}{path}"])
