"""What a person types to do and to check each step for secrets, with ``bao`` (``vault`` takes the same words) and ``jq``.

Values go from one program into the next one and are never shown; tokens are read from where the runbook says, into the environment of that
one command.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from dr.model.by_hand import MARK, Typed
from dr.providers import shell
from dr.providers.selfhosted.vault.config import PRESERVED, VaultConfig

_BEFORE, _AFTER = "secrets-before.txt", "secrets-after.txt"
_WALK = """\
walk() { "$1" list -format=json -mount="$mount" "$2" | jq -r '.[]' | while read -r name; do
  case $name in */) walk "$1" "$2$name";; *) echo "$2$name";; esac; done; }"""


class ByHand:
    """The commands of one component. ``base``: the runbook's folder."""

    def __init__(self, config: VaultConfig, base: Path) -> None:
        self._config, self._base = config, base

    def prepare(self, source: str, target: str) -> Typed:
        """What the target lacks and the source, if it is there, has; never written over. The target then lists what it was told to have."""
        copy = self._loop(source, f'there get -mount="$mount" "$path" > /dev/null 2>&1 || {self._carry("$path")}')
        do = self._together(source, target, f"{copy} || echo '{source} does not answer: what is in {target} counts'")
        return Typed(do, self._together(source, target, f"{self._list('there')} | grep ."))

    def snapshot(self, source: str) -> Typed:
        """Which secrets there are; no values."""
        return Typed(self._together(source, source, f"{self._list('here')} > {_BEFORE}"), f"test -s {_BEFORE}")

    def fingerprint(self, target: str) -> Typed:
        """The same secrets as before, where somebody kept which there were."""
        do = self._together(target, target, f"{self._list('here')} > {_AFTER}")
        return Typed(do, f"test -s {_AFTER} && if [ -e {_BEFORE} ]; then diff {_BEFORE} {_AFTER}; fi")

    def preserve(self, source: str, target: str) -> Typed:
        """What the source has otherwise is kept in the target, beside what counts there."""
        kept = f"{PRESERVED}{MARK}/$path"
        keep = f'same "$path" "$path" || same "$path" "{kept}" || {self._carry(kept)}'
        check = f'same "$path" "$path" || same "$path" "{kept}"'
        return Typed(
            self._together(source, target, self._loop(source, keep)),
            self._together(source, target, self._loop(source, f"{check} || {{ echo \"$path is not kept\"; exit 1; }}")),
        )

    def follow(self, source: str, target: str) -> Typed:
        """The source gets every secret of the target that it lacks or has otherwise."""
        bring = 'same "$path" "$path" || there put -mount="$mount" "$path" - > /dev/null < <(value here "$path")'
        check = 'same "$path" "$path" || { echo "$path differs"; exit 1; }'
        return Typed(
            self._together(target, source, self._loop(target, bring)), self._together(target, source, self._loop(target, check)),
        )

    def _carry(self, place: str) -> str:
        """From here to there; refused where something is there already."""
        return f'there put -cas=0 -mount="$mount" "{place}" - > /dev/null < <(value here "$path")'

    def _loop(self, region: str, body: str) -> str:
        """``body`` for each path that ``here`` has; stops at the first that fails."""
        return f"{self._list('here')} | while read -r path; do {body} || exit 1; done"

    def _list(self, side: str) -> str:
        """Every path that is looked after, one a line."""
        left_out = [f"^{re.escape(PRESERVED)}"]
        for pattern in self._config.per_region:
            left_out.append("^" + re.sub(r"\\\{[^}]*\\\}|\\\*", ".*", re.escape(pattern)) + "$")
        starts = [part.rstrip("/") + "/" for part in self._config.prefixes] or [""]
        walks = "; ".join(f"walk {side} {shlex.quote(start)}" for start in starts)
        return f"{{ {walks}; }} | grep -Ev {shlex.quote('|'.join(left_out))} | sort"

    def _together(self, here: str, there: str, command: str) -> str:
        """With both sides as words of the shell, in a shell of its own."""
        return "\n".join([
            "(set -o pipefail", f"mount={shlex.quote(self._config.mount)}", self._side("here", here), self._side("there", there), _WALK,
            'value() { "$1" get -format=json -mount="$mount" "$2" | jq -Sc .data.data; }',
            'same() { [ "$(value here "$1")" = "$(value there "$2" 2> /dev/null)" ]; }',
            f"{command})",
        ])  # fmt: skip

    def _side(self, word: str, region: str) -> str:
        server, authority = self._config.regions[region], self._config.certificate_authority
        trust = f" BAO_CACERT={shell.absolute(self._base, authority)}" if authority else ""
        token = shell.secret(self._base, server.token)
        return f'{word}() {{ BAO_ADDR={shlex.quote(server.url)}{trust} BAO_TOKEN={token} bao kv "$@"; }}'
