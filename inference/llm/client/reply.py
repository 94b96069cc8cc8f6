"""What a server's bytes amount to: an answer, or a failure from the closed list; nothing a server sends raises else.

The shapes are those of OpenAI's chat completions and of what stands in front of them: Azure answers a filtered prompt
with a 400, OpenRouter and other gateways a failed call with a 200 whose body is the error, proxies with HTML.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec

from inference.llm.client.failure import LlmFailure, Usage
from inference.llm.visible_text import one_line

MAX_ANSWER_BYTES = 1 << 20
MAX_TOKENS = 100_000_000
"""A server that claims more has not counted."""
MAX_MODEL_CHARS = 200
MAX_RETRY_AFTER_S = 86_400.0

_QUOTA = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "budget_exceeded",
}
_FILTERED = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}
_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY}
_WHAT_TO_CHECK: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "check its api_key_env or api_key_file",
    HTTPStatus.FORBIDDEN: "check what its key may do",
    HTTPStatus.NOT_FOUND: "check its base_url and model",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole answer; `model` is the one the server says it used, None where it does not."""

    content: str
    model: str | None
    usage: Usage


class _Message(msgspec.Struct):
    content: Any = None
    refusal: Any = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: Any = None


class _Body(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    model: Any = None
    error: Any = None


def read_reply(body: bytes) -> Reply:
    """The answer in the body of a 200.

    Raises:
        LlmFailure: there is none; its usage is what the body says was billed.
    """
    try:
        decoded = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, RecursionError):
        raise _no_completion() from None
    if decoded.choices is None:
        raise _failure_in_body(decoded)
    usage = _usage(decoded.usage)
    return Reply(_content(decoded.choices, usage), _model(decoded.model), usage)


def failure_of(status: int, headers: Mapping[str, str], error: object) -> LlmFailure:
    """What an HTTP status, its headers and the `error` in its body amount to; no text of the body is repeated.

    A key or an account that does not work is the endpoint's fault and counts for its breaker. A 400 or a 403 may be
    the event's: too long a text, or a firewall before the server that took it for the attack it describes.
    """
    codes = _codes(error)
    if codes & _QUOTA or status == HTTPStatus.PAYMENT_REQUIRED:
        return LlmFailure(
            "quota_exhausted", "the account has no credit left: top it up", healthy=False
        )
    if codes & _FILTERED:
        return LlmFailure("content_filter", "the service's content filter refused the question")
    after_s = retry_after_s(headers)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        message = "the service's rate limit is reached: lower concurrency or requests_per_minute"
        return LlmFailure("rate_limited", message, retryable=True, retry_after_s=after_s)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _AGAIN:
        message = f"the service answered {status}: see its own log or status page"
        return LlmFailure(
            "unavailable", message, retryable=True, healthy=False, retry_after_s=after_s
        )
    return _rejected(status)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The wait a server asks for, in seconds: `retry-after-ms`, or Retry-After in seconds or as a date (RFC 9110)."""
    milliseconds = _number(headers.get("retry-after-ms"))
    seconds = (
        milliseconds / 1000 if milliseconds is not None else _number(headers.get("retry-after"))
    )
    if seconds is None:
        seconds = _seconds_until(headers.get("retry-after"))
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _rejected(status: int) -> LlmFailure:
    if (
        status < HTTPStatus.BAD_REQUEST
    ):  # a redirect: not followed, it could send the event anywhere
        return LlmFailure(
            "rejected",
            f"the service redirects ({status}): set base_url to where it leads",
            healthy=False,
        )
    check = _WHAT_TO_CHECK.get(status, "check its options")
    broken = status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}
    return LlmFailure(
        "rejected", f"the service refused the request ({status}): {check}", healthy=not broken
    )


def _no_completion() -> LlmFailure:
    message = "what came back is no chat completion: check base_url, and what stands between"
    return LlmFailure("unavailable", message, retryable=True, healthy=False)


def _failure_in_body(body: _Body) -> LlmFailure:
    """A gateway's error may carry the status it should have sent."""
    code = body.error.get("code") if isinstance(body.error, dict) else None
    status = code if isinstance(code, int) and code in range(400, 600) else HTTPStatus.BAD_GATEWAY
    failure = failure_of(status, {}, body.error) if body.error else _no_completion()
    failure.usage = _usage(body.usage)
    return failure


def _content(choices: list[_Choice], usage: Usage) -> str:
    """The text of the first choice.

    A completion without one is the model's doing, not the endpoint's: asked again it would likely be billed again for
    the same, so it is neither retried nor counted by the breaker.
    """
    if not choices:
        raise LlmFailure("invalid_answer", "the completion has no choices", usage=usage)
    message, finish_reason = choices[0].message, choices[0].finish_reason
    if message.refusal:
        raise LlmFailure("refused", "the model declined to answer", usage=usage)
    if finish_reason == "content_filter":
        raise LlmFailure(
            "content_filter", "the service's content filter cut the answer", usage=usage
        )
    if finish_reason == "length":
        raise LlmFailure(
            "truncated", "the answer was cut off: raise max_answer_tokens", usage=usage
        )
    if not isinstance(message.content, str) or not message.content.strip():
        raise LlmFailure("invalid_answer", "the completion has no text", usage=usage)
    return message.content


def _usage(usage: object) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    return Usage(_tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens")))


def _tokens(count: object) -> int:
    honest = isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= MAX_TOKENS
    return int(count) if honest else 0  # type: ignore[call-overload]


def _model(model: object) -> str | None:
    return (
        one_line(model[: 2 * MAX_MODEL_CHARS], MAX_MODEL_CHARS) or None
        if isinstance(model, str)
        else None
    )


def _codes(error: object) -> set[str]:
    """Every code an error gives; Azure nests the telling one."""
    if not isinstance(error, dict):
        return set()
    inner = error.get("innererror")
    nested = inner.get("code") if isinstance(inner, dict) else None
    return {
        code for code in (error.get("code"), error.get("type"), nested) if isinstance(code, str)
    }


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _seconds_until(date: str | None) -> float | None:
    try:
        until = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    if until.tzinfo is None:  # "-0000": a time in UTC of unknown origin
        until = until.replace(tzinfo=UTC)
    return (until - datetime.now(UTC)).total_seconds()
