"""How the outside finds a public name: asks the name servers of all regions at once, takes the first answer, keeps it for its TTL.

Hand-made packets, because 240 names with a TTL of one second are 480 questions a second beside everything else.
Wire format: https://www.rfc-editor.org/rfc/rfc1035#section-4
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dr.lab.platform.config import Endpoint

_HEADER = struct.Struct("!HHHHHH")
_RECORD = struct.Struct("!HHIH")
_TYPE_A, _CLASS_IN = 1, 1
_RESPONSE, _RCODE = 0x8000, 0x000F


class NoName(Exception):
    """No name server gave an address in time; the text says what they said."""


class Unreadable(Exception):
    """Bytes that are no DNS answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name server said: an address with its TTL in seconds, or None with the response code."""

    address: str | None
    ttl: int
    code: int


def question(number: int, hostname: str) -> bytes:
    """A question for the A record of a name."""
    labels = b"".join(bytes((len(label),)) + label for label in (part.encode("ascii") for part in hostname.rstrip(".").split(".")))
    return _HEADER.pack(number, 0, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", _TYPE_A, _CLASS_IN)


def read_answer(packet: bytes) -> tuple[int, Answer]:
    """The number of the question, and the first A record of the answer section.

    Raises:
        Unreadable: cut off, or not an answer.
    """
    try:
        number, flags, questions, answers, _, _ = _HEADER.unpack_from(packet)
        if not flags & _RESPONSE:
            raise Unreadable("a question")
        place = _HEADER.size
        for _ in range(questions):
            place = _after_name(packet, place) + 4
        for _ in range(answers):
            place = _after_name(packet, place)
            kind, family, ttl, length = _RECORD.unpack_from(packet, place)
            place += _RECORD.size
            if kind == _TYPE_A and family == _CLASS_IN and length == 4:
                a, b, c, d = packet[place : place + 4]
                return number, Answer(f"{a}.{b}.{c}.{d}", ttl, 0)
            place += length
    except (struct.error, IndexError, ValueError) as error:
        raise Unreadable("cut off") from error
    return number, Answer(None, 0, flags & _RCODE)


def _after_name(packet: bytes, place: int) -> int:
    while (length := packet[place]) != 0:
        if length & 0xC0:  # a pointer ends the name
            return place + 2
        place += length + 1
    return place + 1


class _Asked:
    """One question under way: the first address wins; when every server has failed, nobody is waited for."""

    __slots__ = ("future", "open", "said")

    def __init__(self, future: asyncio.Future[Answer], servers: int) -> None:
        self.future, self.open, self.said = future, servers, ""

    def hear(self, answer: Answer) -> None:
        """One server answered."""
        if answer.address is None:
            self.fail(f"response code {answer.code}")
        elif not self.future.done():
            self.future.set_result(answer)

    def fail(self, why: str) -> None:
        """One server has no answer."""
        self.open -= 1
        self.said = f"{self.said}, {why}".lstrip(", ")
        if self.open <= 0 and not self.future.done():
            self.future.set_exception(NoName(self.said))


class _Server(asyncio.DatagramProtocol):
    """One name server, behind one connected socket."""

    def __init__(self) -> None:
        self.asked: dict[int, _Asked] = {}

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """An answer came."""
        try:
            number, answer = read_answer(data)
        except Unreadable:
            return
        asked = self.asked.pop(number, None)
        if asked is not None:
            asked.hear(answer)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there: all that was asked there stays unanswered."""
        asked, self.asked = self.asked, {}
        for item in asked.values():
            item.fail(f"{exc}")


class Resolver:
    """Finds addresses of public names. Answers are kept for their TTL and not a moment longer, unless told otherwise.

    Args:
        servers: the name servers, one for each region.
        answer_seconds: how long to wait for the first answer.
        keep_seconds: how long answers are kept at least, as by a resolver that does not care for short TTLs; None: their TTL.
    """

    def __init__(self, servers: Sequence[Endpoint], answer_seconds: float, keep_seconds: float | None = None) -> None:
        self._endpoints, self._answer_seconds, self._keep_seconds = servers, answer_seconds, keep_seconds
        self._servers: list[tuple[asyncio.DatagramTransport, _Server]] = []
        self._cache: dict[str, tuple[str, float]] = {}
        self._packets: dict[str, bytes] = {}
        self._number = 0

    async def open(self) -> None:
        """Opens the sockets."""
        loop = asyncio.get_running_loop()
        for endpoint in self._endpoints:
            self._servers.append(await loop.create_datagram_endpoint(_Server, remote_addr=(endpoint.address, endpoint.port)))

    def close(self) -> None:
        """Closes the sockets."""
        for transport, _ in self._servers:
            transport.close()

    async def resolve(self, hostname: str) -> str:
        """The address of a name, from the cache while its TTL lasts.

        Raises:
            NoName: no server gave one.
        """
        loop = asyncio.get_running_loop()
        known = self._cache.get(hostname)
        asked_at = loop.time()
        if known is not None and asked_at < known[1]:
            return known[0]
        self._number = self._number % 0xFFFF + 1
        number, asked = self._number, _Asked(loop.create_future(), len(self._servers))
        packet = self._packets.get(hostname)
        if packet is None:
            packet = self._packets[hostname] = question(0, hostname)[2:]
        packet = number.to_bytes(2, "big") + packet
        for transport, server in self._servers:
            server.asked[number] = asked
            transport.sendto(packet)
        timer = loop.call_later(self._answer_seconds, self._give_up, asked)
        try:
            answer = await asked.future
        finally:
            timer.cancel()
            for _, server in self._servers:
                server.asked.pop(number, None)
        assert answer.address is not None
        self._cache[hostname] = (answer.address, asked_at + max(answer.ttl, self._keep_seconds or 0))
        return answer.address

    def _give_up(self, asked: _Asked) -> None:
        asked.open = 1
        asked.fail(f"no answer within {self._answer_seconds:g} s")
