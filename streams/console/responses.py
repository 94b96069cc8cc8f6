"""How the console answers: JSON, errors in one sentence, and the headers of every answer."""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import hdrs, web

from inference.errors import InferenceError
from schemas.errors import InvalidEvent, SchemaError
from schemas.visible_text import printable
from streams.errors import BrokerUnreachable, DeliveryFailed, RequestRefused, StreamError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing is loaded from elsewhere, and no script or style stands in a page: event text that became
markup by a fault of ours would still do nothing. With the last two, a browser refuses to make
markup or script of any text, wherever our code would try to."""

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

MIN_GZIP_BYTES = 1_024
MAX_SENTENCE_CHARS = 1_000


def answer(request: web.Request, document: Any, status: int = HTTPStatus.OK) -> web.Response:
    """A document as JSON; a large one is compressed if the browser takes that."""
    body = msgspec.json.encode(document)
    response = web.Response(
        body=body,
        status=status,
        content_type="application/json",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )
    if len(body) >= MIN_GZIP_BYTES and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response


def nothing() -> web.Response:
    """An answer without a document."""
    return web.Response(status=HTTPStatus.NO_CONTENT, headers={hdrs.CACHE_CONTROL: "no-store"})


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every answer has."""
    response.headers.update(SECURITY_HEADERS)
    response.headers.popall(hdrs.SERVER, None)


@web.middleware
async def errors_as_sentences(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error with one sentence in JSON; what is not expected is logged."""
    try:
        return await handler(request)
    except RequestRefused as error:
        return _refusal(request, error)
    except (SchemaError, StreamError, InferenceError) as error:
        return _error(request, _status(error), str(error))
    except web.HTTPException as error:
        return _error(request, error.status, _sentence(error))
    except ConnectionError:
        raise  # the browser has gone
    except Exception:
        log.exception("a request for %s failed", printable(request.path))
        sentence = "this failed; the console's log says why"
        return _error(request, HTTPStatus.INTERNAL_SERVER_ERROR, sentence)


def _status(error: Exception) -> int:
    if isinstance(error, InvalidEvent):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, BrokerUnreachable | DeliveryFailed):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _refusal(request: web.Request, error: RequestRefused) -> web.Response:
    document = {"error": str(error)[:MAX_SENTENCE_CHARS], **error.more}
    if error.code is not None:
        document["code"] = error.code
    response = answer(request, document, error.status)
    if "retry_after_s" in error.more:
        response.headers[hdrs.RETRY_AFTER] = str(error.more["retry_after_s"])
    return response


def _error(request: web.Request, status: int, sentence: str) -> web.Response:
    return answer(request, {"error": sentence[:MAX_SENTENCE_CHARS]}, status)


def _sentence(error: web.HTTPException) -> str:
    sentences: dict[int, str] = {
        HTTPStatus.NOT_FOUND: "there is nothing at this address",
        HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take this method",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the request is too large; send less at once",
    }
    return sentences.get(error.status, error.reason)
