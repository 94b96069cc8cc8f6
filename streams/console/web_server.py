"""The port of the console."""

import asyncio
import logging

from aiohttp import web

from inference.errors import ConfigError
from streams.config import ConsoleSection
from streams.console.connections import FIRST_REQUEST_S, SWEEP_S, Connections
from streams.listening import Listener, server_context

log = logging.getLogger(__name__)

KEEPALIVE_S = 15.0
SHUTDOWN_S = 2.0


class WebServer:
    """Serves an application on the address of `[console]`."""

    def __init__(
        self, section: ConsoleSection, app: web.Application, connections: Connections
    ) -> None:
        self._section = section
        self._connections = connections
        self._runner = web.AppRunner(
            app,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            shutdown_timeout=SHUTDOWN_S,
            # A browser that has gone needs no answer.
            handler_cancellation=False,
        )
        self._listener = Listener(self._runner, connections)
        self._sweeping: asyncio.Task[None] | None = None
        self.port = section.port

    @property
    def url(self) -> str:
        """What a person opens in a browser."""
        section = self._section
        if section.public_url is not None:
            return section.public_url
        scheme = "http" if section.ssl_certfile is None else "https"
        host = f"[{section.host}]" if ":" in section.host else section.host
        return f"{scheme}://{host}:{self.port}"

    async def start(self) -> None:
        """Open the port.

        Raises:
            ConfigError: the address cannot be had, or the certificate cannot be read.
        """
        section = self._section
        context = server_context(
            section.ssl_certfile,
            section.ssl_keyfile,
            key="console.ssl_certfile",
            files="console.ssl_certfile and console.ssl_keyfile",
        )
        try:
            self.port = await self._listener.start(
                section.host, section.port, context, FIRST_REQUEST_S
            )
        except OSError as error:
            await self.stop()
            raise ConfigError(
                f"cannot listen on {section.host}:{section.port} ({error.strerror}); set "
                "console.port to a free one",
                key="console.port",
            ) from None
        self._sweeping = asyncio.create_task(self._sweep())
        log.info("console on %s", self.url)

    async def stop(self) -> None:
        """Close the port; requests in hand get a moment to end."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._listener.close()
        await self._runner.cleanup()
        self._connections.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self._connections.sweep()
