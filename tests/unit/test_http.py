"""The HTTP server for Prometheus and for the health checks of the container."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from inference.errors import ConfigError
from streams.config import HttpSection
from streams.http import HttpServer
from streams.metrics import Metrics


class ServerAndClient:
    """A server on a free port, a client for it, and the reason why it is not ready."""

    def __init__(self, server: HttpServer, client: aiohttp.ClientSession) -> None:
        self.server, self.client = server, client
        self.why_not: str | None = None

    async def get(self, path: str) -> tuple[int, str, str]:
        """Status, content type and body."""
        async with self.client.get(f"http://127.0.0.1:{self.server.port}{path}") as response:
            return response.status, response.headers["Content-Type"], await response.text()


@pytest.fixture
async def http() -> AsyncIterator[ServerAndClient]:
    """A running server, and a client for it."""
    server = HttpServer(HttpSection(port=0), Metrics(), lambda: server_and_client.why_not)
    await server.start()
    async with aiohttp.ClientSession() as client:
        server_and_client = ServerAndClient(server, client)
        yield server_and_client
    await server.stop()


async def test_live_does_not_depend_on_readiness(http: ServerAndClient) -> None:
    """A healthy container would be restarted again and again."""
    http.why_not = "no partitions are assigned yet"
    assert (await http.get("/live"))[0] == 200


async def test_ready_reports_why_it_is_not(http: ServerAndClient) -> None:
    """A worker that is not ready would be reported as ready, or without the reason."""
    assert await http.get("/ready") == (
        200,
        "application/json; charset=utf-8",
        '{"ready": true, "reason": null}',
    )
    http.why_not = "no partitions are assigned yet"
    status, _, body = await http.get("/ready")
    assert status == 503
    assert http.why_not in body


async def test_metrics_have_the_content_type_of_prometheus(http: ServerAndClient) -> None:
    """Prometheus would refuse the metrics, because it does not know their content type."""
    status, content_type, body = await http.get("/metrics")
    assert (status, content_type.split(";")[0]) == (200, "text/plain")
    assert "# TYPE triage_events_total counter" in body


async def test_a_port_in_use_is_a_configuration_error(http: ServerAndClient) -> None:
    """A second worker on the same machine would end in a traceback."""
    second = HttpServer(HttpSection(port=http.server.port), Metrics(), lambda: None)
    with pytest.raises(ConfigError, match=r"set http\.port to a free one"):
        await second.start()
