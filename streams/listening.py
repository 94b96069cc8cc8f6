"""A port on which aiohttp answers: its TLS, and who is asked about each new connection."""

import asyncio
import ssl
from typing import Protocol

from aiohttp import web

from inference.errors import ConfigError


class Connections(Protocol):
    """Those that are open."""

    def admit(self, transport: asyncio.Transport) -> None:
        """Take a new connection, or cut it off."""


class Listener:
    """Gives each connection of a port first to `connections`, and then to aiohttp."""

    def __init__(self, runner: web.AppRunner, connections: Connections) -> None:
        self._runner = runner
        self._connections = connections
        self._server: asyncio.Server | None = None

    async def start(
        self, host: str, port: int, context: ssl.SSLContext | None, handshake_timeout_s: float
    ) -> int:
        """Open the port, and return its number: of port 0, the one that was free.

        Raises:
            OSError: the address is in use, or does not belong to this machine.
        """
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_server(
            self._new_connection,
            host,
            port,
            ssl=context,
            ssl_handshake_timeout=handshake_timeout_s if context else None,
        )
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Accept no more connections."""
        if self._server is not None:
            self._server.close()

    def _new_connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server is not None  # noqa: S101 - for the type checker: `start` has set it up
        return _Admission(self._connections, server())


class _Admission(asyncio.Protocol):
    """Admits a connection when it is made, and then leaves it to the protocol of aiohttp."""

    def __init__(self, connections: Connections, handler: asyncio.Protocol) -> None:
        self._connections = connections
        self._handler = handler

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._connections.admit(transport)
        transport.set_protocol(self._handler)
        self._handler.connection_made(transport)


def server_context(
    certfile: str | None,
    keyfile: str | None,
    client_cafile: str | None = None,
    *,
    key: str,
    files: str,
) -> ssl.SSLContext | None:
    """The TLS of a port; None without a certificate. Clients may show a certificate, too.

    Errors are about the configuration `key`, and ask for the keys in `files`.

    Raises:
        ConfigError: a file cannot be read, or is no PEM file.
    """
    if certfile is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certfile, keyfile, lambda: "")
        if client_cafile is not None:
            context.load_verify_locations(client_cafile)
            # Optional: probes of health come without a certificate.
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise ConfigError(
            f"TLS cannot be set up ({error}); name PEM files in {files}", key=key
        ) from None
    return context
