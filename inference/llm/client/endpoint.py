"""One OpenAI-compatible endpoint: a call that is limited in time, and every way in which it fails.

Nothing leaves this machine but the request, see `transport`. A refused response format is answered
with a weaker one, see `response_format`.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from inference.addresses import is_loopback
from inference.errors import ConfigError
from inference.llm.client.failure import CallUsage, LlmFailure, Usage
from inference.llm.client.reply import Reply, failure_of, read_reply
from inference.llm.client.response_format import (
    ResponseFormat,
    ResponseFormatSearch,
    request_field,
)
from inference.llm.client.transport import open_client
from inference.llm.options import EndpointOptions
from inference.secret import read_secret

log = logging.getLogger(__name__)

NO_KEY = "none"
"""Local servers accept any key, but the openai package requires one."""

_FORMAT_REFUSALS = {400, 404, 415, 422, 500, 501}
_OTHER_REFUSALS = {"model_not_found", "context_length_exceeded"}
"""Error codes that come with one of these statuses but do not concern the response format."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer.

    `usage`, `calls` and `latency_s` (seconds) are sums over every call that it took. `cut_off` of
    the calls were given up before an answer came.
    """

    content: str
    usage: Usage
    model: str
    latency_s: float
    calls: int = 1
    cut_off: int = 0


class Endpoint:
    """Calls one endpoint; safe for concurrent callers of one event loop.

    Raises:
        ConfigError: the key or the address cannot be used. The message never contains the key.
    """

    def __init__(
        self, name: str, options: EndpointOptions, *, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.name = name
        self.options = options
        self._response_formats = ResponseFormatSearch(options.response_mode)
        self._searching = asyncio.Lock()
        try:
            self._client = open_client(options.base_url, _api_key(name, options, environ))
        except httpx2.InvalidURL as error:
            raise ConfigError(
                f"no call can be made to it ({error}); write it as https://HOST/v1",
                key=f"llm.endpoints.{name}.base_url",
            ) from None

    async def complete(
        self,
        messages: list[dict[str, str]],
        schema: dict[str, Any],
        *,
        limit_s: float | None = None,
    ) -> Completion:
        """Send one prompt; this takes at most `timeout_s`, or `limit_s` if that is shorter.

        Args:
            messages: the messages of the prompt.
            schema: the JSON Schema of the answer.
            limit_s: the time that is left for the event, in seconds.

        Raises:
            LlmFailure: there is no answer. It has the usage and the number of the calls made.
        """
        started_s, call_usage = time.monotonic(), CallUsage()
        within_s = self.options.timeout_s
        if limit_s is not None:
            within_s = min(limit_s, within_s)
        try:
            async with asyncio.timeout(within_s):
                reply = await self._answer(messages, schema, call_usage)
        except (LlmFailure, openai.OpenAIError, httpx2.HTTPError, OSError, ValueError) as error:
            failure = self._failure(error, within_s)
        else:
            return Completion(
                reply.content,
                call_usage.usage,
                reply.model or self.options.model,
                time.monotonic() - started_s,
                call_usage.calls,
            )
        failure.calls, failure.usage = call_usage.calls, call_usage.usage
        # Raised outside the handler: the error of the openai package holds the request, and the
        # event in it, and would become the context of this failure.
        raise failure

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _answer(
        self, messages: list[dict[str, str]], schema: dict[str, Any], call_usage: CallUsage
    ) -> Reply:
        """Ask with the current response format, and with weaker ones if it is refused."""
        strongest = self._response_formats.current
        try:
            return await self._call(strongest, messages, schema, call_usage)
        except openai.APIStatusError as error:
            if not _refuses_format(error):
                raise
            refusal = error
        async with self._searching:
            for weaker in self._response_formats.weaker_than(strongest):
                try:
                    return await self._call(weaker, messages, schema, call_usage)
                except openai.APIStatusError as error:
                    if not _refuses_format(error):
                        raise
        raise refusal

    async def _call(
        self,
        response_format: ResponseFormat,
        messages: list[dict[str, str]],
        schema: dict[str, Any],
        call_usage: CallUsage,
    ) -> Reply:
        fields: dict[str, Any] = {
            "model": self.options.model,
            "messages": messages,
            "temperature": self.options.temperature,
            self.options.max_tokens_field: self.options.max_answer_tokens,
            "response_format": request_field(response_format, schema),
        }
        call_usage.calls += 1
        # The raw bytes are read, because the parsed model of the openai package is built without
        # checks, and the usage in a body that is not a completion would be lost.
        response = await self._client.chat.completions.with_raw_response.create(
            **{name: value for name, value in fields.items() if value is not None}
        )
        try:
            reply = read_reply(response.content)
        except LlmFailure as failure:
            call_usage.usage += failure.usage
            raise
        call_usage.usage += reply.usage
        self._response_formats.keep(response_format)
        return reply

    def _failure(self, error: Exception, within_s: float) -> LlmFailure:
        if isinstance(error, LlmFailure):
            return error
        if isinstance(error, openai.APIStatusError):
            return failure_of(error.status_code, error.response.headers, error.body)
        if isinstance(error, TimeoutError):
            return LlmFailure(
                "timeout",
                "no whole answer came in time",
                retryable=True,
                # A call with less than half of its usual time shows nothing about the endpoint.
                healthy=within_s < self.options.timeout_s / 2,
            )
        if isinstance(error, ValueError):
            return LlmFailure(
                "rejected", "the prompt cannot be written as JSON: report it with the event's id"
            )
        return LlmFailure(
            "unavailable",
            "the service could not be reached, or the connection broke: "
            "check base_url and whether the service runs",
            retryable=True,
            healthy=False,
        )


def _refuses_format(error: openai.APIStatusError) -> bool:
    """Whether a server may have refused the response format, and nothing else."""
    if error.status_code not in _FORMAT_REFUSALS or error.code in _OTHER_REFUSALS:
        return False
    return failure_of(error.status_code, {}, error.body).status in ("rejected", "unavailable")


def _api_key(name: str, options: EndpointOptions, environ: Mapping[str, str]) -> str:
    key = f"llm.endpoints.{name}.api_key"
    secret = read_secret(options.api_key_env, options.api_key_file, key=key, environ=environ)
    if secret is None:
        return NO_KEY
    text = secret.decode("ascii", "replace")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ConfigError(
            "it cannot be sent in a header; look for spaces, line breaks and characters that are "
            "not ASCII in the variable or file",
            key=key,
        )
    if sends_key_in_clear(options):
        log.warning(
            "the key of llm.endpoints.%s is sent over plain http, where others can read it; "
            "use https in base_url",
            name,
        )
    return text


def sends_key_in_clear(options: EndpointOptions) -> bool:
    """Whether a key leaves this machine without TLS."""
    url = urlsplit(options.base_url)
    has_key = options.api_key_env is not None or options.api_key_file is not None
    return has_key and url.scheme == "http" and not is_loopback(url.hostname or "")
