"""The small parts of the platform without servers: names, HTTP, workload, configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.errors import LabError
from dr.lab.layout import Deployment
from dr.lab.platform.config import AgentConfig, ClientConfig, Endpoint, Served, read_config, write_config, writes_per_second
from dr.lab.platform.http import Malformed, parse
from dr.lab.platform.names import NoName, Resolver, Unreadable, question, read_answer
from dr.lab.platform.seed import Mixture, spread

NAME = Deployment(7).hostname_api


def reply(packet: bytes, address: str | None, ttl: int = 60) -> bytes:
    """What a name server says, written by somebody else's code."""
    message = dns.message.make_response(dns.message.from_wire(packet))
    if address is None:
        message.set_rcode(dns.rcode.NXDOMAIN)
    else:
        message.answer.append(dns.rrset.from_text(message.question[0].name, ttl, "IN", "CNAME", "target.dr.test."))
        message.answer.append(dns.rrset.from_text("target.dr.test.", ttl, "IN", "A", address))
    return message.to_wire()


def test_question_is_read_by_others() -> None:
    """The hand-made question means the same to dnspython."""
    asked = dns.message.from_wire(question(4711, NAME))
    assert (asked.id, asked.question[0].to_text()) == (4711, f"{NAME}. IN A")


def test_answer_of_others_is_read() -> None:
    """Answers with compressed names and other records before the address are read; a refusal has no address."""
    number, answer = read_answer(reply(question(17, NAME), "127.0.20.1", 3))
    assert (number, answer.address, answer.ttl) == (17, "127.0.20.1", 3)
    number, answer = read_answer(reply(question(18, NAME), None))
    assert (number, answer.address, answer.code) == (18, None, dns.rcode.NXDOMAIN)


@given(st.binary(max_size=80), st.integers(0, 79))
def test_garbage_is_no_answer(noise: bytes, cut: int) -> None:
    """Bytes that are no answer, or only a part of one, are refused and never crash the client."""
    for packet in (noise, reply(question(1, NAME), "127.0.20.1")[:cut]):
        try:
            _, answer = read_answer(packet)
        except Unreadable:
            continue
        assert answer.address is None or answer.address.count(".") == 3


class NameServer(asyncio.DatagramProtocol):
    """A name server for tests: answers with an address, with None (no such name), or not at all."""

    def __init__(self, address: str | None, ttl: int, silent: bool = False) -> None:
        self.address, self.ttl, self.silent, self.asked = address, ttl, silent, 0
        self._send: Callable[[bytes, tuple[str, int]], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._send = transport.sendto  # type: ignore[attr-defined]  # a datagram transport

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self.asked += 1
        if not self.silent:
            self._send(reply(data, self.address, self.ttl), addr)  # type: ignore[arg-type]  # IPv4


def _itself(server: NameServer) -> NameServer:
    return server


def with_servers(
    servers: tuple[NameServer, ...], work: Callable[[Resolver], Awaitable[None]], answer_seconds: float = 5, keep: float | None = None
) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        opened = [await loop.create_datagram_endpoint(partial(_itself, item), local_addr=("127.0.0.1", 0)) for item in servers]
        transports = [transport for transport, _ in opened]
        endpoints = [Endpoint(address="127.0.0.1", port=item.get_extra_info("sockname")[1]) for item in transports]
        resolver = Resolver(endpoints, answer_seconds, keep)
        await resolver.open()
        try:
            await work(resolver)
        finally:
            resolver.close()
            for item in transports:
                item.close()
            await asyncio.sleep(0)

    asyncio.run(run())


def test_first_answer_wins() -> None:
    """One name server that is dumb, or does not know the name, does not matter while another one answers."""

    async def work(resolver: Resolver) -> None:
        assert await resolver.resolve(NAME) == "127.0.20.1"

    with_servers((NameServer(None, 0, silent=True), NameServer(None, 0), NameServer("127.0.20.1", 1)), work)


def test_answer_is_kept_for_its_ttl() -> None:
    """An answer is asked for once in its TTL, and again at once where the TTL is zero."""
    long, short = NameServer("127.0.10.1", 3600), NameServer("127.0.10.1", 0)

    async def twice(resolver: Resolver) -> None:
        await resolver.resolve(NAME)
        await resolver.resolve(NAME)

    with_servers((long,), twice)
    with_servers((short,), twice)
    assert (long.asked, short.asked) == (1, 2)


def test_an_answer_can_be_kept_beyond_its_ttl() -> None:
    """As by a resolver that does not care for short TTLs: asked once, although the TTL is zero."""
    server = NameServer("127.0.10.1", 0)

    async def twice(resolver: Resolver) -> None:
        await resolver.resolve(NAME)
        await resolver.resolve(NAME)

    with_servers((server,), twice, keep=3600)
    assert server.asked == 1


def test_nobody_answers() -> None:
    """No answer in time, a refusal by all, and a dead server are all "no address", with what was said."""

    async def work(resolver: Resolver) -> None:
        with pytest.raises(NoName, match=r"no answer within 0\.05 s|code 3"):
            await resolver.resolve(NAME)

    with_servers((NameServer(None, 0, silent=True), NameServer(None, 0)), work, 0.05)
    with_servers((NameServer(None, 0), NameServer(None, 0)), work)

    async def dead() -> None:
        resolver = Resolver((Endpoint(address="127.0.0.1", port=1),), 5)
        await resolver.open()
        with pytest.raises(NoName, match="refused"):
            await resolver.resolve(NAME)
        resolver.close()
        await asyncio.sleep(0)

    asyncio.run(dead())


REQUEST = b'POST /write?kind=x HTTP/1.1\r\nHost: A.dr.test:18443\r\nContent-Length: 9\r\nX-Y:  z \r\n\r\n{"id": 1}'


def test_request_in_pieces() -> None:
    """A request is read when its last byte is there, and not before; what follows stays for the next one."""
    for length in range(len(REQUEST)):
        assert parse(bytearray(REQUEST[:length])) is None
    found = parse(bytearray(REQUEST + b"GET "))
    assert found is not None
    request, length = found
    assert (request.method, request.path, request.host, request.argument("kind"), length) == (
        "POST", "/write", "a.dr.test", "x", len(REQUEST),
    )  # fmt: skip
    assert request.json() == {"id": 1} and request.headers["x-y"] == "z"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"A" * 20_000, 431),
    ],
)
def test_malformed_request(data: bytes, status: int) -> None:
    """What never becomes a request is answered with the reason."""
    with pytest.raises(Malformed) as raised:
        parse(bytearray(data))
    assert raised.value.status == status


@given(st.integers(0, 5000), st.integers(1, 200))
def test_workload_adds_up(running: int, deployments: int) -> None:
    """Exactly the running tasks that were asked for run, spread evenly, and every sort of task is there once there are five."""
    parts = spread(running, deployments)
    assert sum(parts) == running and max(parts) - min(parts) <= 1 and len(parts) == deployments
    mixture = Mixture.of(running)
    assert mixture.running == running
    assert running < 5 or min(mixture.retryable, mixture.without_retries, mixture.at_most_once, mixture.queued, mixture.deferred) > 0


def test_client_rate() -> None:
    """Ten writes a second for each name at five Deployments and fewer, one at eighty, never more in all than at five times ten names."""
    assert (writes_per_second(1), writes_per_second(5), writes_per_second(80)) == (10, 10, 1)
    assert all(count * writes_per_second(count) <= max(50, count) + 1e-9 for count in range(1, 200))


def test_configuration_files(tmp_path: Path) -> None:
    """What is written is read again; a file of another process and a missing one are refused with their path."""
    endpoint = Endpoint(address="127.0.10.1", port=15353)
    client = ClientConfig(
        ledger=tmp_path / "l", authority=tmp_path / "ca.pem", dns=(endpoint,), port=18443, deployments=(Served.of(Deployment(1)),)
    )
    path = write_config(tmp_path / "client.json", client)
    assert read_config(path, ClientConfig) == client
    with pytest.raises(LabError, match=r"client\.json is not a AgentConfig"):
        read_config(path, AgentConfig)
    with pytest.raises(LabError, match="no-such-file"):
        read_config(tmp_path / "no-such-file", ClientConfig)
