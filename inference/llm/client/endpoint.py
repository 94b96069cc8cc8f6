"""One OpenAI-compatible endpoint: a bounded call, and every way it can go wrong told apart.

Nothing leaves but the request: redirects are not followed, since one could send the event and the key anywhere, and
what the openai package adds from the environment or about this machine is taken off. Proxies of the environment are
used, because in many houses nothing gets out but through one, and whoever sets them runs this worker; this machine's
own addresses are never reached through one.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai

from inference.llm.client.failure import CallUsage, LlmFailure, Usage
from inference.llm.client.reply import MAX_ANSWER_BYTES, Reply, failure_of, read_reply
from inference.llm.client.response_format import (
    ResponseFormat,
    ResponseFormatSearch,
    response_format,
)
from inference.llm.options import EndpointOptions

NO_KEY = "none"
"""Local servers take any key, the openai package wants one."""

_HEADERS = {
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-stainless-raw-response",  # the openai package looks for it when the response is back
}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_REFUSE_A_FORM = {400, 404, 415, 422, 500, 501}
_NOT_ABOUT_THE_FORM = {"model_not_found", "context_length_exceeded"}


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer; usage, `calls` and `latency_s` are of every call it took, `cut_off` of which were given up."""

    content: str
    usage: Usage
    model: str
    latency_s: float
    calls: int = 1
    cut_off: int = 0


class Endpoint:
    """Asks one endpoint; safe for concurrent callers of one event loop.

    Raises:
        ValueError: base_url or the key cannot be used; one sentence, without either.
    """

    def __init__(
        self, name: str, options: EndpointOptions, *, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.name = name
        self.options = options
        self._modes = ResponseFormatSearch(options.response_mode)
        self._searching = asyncio.Lock()
        self._client = _client(_checked(name, options.base_url), _key(name, options, environ))

    async def complete(
        self,
        messages: list[dict[str, str]],
        schema: dict[str, Any],
        *,
        limit_s: float | None = None,
    ) -> Completion:
        """Ask one question; takes at most `timeout_s`, or `limit_s` where that is less.

        Raises:
            LlmFailure: there is no answer, with the usage and the number of the calls made.
        """
        started_s, tally = time.monotonic(), CallUsage()
        within_s = (
            self.options.timeout_s if limit_s is None else min(limit_s, self.options.timeout_s)
        )
        try:
            async with asyncio.timeout(within_s):
                reply = await self._answer(messages, schema, tally)
        except (LlmFailure, openai.OpenAIError, httpx2.HTTPError, OSError, ValueError) as error:
            failure = self._failure(error, within_s)
        else:
            latency_s = time.monotonic() - started_s
            return Completion(
                reply.content,
                tally.usage,
                reply.model or self.options.model,
                latency_s,
                tally.calls,
            )
        failure.calls, failure.usage = tally.calls, tally.usage
        # Outside the handler: the openai package's error carries the request, with the event in it.
        raise failure

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _answer(
        self, messages: list[dict[str, str]], schema: dict[str, Any], tally: CallUsage
    ) -> Reply:
        form = self._modes.form
        try:
            return await self._ask(form, messages, schema, tally)
        except openai.APIStatusError as error:
            if not _refuses_form(error):
                raise
            refusal = error
        async with self._searching:
            for weaker in self._modes.weaker(form):
                try:
                    return await self._ask(weaker, messages, schema, tally)
                except openai.APIStatusError as error:
                    if not _refuses_form(error):
                        raise
        raise refusal

    async def _ask(
        self,
        form: ResponseFormat,
        messages: list[dict[str, str]],
        schema: dict[str, Any],
        tally: CallUsage,
    ) -> Reply:
        request: dict[str, Any] = {
            "model": self.options.model,
            "messages": messages,
            "temperature": self.options.temperature,
            self.options.max_tokens_field: self.options.max_answer_tokens,
            "response_format": response_format(form, schema),
        }
        tally.calls += 1
        # The bytes, not the parsed model: that one is built unchecked, and a body that is none loses its usage.
        response = await self._client.chat.completions.with_raw_response.create(
            **{name: value for name, value in request.items() if value is not None}
        )
        try:
            reply = read_reply(response.content)
        except LlmFailure as failure:
            tally.usage += failure.usage
            raise
        tally.usage += reply.usage
        self._modes.works(form)
        return reply

    def _failure(self, error: Exception, within_s: float) -> LlmFailure:
        if isinstance(error, LlmFailure):
            return error
        if isinstance(error, openai.APIStatusError):
            return failure_of(error.status_code, error.response.headers, error.body)
        if isinstance(error, TimeoutError):
            # A call given less than half its time says nothing about the endpoint.
            healthy = within_s < self.options.timeout_s / 2
            return LlmFailure(
                "timeout", "no whole answer came in time", retryable=True, healthy=healthy
            )
        if isinstance(error, ValueError):
            return LlmFailure(
                "rejected", "the question cannot be written as JSON: report it with the event's id"
            )
        message = (
            "the service could not be reached or broke off: check base_url and whether it runs"
        )
        return LlmFailure("unavailable", message, retryable=True, healthy=False)


def _refuses_form(error: openai.APIStatusError) -> bool:
    if error.status_code not in _REFUSE_A_FORM or error.code in _NOT_ABOUT_THE_FORM:
        return False
    return failure_of(error.status_code, {}, error.body).status in ("rejected", "unavailable")


def _key(name: str, options: EndpointOptions, environ: Mapping[str, str]) -> str:
    if options.api_key_env is not None:
        source, key = options.api_key_env, environ.get(options.api_key_env, "").strip()
    elif options.api_key_file is not None:
        source, key = options.api_key_file, _contents(name, options.api_key_file).strip()
    else:
        return NO_KEY
    if not key:
        raise ValueError(f"the key of the LLM endpoint {name!r} is missing: put it into {source}")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError(
            f"the key of the LLM endpoint {name!r} cannot be sent in a header: look into {source}"
        )
    return key


def _contents(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"the key of the LLM endpoint {name!r} cannot be read from {path} ({type(error).__name__})"
        ) from None


def _checked(name: str, base_url: str) -> str:
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if not url.host:
        raise ValueError(
            f"base_url of the LLM endpoint {name!r} is no URL: it should read like https://host/v1"
        )
    if url.userinfo:
        raise ValueError(
            f"base_url of the LLM endpoint {name!r} holds a password: use api_key_env or api_key_file"
        )
    return base_url


def _client(base_url: str, key: str) -> openai.AsyncOpenAI:
    http = httpx2.AsyncClient(
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
        mounts={f"all://{host}": None for host in _LOOPBACK},
        event_hooks={"request": [_bare], "response": [_bounded]},
    )
    return openai.AsyncOpenAI(
        base_url=base_url,
        api_key=key,
        # Explicit, or OPENAI_CUSTOM_HEADERS could put another service's key in its place.
        default_headers={"Authorization": f"Bearer {key}"},
        max_retries=0,
        timeout=None,  # they are per read, and a slow drip outlives them; `complete` bounds the whole call
        http_client=http,
    )


async def _bare(request: httpx2.Request) -> None:
    """Take off what the environment adds: another account's organisation, this machine's system and versions."""
    for header in set(request.headers) - _HEADERS:
        del request.headers[header]


async def _bounded(response: httpx2.Response) -> None:
    """Refuse a body without end, and one that is compressed: a megabyte of it may be a gigabyte to read."""
    if response.headers.get("content-encoding", "identity") != "identity":
        message = "the answer is compressed though none was asked for: check what stands before the service"
        raise LlmFailure("unavailable", message, healthy=False)
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received_bytes = 0
        async for part in self._stream:
            received_bytes += len(part)
            if received_bytes > MAX_ANSWER_BYTES:
                raise LlmFailure(
                    "invalid_answer", f"the answer is longer than {MAX_ANSWER_BYTES} bytes"
                )
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
