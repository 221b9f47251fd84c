"""The link between the regions as a process of its own: a TCP proxy whose delay, rate and faults are set while it runs.

``python -m dr.lab.link --config FILE``. It stands in for ``tc netem``, which needs a kernel module and root. What it does to a connection
is what both ends of a bad line see: a blackhole holds bytes and says nothing, and delivers them when it heals, as TCP would.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import signal
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from dr.lab.account import drop_to
from dr.lab.door import Door, TcpPort, UdpPort, listening
from dr.model.base import Frozen

_CHUNK = 65536
_HELD_BYTES = 1 << 20  # per connection and direction: beyond it the sender's socket fills up, as on a real line
_BEHIND_SECONDS = 0.02  # so long a door may lag behind a server that ended or came
_LINGER_RESET = struct.pack("ii", 1, 0)


class Way(Frozen):
    """One listener: ``address:port`` in a region leads to ``to_address:to_port`` in the other one, leaving from ``address``."""

    name: str
    address: str
    port: int
    to_address: str
    to_port: int


class LinkConfig(Frozen):
    """The file that the process reads at start. ``token``: what a control request must carry. ``doors``: one for each region, or none."""

    account: str | None = None
    control_address: str
    control_port: int
    token: str = Field(repr=False)
    ways: tuple[Way, ...]
    doors: tuple[Door, ...] = ()


class Condition(Frozen):
    """What the line is like now. Everything unset is a healthy line."""

    delay_seconds: float = Field(0.0, ge=0)
    bytes_per_second: int | None = Field(None, gt=0)
    blackhole: bool = False


class Request(Frozen):
    """One line of JSON on the control port. ``set`` replaces the condition; ``reset`` cuts all connections with what is on the way.
    ``close`` and ``open`` are for the door of ``region``, which the condition does not touch."""

    token: str = Field(repr=False)
    do: Literal["set", "reset", "status", "close", "open"]
    condition: Condition = Condition()
    region: str = ""


class Reply(Frozen):
    """The answer to a request, after it took hold. closed: the regions whose doors are. bytes: delivered since the start, by way."""

    condition: Condition
    closed: tuple[str, ...] = ()
    connections: int
    bytes_delivered: dict[str, int]
    error: str = ""


class Line:
    """The shared condition of all connections, and a wake-up for those that wait on it."""

    def __init__(self) -> None:
        self.condition = Condition()
        self.open: set[Pipe] = set()
        self.delivered: dict[str, int] = {}
        self._changed = asyncio.Event()

    def change(self, condition: Condition) -> None:
        """A new condition, at once for bytes already on the way too."""
        self.condition = condition
        self._changed.set()
        self._changed = asyncio.Event()

    def reset(self) -> None:
        """Cuts all open connections; what was on the way is lost."""
        for pipe in tuple(self.open):
            pipe.cut()

    async def changed(self, within: float | None) -> None:
        """Returns at the next change, or when the time (seconds) is over."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), within)

    async def clear(self) -> None:
        """Returns when the line is no blackhole."""
        while self.condition.blackhole:
            await self.changed(None)


class Pipe:
    """One accepted connection and its other end."""

    def __init__(self, line: Line, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._line, self._way = line, way
        self._reader, self._writer = reader, writer
        self._writers = [writer]
        self._task = asyncio.current_task()

    async def run(self) -> None:
        """Until either end closes or the line is cut."""
        self._line.open.add(self)
        try:
            await self._line.clear()
            await self._wait(self._line.condition.delay_seconds)
            far_reader, far_writer = await asyncio.open_connection(
                self._way.to_address, self._way.to_port, local_addr=(self._way.address, 0)
            )
            self._writers.append(far_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(self._reader, far_writer))
                group.create_task(self._carry(far_reader, self._writer))
        except* (OSError, asyncio.CancelledError):
            self._abort()
        finally:
            self._line.open.discard(self)
            for writer in self._writers:
                writer.close()

    def cut(self) -> None:
        """Both ends see a reset."""
        if self._task is not None:
            self._task.cancel()

    def _abort(self) -> None:
        for writer in self._writers:
            raw: socket.socket | None = writer.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            writer.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """One direction: bytes leave the line ``delay`` after they came in, in order, not faster than the rate."""
        held = Held()

        async def read() -> None:
            loop = asyncio.get_running_loop()
            while data := await source.read(_CHUNK):
                await held.put(loop.time(), data)
            await held.put(loop.time(), b"")

        reading = asyncio.create_task(read())
        try:
            while True:
                arrived, data = await held.take()
                await self._until_due(arrived)
                if not data:
                    if sink.can_write_eof():
                        sink.write_eof()
                    return
                sink.write(data)
                await sink.drain()
                self._line.delivered[self._way.name] = self._line.delivered.get(self._way.name, 0) + len(data)
                await self._pace(len(data))
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await reading

    async def _until_due(self, arrived: float) -> None:
        """Waits for the delay, and out a blackhole; both may change meanwhile."""
        loop = asyncio.get_running_loop()
        while True:
            await self._line.clear()
            remaining = arrived + self._line.condition.delay_seconds - loop.time()
            if remaining <= 0:
                return
            await self._line.changed(remaining)

    async def _pace(self, size: int) -> None:
        rate = self._line.condition.bytes_per_second
        if rate is not None:
            await self._wait(size / rate)

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            await asyncio.sleep(seconds)


class Held:
    """Bytes on the way, with their time of arrival; bounded."""

    def __init__(self) -> None:
        self._items: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._changed = asyncio.Condition()

    async def put(self, arrived: float, data: bytes) -> None:
        """Waits while the line is full."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._size < _HELD_BYTES)
            self._items.append((arrived, data))
            self._size += len(data)
            self._changed.notify_all()

    async def take(self) -> tuple[float, bytes]:
        """Waits while the line is empty."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._items))
            arrived, data = self._items.popleft()
            self._size -= len(data)
            self._changed.notify_all()
            return arrived, data


class Doorway:
    """All ports of one door, open or closed."""

    def __init__(self, door: Door) -> None:
        self.region, self.closed = door.region, False
        self._line, self._door, self._turn = Line(), door, asyncio.Lock()
        self._tcp = {port: TcpPort(door.address, port, self._through(port)) for port in door.tcp}
        self._udp = [UdpPort(door, port) for port in door.udp]
        self._watching: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Returns when every port is served."""
        for port in self._udp:
            await port.listen()

    async def close(self) -> None:
        """Nothing goes through in either direction; holds when this returns."""
        async with self._turn:
            self.closed = True
            self._line.change(Condition(blackhole=True))
            for port in self._udp:
                port.open = False
            await asyncio.gather(*(port.close() for port in self._tcp.values()))

    async def open(self) -> None:
        """Everything goes through again, what was held first."""
        async with self._turn:
            self.closed = False
            self._line.change(Condition())
            for port in self._udp:
                port.open = True
            await self._be_as_behind()

    async def end(self) -> None:
        """Ends every port and connection."""
        if self._watching is not None:
            self._watching.cancel()
        self._line.reset()
        for port in self._udp:
            port.end()
        await asyncio.gather(*(port.end() for port in self._tcp.values()))

    def _through(self, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        door = self._door
        way = Way(name=f"door-{door.region}-{port}", address=door.address, port=port, to_address=door.to_address, to_port=port)

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._watching is None:  # a door that nobody uses costs nothing
                self._watching = asyncio.create_task(self._watch())
            await Pipe(self._line, way, reader, writer).run()

        return carry

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_BEHIND_SECONDS)
            async with self._turn:
                if not self.closed:
                    await self._be_as_behind()

    async def _be_as_behind(self) -> None:
        there = listening()
        for number, port in self._tcp.items():
            if (self._door.to_address, number) in there:
                port.listen()
            else:
                await port.refuse()


async def serve(config: LinkConfig, stop: asyncio.Event) -> None:
    """Serves all ways, the doors and the control port until ``stop`` is set."""
    line, doorways = Line(), [Doorway(door) for door in config.doors]

    def accept(way: Way):  # type: ignore[no-untyped-def]  # asyncio's own callback type
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await Pipe(line, way, reader, writer).run()

        return connected

    async def controlled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            answer = await _answer(config, line, doorways, await reader.readline())
            writer.write(answer.model_dump_json().encode() + b"\n")
            await writer.drain()
        writer.close()

    for doorway in doorways:
        await doorway.listen()
    servers = [await asyncio.start_server(accept(way), way.address, way.port) for way in config.ways]
    servers.append(await asyncio.start_server(controlled, config.control_address, config.control_port))
    await stop.wait()
    for server in servers:
        server.close()
    line.reset()
    for doorway in doorways:
        await doorway.end()


async def _answer(config: LinkConfig, line: Line, doorways: Sequence[Doorway], text: bytes) -> Reply:
    try:
        request = Request.model_validate_json(text)
    except ValidationError:
        return _reply(line, doorways, "not a request")
    if not hmac.compare_digest(request.token, config.token):
        return _reply(line, doorways, "wrong token")
    if request.do == "set":
        line.change(request.condition)
    elif request.do == "reset":
        line.reset()
    elif request.do in ("close", "open"):
        doorway = next((item for item in doorways if item.region == request.region), None)
        if doorway is None:
            return _reply(line, doorways, f"no door of {request.region}")
        if request.do == "close":
            await doorway.close()
        else:
            await doorway.open()
    return _reply(line, doorways)


def _reply(line: Line, doorways: Sequence[Doorway], error: str = "") -> Reply:
    return Reply(
        condition=line.condition, closed=tuple(doorway.region for doorway in doorways if doorway.closed),
        connections=len(line.open), bytes_delivered=dict(line.delivered), error=error,
    )  # fmt: skip


async def _main(config: LinkConfig) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await serve(config, stop)


def main() -> None:
    """Reads the configuration, becomes the servers' account, serves until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m dr.lab.link", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    config = LinkConfig.model_validate_json(parser.parse_args().config.read_bytes())
    drop_to(config.account)
    asyncio.run(_main(config))


if __name__ == "__main__":
    main()
