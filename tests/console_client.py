"""A browser of a console under test: it keeps cookies, and sends the CSRF token."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.test_utils import TestServer

from tests.console_world import World

TOKENS = {
    "vic": "token-of-vic",
    "rae": "token-of-rae",
    "abe": "token-of-abe",
    "gus": "token-of-gus",
}
ROLES = {"vic": "viewer", "rae": "reviewer", "abe": "admin", "gus": "reviewer"}
TENANTS = {"rae": ["acme"], "gus": ["globex"]}


def write_people(folder: Path) -> str:
    """A file of people: a viewer, two reviewers of one tenant each, and an admin."""
    lines = []
    for name, token in TOKENS.items():
        digest = hashlib.sha256(token.encode()).hexdigest()
        lines += ["[[people]]", f'name = "{name}"', f'role = "{ROLES[name]}"']
        if name in TENANTS:
            lines.append(f"tenants = {TENANTS[name]!r}")
        lines.append(f'token_sha256 = "{digest}"')
    path = folder / "people.toml"
    path.write_text("\n".join(lines))
    return str(path)


class Browser:
    """One browser, with the cookies of one person."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))
        self.csrf: str | None = None
        self.headers: dict[str, str] = {}

    async def close(self) -> None:
        """Close it."""
        await self._session.close()

    async def log_in(self, name: str | None = None) -> None:
        """Open a session: with the token of somebody, or as whoever is on this machine."""
        if name is None:
            status, document = await self.get("session")
        else:
            status, document = await self.post("session", {"token": TOKENS[name]})
        assert status == 200, document
        self.csrf = document["csrf"]

    async def get(self, path: str, **parameters: Any) -> tuple[int, Any]:
        """Status and document."""
        async with self.request("GET", path, params=parameters) as response:
            return response.status, await _document(response)

    async def post(self, path: str, document: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and document of a change."""
        async with self.request("POST", path, json=document or {}, headers=headers) as response:
            return response.status, await _document(response)

    async def delete(self, path: str) -> int:
        """The status of a change."""
        async with self.request("DELETE", path) as response:
            status: int = response.status
        return status

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Any:
        """Any request; a path without a slash is one of the API."""
        sent = {**self.headers, **(headers or {})}
        if self.csrf is not None and method != "GET":
            sent.setdefault("X-CSRF-Token", self.csrf)
        url = f"{self._url}{path}" if path.startswith("/") else f"{self._url}/api/v1/{path}"
        return self._session.request(method, url, headers=sent, **options)


async def _document(response: aiohttp.ClientResponse) -> Any:
    if response.content_type == "application/json":
        return await response.json()
    return await response.text()


@asynccontextmanager
async def serving(world: World, *names: str | None) -> AsyncIterator[list[Browser]]:
    """A console on a free port, and a browser for each name; None is whoever is on this machine."""
    async with TestServer(world.app) as server:
        url = f"http://127.0.0.1:{server.port}"
        browsers = [Browser(url) for _ in names]
        try:
            for browser, name in zip(browsers, names, strict=True):
                if name != "":
                    await browser.log_in(name)
            yield browsers
        finally:
            for browser in browsers:
                await browser.close()
