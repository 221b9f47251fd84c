"""A name server for tests: answers A questions over UDP from what a test says, as Route 53's data plane would."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.aws.emulator import Emulator

Answers = Callable[[str], Sequence[str]]
"""Name, without the last dot → addresses; none: there is no such name."""

FRESH_SECONDS = 0.5


@contextmanager
def name_server(answers: Answers, ttl: int = 1) -> Iterator[str]:
    """``127.0.0.1:PORT`` for as long as the block lasts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    wire, peer = listening.recvfrom(4096)
                except TimeoutError:
                    continue
                question = dns.message.from_wire(wire)
                reply = dns.message.make_response(question)
                reply.flags |= dns.flags.AA
                name = question.question[0].name
                found = answers(name.to_text(omit_final_dot=True))
                if found:
                    reply.answer.append(dns.rrset.from_text(name, ttl, "IN", "A", *found))
                else:
                    reply.set_rcode(dns.rcode.NXDOMAIN)
                listening.sendto(reply.to_wire(), peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def of_zone(emulator: Emulator, zone: str, healthy: Callable[[str], bool] = lambda check: True) -> Answers:
    """What the emulated zone holds, read anew every ``FRESH_SECONDS``; of a failover pair the PRIMARY, or the SECONDARY where its health
    check is not healthy now."""
    kept: dict[str, Any] = {"at": float("-inf")}

    def answers(name: str) -> list[str]:
        if time.monotonic() - kept["at"] > FRESH_SECONDS:
            pages = emulator.client("route53", "us-east-1").get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
            kept["sets"] = [item for page in pages for item in page["ResourceRecordSets"]]
            kept["at"] = time.monotonic()
        found = {
            item.get("Failover", ""): [value["Value"] for value in item.get("ResourceRecords", ())] + _alias(item)
            for item in kept["sets"]
            if item["Name"].rstrip(".") == name and item["Type"] == "A"
            and (item.get("Failover") != "PRIMARY" or healthy(item["HealthCheckId"]))
        }  # fmt: skip
        return found.get("PRIMARY") or found.get("SECONDARY") or found.get("", [])

    return answers


def _alias(item: dict[str, dict[str, str]]) -> list[str]:
    """Load balancers of tests are called after their address: ``lb-192-0-2-1.elb.example.com``."""
    name = item.get("AliasTarget", {}).get("DNSName", "")
    return [name.split(".")[0].removeprefix("lb-").replace("-", ".")] if name else []
