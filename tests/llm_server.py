"""A real HTTP server for the protocol of OpenAI's chat completions, with all its faults."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from aiohttp import web

from inference.llm.client.failure import FailureStatus

PROMPT_TOKENS, COMPLETION_TOKENS = 100, 20
USAGE = {
    "prompt_tokens": PROMPT_TOKENS,
    "completion_tokens": COMPLETION_TOKENS,
    "total_tokens": 120,
}
UNKNOWN_LABEL = "no-such-label"


@dataclass(frozen=True)
class Request:
    """One call to the server."""

    body: dict[str, Any]
    headers: dict[str, str]
    http: web.Request

    @property
    def mode(self) -> str:
        """The response format: json_schema, json_object+schema, json_object or none."""
        response_format = self.body.get("response_format", {"type": "none"})
        name = str(response_format["type"])
        return f"{name}+schema" if "schema" in response_format else name

    @property
    def schema(self) -> dict[str, Any]:
        """The schema for the answer; empty if the request has none."""
        response_format = self.body.get("response_format", {})
        json_schema = response_format.get("json_schema", {})
        return dict(response_format.get("schema") or json_schema.get("schema", {}))

    @property
    def text(self) -> str:
        """The text of all messages."""
        return "\n".join(message["content"] for message in self.body["messages"])


Behaviour = Callable[[Request], Awaitable[web.StreamResponse]]
Answering = Mapping[str, Any] | Callable[[Request], Mapping[str, Any]]


class LlmServer:
    """A server on loopback, used as `async with LlmServer(behaviour) as server`.

    `behaviour` may be replaced while the server runs.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[Request] = []
        self.base_url = ""

    @property
    def modes(self) -> list[str]:
        """The response format of each request so far."""
        return [request.mode for request in self.requests]

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/chat/completions", self._serve)
        # A handler is cancelled when its caller leaves, so that no behaviour outlives its test.
        self._runner = web.AppRunner(
            app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        request = Request(await http.json(), dict(http.headers), http)
        self.requests.append(request)
        return await self.behaviour(request)


def valid_answer(
    schema: Mapping[str, Any], picks: Mapping[str, Any] | None = None, name: str = ""
) -> Any:
    """An answer that follows a schema.

    A property that `picks` names has that value. Any other property has the first allowed value.
    """
    if picks and name in picks:
        return picks[name]
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        return {key: valid_answer(inner, picks, key) for key, inner in schema["properties"].items()}
    samples = {"string": f"A {name}.", "boolean": True, "integer": 1, "number": 1.0, "array": []}
    return samples.get(schema.get("type", ""), {})


def completion(
    content: str | None, *, finish_reason: str = "stop", **message: Any
) -> dict[str, Any]:
    """The body of a chat completion."""
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content, **message},
    }
    return {
        "id": "c-1",
        "object": "chat.completion",
        "model": "served",
        "choices": [choice],
        "usage": USAGE,
    }


def ok(answer: Answering | None = None, **picks: Any) -> Behaviour:
    """Answer with `answer`, or with a valid answer that has the values in `picks`."""

    async def behaviour(request: Request) -> web.Response:
        chosen = answer(request) if callable(answer) else answer
        if chosen is None:
            chosen = valid_answer(request.schema, picks)
        return web.json_response(completion(json.dumps(chosen)))

    return behaviour


def body(content: Any, *, status: int = 200, **headers: str) -> Behaviour:
    """Answer each request with this JSON."""

    async def behaviour(_: Request) -> web.Response:
        return web.json_response(content, status=status, headers=headers)

    return behaviour


def error(status: int, code: str | int | None = None, **headers: str) -> Behaviour:
    """Answer with an error like OpenAI's. Underscores in header names stand for hyphens."""
    content = {
        "error": {
            "message": "The event was: secret-in-error",
            "type": "error",
            "param": None,
            "code": code,
        }
    }
    renamed_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return body(content, status=status, **renamed_headers)


def html(status: int = 200) -> Behaviour:
    """Answer with the HTML page of a proxy."""

    async def behaviour(_: Request) -> web.Response:
        return web.Response(
            text="<!doctype html><h1>Sign in</h1>", content_type="text/html", status=status
        )

    return behaviour


def redirect(location: str) -> Behaviour:
    """Redirect the request, with its body, to another address."""

    async def behaviour(_: Request) -> web.Response:
        return web.Response(status=307, headers={"Location": location})

    return behaviour


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Use one behaviour per request. The last one is used for all further requests."""
    remaining = list(behaviours)

    async def behaviour(request: Request) -> web.StreamResponse:
        current = remaining[0]
        if len(remaining) > 1:
            remaining.pop(0)
        return await current(request)

    return behaviour


def only_modes(*known: str, status: int = 500) -> Behaviour:
    """Answer requests with these response formats, and refuse all others with `status`.

    The server of llama.cpp behaves like `only_modes("json_object+schema", status=500)`.
    """

    async def behaviour(request: Request) -> web.StreamResponse:
        if request.mode in known:
            return await ok()(request)
        return await error(status)(request)

    return behaviour


def slow(wait_s: float, then: Behaviour) -> Behaviour:
    """Wait, and then use another behaviour."""

    async def behaviour(request: Request) -> web.StreamResponse:
        await asyncio.sleep(wait_s)
        return await then(request)

    return behaviour


def gated(gate: asyncio.Event, then: Behaviour) -> Behaviour:
    """Wait until the test opens the gate, and then use another behaviour."""

    async def behaviour(request: Request) -> web.StreamResponse:
        await gate.wait()
        return await then(request)

    return behaviour


async def hang(_: Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def reset(request: Request) -> web.StreamResponse:
    """Reset the connection instead of answering."""
    transport = request.http.transport
    assert transport is not None
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
    return web.Response()


def _endless(part: bytes, every_s: float) -> Behaviour:
    async def behaviour(request: Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request.http)
        while True:
            await response.write(part)
            await asyncio.sleep(every_s)

    return behaviour


slow_drip = _endless(b" ", 0.02)
"""Sends one byte every 20 ms without end, so that no single read times out."""

huge_answer = _endless(b" " * (1 << 16), 0)
"""Sends data without end, as fast as the caller reads it."""


async def fenced(request: Request) -> web.StreamResponse:
    """Answer with a valid answer in a code fence, as chat models often write it."""
    content = f"Here you are:\n```json\n{json.dumps(valid_answer(request.schema))}\n```"
    return web.json_response(completion(content))


async def unknown_label(request: Request) -> web.StreamResponse:
    """Answer with a label that no axis has, against the schema."""
    return web.json_response(
        completion(json.dumps(_mislabelled(valid_answer(request.schema), request.schema)))
    )


def _mislabelled(answer: Any, schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return UNKNOWN_LABEL
    if "properties" in schema:
        return {
            key: _mislabelled(answer[key], inner) for key, inner in schema["properties"].items()
        }
    return answer


class Fault(NamedTuple):
    """One way to fail.

    `status` is how the enrichment of an event then ends; None means with an answer. `billed` says
    whether tokens are paid for.
    """

    behaviour: Behaviour
    status: FailureStatus | None
    billed: bool = False


FAULTS = {
    "429 with a long Retry-After": Fault(
        error(429, "rate_limit_exceeded", Retry_After="120"), "rate_limited"
    ),
    "429 insufficient_quota": Fault(error(429, "insufficient_quota"), "quota_exhausted"),
    "500": Fault(error(500), "unavailable"),
    "connection reset": Fault(reset, "unavailable"),
    "hang": Fault(hang, "timeout"),
    "slow drip": Fault(slow_drip, "timeout"),
    "HTML with 200": Fault(html(), "unavailable"),
    "gateway error body with 200": Fault(
        body({"error": {"message": "upstream", "code": 502}}), "unavailable"
    ),
    "empty choices": Fault(body(completion(None) | {"choices": []}), "invalid_answer", billed=True),
    "null content": Fault(body(completion(None)), "invalid_answer", billed=True),
    "refusal": Fault(body(completion(None, refusal="I cannot.")), "refused", billed=True),
    "truncated": Fault(
        body(completion('{"summ', finish_reason="length")), "truncated", billed=True
    ),
    "content filter": Fault(
        body(completion("", finish_reason="content_filter")), "content_filter", billed=True
    ),
    "fenced JSON": Fault(fenced, None, billed=True),
    "a label outside the set": Fault(unknown_label, "invalid_answer", billed=True),
    "huge answer": Fault(huge_answer, "invalid_answer"),
    "json_schema refused with 500": Fault(
        only_modes("json_object+schema", "json_object", "none"), None, billed=True
    ),
}
"""The faults of the LLM tier, by name."""
