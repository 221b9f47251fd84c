"""What a person types to change TTLs: at every server, the records that lead to one of the runbook's regions. Data only."""

from __future__ import annotations

import shlex
from pathlib import Path

from dr.model.by_hand import Typed
from dr.providers import shell
from dr.providers.selfhosted.dns.config import DnsConfig

OLD_TTL = "'\"${OLD_TTL:?set OLD_TTL to the seconds that the records had before}\"'"
"""One word of ``awk`` between single quotes: nobody but the person knows it."""

SLEEP = 'sleep "${OLD_TTL:?set OLD_TTL to the seconds that the records had before}"'


def retime(config: DnsConfig, base: Path, ttl: str) -> Typed:
    """Gives those records another TTL; the check fails while one has a different one.

    Args:
        base: the runbook's folder.
        ttl: seconds, as one word of ``awk``.
    """
    known = "||".join(f'$5=="{address}"' for server in config.regions.values() for address in server.addresses)
    change = f'{known}{{print "update delete "$1" "$4" "$5; print "update add "$1" {ttl} "$4" "$5}}END{{print "send"}}'
    key, do, check = _key(config, base), [], []
    for server in config.regions.values():
        transfer = f"dig @{server.server} -p {server.port} -k {key} {config.zone} AXFR"
        begin = f'BEGIN{{print "server {server.server} {server.port}"; print "zone {config.zone}"}}'
        do.append(f"{transfer} | awk '{begin}{change}' | nsupdate -k {key}")
        check.append(f"{transfer} | awk '({known})&&$2!={ttl}{{n++}}END{{exit n>0||NR==0}}'")
    return Typed(" &&\n".join(do), " &&\n".join(check))


def _key(config: DnsConfig, base: Path) -> str:
    """The TSIG key as a file in the form of ``dig`` and ``nsupdate``; its value is on no command line."""
    form = f'key "{config.tsig.name}" {{ algorithm {config.tsig.algorithm}; secret "%s"; }};\\n'
    return f"<(printf {shlex.quote(form)} {shell.secret(base, config.tsig.key)})"
