"""Logging in and out, and what a page has to know before anything else."""

from importlib.metadata import version
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from streams.console.access import SESSION, needs
from streams.console.people import MAX_TOKEN_CHARS
from streams.console.requests import body_of
from streams.console.responses import answer, nothing
from streams.console.services import Services, services_of
from streams.console.sessions import Session
from streams.errors import RequestRefused


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the page of the login sends."""

    token: Annotated[str, Meta(max_length=MAX_TOKEN_CHARS)]


@needs(None)
async def get(request: web.Request) -> web.StreamResponse:
    """Who is logged in. On loopback without people, whoever asks is."""
    services = services_of(request)
    access = services.access
    session = access.session_of(request)
    cookie = None
    if session is None and access.is_open:
        session, cookie = access.open_local()
    if session is None:
        raise RequestRefused(401, "log in first", code="login")
    response = answer(request, _document(services, session))
    if cookie is not None:
        access.set_cookie(response, cookie)
    return response


@needs(None)
async def post(request: web.Request) -> web.StreamResponse:
    """Log in with a token; an earlier session of this browser ends."""
    services = services_of(request)
    if request.content_type != "application/json":
        raise RequestRefused(415, "a login is JSON; send Content-Type: application/json")
    token = (await body_of(request, Login)).token
    before = services.access.session_of(request)
    session, cookie = services.access.log_in(request, token)
    if before is not None:
        _end(services, before)
    response = answer(request, _document(services, session))
    services.access.set_cookie(response, cookie)
    return response


async def delete(request: web.Request) -> web.StreamResponse:
    """Log out."""
    services = services_of(request)
    _end(services, request[SESSION])
    response = nothing()
    services.access.delete_cookie(response)
    return response


async def labels(request: web.Request) -> web.StreamResponse:
    """Every label with its description."""
    facts = services_of(request).labels()
    document: dict[str, Any] = {
        domain: {
            axis: [{"value": value, "description": text} for value, text in values]
            for axis, values in axes.items()
        }
        for domain, axes in facts.labels.items()
    }
    document |= {"queue_axis": facts.queue_axis, "deciding": facts.deciding}
    return answer(request, document)


def _document(services: Services, session: Session) -> dict[str, Any]:
    person = session.person
    return {
        "name": person.name,
        "role": person.role,
        "tenants": None if person.tenants is None else sorted(person.tenants),
        "csrf": services.access.sessions.csrf(session),
        "hold_s": services.settings.console.hold_s,
        "auth": services.access.kind,
        "prefix": services.settings.topics.prefix,
        "version": version("triage-stream"),
    }


def _end(services: Services, session: Session) -> None:
    services.access.sessions.close(session)
    services.hub.drop_session(session.key)


ROUTES = [
    ("GET", "session", get),
    ("POST", "session", post),
    ("DELETE", "session", delete),
    ("GET", "labels", labels),
]
