"""The web application: routes, and what every request passes on its way."""

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from streams.console.api import routes
from streams.console.assets import Assets
from streams.console.requests import MAX_BODY_BYTES
from streams.console.responses import add_headers, errors_as_sentences
from streams.console.services import SERVICES, Services, services_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(services: Services, assets: Assets) -> web.Application:
    """The console as aiohttp serves it."""
    app = web.Application(
        middlewares=[errors_as_sentences, _begin_request, services.access.middleware],
        client_max_size=MAX_BODY_BYTES,
    )
    app[SERVICES] = services
    app.on_response_prepare.append(add_headers)
    app.add_routes(routes())
    app.router.add_get("/live", _live)
    app.router.add_get("/{path:.*}", assets.get)
    return app


async def _live(_: web.Request) -> web.Response:
    """That the event loop turns: for health checks, which need no session."""
    return web.Response(text="live\n", headers={hdrs.CACHE_CONTROL: "no-store"})


@web.middleware
async def _begin_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    services_of(request).connections.begin(request.transport)
    return await handler(request)
