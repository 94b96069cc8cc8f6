"""A TCP proxy between workers and brokers, which breaks connections in the ways of a network."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from streams.local.brokers.loopback import HOST

CHUNK_BYTES = 64 * 1024


class Proxy:
    """Forwards each port of `routes` to another one.

    Attributes:
        delay_s: each chunk of data waits for so long before it is forwarded.
        refusing: whether new connections are closed at once.
        passing: while it is not set, nothing is forwarded, and no connection is closed.
        connections: how many connections were made through it.
    """

    def __init__(self, routes: Sequence[tuple[int, int]]) -> None:
        self._routes = routes
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self.delay_s = 0.0
        self.refusing = False
        self.passing = asyncio.Event()
        self.passing.set()
        self.connections = 0

    async def start(self) -> None:
        """Open the ports."""
        for port, target in self._routes:
            accept = partial(self._accept, target)
            self._servers.append(await asyncio.start_server(accept, HOST, port))

    async def stop(self) -> None:
        """Close the ports and all connections."""
        for server in self._servers:
            server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection, on both sides."""
        for client, broker in tuple(self._open):
            client.transport.abort()
            broker.transport.abort()

    def half_close(self) -> None:
        """Close what comes from the brokers; what the clients send is still forwarded."""
        for client, _ in tuple(self._open):
            with suppress(OSError, RuntimeError):
                client.write_eof()

    async def _accept(
        self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            from_broker, to_broker = await asyncio.open_connection(HOST, target)
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        pair = (writer, to_broker)
        self._open.add(pair)
        forwarding = [
            asyncio.create_task(self._forward(reader, to_broker)),
            asyncio.create_task(self._forward(from_broker, writer)),
        ]
        self._tasks.update(forwarding)
        await asyncio.wait(forwarding, return_when=asyncio.FIRST_COMPLETED)
        self._open.discard(pair)
        for task in forwarding:
            task.cancel()
            self._tasks.discard(task)
        writer.transport.abort()
        to_broker.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward until one side closes; after a half close, drop what cannot be written."""
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self.passing.wait()
                with suppress(RuntimeError):
                    writer.write(data)
                await writer.drain()
