"""`/metrics` for Prometheus, `/live` and `/ready` for whoever runs the process.

Anybody who reaches the port may ask for health: an orchestrator has no credentials. Off loopback,
metrics and the reason why a worker is not ready are for those with the token or a certificate.
"""

import asyncio
import hmac
import logging
import time
from collections import deque
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from inference.addresses import is_loopback
from inference.errors import ConfigError
from streams.config import HttpSection
from streams.listening import Listener, server_context
from streams.metrics import Metrics

log = logging.getLogger(__name__)

WhyNotReady = Callable[[], str | None]
Notes = Callable[[], list[str]]

CONNECTION_TIMEOUT_S = 10.0
"""How long one connection may last: TLS, the request, and the answer to it."""
METRICS_MAX_AGE_S = 1.0
"""How long one rendering of the metrics answers further requests."""


class HttpServer:
    """Serves on the event loop of the worker, so `/live` answers only while the loop runs.

    `why_not_ready` returns one sentence while the worker is not ready, and None when it is. `notes`
    returns what whoever runs it should know, although it does not keep it from its events.
    `clock` gives seconds.
    """

    def __init__(
        self,
        section: HttpSection,
        metrics: Metrics,
        why_not_ready: WhyNotReady,
        notes: Notes = list,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._notes = notes
        self._section = section
        self._metrics = metrics
        self._why_not_ready = why_not_ready
        self._clock = clock
        self._rendered = b""
        self._rendered_s = -METRICS_MAX_AGE_S
        self._token: bytes | None = None
        self._connections = Connections(section.max_connections)
        app = web.Application()
        app.router.add_get("/metrics", self._render_metrics)
        app.router.add_get("/live", self._live)
        app.router.add_get("/ready", self._ready)
        self._runner = web.AppRunner(app, access_log=None)
        self._listener = Listener(self._runner, self._connections)
        self.port = section.port

    async def start(self) -> None:
        """Open the port.

        Raises:
            ConfigError: the address is in use or does not belong to this machine, it is open to
                others without a token, or a file cannot be read.
        """
        section = self._section
        self._token = section.read_token()
        if not self._is_protected and not is_loopback(section.host):
            raise ConfigError(
                f"on {section.host} others could read the metrics; set http.token_env or "
                "http.token_file, or http.ssl_client_cafile, or listen on 127.0.0.1",
                key="http.host",
            )
        context = server_context(
            section.ssl_certfile,
            section.ssl_keyfile,
            section.ssl_client_cafile,
            key="http.ssl_certfile",
            files="http.ssl_certfile, http.ssl_keyfile and http.ssl_client_cafile",
        )
        try:
            self.port = await self._listener.start(
                section.host, section.port, context, CONNECTION_TIMEOUT_S
            )
        except OSError as error:
            await self.stop()
            address = f"{section.host}:{section.port}"
            raise ConfigError(
                f"cannot listen on {address} ({error.strerror}); set http.port to a free one"
            ) from None
        scheme = "https" if context else "http"
        log.info("metrics and health on %s://%s:%d", scheme, section.host, self.port)

    async def stop(self) -> None:
        """Close the port."""
        self._listener.close()
        self._connections.close()
        await self._runner.cleanup()

    @property
    def _is_protected(self) -> bool:
        return self._token is not None or self._section.ssl_client_cafile is not None

    def _may_read(self, request: web.Request) -> bool:
        """Whether the request comes with the token or a verified certificate, or needs neither."""
        if not self._is_protected:
            return True
        if request.transport is not None and request.transport.get_extra_info("peercert"):
            return True
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip().encode(errors="surrogateescape")
        return (
            self._token is not None
            and kind.lower() == "bearer"
            and hmac.compare_digest(given, self._token)
        )

    async def _render_metrics(self, request: web.Request) -> web.Response:
        if not self._may_read(request):
            return web.Response(
                status=401,
                headers={"WWW-Authenticate": "Bearer"},
                text="metrics need the token of http.token_env or http.token_file\n",
            )
        now_s = self._clock()
        if now_s - self._rendered_s >= METRICS_MAX_AGE_S:
            self._rendered, self._rendered_s = self._metrics.render(), now_s
        return web.Response(body=self._rendered, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, request: web.Request) -> web.Response:
        why_not = self._why_not_ready()
        document: dict[str, object] = {"ready": why_not is None}
        if self._may_read(request):
            document["reason"] = why_not
            if notes := self._notes():
                document["notes"] = notes
        return web.json_response(document, status=503 if why_not else 200)


class Connections:
    """The open connections: at most `limit`, and none for longer than `CONNECTION_TIMEOUT_S`.

    One too many takes the place of the oldest. An answer takes milliseconds, so the oldest of many
    is one that was opened to be held open, and a probe of health is never the one that has to go.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: deque[asyncio.Transport] = deque()

    def __len__(self) -> int:
        self._forget_closed()
        return len(self._open)

    def admit(self, transport: asyncio.Transport) -> None:
        """Take a new connection."""
        self._forget_closed()
        if len(self._open) >= self._limit:
            self._open.popleft().abort()
        self._open.append(transport)
        asyncio.get_running_loop().call_later(CONNECTION_TIMEOUT_S, transport.abort)

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._open.popleft().abort()

    def _forget_closed(self) -> None:
        if any(transport.is_closing() for transport in self._open):
            self._open = deque(transport for transport in self._open if not transport.is_closing())
