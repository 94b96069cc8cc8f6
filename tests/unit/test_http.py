"""The HTTP server for Prometheus and for the health checks of the container."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from inference.errors import ConfigError
from streams import http as module
from streams.config import HttpSection
from streams.http import HttpServer
from streams.metrics import Metrics
from tests.certificates import Certificates

TOKEN = "scrape-me"  # noqa: S105 - of a test
BEARER = {"Authorization": f"Bearer {TOKEN}"}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - the address that needs a token


class Clock:
    """A clock that only the test moves, in seconds."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        """The time now."""
        return self.now_s


class ServerAndClient:
    """A server on a free port, a client for it, and the reason why it is not ready."""

    def __init__(self, section: HttpSection, client: aiohttp.ClientSession) -> None:
        self.clock = Clock()
        self.metrics = Metrics()
        self.notes: list[str] = []
        self.server = HttpServer(
            section, self.metrics, lambda: self.why_not, lambda: self.notes, clock=self.clock
        )
        self.client = client
        self.why_not: str | None = None
        self.writers: list[asyncio.StreamWriter] = []

    async def get(self, path: str, **headers: str) -> tuple[int, str, str]:
        """Status, content type and body."""
        async with self.client.get(
            f"http://127.0.0.1:{self.server.port}{path}", headers=headers
        ) as response:
            return response.status, response.headers["Content-Type"], await response.text()

    async def connect(self, sent: bytes = b"") -> asyncio.StreamReader:
        """Open a connection, send something, and leave it open."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(sent)
        self.writers.append(writer)
        return reader

    async def hang_up(self) -> None:
        """Close what `connect` opened."""
        for writer in self.writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[ServerAndClient]:
    """A running server with this section, and a client for it."""
    async with aiohttp.ClientSession() as client:
        made = ServerAndClient(HttpSection(port=0, **options), client)
        await made.server.start()
        yield made
        await made.hang_up()
        await made.server.stop()


@pytest.fixture
async def http() -> AsyncIterator[ServerAndClient]:
    """A running server, and a client for it."""
    async with serving() as made:
        yield made


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that holds the token."""
    monkeypatch.setenv("SCRAPE_TOKEN", TOKEN)


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


async def test_ready_says_what_is_worth_knowing(http: ServerAndClient) -> None:
    """Nobody would learn from the worker that its promise is broken."""
    http.notes.append("the promise for tickets is broken")
    status, _, body = await http.get("/ready")
    assert (status, body) == (
        200,
        '{"ready": true, "reason": null, "notes": ["the promise for tickets is broken"]}',
    )


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


async def test_metrics_are_rendered_at_most_once_a_second(http: ServerAndClient) -> None:
    """Four hundred scrapes a second would take three quarters of the throughput."""
    rendered: list[None] = []
    http.metrics.when_rendered(lambda _: rendered.append(None))
    pages = {(await http.get("/metrics"))[2] for _ in range(50)}
    assert (len(rendered), len(pages)) == (1, 1)
    await asyncio.gather(*(http.get("/metrics") for _ in range(20)))
    assert len(rendered) == 1
    http.clock.now_s += module.METRICS_MAX_AGE_S
    await http.get("/metrics")
    assert len(rendered) == 2


async def test_half_open_connections_do_not_keep_health_from_answering() -> None:
    """Whoever opens a thousand connections would have the worker restarted, or out of memory."""
    async with serving(max_connections=8) as http:
        readers = [await http.connect(b"GET /live HTTP/1.1\r\nHost:") for _ in range(200)]
        assert (await http.get("/live"))[0] == 200
        assert len(http.server._connections) <= 8
        async with asyncio.timeout(10):
            for reader in readers[:-8]:
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /live HTTP/1.1\r\nHost:", b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n"],
    ids=["silent", "half a request", "idle after an answer"],
)
async def test_no_connection_lasts(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """Connections that are opened and left would pile up until nothing more is accepted."""
    monkeypatch.setattr(module, "CONNECTION_TIMEOUT_S", 0.05)
    async with serving() as http:
        reader = await http.connect(sent)
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                await reader.read()
        assert len(http.server._connections) == 0


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.0.2.1", "worker.example"])
async def test_metrics_are_not_open_to_the_network(host: str) -> None:
    """Everybody in the network could read the names of topics and endpoints, and the costs."""
    server = HttpServer(HttpSection(host=host, port=0), Metrics(), lambda: None)
    with pytest.raises(ConfigError, match=r"^http\.host: .*http\.token_env"):
        await server.start()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_loopback_needs_no_token(host: str) -> None:
    """Nothing would start on a laptop without a token."""
    async with serving(host=host) as http:
        assert (await http.get("/metrics"))[0] == 200


@pytest.mark.parametrize("host", [EVERYWHERE, "127.0.0.1"])
async def test_metrics_are_for_those_with_the_token(host: str) -> None:
    """A token would be configured and not asked for, or be of no use."""
    async with serving(host=host, token_env="SCRAPE_TOKEN") as http:  # noqa: S106 - its name
        assert (await http.get("/metrics", **BEARER))[0] == 200
        for header in ("", TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer other", "Bearer \u00e4"):
            status, _, body = await http.get("/metrics", Authorization=header)
            assert status == 401, header
            assert "triage_" not in body


async def test_health_without_the_token_has_no_details() -> None:
    """The probes of an orchestrator, which have no token, would fail, or strangers read reasons."""
    async with serving(host=EVERYWHERE, token_env="SCRAPE_TOKEN") as http:  # noqa: S106 - its name
        assert (await http.get("/live"))[0] == 200
        http.why_not = "the broker kafka-1.internal is gone"
        status, _, body = await http.get("/ready")
        assert (status, body) == (503, '{"ready": false}')
        assert http.why_not in (await http.get("/ready", **BEARER))[2]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of a server and of clients."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


async def test_a_certificate_does_instead_of_a_token(certificates: Certificates) -> None:
    """Mutual TLS would not work, or anybody could read the metrics over it."""
    path = certificates.path
    async with serving(
        host=EVERYWHERE,
        ssl_certfile=path("server.pem"),
        ssl_keyfile=path("server.key"),
        ssl_client_cafile=path("ca.pem"),
    ) as http:
        url = f"https://127.0.0.1:{http.server.port}"
        context = ssl.create_default_context(cafile=path("ca.pem"))
        async with http.client.get(f"{url}/metrics", ssl=context) as response:
            assert response.status == 401
        async with http.client.get(f"{url}/live", ssl=context) as response:
            assert response.status == 200
        context = ssl.create_default_context(cafile=path("ca.pem"))
        context.load_cert_chain(path("client.pem"), path("client.key"))
        async with http.client.get(f"{url}/metrics", ssl=context) as response:
            assert response.status == 200
        context = ssl.create_default_context(cafile=path("ca.pem"))
        context.load_cert_chain(path("other-ca.pem"), path("other-ca.key"))
        with pytest.raises(aiohttp.ClientError):
            await http.client.get(f"{url}/metrics", ssl=context)


async def test_files_that_are_no_certificates_are_one_sentence(tmp_path: Path) -> None:
    """A mistyped path would end in a traceback, or OpenSSL would ask for a password."""
    file = tmp_path / "rubbish.pem"
    file.write_text("rubbish")
    section = HttpSection(port=0, ssl_certfile=str(file), ssl_keyfile=str(file))
    with pytest.raises(ConfigError, match=r"^http\.ssl_certfile: TLS cannot be set up"):
        await HttpServer(section, Metrics(), lambda: None).start()
