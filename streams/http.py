"""`/metrics` for Prometheus, `/live` and `/ready` for whoever runs the process."""

import logging
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from inference.errors import ConfigError
from streams.config import HttpSection
from streams.metrics import Metrics

log = logging.getLogger(__name__)

WhyNotReady = Callable[[], str | None]


class HttpServer:
    """Serves on the event loop of the worker, so `/live` answers only while the loop runs.

    `why_not_ready` returns one sentence while the worker is not ready, and None when it is.
    """

    def __init__(self, section: HttpSection, metrics: Metrics, why_not_ready: WhyNotReady) -> None:
        self._section = section
        self._metrics = metrics
        self._why_not_ready = why_not_ready
        app = web.Application()
        app.router.add_get("/metrics", self._render_metrics)
        app.router.add_get("/live", self._live)
        app.router.add_get("/ready", self._ready)
        self._runner = web.AppRunner(app, access_log=None)
        self.port = section.port

    async def start(self) -> None:
        """Open the port.

        Raises:
            ConfigError: the address is in use, or does not belong to this machine.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._section.host, self._section.port).start()
        except OSError as error:
            await self.stop()
            address = f"{self._section.host}:{self._section.port}"
            raise ConfigError(
                f"cannot listen on {address} ({error.strerror}); set http.port to a free one"
            ) from None
        self.port = self._runner.addresses[0][1]
        log.info("metrics and health on http://%s:%d", self._section.host, self.port)

    async def stop(self) -> None:
        """Close the port."""
        await self._runner.cleanup()

    async def _render_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        why_not = self._why_not_ready()
        return web.json_response(
            {"ready": why_not is None, "reason": why_not}, status=503 if why_not else 200
        )
