"""What a person types for parameters: aws-cli in ``bash``, with ``jq``. No value is shown or stands on a command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dr.model.by_hand import Typed
from dr.providers.aws.parameters.calls import BY_NAME, BY_PATH, PUT
from dr.providers.aws.typed import cli
from dr.providers.aws.values import chunks

if TYPE_CHECKING:
    from dr.providers.aws.parameters.kind import SsmParameters

_ALL = "Parameters[].[Name,Type,Value]"


class ByHand:
    """The commands of one component."""

    def __init__(self, owner: SsmParameters) -> None:
        self._owner = owner

    def look(self, region: str) -> Typed:
        """Every parameter that is named is there; those below paths are counted."""
        names = self._owner.config.names
        there = [
            f"{cli(BY_NAME, self._owner.places[region], {'Names': part}, query='InvalidParameters')} | jq -e 'length == 0'"
            for part in chunks(names, 10)
        ]
        below = [
            f"{cli(BY_PATH, self._owner.places[region], {'Path': path, 'Recursive': True}, query='Parameters[].Name')} | jq -e 'length > 0'"
            for path in self._owner.config.paths
        ]
        command = " && ".join([*there, *below])
        return Typed(command, command)

    def differing(self, original: str, copy: str) -> Typed:
        """The names of those that the copy's region has otherwise, or not at all; none: exit status 0."""
        listed = self._between(original, copy, 'echo "$name"')
        return Typed(listed, listed)

    def keep(self, original: str, copy: str) -> Typed:
        """The same, kept in a file: the values stay in each parameter's history."""
        file = f"{self._owner.name}-before.txt"
        return Typed(self._between(original, copy, 'echo "$name"', done=True) + f" > {file}", f"test -e {file}")

    def carry(self, original: str, copy: str, *, over: bool = False) -> Typed:
        """What the copy's region lacks is written there; with ``over`` what it has otherwise, too."""
        written = {"Name": "NAME", "Type": "TYPE", "Overwrite": over}
        put = cli(PUT, self._owner.places[copy], written).replace("NAME", '"$name"').replace("TYPE", '"$type"')
        do = f'jq -j --arg name "$name" \'.[] | select(.[0] == $name) | .[2]\' <<< "$here" | {put} --value file:///dev/stdin'
        failed = "exit 1" if over else "true"  # without overwriting, one that is there stays as it is
        check = self.differing(original, copy).check if over else self._missing(original, copy)
        return Typed(self._between(original, copy, f"{do} || {failed}", done=True), check)

    def _between(self, original: str, copy: str, body: str, *, done: bool = False) -> str:
        """``body`` with $name and $type for each that is not equal; exit status 1 where there was one, but for ``done``."""
        left = "jq -c '.[]' <<< \"$there\"" + self._own()
        rows = "jq -c '.[]' <<< \"$here\"" + self._own()
        row = "name=$(jq -r '.[0]' <<< \"$row\"); type=$(jq -r '.[1]' <<< \"$row\")"
        loop = f"comm -23 <({rows} | sort) <({left} | sort) | {{ found=0; while read -r row; do found=1; {row}; {body}; done; "
        end = "true; }" if done else "[ $found = 0 ]; }"
        return f"{self._sides(original, copy)} && {loop}{end})"

    def _missing(self, original: str, copy: str) -> str:
        names = "jq -r '.[] | .[0]' <<< "
        compared = f'! comm -23 <({names}"$here" | sort) <({names}"$there" | sort) | grep .'
        return f"{self._sides(original, copy)} && {compared})"

    def _sides(self, original: str, copy: str) -> str:
        return f"(set -o pipefail; here=$({self._list(original)}) && there=$({self._list(copy)})"

    def _own(self) -> str:
        """Rows of parameters that each region has for itself are left out."""
        patterns = [_pattern(item) for item in self._owner.config.per_region]
        return f" | grep -Ev '^\\[\"({'|'.join(patterns)})\"'" if patterns else ""

    def _list(self, region: str) -> str:
        """All of a region as one JSON list of name, type and value, in the memory of the shell only."""
        place, config = self._owner.places[region], self._owner.config
        asked = [cli(BY_NAME, place, {"Names": part, "WithDecryption": True}, query=_ALL) for part in chunks(config.names, 10)]
        asked += [cli(BY_PATH, place, {"Path": path, "Recursive": True, "WithDecryption": True}, query=_ALL) for path in config.paths]
        return f"{{ {' && '.join(asked)}; }} | jq -cs 'add'"


def _pattern(text: str) -> str:
    """A runbook's pattern as ``grep -E`` takes it."""
    return re.sub(r"[].+*?^$(){}|\\[]", r"\\\g<0>", text).replace(r"\*", ".*").replace(r"\?", ".")
