"""What a person types for secrets: aws-cli in ``bash``, with ``jq`` for the checks. No value is shown or stands on a command line."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from dr.model.by_hand import Typed
from dr.providers.aws.calls import Call
from dr.providers.aws.secrets.calls import BATCH, CREATE, DESCRIBE, GET, LIST, REPLICATE, STOP, VERSIONS
from dr.providers.aws.secrets.config import PRESERVED
from dr.providers.aws.typed import cli
from dr.providers.aws.values import chunks

if TYPE_CHECKING:
    from dr.providers.aws.secrets.kind import SecretsManager

_NAME = {"SecretId": "NAME"}
_ALL = "SecretList[].[Name]"


class ByHand:
    """The commands of one component."""

    def __init__(self, owner: SecretsManager) -> None:
        self._owner = owner

    def prepare(self, source: str, target: str, *, planned: bool) -> Typed:
        """Every secret answers in the target; of a planned move, after what is missing there was replicated."""
        place, names = self._owner.places[target], self._owner.config.names
        asked = [cli(BATCH, place, {"SecretIdList": part}, query="Errors") + " | jq -e 'length == 0'" for part in chunks(names, 20)]
        answers = _filled(cli(GET, place, _NAME, query="VersionId")) + " > /dev/null"
        loop = f'while read -r name; do {answers} || exit 1; done <<< "$found"'
        asked.append(f'(set -o pipefail; found=$({self._list(target, _ALL, own=True)}) && [ -n "$found" ] && {loop})')
        check = " && ".join(asked)
        if not planned:
            return Typed(check, check)
        there, missing = self._run(DESCRIBE, target, "> /dev/null 2>&1"), self._run(REPLICATE, source, to=target)
        return Typed(self._each(source, f"{there} || {missing}"), f"{check} && {self._each(source, there)}")

    def release(self, source: str, target: str) -> Typed:
        """Replicas stand alone."""
        replicas = f"SecretList[?PrimaryRegion=='{self._owner.places[source].code}'].[Name]"
        check = f'(set -o pipefail; found=$({self._list(target, replicas)}) && [ -z "$found" ])'
        return Typed(self._each(target, self._run(STOP, target), replicas), check)

    def preserve(self, source: str, target: str) -> Typed:
        """Versions that only the old side has, each as a secret of its own in the leading region."""
        theirs, ours = (
            cli(VERSIONS, self._owner.places[region], {**_NAME, "IncludeDeprecated": True}, query="Versions[].[VersionId]", text=True)
            for region in (source, target)
        )
        kept = f"{PRESERVED}{self._owner.places[source].code}/NAME/VERSION"
        value = cli(GET, self._owner.places[source], {**_NAME, "VersionId": "VERSION"}, query="SecretString") + " | jq -j ."
        parameters = {"Name": kept, "ClientRequestToken": "VERSION", **self._key(target)}
        copy = f"{value} | {cli(CREATE, self._owner.places[target], parameters, query='ARN')} --secret-string file:///dev/stdin"
        there = cli(DESCRIBE, self._owner.places[target], {"SecretId": kept}, query="ARN") + " > /dev/null"
        loop = f"had=$({_filled(theirs)}) && has=$({_filled(ours)}) && {_pairs('-23', 'had', 'has')} | while read -r version; do "
        return Typed(*(
            self._each(target, f"{loop}{_filled(body)} || exit 1; done", both=source)
            for body in (f"{there} 2>&1 || {{ {copy}; }}", there)
        ))  # fmt: skip

    def follow(self, source: str, target: str) -> Typed:
        """The old side's secrets are replicas of the leading side's. What is no replica of either is overwritten: preserve first."""
        code = self._owner.places[source].code
        query = f"ReplicationStatus[?Region=='{code}'].Status | [0]"
        status = _filled(cli(DESCRIBE, self._owner.places[target], _NAME, query=query, text=True)) + " | grep -qx InSync"
        over = self._run(REPLICATE, target, "--force-overwrite-replica-secret", to=source)
        alone = f"SecretList[?PrimaryRegion!='{code}'].[Name]"
        return Typed(self._each(target, f"{status} || {over}", alone), self._each(target, status, alone))

    def _run(self, call: Call, region: str, more: str = "", to: str = "") -> str:
        parameters = {**_NAME, **({"AddReplicaRegions": [self._owner.replica(to)]} if to else {})}
        return " ".join(filter(None, [_filled(cli(call, self._owner.places[region], parameters)), more]))

    def _key(self, region: str) -> dict[str, str]:
        key = self._owner.config.regions[region].kms_key
        return {"KmsKeyId": key} if key is not None else {}

    def _each(self, region: str, body: str, query: str = _ALL, both: str = "") -> str:
        """``body`` for each secret of a region (of both); stops at the first that fails, the listing included."""
        names = self._list(region, query)
        if both:  # not inside <(…), where nobody would see it fail
            names = f"ours=$({names}) && theirs=$({self._list(both, query)}) && {_pairs('-12', 'ours', 'theirs')}"
        return f"(set -o pipefail; {names} | while read -r name; do {body} || exit 1; done)"

    def _list(self, region: str, query: str, *, own: bool = False) -> str:
        """The names that the runbook means, one a line. own: those, too, that each region has for itself."""
        config = self._owner.config
        exact = [_plain(name) for name in config.names] + [f"{_plain(prefix)}.*" for prefix in config.prefixes]
        asked = [
            cli(LIST, self._owner.places[region], {"Filters": [{"Key": "name", "Values": part}]}, query=query, text=True)
            for part in self._owner.reader.beginnings()
        ]
        but = "" if own else "".join(f"/^{_pattern(item)}$/d; " for item in config.per_region)
        wanted = f"{but}/^({'|'.join(exact)})$/p"
        return f"{{ {' && '.join(asked)}; }} | sed -nE {shlex.quote(wanted)}"


def _pattern(text: str) -> str:
    """A runbook's pattern as ``sed -E`` takes it."""
    return _plain(text).replace(r"\*", ".*").replace(r"\?", ".")


def _plain(text: str) -> str:
    return re.sub(r"[].+*?^$(){}|\\[/]", r"\\\g<0>", text)


def _pairs(which: str, one: str, other: str) -> str:
    """Lines of two variables: ``-12`` those of both, ``-23`` those of the first only."""
    return f'comm {which} <(sort <<< "${one}") <(sort <<< "${other}") | sed \'/./!d\''


def _filled(command: str) -> str:
    """With the loop's variables in place of the words that stand for them."""
    command = command.replace("NAME/VERSION", '"$name/$version"')
    return re.sub(r"(?<![\w$])(NAME|VERSION)(?!\w)", lambda found: f'"${found[0].lower()}"', command)
