"""What a person types to do and to check each step of a zone, with BIND's ``dig`` and ``nsupdate``.

The key is read from its file (or variable) when it is used: ``dig`` gets it as a file in its own form that this shell has, ``nsupdate``
on its standard input; it stands on no command line.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from dr.model.by_hand import Question, Typed
from dr.providers import shell
from dr.providers.selfhosted.dns.config import DnsConfig

_ADDRESSES = ("A", "AAAA")


class ByHand:
    """The commands of one component.

    Args:
        component: its name.
        base: the runbook's folder.
    """

    def __init__(self, component: str, config: DnsConfig, base: Path) -> None:
        self._component, self._config, self._base = component, config, base

    def question(self, region: str) -> Question:
        """Where the region's own server leads the names."""
        known = " ".join(f'of["{address}"]="{name}";' for name, server in self._config.regions.items() for address in server.addresses)
        count = f"BEGIN{{{known}}} {self._ours()} && ($5 in of) {{n[of[$5]]++}} END{{for (r in n) print r, n[r]}}"
        return Question(
            component=self._component, region=region, primary=f"{self._records(region)} | awk {shlex.quote(count)}",
            reads=f"how many names lead to which region, as the server of {region} says; `{region}` alone: {region} is the primary",
        )  # fmt: skip

    def prepare(self, target: str) -> Typed:
        """The target's server gives the zone away and takes our signed updates (one that changes nothing)."""
        nothing = f"echo 'prereq yxrrset {self._config.zone}. SOA'"
        return Typed(self._records(target), self._update(target, nothing))

    def redirect(self, source: str, target: str) -> Typed:
        """Every name that leads to the source leads to the target, at the target's server and, where that answers, at the source's."""
        there = f"{self._redirected(source, source, target)} || echo 'the server of {source} did not take it: that may be lost'"
        return Typed(f"{self._redirected(target, source, target)} &&\n{{ {there}; }}", self._leads(target, source, target))

    def propagate(self, source: str, target: str) -> Typed:
        """The old answers' time is over; whoever answers leads to the target."""
        longest = f"{self._ours()} && $2 > longest {{longest = $2}} END{{print longest + 0}}"
        wait = f'sleep "$({self._records(target)} | awk {shlex.quote(longest)})"'
        stale = f"if {self._records(source)} > /dev/null; then {self._redirected(source, source, target)}; fi"
        return Typed(f"{wait}\n{stale}", self._leads(target, source, target))

    def follow(self, source: str, target: str) -> Typed:
        """The source's server answers as the target's does; names that only it has do not lead to the source any more."""
        copy = (
            f'{self._ours()} {{if (!(($1, $4) in seen)) {{seen[$1, $4] = 1; print "update delete", $1, $4}} '
            'print "update add", $1, $2, $4, $5}'
        )
        do = self._update(source, f"{self._records(target)} | awk {shlex.quote(copy)}")
        ours = shlex.quote(f"{self._ours()} {{print $1, $4, $5}}")
        one, other = (f"{self._records(region)} | awk {ours} | sort" for region in (target, source))
        return Typed(f"{do} &&\n{self._redirected(source, source, target)}", f"diff <({one}) <({other})")

    def _redirected(self, region: str, old: str, new: str) -> str:
        """At the server of ``region``: every record of ours with an address of ``old`` gets the one of ``new`` of its type."""
        config, change = self._config, []
        for kind in _ADDRESSES:
            after = next((address for address in config.regions[new].addresses if _type(address) == kind), None)
            for address in (item for item in config.regions[old].addresses if _type(item) == kind):
                add = f'; print "update add", $1, $2, $4, "{after}"' if after else ""
                change.append(f'{self._ours()} && $5 == "{address}" {{print "update delete", $1, $4, $5{add}}}')
        return self._update(region, f"{self._records(region)} | awk {shlex.quote(' '.join(change))}")

    def _leads(self, region: str, old: str, new: str) -> str:
        """At the server of ``region`` no name of ours leads to ``old``, and some lead to ``new``."""
        bad = " || ".join(f'$5 == "{address}"' for address in self._config.regions[old].addresses)
        good = " || ".join(f'$5 == "{address}"' for address in self._config.regions[new].addresses)
        judge = (
            f"{self._ours()} && ({bad}) {{wrong++; print}} {self._ours()} && ({good}) {{right++}} "
            f'END{{print right + 0, "lead to {new},", wrong + 0, "to {old}"; exit wrong > 0 || !right}}'
        )
        return f"{self._records(region)} | awk {shlex.quote(judge)}"

    def _ours(self) -> str:
        """The condition in awk: an address record that one of the runbook's patterns names."""
        patterns = [name.rstrip(".").lower().replace(".", "[.]").replace("*", ".*").replace("?", ".") for name in self._config.names]
        return f'($4 == "A" || $4 == "AAAA") && tolower($1) ~ /^({"|".join(patterns)})[.]$/'

    def _records(self, region: str) -> str:
        """All records of the zone at a region's server; fails where it does not answer or refuses."""
        server, config, tsig = self._config.regions[region], self._config, self._config.tsig
        key = f"printf 'key \"{tsig.name}\" {{algorithm {tsig.algorithm}; secret \"%s\";}};' {shell.secret(self._base, tsig.key)}"
        return f"dig @{server.server} -p {server.port} +time=3 +tries=1 +noall +answer -k <({key}) {config.zone} AXFR"

    def _update(self, region: str, changes: str) -> str:
        """One signed update with what ``changes`` prints."""
        server, config, tsig = self._config.regions[region], self._config, self._config.tsig
        key = f'echo "key {tsig.algorithm}:{tsig.name} "{shell.secret(self._base, tsig.key)}'
        return f"""{{ echo 'server {server.server} {server.port}'; echo 'zone {config.zone}'; {key}
  {changes}
  echo send; }} | nsupdate -t 5"""


def _type(address: str) -> str:
    return "AAAA" if ":" in address else "A"
