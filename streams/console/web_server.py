"""The port of the console."""

import asyncio
import logging
import ssl

from aiohttp import web

from inference.errors import ConfigError
from streams.config import ConsoleSection
from streams.console.connections import FIRST_REQUEST_S, SWEEP_S, Admission, Connections

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
        self._server: asyncio.Server | None = None
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
        context = _context(section)
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._new_connection,
                section.host,
                section.port,
                ssl=context,
                ssl_handshake_timeout=FIRST_REQUEST_S if context else None,
            )
        except OSError as error:
            await self.stop()
            raise ConfigError(
                f"cannot listen on {section.host}:{section.port} ({error.strerror}); set "
                "console.port to a free one",
                key="console.port",
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweeping = asyncio.create_task(self._sweep())
        log.info("console on %s", self.url)

    async def stop(self) -> None:
        """Close the port; requests in hand get a moment to end."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
        self._connections.close()

    def _new_connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server is not None  # noqa: S101 - for the type checker: `start` has set it up
        return Admission(self._connections, server())

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self._connections.sweep()


def _context(section: ConsoleSection) -> ssl.SSLContext | None:
    if section.ssl_certfile is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(section.ssl_certfile, section.ssl_keyfile, lambda: "")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise ConfigError(
            f"TLS cannot be set up ({error}); name PEM files in console.ssl_certfile and "
            "console.ssl_keyfile",
            key="console.ssl_certfile",
        ) from None
    return context
