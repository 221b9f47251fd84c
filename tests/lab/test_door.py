"""The door of a region: what comes through it, what vanishes when it is closed, and that nobody else notices. Plain sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from dr.lab.door import Door, listening
from dr.lab.link import LinkConfig, Reply, Request, serve

TOKEN = "planted-link-token"
DOOR, REGION = "127.0.0.2", "127.0.0.1"


def _free_port() -> int:
    """Free on both addresses, for both kinds of sockets."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


class Rig:
    """A door with a TCP and a UDP server behind it that answer what they hear; ``came``: what each TCP connection said."""

    def __init__(self) -> None:
        self.port, self.control, self.came = _free_port(), _free_port(), list[bytes]()
        door = Door(region="east", address=DOOR, to_address=REGION, tcp=(self.port,), udp=(self.port,))
        self.config = LinkConfig(control_address="127.0.0.1", control_port=self.control, token=TOKEN, ways=(), doors=(door,))
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._echo, REGION, self.port)

    def stop(self) -> None:
        assert self.server is not None
        self.server.close()

    async def ask(self, do: str, region: str = "east") -> Reply:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.control)
        writer.write(Request.model_validate({"token": TOKEN, "do": do, "region": region}).model_dump_json().encode() + b"\n")
        reply = Reply.model_validate_json(await reader.readline())
        writer.close()
        return reply

    async def said(self, text: bytes, address: str = DOOR) -> bytes:
        """What is answered over a new connection."""
        reader, writer = await asyncio.open_connection(address, self.port)
        writer.write(text)
        answer = await reader.readexactly(len(text))
        writer.close()
        return answer

    async def heard(self, text: bytes, address: str, within: float) -> bytes | None:
        """What is answered to a datagram; None where nothing comes in time."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.setblocking(False)
            asking.connect((address, self.port))
            asking.send(text)
            try:
                return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(asking, 100), within)
            except TimeoutError:
                return None

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = b""
        while data := await reader.read(65536):
            said += data
            writer.write(data)
            await writer.drain()
        self.came.append(said)
        writer.close()


class _UdpEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # the one that it is given
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self.transport.sendto(data, addr)


def with_door(story: Callable[[Rig], Awaitable[None]]) -> None:
    """Runs a story against a serving door, bounded to 20 s."""

    async def run() -> None:
        rig, stop = Rig(), asyncio.Event()
        await rig.start()
        udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(_UdpEcho, local_addr=(REGION, rig.port))
        serving = asyncio.create_task(serve(rig.config, stop))
        while True:
            try:
                await rig.ask("status")
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
        try:
            await story(rig)
        finally:
            stop.set()
            await serving
            rig.stop()
            udp.close()

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await run()

    asyncio.run(bounded())


def test_open_door_leads_to_the_region() -> None:
    """Streams and datagrams arrive on the same port behind it, and their answers come back."""

    async def story(rig: Rig) -> None:
        assert await rig.said(b"hello") == b"hello"
        assert await rig.heard(b"who", DOOR, 5.0) == b"who"

    with_door(story)


def test_closed_door_answers_nobody_neither_yes_nor_no() -> None:
    """New connections are neither taken nor refused, open ones hear nothing and are not ended, datagrams vanish: a real partition."""

    async def story(rig: Rig) -> None:
        reader, writer = await asyncio.open_connection(DOOR, rig.port)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        assert (await rig.ask("close")).closed == ("east",)
        writer.write(b"held")
        for waiting in (reader.read(1), asyncio.open_connection(DOOR, rig.port)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(waiting, 0.3)
        assert await rig.heard(b"lost", DOOR, 0.3) is None
        writer.close()

    with_door(story)


def test_others_reach_the_region_while_the_door_is_closed() -> None:
    """Who goes straight to the region's address (users, its own servers) notices nothing."""

    async def story(rig: Rig) -> None:
        await rig.ask("close")
        assert await rig.said(b"a user", REGION) == b"a user"
        assert await rig.heard(b"a user", REGION, 5.0) == b"a user"

    with_door(story)


def test_opened_again_what_was_held_arrives_and_who_knocked_gets_in() -> None:
    """As TCP heals. The server behind sees real connections only: nothing of what kept the others out."""

    async def story(rig: Rig) -> None:
        reader, writer = await asyncio.open_connection(DOOR, rig.port)
        writer.write(b"a")
        await reader.readexactly(1)
        await rig.ask("close")
        writer.write(b"b")
        knocking = asyncio.create_task(rig.said(b"late"))
        await asyncio.sleep(0)
        assert (await rig.ask("open")).closed == ()
        assert await reader.readexactly(1) == b"b"
        assert await knocking == b"late"
        assert await rig.said(b"new") == b"new"
        assert await rig.heard(b"again", DOOR, 5.0) == b"again"
        writer.close()
        while len(rig.came) < 3:
            await asyncio.sleep(0.01)
        assert sorted(rig.came) == [b"ab", b"late", b"new"]

    with_door(story)


def test_door_may_be_closed_twice_and_again() -> None:
    """The same command twice is once; after an opening it closes as at first."""

    async def story(rig: Rig) -> None:
        for _ in range(2):
            await rig.ask("close")
            await rig.ask("close")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.open_connection(DOOR, rig.port), 0.3)
            await rig.ask("open")
            assert await rig.said(b"through") == b"through"

    with_door(story)


def test_door_refuses_where_the_server_behind_is_gone() -> None:
    """A stopped server is refused through the door as it is without it (evidence of a fence), and served again when it is back."""

    async def story(rig: Rig) -> None:
        assert await rig.said(b"a") == b"a"
        rig.stop()
        await _refused(rig)
        await rig.ask("close")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.open_connection(DOOR, rig.port), 0.3)
        await rig.ask("open")
        await _refused(rig)
        await rig.start()
        while True:
            try:
                assert await rig.said(b"b") == b"b"
                break
            except (ConnectionRefusedError, ConnectionResetError):
                await asyncio.sleep(0.01)

    with_door(story)


async def _refused(rig: Rig) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(DOOR, rig.port)
        except ConnectionRefusedError:
            return
        writer.close()
        await asyncio.sleep(0.01)


def test_door_that_is_not_there_is_named() -> None:
    """A region without a door is an answer, and nothing is closed."""

    async def story(rig: Rig) -> None:
        reply = await rig.ask("close", "north")
        assert (reply.error, reply.closed) == ("no door of north", ())

    with_door(story)


def test_listeners_of_this_machine_are_seen() -> None:
    """A socket that listens is listed with its address, one that does not is not."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.3", 0))
        one.listen()
        other.bind(("127.0.0.3", 0))
        found = listening()
        assert one.getsockname() in found
        assert other.getsockname() not in found
