"""How the console serves its pages, over TLS too, and what it says when something fails."""

import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from inference.errors import ConfigError, ModelError
from streams.config import ConsoleSection
from streams.console import letters as letters_module
from streams.console.assets import Assets
from streams.console.connections import Connections
from streams.console.limits import MAX_BUCKETS, RateLimit
from streams.console.people import Person
from streams.console.sessions import MAX_SESSIONS, Sessions
from streams.console.web_server import WebServer
from streams.deadletters import Replay, Selection
from streams.errors import BrokerUnreachable
from tests.certificates import Certificates
from tests.clock import Clock
from tests.console_client import Browser, serving
from tests.console_world import World

PAGE = b"<!doctype html>" + b"a page that is worth compressing " * 20


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A console with a few files of pages."""
    static = tmp_path / "static"
    (static / "vendor").mkdir(parents=True)
    (static / "index.html").write_bytes(PAGE)
    (static / "app.0123abcd.js").write_text("export const a = 1;\n" * 50)
    (static / "vendor" / "logo.png").write_bytes(b"\x89PNG")
    (static / "notes.md").write_text("not for browsers")
    return World(tmp_path, ConsoleSection(port=0), static=static)


async def test_pages_are_compressed_and_checked_by_their_digest(world: World) -> None:
    """Each visit would load everything again, or show the pages of an earlier version."""
    async with serving(world, "") as (browser,):
        async with browser.request("GET", "/") as response:
            assert await response.read() == PAGE
            assert response.headers["Content-Encoding"] == "gzip"
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.content_type == "text/html"
            etag = response.headers["ETag"]
        async with browser.request("GET", "/", headers={"If-None-Match": etag}) as response:
            assert (response.status, await response.read()) == (304, b"")
        plain = {"Accept-Encoding": "identity"}
        async with browser.request("GET", "/", headers=plain) as response:
            assert "Content-Encoding" not in response.headers
        async with browser.request("GET", "/app.0123abcd.js") as response:
            assert "immutable" in response.headers["Cache-Control"]
        async with browser.request("GET", "/vendor/logo.png") as response:
            assert "Content-Encoding" not in response.headers
            assert response.content_type == "image/png"


async def test_every_page_of_the_console_can_be_loaded_again(world: World) -> None:
    """A reload, or a link that somebody has sent, would show nothing."""
    async with serving(world, "") as (browser,):
        for path in ("/queue", "/cases/alerts/acme/a-1", "/figures?hours=3"):
            async with browser.request("GET", path) as response:
                assert await response.read() == PAGE
        for path in ("/nothing.js", "/notes.md", "/api/v1/nothing.json", "/api/v1/nothing"):
            async with browser.request("GET", path) as response:
                assert response.status == 404
                assert "nothing at this address" in (await response.json())["error"]


def test_files_are_read_again_while_pages_are_written(tmp_path: Path) -> None:
    """Whoever writes a page would have to restart the console for each change."""
    assert len(Assets(tmp_path)) == 0
    (tmp_path / "index.html").write_text("x")
    assert len(Assets(tmp_path, reload=True)) == 1


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (BrokerUnreachable("no Kafka broker answers; start one"), 503, "no Kafka broker"),
        (ModelError("the model is damaged; convert it again"), 500, "the model is damaged"),
        (RuntimeError("secret of the inside"), 500, "the console's log says why"),
    ],
)
async def test_a_failure_is_one_sentence(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    words: str,
) -> None:
    """A page would show a traceback, or tell a stranger what is inside."""

    async def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(world.cases, "list", fail)
    async with serving(world, None) as (browser,):
        found, document = await browser.get("cases")
        assert found == status
        assert words in document["error"]
        assert "secret" not in str(document)
        async with browser.request("PUT", "cases", json={}) as response:
            assert response.status == 405
            assert "method" in (await response.json())["error"]


async def test_dead_letters_are_sent_back_after_a_look_at_how_many(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An admin would send back more than they have looked at."""
    asked: list[tuple[Selection, int, bool]] = []

    async def replay(
        _: Any, selection: Selection, *, limit: int, rate: float, dry_run: bool
    ) -> Replay:
        assert rate > 0
        asked.append((selection, limit, dry_run))
        made = Replay(replayed=3, left=1)
        made.topics["triage.alerts.v1"] = 3
        return made

    monkeypatch.setattr(letters_module, "replay", replay)
    async with serving(world, None) as (browser,):
        status, document = await browser.post("deadletters/replay", {"dry_run": True, "limit": 5})
        assert (status, document["dry_run"], document["replayed"]) == (200, True, 3)
        assert document["topics"] == {"triage.alerts.v1": 3}
        wanted = {"dry_run": False, "stage": "deliver", "poison": True}
        assert (await browser.post("deadletters/replay", wanted))[1]["dry_run"] is False
        # Whether it is a dry run must be said.
        assert (await browser.post("deadletters/replay", {}))[0] == 400
    assert asked == [
        (Selection(), 5, True),
        (Selection(stage="deliver", poison=True), letters_module.MAX_REPLAYED, False),
    ]


async def test_the_console_speaks_tls(tmp_path: Path) -> None:
    """Tokens would cross the network unencrypted."""
    files = Certificates.make(tmp_path)
    section = ConsoleSection(
        port=0, ssl_certfile=files.path("server.pem"), ssl_keyfile=files.path("server.key")
    )
    world = World(tmp_path, section)
    server = WebServer(section, world.app, world.connections)
    await server.start()
    try:
        assert server.url.startswith("https://")
        context = ssl.create_default_context(cafile=files.path("ca.pem"))
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{server.url}/api/v1/session", ssl=context) as response,
        ):
            assert "Secure" in response.headers["Set-Cookie"]
            assert response.headers["Set-Cookie"].startswith("__Host-")
    finally:
        await server.stop()
    broken = ConsoleSection(port=0, ssl_certfile=__file__, ssl_keyfile=__file__)
    with pytest.raises(ConfigError, match="PEM"):
        await WebServer(broken, World(tmp_path / "x", broken).app, Connections(4)).start()


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"host": "::1", "port": 9470}, "http://[::1]:9470"),
        ({"public_url": "https://triage.example.com"}, "https://triage.example.com"),
    ],
)
def test_the_address_is_the_one_that_a_browser_can_open(
    tmp_path: Path, options: dict[str, Any], url: str
) -> None:
    """The line that the command prints could not be opened."""
    section = ConsoleSection(**options)
    world = World(tmp_path, section)
    assert WebServer(section, world.app, Connections(4)).url == url


async def test_a_login_ends_the_session_before_it(world: World) -> None:
    """An attacker who had set a cookie would be logged in with whoever logs in (fixation)."""
    async with serving(world, None) as (browser,):
        before = len(world.access.sessions)
        assert (await browser.post("session", {"token": "unknown"}))[0] == 401
        async with browser.request("POST", "session", data=b"token=x") as response:
            assert response.status == 415
        assert len(world.access.sessions) == before


def test_so_many_sessions_and_addresses_are_remembered_and_no_more() -> None:
    """Whoever reaches the port would fill the memory."""
    clock = Clock()
    sessions = Sessions(60.0, clock.monotonic)
    first, cookie = sessions.open(Person("a", "viewer"))
    for _ in range(MAX_SESSIONS):
        sessions.open(Person("b", "viewer"))
    assert len(sessions) == MAX_SESSIONS
    assert sessions.find(cookie) is None
    assert not first.is_of_proxy
    limit = RateLimit(1.0, 2, clock.monotonic)
    for number in range(MAX_BUCKETS + 5):
        assert limit.take(str(number)) == 0.0
    assert len(limit) == MAX_BUCKETS
    assert limit.take("x") == limit.take("x") == 0.0
    assert limit.take("x") == 1.0


async def test_lasting_connections_are_not_cut_off_and_do_not_take_every_place() -> None:
    """A stream would end after seconds, or nobody could load a page beside the streams."""
    clock = Clock()
    connections = Connections(2, clock.monotonic)

    class Transport:
        aborted = False

        def is_closing(self) -> bool:
            """Whether it has ended."""
            return self.aborted

        def abort(self) -> None:
            """End it."""
            self.aborted = True

    lasting: list[Any] = [Transport(), Transport()]
    for each in lasting:
        connections.admit(each)
        connections.may_last(each)
    clock.now_s += 1_000
    connections.sweep()
    assert len(connections) == 2
    late: Any = Transport()
    connections.admit(late)
    assert late.aborted
    lasting[0].aborted = True
    another: Any = Transport()
    connections.admit(another)
    assert len(connections) == 2
    connections.close()
    assert len(connections) == 0


async def test_a_browser_of_the_tests_sends_no_token_before_it_has_one() -> None:
    """The tests of CSRF would pass although nothing is checked."""
    browser = Browser("http://127.0.0.1:1")
    assert browser.csrf is None
    await browser.close()
