"""Who may do what at the console, and what an attacker may try."""

import asyncio
import socket
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from inference.errors import ConfigError
from streams.config import ConsoleSection, Settings
from streams.console import connections as connections_module
from streams.console.access import Access
from streams.console.connections import Connections
from streams.console.requests import MAX_BODY_BYTES
from streams.console.web_server import WebServer
from streams.doctor import _console
from tests.clock import Clock
from tests.console_client import TOKENS, Browser, serving, write_people
from tests.console_world import World
from tests.patience import until
from tests.unit.conftest import Triage

EVERYWHERE = "0.0.0.0"  # noqa: S104 - the address that needs people
CASE = "cases/alerts/acme/a-1"
VERDICT = {
    "verdicts": [{"id": "a-1", "domain": "alerts", "tenant": "acme", "labels": {"queue": "cloud"}}]
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A console with people, and a case of each tenant."""
    world = World(tmp_path, ConsoleSection(port=0, tokens_file=write_people(tmp_path)))
    world.add("a-1", tenant="acme")
    world.add("g-1", tenant="globex")
    return world


@pytest.fixture
def open_world(tmp_path: Path) -> World:
    """A console on loopback without people."""
    world = World(tmp_path, ConsoleSection(port=0))
    world.add("a-1")
    return world


@pytest.mark.parametrize(
    "path",
    ["cases", "cases/counts", CASE, f"{CASE}/alike", "feed", "stream", "events/a-1", "figures",
     "deadletters", "labels"],
)  # fmt: skip
async def test_nothing_is_told_without_a_session(world: World, path: str) -> None:
    """Whoever reaches the port would read the events of every tenant."""
    async with serving(world, "") as (stranger,):
        status, document = await stranger.get(path)
        assert (status, document["code"]) == (401, "login")
        assert (await stranger.get("session"))[0] == 401


@pytest.mark.parametrize(
    "path", ["verdicts", "undo", f"{CASE}/claim", "deadletters/replay", "models/promote"]
)
async def test_nothing_is_changed_without_a_session(world: World, path: str) -> None:
    """Whoever reaches the port would decide."""
    async with serving(world, "") as (stranger,):
        assert (await stranger.post(path, VERDICT))[0] == 401
    assert world.sent == []


async def test_a_wrong_token_is_refused_and_not_tried_for_ever(world: World) -> None:
    """A token could be guessed."""
    async with serving(world, "") as (stranger,):
        for _ in range(world.section.logins_per_minute):
            status, document = await stranger.post("session", {"token": "guess"})
            assert status == 401
            assert "guess" not in str(document)
        async with stranger.request("POST", "session", json={"token": TOKENS["abe"]}) as response:
            assert response.status == 429
            assert int(response.headers["Retry-After"]) >= 1


async def test_a_token_opens_a_session_whose_cookie_no_script_can_read(world: World) -> None:
    """A script in a page would take the session with it."""
    async with serving(world, "") as (browser,):
        async with browser.request("POST", "session", json={"token": TOKENS["rae"]}) as response:
            cookie = response.headers["Set-Cookie"]
            document = await response.json()
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert (document["name"], document["role"], document["tenants"]) == (
            "rae",
            "reviewer",
            ["acme"],
        )
        browser.csrf = document["csrf"]
        assert (await browser.get("cases"))[0] == 200
        assert await browser.delete("session") == 204
        assert (await browser.get("cases"))[0] == 401


async def test_a_session_ends(world: World, tmp_path: Path) -> None:
    """A stolen cookie would be good for ever."""
    clock = Clock()
    section = ConsoleSection(port=0, tokens_file=write_people(tmp_path), session_s=60.0)
    ending = World(tmp_path / "b", section, clock=clock.monotonic)
    (tmp_path / "b").mkdir()
    async with serving(ending, "rae") as (rae,):
        assert (await rae.get("cases"))[0] == 200
        clock.now_s += 61
        assert (await rae.get("cases"))[0] == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-CSRF-Token": "0" * 64}, 403),
        ({"X-CSRF-Token": ""}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)  # fmt: skip
async def test_another_site_cannot_change_anything(
    world: World, headers: dict[str, str], status: int
) -> None:
    """A page of somebody else would decide with the cookie of whoever looks at it (CSRF)."""
    async with serving(world, "abe") as (abe,):
        assert (await abe.post("verdicts", VERDICT, **headers))[0] == status
        if "Sec-Fetch-Site" in headers:
            async with abe.request("GET", "cases", headers=headers) as response:
                assert response.status == status
        assert (await abe.post("verdicts", {**VERDICT, "hold_s": 0}))[0] == 200
        await until(lambda: len(world.sent) == 1)


async def test_the_csrf_token_of_another_session_is_no_use(world: World) -> None:
    """An attacker would use the token of a session of his own."""
    async with serving(world, "abe", "vic") as (abe, vic):
        assert vic.csrf is not None
        assert (await abe.post("verdicts", VERDICT, **{"X-CSRF-Token": vic.csrf}))[0] == 403


@pytest.mark.parametrize("path", ["verdicts", "undo", f"{CASE}/claim"])
async def test_a_viewer_may_look_and_not_decide(world: World, path: str) -> None:
    """Whoever was let in to look would decide."""
    async with serving(world, "vic") as (vic,):
        assert (await vic.get(CASE))[0] == 200
        status, document = await vic.post(path, VERDICT)
        assert (status, document["code"]) == (403, "role")
        assert "reviewer" in document["error"]
    assert world.sent == []


@pytest.mark.parametrize("path", ["deadletters/replay", "models/promote"])
async def test_a_reviewer_is_no_admin(world: World, path: str) -> None:
    """A reviewer would send back what others have sent, or change the model."""
    async with serving(world, "rae") as (rae,):
        assert (await rae.post(path, {"dry_run": True, "name": "x"}))[0] == 403


async def test_another_tenant_does_not_exist(world: World) -> None:
    """A person would see, count, find or decide the events of a tenant that is not theirs."""
    world.accept("g-2", tenant="globex", title="secret of globex")
    async with serving(world, "rae", "abe") as (rae, abe):
        unknown = await rae.get("cases/alerts/acme/nothing")
        for path in ("cases/alerts/globex/g-1", "cases/alerts/globex/g-1/alike"):
            assert (await rae.get(path)) == unknown
        for method in ("POST", "DELETE"):
            async with rae.request(method, "cases/alerts/globex/g-1/claim", json={}) as response:
                assert response.status == 404
        assert (
            (await rae.get("events/g-1"))[0]
            == (await rae.get("events/g-1", tenant="globex"))[0]
            == 404
        )
        listed = (await rae.get("cases"))[1]
        assert ([case["id"] for case in listed["cases"]], listed["total"]) == (["a-1"], 1)
        assert (await rae.get("cases", tenant="globex"))[1]["total"] == 0
        assert (await rae.get("cases/counts"))[1]["tenant"] == {"acme": 1}
        assert (await rae.get("cases/counts", tenant="globex"))[1] == {}
        assert "globex" not in str(await rae.get("feed"))
        assert (await rae.get("feed", tenant="globex"))[1]["decisions"] == []
        figures = (await rae.get("figures"))[1]
        assert figures["shares"]["events"] == 1
        wanted = {"id": "g-1", "domain": "alerts", "tenant": "globex", "labels": {"queue": "cloud"}}
        status, document = await rae.post("verdicts", {"verdicts": [wanted], "hold_s": 0})
        assert (status, document["accepted"]) == (400, [])
        assert (await abe.get("cases"))[1]["total"] == 2
    assert world.sent == []


async def test_the_stream_tells_a_person_of_their_tenants_only(world: World) -> None:
    """What may not be listed would be read off the stream."""
    async with serving(world, "rae") as (rae,), rae.request("GET", "stream") as response:
        await until(lambda: len(world.hub) == 1)
        world.add("g-9", tenant="globex")
        world.claims.claim(("alerts", "globex", "g-9"), "gus")
        world.add("a-9", tenant="acme")
        told = b""
        while b"a-9" not in told:
            told += await response.content.readany()
    assert b"g-9" not in told


async def test_a_person_decides_under_their_own_name(world: World) -> None:
    """One person would decide in the name of another."""
    async with serving(world, "rae") as (rae,):
        forged = {**VERDICT["verdicts"][0], "by": "abe"}
        assert (await rae.post("verdicts", {"verdicts": [forged]}))[0] == 400
        assert (await rae.post("verdicts", {**VERDICT, "hold_s": 0}))[0] == 200
        await until(lambda: world.sent)
    assert [verdict.by for verdict in world.sent] == ["rae"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9470", "127.0.0.1.evil.example", ""]
)
async def test_a_name_that_is_not_ours_is_not_answered(open_world: World, host: str) -> None:
    """A page whose name was made to lead here would read everything (DNS rebinding)."""
    async with serving(open_world, "") as (browser,):
        for path in ("cases", "session", "/", "/index.html"):
            async with browser.request("GET", path, headers={"Host": host}) as response:
                assert response.status in (400, 421)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9470", "[::1]:9470"])
async def test_the_names_of_this_machine_are_ours(open_world: World, host: str) -> None:
    """A person could not open the console."""
    async with (
        serving(open_world, "") as (browser,),
        browser.request("GET", "session", headers={"Host": host}) as response,
    ):
        assert response.status == 200


async def test_on_loopback_everybody_is_the_admin_of_this_machine(open_world: World) -> None:
    """Trying the console would need a file of people first."""
    async with serving(open_world, None) as (browser,):
        status, document = await browser.get("session")
        assert (status, document["role"], document["auth"]) == (200, "admin", "open")
        assert (await browser.get("cases"))[1]["total"] == 1


async def test_a_console_without_people_does_not_answer_through_a_proxy(open_world: World) -> None:
    """Whoever comes through a proxy on this machine would be its admin."""
    async with serving(open_world, "") as (browser,):
        browser.headers["X-Forwarded-For"] = "203.0.113.9"
        status, document = await browser.get("session")
        assert status == 403
        assert "trusted_proxy" in document["error"]


def proxied(tmp_path: Path, **options: Any) -> World:
    """A console behind a proxy on this machine."""
    section = ConsoleSection(
        port=0, tokens_file=write_people(tmp_path), trusted_proxy="127.0.0.1", **options
    )
    world = World(tmp_path, section)
    world.add("a-1", tenant="acme")
    world.add("g-1", tenant="globex")
    return world


async def test_a_trusted_proxy_says_who_it_is(tmp_path: Path) -> None:
    """Single sign-on would not work, or let in those who have no role."""
    async with serving(proxied(tmp_path), "", "") as (rae, nobody):
        rae.headers["X-Forwarded-User"] = "rae"
        status, document = await rae.get("session")
        assert (status, document["role"], document["auth"]) == (200, "reviewer", "proxy")
        rae.csrf = document["csrf"]
        assert (await rae.get("cases"))[1]["total"] == 1
        assert (await rae.post("verdicts", {**VERDICT, "dry_run": True}))[0] == 200
        rae.csrf = "0" * 64
        assert (await rae.post("verdicts", VERDICT))[0] == 403
        nobody.headers["X-Forwarded-User"] = "mallory"
        assert (await nobody.get("session"))[0] == 403
        nobody.headers.clear()
        assert (await nobody.get("cases"))[0] == 401


async def test_a_proxy_may_say_role_and_tenants(tmp_path: Path) -> None:
    """The groups of the identity provider could not be used, or would be more than they say."""
    world = proxied(tmp_path, proxy_role_header="X-Role", proxy_tenants_header="X-Tenants")
    async with serving(world, "") as (browser,):
        browser.headers = {"X-Forwarded-User": "new", "X-Role": "staff, viewer, reviewer"}
        document = (await browser.get("session"))[1]
        assert (document["role"], document["tenants"]) == ("reviewer", [])
        assert (await browser.get("cases"))[1]["total"] == 0
        browser.headers["X-Tenants"] = "globex"
        assert (await browser.get("cases"))[1]["cases"][0]["id"] == "g-1"
        browser.headers["X-Role"] = "staff"
        assert (await browser.get("cases"))[0] == 403


async def test_the_header_of_the_proxy_is_believed_from_its_address_only(tmp_path: Path) -> None:
    """Whoever reaches the port would be whom they say."""
    section = ConsoleSection(port=0, tokens_file=write_people(tmp_path), trusted_proxy="10.0.0.5")
    async with serving(World(tmp_path, section), "") as (browser,):
        browser.headers["X-Forwarded-User"] = "abe"
        assert (await browser.get("cases"))[0] == 401


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"host": EVERYWHERE}, "tokens_file"),
        ({"host": EVERYWHERE, "trusted_proxy": "10.0.0.5"}, "ssl_certfile"),
        ({"public_url": "http://console.example.com"}, "https"),
        ({"trusted_proxy": "proxy.example.com"}, "address of the proxy"),
        ({"ssl_certfile": "x.pem"}, "belong together"),
    ],
)  # fmt: skip
def test_a_console_that_would_be_open_to_others_does_not_start(
    options: dict[str, Any], sentence: str
) -> None:
    """Everybody on the network would decide, or read tokens on their way."""
    with pytest.raises(ConfigError, match=sentence):
        Access(ConsoleSection(**options))


def test_off_loopback_cookies_are_secure(tmp_path: Path) -> None:
    """A browser would send the cookie unencrypted."""
    section = ConsoleSection(
        host=EVERYWHERE,
        tokens_file=write_people(tmp_path),
        public_url="https://triage.example.com",
    )
    access = Access(section)
    assert access.is_secure
    assert access.cookie_name.startswith("__Host-")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "people = 3",
        '[[people]]\nname = "a"\nrole = "king"',
        '[[people]]\nname = ""',
        '[[people]]\nname = "a"\ntoken = "plain"',
        '[[people]]\nname = "a"\ntoken_sha256 = "abc"',
        '[[people]]\nname = "a"\n[[people]]\nname = "a"',
        "\xff",
        "[[people",
    ],
)  # fmt: skip
def test_a_file_of_people_that_cannot_be_meant_is_refused(tmp_path: Path, text: str) -> None:
    """A mistyped role or a token in plain text would be taken for something else."""
    path = tmp_path / "people.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as raised:
        Access(ConsoleSection(tokens_file=str(path)))
    assert "plain" not in str(raised.value).replace("explained", "")


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
     "/static/../../server.py", "/vendor/..%5c..%5csecret.txt", "//etc/passwd", "/.env",
     "/index.html%00.png"],
)  # fmt: skip
async def test_no_request_leads_out_of_the_folder_of_pages(tmp_path: Path, path: str) -> None:
    """Whoever reaches the port would read the files of the machine."""
    static = tmp_path / "static"
    static.mkdir()
    (static / "index.html").write_text("the page")
    (static / ".env").write_text("secret")
    (tmp_path / "secret.txt").write_text("secret")
    (static / "link.txt").symlink_to(tmp_path / "secret.txt")
    world = World(tmp_path, ConsoleSection(port=0), static=static)
    async with serving(world, "") as (browser,):
        for asked in (path, "/link.txt"):
            async with browser.request("GET", asked) as response:
                assert await response.text() in (
                    "the page",
                    '{"error":"there is nothing at this address"}',
                )
                assert response.status in (200, 404)


async def test_a_request_that_is_too_large_or_no_json_is_refused(world: World) -> None:
    """One request would fill the memory, or end in a traceback."""
    async with serving(world, "abe") as (abe,):
        large = BytesIO(b'{"x": "%s"}' % (b"y" * MAX_BODY_BYTES))
        async with abe.request(
            "POST", "verdicts", data=large, headers={"Content-Type": "application/json"}
        ) as response:
            assert response.status == 413
        many = {"verdicts": VERDICT["verdicts"] * 1001}
        assert (await abe.post("verdicts", many))[0] == 400
        for body in (b"{", b"[]", b"\xff", b'{"verdicts":[]}', b"[" * 100_000):
            async with abe.request(
                "POST", "verdicts", data=body, headers={"Content-Type": "application/json"}
            ) as response:
                assert response.status == 400
                assert "cannot be read" in (await response.json())["error"]


@pytest.mark.parametrize(
    "query", ["limit=x", "order=upside", "domain=mail", "nonsense=1", "text=" + "a" * 2000,
              "after=%00", "state=open&state=all"],
)  # fmt: skip
async def test_parameters_that_cannot_be_meant_are_refused(world: World, query: str) -> None:
    """A mistyped filter would show everything, or end in a traceback."""
    async with (
        serving(world, "abe") as (abe,),
        abe.request("GET", f"cases?{query}") as response,
    ):
        assert response.status == 400
        assert (await response.json())["error"]


async def test_too_many_requests_are_refused_for_a_while(world: World) -> None:
    """One page that has gone wild would keep everybody else from working."""
    clock = Clock()
    limited = World(
        world.folder, ConsoleSection(port=0, requests_per_second=2), clock=clock.monotonic
    )
    async with serving(limited, None) as (browser,):
        statuses = [(await browser.get("labels"))[0] for _ in range(12)]
        assert statuses.count(429) >= 4
        clock.now_s += 10
        assert (await browser.get("labels"))[0] == 200


async def test_every_answer_has_the_headers_that_protect_a_browser(open_world: World) -> None:
    """Event text that became markup by a fault would run, or the page be framed by another."""
    async with serving(open_world, None) as (browser,):
        for path in ("session", "cases", "nothing", "/", "/nothing.js", "stream"):
            async with browser.request("GET", path) as response:
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'self'" in policy
                assert "frame-ancestors 'none'" in policy
                assert "unsafe" not in policy
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert response.headers["Referrer-Policy"] == "no-referrer"
                assert "Server" not in response.headers
            if not path.startswith("/"):
                assert response.headers["Cache-Control"] == "no-store"


async def test_hostile_text_passes_through_as_data(open_world: World) -> None:
    """A script in an event would run in the browser of whoever looks at it."""
    hostile = "<script>alert(1)</script>\x1b[31m\u202e'\"&"
    open_world.add("x/<b>", title=hostile, text=hostile, link="javascript:alert(1)")
    async with serving(open_world, None) as (browser,):
        async with browser.request(
            "GET", "cases/alerts/-/-", params={"tenant": "acme", "id": "x/<b>"}
        ) as response:
            assert response.content_type == "application/json"
            document = await response.json()
        assert document["event"]["text"] == document["case"]["title"] == hostile
        assert document["link"] is None


@pytest.mark.parametrize(
    "id_", ["..", ".", "a/b", "a%2Fb", "ä ö", "?x=1#y", "a\x00b", "-", "a" * 500]
)
async def test_every_id_can_be_opened(open_world: World, id_: str) -> None:
    """An attacker would choose an id whose case nobody can look at."""
    open_world.add(id_)
    async with serving(open_world, None) as (browser,):
        status, document = await browser.get("cases/alerts/-/-", tenant="acme", id=id_)
        assert (status, document["case"]["id"]) == (200, id_)
        assert (await browser.get("events/-", id=id_))[0] == 200


async def listening(world: World, section: ConsoleSection) -> WebServer:
    """The real server on a free port."""
    server = WebServer(section, world.app, world.connections)
    await server.start()
    return server


async def test_a_request_that_comes_byte_by_byte_is_cut_off(tmp_path: Path) -> None:
    """A few hundred slow connections would keep everybody else out (slowloris)."""
    clock = Clock()
    section = ConsoleSection(port=0, max_connections=4)
    world = World(tmp_path, section)
    world.connections = Connections(4, clock.monotonic)
    server = await listening(world, section)
    try:
        slow = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
        for _, writer in slow:
            writer.write(b"GET /api/v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ")
        await until(lambda: len(world.connections) == 4)
        # One more takes the place of the first, and is answered.
        browser = Browser(f"http://127.0.0.1:{server.port}")
        await browser.log_in()
        await browser.close()
        assert len(world.connections) <= 4
        clock.now_s += connections_module.FIRST_REQUEST_S
        for reader, writer in slow:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
    finally:
        await server.stop()


async def test_a_port_in_use_is_a_configuration_error(tmp_path: Path) -> None:
    """A second console on the same machine would end in a traceback."""
    section = ConsoleSection(port=0)
    server = await listening(World(tmp_path, section), section)
    taken = ConsoleSection(port=server.port)
    try:
        with pytest.raises(ConfigError, match=r"console\.port"):
            await WebServer(taken, World(tmp_path / "x", taken).app, Connections(4)).start()
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"host": EVERYWHERE}, "others could see and decide everything"),
        ({"tokens_file": "none.toml"}, "console.tokens_file: the file cannot be read"),
        ({"tokens_file": "broken.toml"}, "the file of people cannot be used"),
        ({"ssl_certfile": "none.crt", "ssl_keyfile": "none.key"}, "TLS cannot be set up"),
        ({"public_url": "ftp://console.example"}, "takes https://HOST"),
        ({"trusted_proxy": "proxy"}, "takes the address of the proxy"),
        ({"reviewer": "nobody"}, "none of the reviewers"),
    ],
    ids=str,
)
async def test_a_console_that_cannot_start_is_found_before_it_is_started(
    triage: Triage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    section: dict[str, Any],
    words: str,
) -> None:
    """The configuration would be called valid, and the console end at its first start."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.toml").write_text("[[people]]\n")
    lines = [f'{key} = "{value}"' for key, value in section.items()]
    (tmp_path / "triage.toml").write_text("\n".join(["[console]", *lines]))
    code, _, err = triage("config", "validate")
    assert (code, words in err) == (2, True), err
    code, out, err = triage("config", "show")
    assert (code, "[console]" in out, words in err) == (0, True, True), err
    settings = replace(Settings(), console=ConsoleSection(**section))
    assert words in _console(settings).detail


def test_a_port_that_cannot_be_had_is_a_finding() -> None:
    """The first sign of a wrong address would be a console that does not start."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        finding = _console(replace(Settings(), console=ConsoleSection(port=port)))
        assert (finding.healthy, "is in use" in finding.detail) == (True, True)
    finding = _console(replace(Settings(), console=ConsoleSection(host="127.0.0.1", port=0)))
    assert (finding.healthy, "is its admin" in finding.detail) == (True, True)
    elsewhere = ConsoleSection(
        host="192.0.2.1", public_url="https://a.example", trusted_proxy="192.0.2.2"
    )
    finding = _console(replace(Settings(), console=elsewhere))
    assert (finding.healthy, "cannot listen on 192.0.2.1" in finding.detail) == (False, True)
