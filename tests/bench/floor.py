"""The floor: what bare hands reach. Promotes, updates DNS, checks one write for each Deployment; no graph, no guard, no journal.

Printed on stdout as one JSON line, in milliseconds from the start: ``{"promoted": …, "redirected": …, "verified": …}``. Everything it
needs is imported and connected before the clock starts, as a person with a prepared script would have it.

Usage: python tests/bench/floor.py LAB_STATE DEPLOYMENTS
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.name
import dns.query
import dns.tsigkeyring
import dns.update
import psycopg

from dr.lab.layout import DNS_PORT, POSTGRES_PORT, PUBLIC_PORT, TSIG_ALGORITHM, TSIG_NAME, TTL_SECONDS, ZONE, Deployment

WEST = "127.0.20.1"


def write(context: ssl.SSLContext, host: str, failures: list[str]) -> None:
    """One write by address and Host header; tried until it is accepted, for at most ten seconds."""
    body = json.dumps({"id": uuid.uuid4().hex, "kind": "check"}).encode()
    head = f"POST /write HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            with socket.create_connection((WEST, PUBLIC_PORT), 2) as plain, context.wrap_socket(plain, server_hostname=host) as secure:
                secure.sendall(head.encode() + body)
                if secure.recv(4096).startswith(b"HTTP/1.1 201"):
                    return
        except OSError:
            pass
        time.sleep(0.01)
    failures.append(host)


def main() -> None:
    """Does it, and prints how long it took."""
    state, count = Path(sys.argv[1]), int(sys.argv[2])
    deployments = [Deployment(number) for number in range(1, count + 1)]
    password = (state / "secrets" / "postgres").read_text().strip()
    context = ssl.create_default_context(cafile=str(state / "secrets" / "ca.pem"))
    keyring = dns.tsigkeyring.from_text({TSIG_NAME: (state / "secrets" / "tsig").read_text().strip()})
    connection = psycopg.connect(
        host=WEST, port=POSTGRES_PORT, dbname="platform", user="dr", password=password, autocommit=True, application_name="floor"
    )
    pool = ThreadPoolExecutor(16)
    list(pool.map(lambda _: threading.get_ident(), range(16)))
    failures: list[str] = []
    started = time.monotonic()
    while connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
        with contextlib.suppress(psycopg.errors.ObjectNotInPrerequisiteState):  # it ended between the two statements
            connection.execute("SELECT pg_promote(false)")
        time.sleep(0.02)
    promoted = time.monotonic()
    update = dns.update.UpdateMessage(ZONE, keyring=keyring, keyalgorithm=dns.name.from_text(TSIG_ALGORITHM))
    for deployment in deployments:
        for hostname in deployment.hostnames:
            update.replace(dns.name.from_text(hostname), TTL_SECONDS, "A", WEST)
    answer = dns.query.tcp(update, WEST, port=DNS_PORT, timeout=5)
    redirected = time.monotonic()
    list(pool.map(lambda deployment: write(context, deployment.hostname_api, failures), deployments))
    verified = time.monotonic()
    if failures or answer.rcode() != 0:
        sys.exit(f"the floor failed: DNS {answer.rcode()}, no write for {failures}")
    print(json.dumps({
        "promoted": round((promoted - started) * 1000), "redirected": round((redirected - started) * 1000),
        "verified": round((verified - started) * 1000),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
