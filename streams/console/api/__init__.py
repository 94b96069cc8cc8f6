"""The JSON API, `/api/v1`: one module for each part of it."""

from collections.abc import Iterator

from aiohttp import web

from streams.console.api import cases, deadletters, feed, figures, session, verdicts

PREFIX = "/api/v1"


def routes() -> Iterator[web.RouteDef]:
    """Every route of the API."""
    for module in (session, cases, verdicts, feed, deadletters, figures):
        for method, path, handler in module.ROUTES:
            yield web.route(method, f"{PREFIX}/{path}", handler)
