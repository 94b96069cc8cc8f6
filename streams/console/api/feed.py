"""The feed of decisions, and the stream of what happens."""

import asyncio
from contextlib import suppress
from typing import Literal

import msgspec
from aiohttp import hdrs, web

from schemas.event import Domain
from streams.console.access import SESSION
from streams.console.decisions import FeedQuery
from streams.console.live import Filter, Subscription
from streams.console.requests import query_of
from streams.console.responses import answer
from streams.console.services import Services, person_of, services_of

HEARTBEAT_S = 15.0
HEARTBEAT = b": still here\n\n"
RECONNECT = b"retry: 2000\n\n"
MAX_STREAM_S = 3_600.0
WRITE_TIMEOUT_S = 30.0
"""How long a browser may take to read what it was sent; then it is dropped."""

DecidedBy = Literal["rule", "slm", "llm", "human"]


class FeedParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the feed."""

    after: int | None = None
    before: int | None = None
    limit: int = 100
    domain: Domain | None = None
    queue: str | None = None
    tenant: str | None = None
    decided_by: DecidedBy | None = None
    status: Literal["final", "provisional", "needs_review"] | None = None
    text: str | None = None


class StreamParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of the stream."""

    domain: Domain | None = None
    queue: str | None = None
    tenant: str | None = None
    decided_by: DecidedBy | None = None


async def feed(request: web.Request) -> web.StreamResponse:
    """The last decisions, the newest first."""
    decisions = services_of(request).decisions
    query = FeedQuery(**msgspec.structs.asdict(query_of(request, FeedParameters)))
    last = decisions.last
    found, more = decisions.page(person_of(request), query)
    return answer(request, {"decisions": found, "last": last, "next": more})


async def stream(request: web.Request) -> web.StreamResponse:
    """Server-sent events, until the browser goes, is too slow, or its session ends."""
    services = services_of(request)
    wanted = Filter(**msgspec.structs.asdict(query_of(request, StreamParameters)))
    session = request[SESSION]
    subscription = services.hub.subscribe(
        session.person, session.key, wanted, request.headers.get("Last-Event-ID")
    )
    try:
        response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: "text/event-stream",
                hdrs.CACHE_CONTROL: "no-store",
                # A proxy that collects answers before it passes them on would hold up the events.
                "X-Accel-Buffering": "no",
            }
        )
        services.connections.may_last(request.transport)
        await response.prepare(request)
        await _write(response, RECONNECT)
        await _follow(services, request, response, subscription)
    except (TimeoutError, ConnectionError):
        pass  # the browser has gone, or does not read; it connects again
    finally:
        services.hub.unsubscribe(subscription)
    if request.transport is not None:
        # What is still to be written would wait for a browser that does not read.
        request.transport.abort()
    return response


async def _follow(
    services: Services,
    request: web.Request,
    response: web.StreamResponse,
    subscription: Subscription,
) -> None:
    """Send events until the subscription or the session ends.

    After `MAX_STREAM_S` the browser has to connect again, and so shows again who it is.
    """
    loop = asyncio.get_running_loop()
    ends_s, checked_s = loop.time() + MAX_STREAM_S, loop.time()
    epoch = services.hub.epoch
    while not subscription.dropped and loop.time() < ends_s:
        data = HEARTBEAT
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT_S):
                events = await subscription.take()
                data = b"".join(event.encoded(epoch) for event in events)
        if loop.time() - checked_s >= HEARTBEAT_S:
            checked_s = loop.time()
            if services.access.has_ended(request, request[SESSION]):
                return
        if data:
            await _write(response, data)


async def _write(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(WRITE_TIMEOUT_S):
        await response.write(data)


ROUTES = [("GET", "feed", feed), ("GET", "stream", stream)]
