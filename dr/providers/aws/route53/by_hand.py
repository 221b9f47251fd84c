"""What a person types where the tool is gone: record sets listed by aws-cli, rewritten by jq, sent back. Data only.

Who sends what: the same UPSERTs as the steps, in calls of 500. ``NAMES`` is asked for where only another component knows the names.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from dr.model.by_hand import Typed
from dr.providers.aws.route53.calls import CHANGE, RECORDS, SYNCED
from dr.providers.aws.route53.config import Goal
from dr.providers.aws.route53.sets import listed

if TYPE_CHECKING:
    from dr.providers.aws.route53.kind import Route53Records

OLD_TTL = "${OLD_TTL:?set OLD_TTL to the seconds that the record sets had before}"
_NAMES = "${NAMES:?set NAMES to the host names, as a regular expression of jq}"
_HOSTS = "${NAMES:?set NAMES to the host names, with blanks between them}"
_VALUES = "[.ResourceRecords[]?.Value|ascii_downcase]"
_HOST = '(.AliasTarget.DNSName//""|ascii_downcase|rtrimstr(".")|ltrimstr("dualstack."))'
_AT_ONCE = 500


class ByHand:
    """Commands of one component, with the credentials of one region."""

    def __init__(self, owner: Route53Records, region: str) -> None:
        self._owner, self._place, self._config = owner, owner.places[region], owner.config

    def redirect(self, source: str, target: str) -> Typed:
        """Every simple record set that leads to the source leads to the target."""
        old, new = self._config.regions[source], self._config.regions[target]
        to_values = (
            f".ResourceRecords=([.ResourceRecords[].Value]-{_by_type(old)}-{_by_type(new)}+{_by_type(new)}|map({{Value:.}}))"
            f"|.TTL//={self._owner.ttl}"
        )
        alias = None
        if new.alias is not None:
            alias = {"HostedZoneId": new.alias.zone, "DNSName": new.alias.name, "EvaluateTargetHealth": new.alias.evaluate_target_health}
        to_alias = f"del(.TTL,.ResourceRecords)|.AliasTarget={json.dumps(alias, separators=(',', ':'))}" if alias else "empty"
        fresh = f"({_by_type(new)}|length)>0"
        is_alias = ".AliasTarget" if alias is not None else "false"
        change = f"if {is_alias} then {to_alias} elif {fresh} then (del(.AliasTarget)|{to_values}) else {to_alias} end"
        return Typed(self._sent(_leads(old), change), self._none(_leads(old)))

    def retime(self, region: str, seconds: str) -> Typed:
        """The record sets that lead to a region get a TTL. ``seconds``: a number, or a word of the shell."""
        which = f"(.TTL//{seconds})!={seconds} and ({_leads(self._config.regions[region])})"
        return Typed(self._sent(which, f".TTL={seconds}"), self._none(which))

    def look(self, region: str) -> Typed:
        """What leads to a region, and that something does."""
        program = f"{self._select(_leads(self._config.regions[region]))}|[.Name,.Type,.TTL]"
        listing = self._list()
        return Typed(f"{listing} | jq -c {program_text(program)}", f"{listing} | jq -e {program_text(f'[{program}]|length>0')}")

    def propagate(self, source: str) -> Typed:
        """All name servers have the change, then the old TTL."""
        waits = self._owner.typed(self._place, SYNCED, {"Id": "CHANGE"}).replace("get-change", "wait resource-record-sets-changed", 1)
        waits = waits.replace("--id CHANGE", '--id "${CHANGE:?set CHANGE to the id that change-resource-record-sets printed}"')
        return Typed(f'{waits} &&\nsleep "{OLD_TTL}"', self._none(_leads(self._config.regions[source])))

    def outside(self, target: str) -> Typed:
        """Every name leads to the target and answers."""
        probe = self._config.probe
        names = " ".join(listed(self._config.names)) if self._config.deployments is None else _HOSTS
        at = f" @{self._config.name_servers[0].partition(':')[0]}" if self._config.name_servers else ""
        goal = self._config.regions[target]
        values = "|".join(re.escape(value) for value in (*goal.values, *([goal.alias.host] if goal.alias else []))) or "."
        led = (
            f'dig +short{at} "$name" | grep -Eq {shlex.quote(f"^({values})[.]?$")}'
            if goal.values
            else f'dig +short{at} "$name" | grep -q .'
        )
        if probe is None:
            one = led
        else:
            good = "|".join(str(status) for status in probe.status)
            url = probe.url.replace("{name}", "$name")
            trust = f" --cacert {shlex.quote(probe.certificate_authority)}" if probe.certificate_authority else ""
            limit = probe.timeout.total_seconds()
            one = f'{led} && curl -sS -o /dev/null -w "%{{http_code}}" --max-time {limit:g}{trust} "{url}" | grep -Eqx "{good}"'
        do = f'for name in {names}; do {one} || {{ echo "not yet: $name"; exit 1; }}; done'
        return Typed(f"({do})", f"({do})")

    def _list(self) -> str:
        return self._owner.typed(self._place, RECORDS, {"HostedZoneId": self._config.zone}) + " --output json"

    def _sent(self, which: str, change: str) -> str:
        """The record sets that ``which`` chooses, changed, in as few calls as hold them."""
        upserts = f'[{self._select(which)}|{change}|{{Action:"UPSERT",ResourceRecordSet:.}}]'
        program = f"{upserts} as $all|range(0;$all|length;{_AT_ONCE})|{{Changes:$all[.:.+{_AT_ONCE}]}}"
        send = self._owner.typed(self._place, CHANGE, {"HostedZoneId": self._config.zone, "ChangeBatch": "file:///dev/stdin"})
        sent = f'while IFS= read -r batch; do printf %s "$batch" | {send} || exit 1; done'
        return f"(set -o pipefail; {self._list()} |\njq -c {program_text(program)} |\n{sent})"

    def _none(self, which: str) -> str:
        return f"{self._list()} | jq -e {program_text(f'[{self._select(which)}]|length==0')}"

    def _select(self, which: str) -> str:
        names = f'(.Name|ascii_downcase|rtrimstr(".")|gsub("\\\\\\\\052";"*")|test({self._names()}))'
        kinds = '(.Type as $t|["A","AAAA","CNAME"]|index($t))'
        return f".ResourceRecordSets[]|select((.SetIdentifier|not) and {kinds} and {names} and ({which}))"

    def _names(self) -> str:
        """A regular expression as a text of jq."""
        if self._config.deployments is not None:
            return f'"{_NAMES}"'
        each = [re.escape(name).replace(r"\*", ".*").replace(r"\?", ".") for name in self._config.names]
        return json.dumps(f"^({'|'.join(each)})$")


def program_text(program: str) -> str:
    """One word of the shell; what the person sets is filled in by the shell."""
    quoted = shlex.quote(program)
    for word in (_NAMES, OLD_TTL):
        quoted = quoted.replace(word, f"'\"{word}\"'")
    return quoted


def _by_type(goal: Goal) -> str:
    table = {kind: list(goal.of(kind)) for kind in ("A", "AAAA", "CNAME")}
    return f"({json.dumps(table, separators=(',', ':'))}[.Type])"


def _leads(goal: Goal) -> str:
    """The condition of jq: a record set leads there."""
    values = json.dumps([*goal.values, *(f"{value}." for value in goal.of("CNAME"))], separators=(",", ":"))
    by_value = f"({_VALUES}-({_VALUES}-{values})|length)>0"
    return by_value if goal.alias is None else f"{by_value} or {_HOST}=={json.dumps(goal.alias.host)}"
