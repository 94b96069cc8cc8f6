"""What a request says, read with bounds; what cannot be meant is refused in one sentence."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from aiohttp import web

from schemas.codec import prepared
from schemas.event import DOMAINS, MAX_ID_CHARS, Domain
from streams.console.claims import CaseKey
from streams.errors import RequestRefused

MAX_BODY_BYTES = 1_048_576
MAX_PARAMETER_CHARS = 1_000

Document = TypeVar("Document")


async def body_of(request: web.Request, type_: type[Document]) -> Document:
    """The JSON of a request as a document of this type; an empty body is an empty object.

    Raises:
        RequestRefused: it is no such document.
    """
    body = await request.read()
    try:
        return msgspec.json.decode(body or b"{}", type=prepared(type_))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused(400, f"the request cannot be read: {error}") from None


def query_of(request: web.Request, type_: type[Document]) -> Document:
    """The parameters of a request as a document of this type; empty ones are left out.

    Raises:
        RequestRefused: one of them is unknown, comes twice, or cannot be meant.
    """
    parameters: dict[str, str] = {}
    for name, value in request.query.items():
        if len(value) > MAX_PARAMETER_CHARS:
            raise RequestRefused(400, f"the parameter {name[:100]} is too long")
        if name in parameters:
            raise RequestRefused(400, f"the parameter {name[:100]} came twice; send it once")
        if value:
            parameters[name] = value
    try:
        return msgspec.convert(parameters, prepared(type_), strict=False)
    except msgspec.ValidationError as error:
        raise RequestRefused(400, f"the parameters cannot be used: {error}") from None


def case_key(request: web.Request) -> CaseKey:
    """The domain, the tenant and the id in the path of a request.

    A path cannot hold every id: browsers take ``..`` for a step up. So `tenant` and `id` may be
    parameters, which then count and not the path.

    Raises:
        RequestRefused: the domain is none of ours.
    """
    parts: Mapping[str, str] = request.match_info
    tenant = request.query.get("tenant", parts["tenant"])
    id_ = request.query.get("id", parts["id"])
    return domain_of(parts["domain"]), tenant[:MAX_ID_CHARS], id_[:MAX_PARAMETER_CHARS]


def domain_of(text: str) -> Domain:
    """A domain by its name.

    Raises:
        RequestRefused: there is no such domain.
    """
    for domain in DOMAINS:
        if domain == text:
            return domain
    raise RequestRefused(404, f"there is no domain {text[:50]!r}; use {' or '.join(DOMAINS)}")
