"""Where names lead by DNS: as anybody sees it, and without any control plane.

dnspython costs 70 ms to import, so it is imported with the first question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from dr.errors import StepError, Transient
from dr.providers.aws.hub import Aws
from dr.providers.aws.route53.config import Goal, kind_of, plain
from dr.providers.generic.checks.names import Server, parsed

TIMEOUT = timedelta(milliseconds=700)
"""For one question, all servers tried."""


@dataclass(frozen=True)
class Found:
    """What an answer holds: addresses and the names that it went through, and the longest time that any of it may be cached."""

    values: frozenset[str]
    ttl: int


class Lookup:
    """Asks the name servers of the runbook, else those of this machine. Threads may use it at once."""

    def __init__(self, aws: Aws, servers: Sequence[str], goals: Mapping[str, Goal]) -> None:
        self._aws, self._servers, self._goals = aws, [parsed(text, 53) for text in servers], goals

    @property
    def who(self) -> str:
        """Who is asked, for people."""
        return ", ".join(str(server) for server in self._servers) or "this machine's resolver"

    def ask(self, name: str, kind: str = "A") -> Found:
        """One name. Raises Transient: nobody answers, or there is no such name."""
        return _ask(name, kind, self._servers or _own_servers(), TIMEOUT)

    def addresses(self, name: str) -> list[str]:
        """Where sockets to a name go. Raises Transient."""
        return sorted(value for value in self.ask(name, self._kind()).values if kind_of(value) != "CNAME")

    def regions(self, names: Sequence[str]) -> dict[str, list[str] | StepError]:
        """By name: the regions it leads to, or why nobody knows; all at the same time."""
        hosts = self._hosts()
        return dict(zip(names, self._aws.many([partial(self._region, name, hosts) for name in names]), strict=True))

    def _region(self, name: str, hosts: Mapping[str, frozenset[str]]) -> list[str]:
        found = self.ask(name, self._kind()).values
        return [region for region, goal in self._goals.items() if found & (set(goal.values) | hosts[region])]

    def _kind(self) -> str:
        """AAAA only where no region has anything else."""
        six = all(goal.of("AAAA") and not goal.of("A") and not goal.of("CNAME") and goal.alias is None for goal in self._goals.values())
        return "AAAA" if six else "A"

    def _hosts(self) -> dict[str, frozenset[str]]:
        """By region: the names of its alias, and the addresses that it has now; an alias shows in an answer as addresses only."""
        found = {}
        for region, goal in self._goals.items():
            hosts = {goal.alias.host, goal.alias.name} if goal.alias is not None else set()
            hosts |= set(goal.of("CNAME"))
            for host in sorted(hosts):
                try:
                    hosts |= self.ask(host, self._kind()).values
                except Transient:
                    continue  # of a lost region maybe; then nothing leads there by this look, and the name itself still counts
            found[region] = frozenset(hosts)
        return found


def _own_servers() -> list[Server]:
    import dns.exception
    import dns.resolver

    try:
        return [Server(str(address), 53) for address in dns.resolver.get_default_resolver().nameservers]
    except dns.exception.DNSException:
        return []


def _ask(name: str, kind: str, servers: Sequence[Server], timeout: timedelta) -> Found:
    """What the first server that answers says."""
    import dns.exception
    import dns.message
    import dns.query
    import dns.rcode
    import dns.rdatatype

    reasons = [] if servers else ["no name server is known"]
    for server in servers:
        try:
            query = dns.message.make_query(name, kind)
            limit = timeout.total_seconds() / len(servers)
            answer, _ = dns.query.udp_with_fallback(query, server.address, timeout=limit, port=server.port)
        except (OSError, dns.exception.DNSException, ValueError) as error:
            reasons.append(f"{server}: {type(error).__name__}")
            continue
        types = (dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.CNAME)
        records = [records for records in answer.answer if records.rdtype in types]
        if records:
            return Found(frozenset(plain(str(item)) for found in records for item in found), max(found.ttl for found in records))
        reasons.append(f"{server}: {dns.rcode.to_text(answer.rcode())}, no address")
    raise Transient(f"{name}: {'; '.join(reasons)}")
