"""The link: what a bad line does to a connection, on plain sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from dr.lab.link import Condition, LinkConfig, Reply, Request, Way, serve

TOKEN = "planted-link-token"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Link:
    """A link in this process with an echo server at its far end."""

    def __init__(self) -> None:
        self.near, self.far, self.control = _free_port(), _free_port(), _free_port()
        way = Way(name="near-to-far", address="127.0.0.1", port=self.near, to_address="127.0.0.1", to_port=self.far)
        self.config = LinkConfig(control_address="127.0.0.1", control_port=self.control, token=TOKEN, ways=(way,))

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.near)

    async def ask(self, request: Request) -> Reply:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.control)
        writer.write(request.model_dump_json().encode() + b"\n")
        reply = Reply.model_validate_json(await reader.readline())
        writer.close()
        return reply

    async def become(self, condition: Condition) -> Reply:
        return await self.ask(Request(token=TOKEN, do="set", condition=condition))


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


def with_link(story: Callable[[Link], Awaitable[None]], *, answered: bool = True) -> None:
    """Runs a story against a serving link, bounded to 20 s. Unless ``answered``, nothing listens at its far end."""

    async def run() -> None:
        link, stop = Link(), asyncio.Event()
        echo = await asyncio.start_server(_echo, "127.0.0.1", link.far)
        if not answered:
            echo.close()
        serving = asyncio.create_task(serve(link.config, stop))
        while True:
            try:
                await link.ask(Request(token=TOKEN, do="status"))
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
        try:
            await story(link)
        finally:
            stop.set()
            await serving
            echo.close()

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await run()

    asyncio.run(bounded())


def test_healthy_link_carries_bytes_in_order_and_counts_them() -> None:
    """Several hundred kilobytes come back unchanged, and the status says how many were delivered."""

    async def story(link: Link) -> None:
        data = bytes(range(256)) * 2000
        reader, writer = await link.connect()
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        assert (await link.ask(Request(token=TOKEN, do="status"))).bytes_delivered["near-to-far"] == 2 * len(data)
        writer.close()

    with_link(story)


def test_end_of_one_direction_reaches_the_other_side() -> None:
    """A half-closed connection still delivers what is under way, then ends."""

    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        writer.write(b"last words")
        writer.write_eof()
        assert await reader.read() == b"last words"
        writer.close()

    with_link(story)


def test_delay_is_added_in_each_direction() -> None:
    """An answer needs at least twice the delay; nothing is said of how much more."""

    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        writer.write(b"a")
        await reader.readexactly(1)
        await link.become(Condition(delay_seconds=0.15))
        loop = asyncio.get_running_loop()
        sent = loop.time()
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
        assert loop.time() - sent >= 0.3
        writer.close()

    with_link(story)


def test_rate_is_a_ceiling() -> None:
    """200 kB at 1 MB/s in each direction take at least the time that all but the last piece needs."""

    async def story(link: Link) -> None:
        await link.become(Condition(bytes_per_second=1_000_000))
        reader, writer = await link.connect()
        loop = asyncio.get_running_loop()
        sent = loop.time()
        writer.write(b"x" * 200_000)
        await reader.readexactly(200_000)
        assert loop.time() - sent >= (200_000 - 65_536) / 1_000_000
        writer.close()

    with_link(story)


def test_blackhole_says_nothing_and_delivers_when_it_heals() -> None:
    """While the line is a blackhole nothing arrives and nothing is closed; afterwards everything arrives."""

    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        await link.become(Condition(blackhole=True))
        writer.write(b"held")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await reader.read(1)
        late_reader, late_writer = await link.connect()
        late_writer.write(b"late")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await late_reader.read(1)
        await link.become(Condition())
        assert await reader.readexactly(4) == b"held"
        assert await late_reader.readexactly(4) == b"late"
        writer.close()
        late_writer.close()

    with_link(story)


def test_reset_cuts_open_connections_and_lets_new_ones_in() -> None:
    """An open connection sees a reset and what was on the way is lost; the condition stays, and the next connection works."""

    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        writer.write(b"a")
        await reader.readexactly(1)
        await link.become(Condition(delay_seconds=0.05))
        writer.write(b"on the way")
        reply = await link.ask(Request(token=TOKEN, do="reset"))
        assert reply.condition == Condition(delay_seconds=0.05)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()
        reader, writer = await link.connect()
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
        writer.close()

    with_link(story)


def test_dead_far_end_closes_the_near_one() -> None:
    """Where nothing listens in the other region, the caller is not left waiting."""

    async def story(link: Link) -> None:
        reader, writer = await link.connect()
        try:
            got = await reader.read(1)
        except ConnectionResetError:
            got = b""
        assert got == b""
        writer.close()

    with_link(story, answered=False)


def test_wrong_token_changes_nothing_and_is_not_repeated() -> None:
    """A request without the token is refused, and neither answer nor model shows the real one."""

    async def story(link: Link) -> None:
        reply = await link.ask(Request(token="guess", do="set", condition=Condition(blackhole=True)))
        assert reply.error == "wrong token"
        assert TOKEN not in reply.model_dump_json()
        assert not (await link.ask(Request(token=TOKEN, do="status"))).condition.blackhole

    with_link(story)
    assert TOKEN not in repr(Link().config)
