"""How it is going, and the model that could take over."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from schemas.event import Domain
from streams.console.access import needs
from streams.console.figures import MAX_HOURS
from streams.console.requests import body_of, query_of
from streams.console.responses import answer
from streams.console.services import person_of, services_of
from streams.errors import RequestRefused


class FiguresQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the figures."""

    hours: Annotated[int, Meta(ge=1, le=MAX_HOURS)] = 24
    domain: Domain | None = None
    tenant: str | None = None


class Promotion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that shall decide from now on."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]


async def figures(request: web.Request) -> web.StreamResponse:
    """All figures of the last hours."""
    query = query_of(request, FiguresQuery)
    found = await services_of(request).figures.of(
        person_of(request), hours=query.hours, domain=query.domain, tenant=query.tenant
    )
    return answer(request, found)


@needs("admin")
async def promote(request: web.Request) -> web.StreamResponse:
    """Let a candidate take over."""
    services, person = services_of(request), person_of(request)
    name = (await body_of(request, Promotion)).name
    if services.promote is None:
        raise RequestRefused(501, "no candidate is kept here; set learning.models to a folder")
    await services.promote(name, person.name)
    return answer(request, {"promoted": name})


ROUTES = [("GET", "figures", figures), ("POST", "models/promote", promote)]
