"""How the orchestrator reaches a region where a scenario may part the two: an address of its own that leads to the region's servers.

Users and the region's own servers go straight to the region's address; who goes through the door is cut off by closing it. A closed door
is a blackhole and nothing gentler. A new connection gets no answer at all, neither yes nor no: the kernel drops what asks for one while
a listener's queue is full, and its queue is filled (``listen(2)``; needs no root, no firewall). An open one goes silent with its bytes
held, and datagrams vanish. When it opens again, what was held arrives, and whoever still knocks gets in with the next attempt, as TCP does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

from dr.model.base import Frozen

_BACKLOG = 100
_FILLED = 1  # the shortest queue that the kernel fills without taking it for a flood
_LIKELY_FULL_SECONDS = 0.1
_ANSWER_SECONDS = 10.0
_LISTED, _LISTENS = Path("/proc/net/tcp"), "0A"  # proc(5); the states are those of the kernel's tcp_states.h

Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Door(Frozen):
    """``address`` leads to ``to_address``, on the same ports; connections leave from ``address``."""

    region: str
    address: str
    to_address: str
    tcp: tuple[int, ...]
    udp: tuple[int, ...]


class TcpPort:
    """One port of a door. ``serve`` gets each connection that came in while it was open.

    It is as the port behind it: where nobody listens there, it refuses, as that one would. Not safe for concurrent use.
    """

    def __init__(self, address: str, port: int, serve: Served) -> None:
        self._place, self._serve = (address, port), serve
        self._fillers: dict[object, socket.socket] = {}
        self._served: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self.listen()

    def listen(self) -> None:
        """Lets everybody in, those first who wait."""
        listener = self._bound()
        listener.listen(_BACKLOG)
        if self._accepting is None:
            self._accepting = asyncio.create_task(self._accept(listener))

    async def refuse(self) -> None:
        """Refuses connections; those that came in go on."""
        await self._end_accepting()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for filler in self._fillers.values():
            filler.close()
        self._fillers.clear()

    async def close(self) -> None:
        """Answers nobody from now on; returns when it holds."""
        await self._end_accepting()
        listener = self._bound()
        listener.listen(_FILLED)
        while await self._one_more(listener):
            pass

    async def end(self) -> None:
        """Closes the port; what came in is the caller's to cut."""
        await self.refuse()
        await asyncio.gather(*self._served, return_exceptions=True)

    def _bound(self) -> socket.socket:
        if self._listener is None:
            self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.setblocking(False)
            self._listener.bind(self._place)
        return self._listener

    async def _end_accepting(self) -> None:
        accepting, self._accepting = self._accepting, None
        if accepting is not None:
            accepting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await accepting

    async def _one_more(self, listener: socket.socket) -> bool:
        """Puts one connection into the queue; whether there was room for it."""
        filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        filler.setblocking(False)
        filler.bind((self._place[0], 0))
        self._fillers[filler.getsockname()] = filler
        try:
            async with asyncio.timeout(_LIKELY_FULL_SECONDS):
                await asyncio.get_running_loop().sock_connect(filler, listener.getsockname())
        except TimeoutError:
            return False
        return True

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            accepted, peer = await loop.sock_accept(listener)
            filler = self._fillers.pop(peer, None)
            if filler is not None:
                filler.close()
                accepted.close()
                continue
            task = asyncio.create_task(self._one(accepted))
            self._served.add(task)
            task.add_done_callback(self._served.discard)

    async def _one(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError):  # gone again before it was looked at
            await self._serve(*await asyncio.open_connection(sock=accepted))


def listening() -> frozenset[tuple[str, int]]:
    """Where somebody on this machine listens for TCP over IPv4: address and port. Few lines: the kernel lists listeners first."""
    found = set[tuple[str, int]]()
    with _LISTED.open(encoding="utf-8") as table:  # "ascii" would be imported now, from where the account may not reach
        next(table)
        for line in table:
            _, place, _, state, *_ = line.split()
            if state != _LISTENS:
                break
            address, port = place.split(":")
            found.add((socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16)))
    return frozenset(found)


class UdpPort(asyncio.DatagramProtocol):
    """One port of a door for datagrams: each question goes on from a socket of its own, and its answers go back."""

    def __init__(self, door: Door, port: int) -> None:
        self._door, self._port, self.open = door, port, True
        self._transport: asyncio.DatagramTransport | None = None
        self._asking: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Returns when it takes datagrams."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self._door.address, self._port))

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """A question came."""
        if self.open:
            task = asyncio.create_task(self._ask(data, addr))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    def answer(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """An answer for who asked from ``addr``."""
        if self.open and self._transport is not None:
            self._transport.sendto(data, addr)

    def end(self) -> None:
        """Closes it."""
        for task in self._asking:
            task.cancel()
        if self._transport is not None:
            self._transport.close()

    async def _ask(self, data: bytes, addr: tuple[str | object, int]) -> None:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Answers(lambda answer: self.answer(answer, addr)),
            local_addr=(self._door.address, 0), remote_addr=(self._door.to_address, self._port),
        )  # fmt: skip
        try:
            transport.sendto(data)
            await asyncio.sleep(_ANSWER_SECONDS)
        finally:
            transport.close()


class _Answers(asyncio.DatagramProtocol):
    """What comes back for one question."""

    def __init__(self, give: Callable[[bytes], None]) -> None:
        self._give = give

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        """An answer."""
        self._give(data)
