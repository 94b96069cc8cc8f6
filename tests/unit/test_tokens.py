"""Tokens for OAUTHBEARER: where they come from, and when a new one is asked for."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiokafka.errors import AuthenticationFailedError

from streams.config import KafkaSection
from streams.kafka.connection import connection
from streams.kafka.tokens import ClientCredentials, FileTokens, token_provider


class TokenServer:
    """A token endpoint: what it was asked, and what it answers."""

    def __init__(self) -> None:
        self.forms: list[dict[str, Any]] = []
        self.logins: list[str] = []
        self.status = 200
        self.answer: Any = {"access_token": "t-1", "token_type": "Bearer", "expires_in": 100}
        self.url = ""

    async def grant(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.forms.append(dict(await request.post()))
        kind, _, login = request.headers["Authorization"].partition(" ")
        assert kind == "Basic"
        self.logins.append(base64.b64decode(login).decode())
        if isinstance(self.answer, str):
            return web.Response(status=self.status, text=self.answer)
        if self.status == 302:
            return web.Response(status=302, headers={"Location": self.url})
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
async def server() -> AsyncIterator[TokenServer]:
    """A token endpoint on loopback."""
    made = TokenServer()
    app = web.Application()
    app.router.add_post("/token", made.grant)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    yield made
    await runner.cleanup()


@pytest.fixture
def options(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> KafkaSection:
    """The configuration of a client of this endpoint."""
    monkeypatch.setenv("CLIENT_SECRET", "s:cret")
    return KafkaSection(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        oauth_token_url=server.url,
        oauth_client_id="triage",
        oauth_client_secret_env="CLIENT_SECRET",  # noqa: S106 - its name
        oauth_scope="kafka",
    )


async def test_a_token_is_asked_for_as_the_standard_says(
    server: TokenServer, options: KafkaSection
) -> None:
    """No token endpoint would grant a token."""
    assert await token_provider(options).token() == "t-1"
    assert server.forms == [{"grant_type": "client_credentials", "scope": "kafka"}]
    assert server.logins == ["triage:s%3Acret"]


async def test_a_token_is_used_for_most_of_its_life(
    server: TokenServer, options: KafkaSection
) -> None:
    """Each login would ask for a token, or an expired one would be sent."""
    now_s = 0.0
    provider = ClientCredentials(options, clock=lambda: now_s)
    await asyncio.gather(*(provider.token() for _ in range(10)))
    now_s = 79.0
    await provider.token()
    assert len(server.forms) == 1
    now_s, server.answer = 80.0, {"access_token": "t-2", "expires_in": 100}
    assert await provider.token() == "t-2"


@pytest.mark.parametrize(
    ("status", "answer", "sentence"),
    [
        (401, {"error": "invalid_client"}, "status 401.*oauth_client_id"),
        (302, {}, "status 302"),
        (200, {"token": "x"}, "without a token"),
        (200, "<html>", "without a token"),
        (200, {"access_token": ""}, "no token that can be sent"),
        (200, {"access_token": "a\nb"}, "no token that can be sent"),
        (200, "x" * 100_000, "does not answer"),
    ],
)
async def test_an_endpoint_that_grants_nothing_is_one_sentence(
    server: TokenServer, options: KafkaSection, status: int, answer: Any, sentence: str
) -> None:
    """A user would look at the broker, or the secret would follow a redirect."""
    server.status, server.answer = status, answer
    with pytest.raises(AuthenticationFailedError, match=sentence) as caught:
        await token_provider(options).token()
    assert "s:cret" not in str(caught.value)
    assert len(server.forms) == 1


async def test_an_endpoint_that_is_away_is_one_sentence(
    options: KafkaSection, server: TokenServer, unused_tcp_port: int
) -> None:
    """An error of aiohttp would end the worker with a traceback."""
    url = f"http://127.0.0.1:{unused_tcp_port}/token"
    with pytest.raises(AuthenticationFailedError, match="does not answer"):
        await ClientCredentials(_at(options, url)).token()


def _at(options: KafkaSection, url: str) -> KafkaSection:
    return msgspec.structs.replace(options, oauth_token_url=url)


async def test_a_file_is_read_before_each_login(tmp_path: Path) -> None:
    """A renewed token would be taken only after a restart."""
    file = tmp_path / "token"
    file.write_text("t-1\n")
    kafka = KafkaSection(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        oauth_token_file=str(file),
    )
    provider = connection(kafka)["sasl_oauth_token_provider"]
    assert await provider.token() == "t-1"
    file.write_text("t-2")
    assert await provider.token() == "t-2"


@pytest.mark.parametrize("content", [None, b"", b"a b", "tök".encode()])
async def test_a_file_without_a_token_is_one_sentence(
    tmp_path: Path, content: bytes | None
) -> None:
    """Aiokafka would send nothing, or the error would show what is in the file."""
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(AuthenticationFailedError, match=r"kafka\.oauth_token_file") as caught:
        await FileTokens(tmp_path / "token").token()
    assert "a b" not in str(caught.value)
