"""What Prometheus and the container's health checks are told."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from streams.config import HttpSection
from streams.errors import ConfigError
from streams.http import HttpServer
from streams.metrics import Metrics


class Bench:
    """A server on a free port, and a client for it."""

    def __init__(self, server: HttpServer, client: aiohttp.ClientSession) -> None:
        self.server, self.client = server, client
        self.why_not: str | None = None

    async def get(self, path: str) -> tuple[int, str, str]:
        """Status, content type and body."""
        async with self.client.get(f"http://127.0.0.1:{self.server.port}{path}") as answer:
            return answer.status, answer.headers["Content-Type"], await answer.text()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A running server."""
    server = HttpServer(HttpSection(port=0), Metrics(), lambda: bench_.why_not)
    await server.start()
    async with aiohttp.ClientSession() as client:
        bench_ = Bench(server, client)
        yield bench_
    await server.stop()


async def test_live(bench: Bench) -> None:
    """A healthy container would be restarted, over and over."""
    bench.why_not = "no partitions are assigned yet"
    assert (await bench.get("/live"))[0] == 200


async def test_ready(bench: Bench) -> None:
    """A worker that does not work would be sent the traffic, or nobody could see why it is not."""
    assert await bench.get("/ready") == (
        200,
        "application/json; charset=utf-8",
        '{"ready": true, "reason": null}',
    )
    bench.why_not = "no partitions are assigned yet"
    status, _, body = await bench.get("/ready")
    assert status == 503
    assert bench.why_not in body


async def test_metrics(bench: Bench) -> None:
    """Prometheus refuses a body whose type it does not know."""
    status, type_, body = await bench.get("/metrics")
    assert (status, type_.split(";")[0]) == (200, "text/plain")
    assert "# TYPE triage_events_total counter" in body


async def test_a_taken_port_is_one_sentence(bench: Bench) -> None:
    """A second worker on the same machine would end in a traceback."""
    second = HttpServer(HttpSection(port=bench.server.port), Metrics(), lambda: None)
    with pytest.raises(ConfigError, match=r"set http\.port to a free one"):
        await second.start()
