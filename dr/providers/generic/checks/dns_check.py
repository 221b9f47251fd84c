"""The kind ``dns-check``: several resolvers answer names with the target's addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import product
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from dr.errors import Transient, UsageError
from dr.model.base import Duration, show_duration
from dr.model.runbook import KindConfig
from dr.ports import AttemptContext, Site
from dr.providers.generic.checks import by_hand
from dr.providers.generic.checks.base import Check, CheckConfig
from dr.providers.generic.checks.names import Server, ServerText, ask, parsed
from dr.providers.regions import same_regions

_AT_ONCE = 16
_PORT = 53


class DnsCheckConfig(CheckConfig):
    """Settings of ``dns-check``."""

    names: tuple[str, ...] = Field(min_length=1, description="whole names, no patterns")
    resolvers: tuple[ServerText, ...] = Field(min_length=1, description="who is asked: address, with :PORT where it is not 53")
    policy: Literal["all", "any"] = Field(
        "all", description="all: every resolver must answer right; any: one does, and none that answers may answer otherwise"
    )
    addresses: dict[str, tuple[str, ...]] = Field(description="region: the addresses that a name must have there, exactly these")
    maximum_ttl: Duration | None = Field(None, description="no record on the way to an address may be cached for longer")
    timeout: Duration = Field(timedelta(seconds=2), description="for the answer of one resolver")

    @field_validator("addresses")
    @classmethod
    def _addresses(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        try:
            return {region: tuple(sorted(str(ipaddress.ip_address(item)) for item in items)) for region, items in value.items()}
        except ValueError:
            raise ValueError("expected IP addresses") from None


class DnsCheck(Check):
    """Names lead to the target for whoever asks these resolvers: the public ones, or those of the offices."""

    kind: ClassVar[str] = "dns-check"
    Config: ClassVar[type[KindConfig]] = DnsCheckConfig
    service: ClassVar[str] = "dns"

    def __init__(self, name: str, config: KindConfig, needs: Sequence[str], site: Site) -> None:
        assert isinstance(config, DnsCheckConfig), "the registry gives each kind its own Config"
        super().__init__(name, config, needs, site)
        self._config = config
        same_regions(name, config.addresses, site, "addresses")
        if not all(config.addresses.values()):
            raise UsageError(f"{name}: addresses: expected at least one for each region", hint="write where the names lead there")
        self._resolvers = tuple(parsed(text, _PORT) for text in config.resolvers)

    def look(self, context: AttemptContext) -> str:
        """Asks every resolver for every name at once. Raises Transient with the first answers that are not as expected."""
        pairs = list(product(self._resolvers, self._config.names))
        with ThreadPoolExecutor(min(_AT_ONCE, len(pairs)), thread_name_prefix="dns-check") as pool:
            said = list(pool.map(lambda pair: self._wrong(pair[0], pair[1], context.target), pairs))
        silent = {server: text for (server, _), (answered, text) in zip(pairs, said, strict=True) if not answered}
        wrong = [text for answered, text in said if answered and text]
        good = [server for server in self._resolvers if server not in silent]
        if wrong or (silent and self._config.policy == "all") or not good:
            raise Transient("; ".join([*wrong, *silent.values()][:3]))
        asked = f"{len(good)} of {len(self._resolvers)} resolvers" if silent else f"{len(self._resolvers)} resolvers"
        return f"{asked} lead {len(self._config.names)} names to {', '.join(self._config.addresses[context.target])}"

    def _wrong(self, server: Server, name: str, target: str) -> tuple[bool, str]:
        """Whether the server gave an address, and what is wrong with its answer (empty: nothing)."""
        wanted = self._config.addresses[target]
        seen: list[str] = []
        try:
            for kind in sorted({"AAAA" if ":" in address else "A" for address in wanted}):
                found = ask(name, kind, server, self._config.timeout)
                seen += found.addresses
                most = self._config.maximum_ttl
                if most is not None and found.ttl > most:
                    return True, f"{server} lets {name} be cached for {show_duration(found.ttl)}, at most {show_duration(most)} expected"
        except Transient as error:
            return False, error.message
        if sorted(str(ipaddress.ip_address(item)) for item in seen) == list(wanted):
            return True, ""
        return True, f"{server} leads {name} to {', '.join(seen)}, expected {', '.join(wanted)}"

    def title(self, target: str) -> str:
        """How many names and resolvers."""
        return f"{self._config.policy} of {len(self._resolvers)} resolvers lead {len(self._config.names)} names to {target}"

    def permissions(self, target: str) -> tuple[str, ...]:
        """To ask; some resolvers answer only their own networks."""
        return (f"to ask {', '.join(str(server) for server in self._resolvers)} from where dr runs, over UDP and TCP",)

    def by_hand(self, source: str, target: str) -> str:
        """dig, once for each resolver and name. TTLs are for the eye: without ``+short`` it prints them."""
        wanted = self._config.addresses[target]
        families = {family: [item for item in wanted if (":" in item) is (family == "AAAA")] for family in ("A", "AAAA")}
        servers = [
            "(" + " && ".join(
                by_hand.same(by_hand.dig(server, name, family), addresses)
                for name in self._config.names for family, addresses in families.items() if addresses
            ) + ")"
            for server in self._resolvers
        ]  # fmt: skip
        return (" && " if self._config.policy == "all" else " || ").join(servers)

    def warm(self, target: str) -> None:
        """Imports what the first question needs."""
        import dns.query  # noqa: F401  # 70 ms that a run need not wait for
